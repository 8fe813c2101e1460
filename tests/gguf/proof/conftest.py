"""Tuned models of three strengths, and their provers."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.demo.demo import LIGHTHOUSE
from edgetune.gguf.proof.prove import Proof, Prover
from edgetune.gguf.source import from_run
from edgetune.storage.workspace import Run, Workspace
from tests.converters.conftest import llama_cpp, make_model
from tests.fixtures.datasets import dataset
from tests.gguf.proof.faults import FAULTS, SHARED, plan, write

__all__ = ["llama_cpp", "make_model"]

STRENGTHS = {"stories": {"light": 8, "medium": 24, "strong": 100}, "nano": {"light": 4, "medium": 16, "strong": 60}}
"""Steps."""


class Bench:
    """A tuned model, proven as often as a test likes: what stays the same is loaded once."""

    def __init__(self, run: Run, cache: Path, folder: Path, tokens: int) -> None:
        self.run, self.source, self.folder = run, from_run(run), folder
        self.prover = Prover(self.source, cache, tokens=tokens)

    def right(self, type_name: str) -> Proof:
        """The proof of a correct export."""
        return self.prover.prove(write(plan(self.source, self.source.adapter), type_name, self.folder / "right.gguf"))

    def wrong(self, fault: str, type_name: str) -> Proof:
        """The proof of an export with a fault."""
        tampered = FAULTS[fault][0](self.source, self.folder / "tampered")
        prover = copy.copy(self.prover)
        if fault in SHARED:
            prover.plan = tampered
        return prover.prove(write(tampered, type_name, self.folder / "wrong.gguf"))

    def missed(self, type_name: str) -> dict[str, list[str]]:
        """The faults whose proof passes, or names something else first, with what it found."""
        causes_of = {fault: self.wrong(fault, type_name).causes for fault in FAULTS}
        return {fault: causes for fault, causes in causes_of.items() if not causes or not re.search(FAULTS[fault][1], causes[0])}


@pytest.fixture(scope="package")
def bench(request: pytest.FixtureRequest, train_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bench]:
    """Makes the bench of a model ("stories", "nano") at a strength."""
    benches: dict[tuple[str, str], Bench] = {}
    workspace = Workspace(tmp_path_factory.mktemp("proof"))
    cache = tmp_path_factory.mktemp("cache")

    def make(model: str, strength: str, tokens: int = 512) -> Bench:
        if (model, strength) not in benches:
            options: dict[str, Any] = {"base": "nano", "data": str(LIGHTHOUSE / "train.jsonl"), "batch_size": 8, "max_length": 128}
            if model == "stories":
                data = str(dataset("alpaca_en_demo.json"))
                options = {"base": str(request.getfixturevalue("stories")), "data": data, "batch_size": 4, "max_length": 256}
            options |= {"max_steps": STRENGTHS[model][strength], "gradient_accumulation": 1, "validation_split": 0.02, "eval_steps": 1000}
            run = train_in(workspace, f"{model}-{strength}", quantization="nf4", **options)
            benches[model, strength] = Bench(run, cache, tmp_path_factory.mktemp("files"), tokens)
        return benches[model, strength]

    return make
