"""Small models worth starting with, for who has none: a list that comes with EdgeTune, read without the network."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Starter:
    """A model on the hub. billions: its parameters. gated: its owner asks for consent first."""

    name: str
    billions: float
    licence: str
    gated: bool = False

    @property
    def bytes(self) -> int:
        """About what its weights take on disk: two bytes a parameter."""
        return int(self.billions * 2e9)

    @property
    def machine(self) -> str:
        """The smallest kind of machine that trains it with QLoRA: nf4 weights and room for short rows. A rule of thumb, not measured."""
        need = self.billions * 1.2 + 1.5  # nf4 weights with unpacked embeddings in GB, activations and head of short rows, the interpreter
        for gigabytes, what in ((3, "a laptop with 8 GB"), (8, "a laptop with 16 GB, or a GPU with 8 GB")):
            if need < gigabytes:
                return what
        return "a GPU with 12 GB"


def starters() -> list[Starter]:
    """The list, smallest first."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return [Starter(**model) for model in tomllib.loads(text)["model"]]
