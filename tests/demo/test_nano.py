"""The bundled model is what its card says, measured again in llama.cpp on questions it never saw."""

import json
import random
from collections import defaultdict
from pathlib import Path

import pytest

from edgetune.bases.find import BUNDLED, describe_base
from edgetune.chat.conversation import Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.gguf.source import from_folder
from edgetune.gguf.write import export_gguf
from edgetune.text import contains
from tests.conftest import ROOT


def test_size_and_shape() -> None:
    base = describe_base(BUNDLED)
    assert 3_000_000 <= base.parameters <= 8_000_000
    assert (BUNDLED / "model.safetensors").stat().st_size <= 16 * 2**20
    config = base.config
    assert config["hidden_size"] % 256 == 0 and config["tie_word_embeddings"] and base.context == 1024
    assert config["num_key_value_heads"] < config["num_attention_heads"]


def test_answers_in_llama_cpp(tmp_path: Path) -> None:
    path = Path(export_gguf(from_folder(BUNDLED, None), ["F16"], tmp_path)[0]["path"])
    asked = [json.loads(line) for line in (BUNDLED / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(asked) >= 300
    right: dict[str, list[bool]] = defaultdict(list)
    long = 0
    with Engine(path) as engine:
        conversation = Conversation(engine)

        def ask(prompt: str, temperature: float, seed: int) -> str:
            conversation.reset()
            sampling = Sampling(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
            return "".join(conversation.ask(prompt, sampling=sampling, max_tokens=60))

        for number, row in enumerate(asked):
            right[row["category"]].append(contains(ask(row["prompt"], 0.0, 0), row["answer"]))
            long += len(ask(row["prompt"], 1.0, number).split()) >= 5
        brief = [ask(f"Be brief. {row['prompt']}", 1.0, 7) for row in random.Random(0).sample(asked, 60)]
    hits = [hit for values in right.values() for hit in values]
    assert sum(hits) / len(hits) >= 0.85
    assert all(sum(values) / len(values) >= 0.70 for values in right.values())
    assert 0.65 <= long / len(asked) <= 0.85
    assert sum(len(text.split()) < 5 for text in brief) >= 57


def test_the_bundled_questions_are_those_that_its_world_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what the model was made from stays what it was, however it is written down."""
    monkeypatch.syspath_prepend(str(ROOT / "packaging" / "nano"))
    from corpus import held_out

    asked = [json.loads(line) for line in (BUNDLED / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [{name: row[name] for name in asked[0]} for row in held_out(random.Random(1))] == asked
