"""Every method on every architecture: a run trains, its files pass their proof, and llama.cpp answers with transformers' tokens.

By hand, as it takes many minutes: `.venv/bin/python -m pytest -m sweep`, or of one architecture with `-k gemma2`.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgetune.bases.load import load_model
from edgetune.chat.conversation import Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.gguf.proof.prove import Prover
from edgetune.gguf.source import from_run
from edgetune.gguf.write import export_gguf, require_proven
from edgetune.runs.events import read_events
from edgetune.storage.workspace import ADAPTER_WEIGHTS, Run, Workspace
from edgetune.training.reward_model import Scorer
from tests.conftest import write_facts
from tests.converters.small_models import SMALL, WRAPPERS, make_small, make_small_wrapper
from tests.methods.conftest import write_pairs

pytestmark = [pytest.mark.sweep, pytest.mark.filterwarnings("ignore")]
MAKERS: dict[str, Callable[[Path], Path]] = {
    **{name: partial(make_small, name) for name in SMALL},
    **{kind: partial(make_small_wrapper, kind) for kind in WRAPPERS},
}
"""What writes each small model, vision-language models included."""
EVERYWHERE: dict[str, dict[str, Any]] = {
    "sft-nf4": {"method": "sft", "quantization": "nf4"},
    "sft": {"method": "sft", "quantization": "none"},
    "dpo": {"method": "dpo"},
    "reward": {"method": "reward"},
    "rl": {"method": "rl", "num_generations": 2, "max_completion_length": 8},
}
ON_SOME: dict[str, dict[str, Any]] = {
    "kto": {"method": "kto"},
    "sft-int8": {"method": "sft", "quantization": "int8"},
    "sft-full": {"method": "sft", "quantization": "none", "lora": False, "learning_rate": 1e-4},
}
SOME = ("llama-bias", "gpt2", "gemma4_text", "lfm2", "qwen3_5_text")
"""Small models of layers that differ most, on which ON_SOME is tried too."""
PAIRS = [(name, how) for name in MAKERS for how in (EVERYWHERE | ON_SOME if name in SOME else EVERYWHERE)]
QUICK = {
    "max_steps": 3,
    "batch_size": 2,
    "gradient_accumulation": 1,
    "rank": 4,
    "alpha": 8.0,
    "max_length": 96,
    "learning_rate": 1e-3,
    "eval_steps": 3,
    "save_steps": 3,
    "validation_split": 0.1,
}
REWARD = "def reward(prompt, answer, expected):\n    return len(answer) % 7\n"
QUESTION, TOKENS = "What is the number of the boat?", 16


class Bed(NamedTuple):
    """A small model and where its runs and files go."""

    base: Path
    folder: Path
    workspace: Workspace


@pytest.fixture(scope="module")
def bed_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Bed]]:
    """Makes the bed of a small model, once for all its methods; the one before it is gone."""
    beds: dict[str, Bed] = {}

    def make(name: str) -> Bed:
        if name not in beds:
            clear()
            folder = tmp_path_factory.mktemp("sweep")
            write_facts(folder / "facts.jsonl")
            write_pairs(folder / "pairs.jsonl", 12)
            (folder / "reward.py").write_text(REWARD, encoding="utf-8")
            beds[name] = Bed(MAKERS[name](folder / "base"), folder, Workspace(folder / "workspace"))
        return beds[name]

    def clear() -> None:
        for bed in beds.values():
            shutil.rmtree(bed.folder)
        beds.clear()

    yield make
    clear()


@pytest.mark.parametrize(("name", "how"), PAIRS, ids=[f"{name}-{how}" for name, how in PAIRS])
def test_it_trains_and_what_is_exported_is_what_was_trained(bed_of: Any, train_in: Callable[..., Run], name: str, how: str) -> None:
    bed, options = bed_of(name), (EVERYWHERE | ON_SOME)[how]
    data = bed.folder / ("facts.jsonl" if options["method"] in ("sft", "rl") else "pairs.jsonl")
    reward = {"reward": [f"python_file:{bed.folder / 'reward.py'}"]} if options["method"] == "rl" else {}
    run = train_in(bed.workspace, how, base=str(bed.base), data=str(data), **{**QUICK, **reward, **options})
    losses = [event["loss"] for event in read_events(run.events) if event["kind"] == "step"]
    assert len(losses) == 3 and all(map(math.isfinite, losses))
    assert change(run) > 1e-4

    # A reward model has no file: it must rank.
    if options["method"] == "reward":
        question = [{"role": "user", "content": QUESTION}]
        one, other = Scorer(run).rate(question, ["1.", "It is 1. Many people know the number of the boat."])
        assert math.isfinite(one) and math.isfinite(other) and one != other
        return

    source = from_run(run)
    exports = export_gguf(source, ["F16", "Q8_0"], bed.folder, proving=Prover(source, bed.workspace.proof_cache, tokens=64))
    require_proven(exports)
    with Engine(Path(exports[0]["path"]), n_ctx=128, threads=1, kv="f32") as engine:
        talk = Conversation(engine)
        answer = talk.ask(QUESTION, sampling=Sampling(temperature=0.0, seed=0), max_tokens=TOKENS)
        list(answer)
        expected = greedy(run, engine.prompt_tokens(answer.rendered))
        size = len(answer.tokens)
        assert answer.tokens == expected[:size]
        assert size == TOKENS or engine.describe([expected[size]])[0].eog or expected[size] in talk.marks.stop_ids


def change(run: Run) -> float:
    """The largest change of a weight: of LoRA's second matrices, which begin at zero, or of the model where all of it is trained."""
    from safetensors.torch import load_file

    if not run.model.is_dir():
        weights = load_file(run.adapter / ADAPTER_WEIGHTS)
        return max(float(weight.abs().max()) for name, weight in weights.items() if "lora_B" in name)
    before, after = (load_file(next(folder.glob("*.safetensors"))) for folder in (Path(run.request()["base"]), run.model))
    return max(float((weight.float() - before[name].float()).abs().max()) for name, weight in after.items() if name in before)


def greedy(run: Run, prompt: list[int]) -> list[int]:
    """What transformers writes after a prompt of ids, on the merged matrices as F16 holds them."""
    import torch
    from peft import PeftModel

    whole = run.model.is_dir()
    model = load_model(run.model if whole else Path(run.request()["base"]), "cpu", "float32")
    if not whole:
        model = PeftModel.from_pretrained(model, run.adapter).merge_and_unload()
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data = weight.data.half().float()
    model.generation_config.eos_token_id = None  # a random model may write it early, and what follows counts too
    with torch.no_grad():
        ids = model.eval().generate(torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False)
    return list(map(int, ids[0, len(prompt) :]))
