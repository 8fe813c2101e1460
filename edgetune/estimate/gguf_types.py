"""What the GGUF types mean to who chooses one: about how large, and how much of the model's meaning they lose."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TypeFacts:
    """bits: about how many a weight takes (llama.cpp's tools/quantize/README.md, Llama-3.1-8B; small models come out a little larger).

    loss: published mean KL divergence to the full model (Llama-3-8B), None where none was found. words: whom it suits.
    """

    name: str
    bits: float
    loss: float | None
    words: str

    def size(self, parameters: int) -> int:
        """About how many bytes a model of so many parameters takes."""
        return int(parameters * self.bits / 8)


FACTS = (
    TypeFacts("F16", 16.0, None, "full precision, to convert further"),
    TypeFacts("Q8_0", 8.5, 0.0014, "as good as full, half the size"),
    TypeFacts("Q6_K", 6.56, 0.0055, "hardly any loss"),
    TypeFacts("Q5_K_M", 5.70, 0.011, "little loss"),
    TypeFacts("Q4_K_M", 4.89, 0.031, "the usual choice: a third of the size, small loss"),
    TypeFacts("Q4_K_S", 4.67, 0.043, "a little smaller, a little worse"),
    TypeFacts("Q4_0", 4.66, 0.072, "simple 4 bits; fast on phones and Arm"),
    TypeFacts("IQ4_XS", 4.46, None, "small; good with an importance matrix"),
    TypeFacts("Q3_K_M", 4.00, None, "when memory is short: answers get worse"),
    TypeFacts("Q2_K", 3.17, None, "the smallest: for large models only"),
)
USUAL = "Q4_K_M"
WHOLE = ("F32", "F16", "BF16")
"""Types that are not quantized."""


def facts(name: str) -> TypeFacts:
    """The facts of one of the types above."""
    return next(one for one in FACTS if one.name == name)
