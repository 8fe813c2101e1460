"""What the GGUF types mean to who chooses one: about how large, and how much of the model's meaning they lose."""

from dataclasses import dataclass

from converters.file_types import FILE_TYPES, UNQUANTIZED


@dataclass(frozen=True)
class TypeFacts:
    """bits: about how many a weight takes (llama.cpp's tools/quantize/README.md, Llama-3.1-8B; small models come out a little larger).

    loss: published mean KL divergence to the full model (Llama-3-8B), None where none was found. words: whom it suits.
    offered: whether it is among those that a user who has not named one is shown.
    """

    name: str
    bits: float
    loss: float | None
    words: str
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
    TypeFacts("Q4_1", 5.12, None, "simple 4 bits with an offset; Q4_K_M is better", offered=False),
    TypeFacts("Q4_K_M", 4.89, 0.031, "the usual choice: a third of the size, small loss"),
    TypeFacts("Q4_K_S", 4.67, 0.043, "a little smaller, a little worse"),
    TypeFacts("Q4_0", 4.66, 0.072, "simple 4 bits; fast on phones and Arm"),
    TypeFacts("IQ4_NL", 4.68, None, "for models whose rows no larger block divides", offered=False),
    TypeFacts("IQ4_XS", 4.46, None, "small; good with an importance matrix"),
    TypeFacts("Q3_K_M", 4.00, None, "when memory is short: answers get worse"),
    TypeFacts("Q2_K", 3.17, None, "the smallest: for large models only"),
)
DEFAULT_TYPE = "Q4_K_M"
"""What is written where nobody names a type."""
TYPES = tuple(FILE_TYPES)
"""Every type that is written, the largest first: the converter's."""
UNQUANTIZED_TYPES = UNQUANTIZED
"""Types that are not quantized."""


def type_facts(name: str) -> TypeFacts:
    """The facts of one of `TYPES`."""
    return _BY_NAME[name]


_BY_NAME = {one.name: one for one in FACTS}
