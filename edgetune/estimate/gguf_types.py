"""What each GGUF type means to someone who chooses one: about how large it is, and how much of the model's meaning it loses."""

from dataclasses import dataclass

from converters.file_types import FILE_TYPES


@dataclass(frozen=True)
class TypeFacts:
    """What is known about a type.

    bits: for each weight, to two decimals (Llama-3.1-8B as llama.cpp's tools/quantize/README.md lists it, and as the converter chooses
    its tensors' types; small models come out a little larger). loss: published mean KL divergence to the full model (Llama-3-8B), None
    where none was found. description: whom it suits. offered: whether it is shown to a user who has not named one.
    """

    name: str
    bits: float
    loss: float | None
    description: str
    offered: bool = True

    def size(self, parameters: int) -> int:
        """About how many bytes a model of so many parameters takes."""
        return int(parameters * self.bits / 8)


FACTS = (
    TypeFacts("F32", 32.0, None, "every bit of the computation: for comparisons", offered=False),
    TypeFacts("F16", 16.0, None, "full precision, to convert further"),
    TypeFacts("BF16", 16.0, None, "full precision of models trained in bf16", offered=False),
    TypeFacts("Q8_0", 8.5, 0.0014, "as good as full, half the size"),
    TypeFacts("Q6_K", 6.56, 0.0055, "hardly any loss"),
    TypeFacts("Q5_K_M", 5.70, 0.011, "little loss"),
    TypeFacts("Q5_K_S", 5.57, None, "a little smaller than Q5_K_M, a little worse", offered=False),
    TypeFacts("Q4_1", 5.10, None, "simple 4 bits with an offset; Q4_K_M is better", offered=False),
    TypeFacts("Q4_K_M", 4.89, 0.031, "the usual choice: a third of the size, small loss"),
    TypeFacts("Q4_K_S", 4.67, 0.043, "a little smaller, a little worse"),
    TypeFacts("Q4_0", 4.64, 0.072, "simple 4 bits; fast on phones and Arm"),
    TypeFacts("IQ4_NL", 4.68, None, "for models whose rows no larger block divides", offered=False),
    TypeFacts("IQ4_XS", 4.46, None, "small; good with an importance matrix"),
    TypeFacts("Q3_K_M", 4.00, None, "when memory is short: answers get worse"),
    TypeFacts("Q2_K", 3.16, None, "the smallest: for large models only"),
)
DEFAULT_TYPE = "Q4_K_M"
"""The type that is written where nobody names one."""
AUTO = "auto"
"""What stands for the smallest type that holds what was learned (edgetune/gguf/auto_type.py)."""
TYPES = tuple(FILE_TYPES)
"""Every type that the converter writes, the largest first."""


def type_facts(name: str) -> TypeFacts:
    """The facts of one of `TYPES`."""
    return _BY_NAME[name]


_BY_NAME = {fact.name: fact for fact in FACTS}
