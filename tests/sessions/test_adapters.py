"""Adapters on a loaded base: as strong as their scale says, swapped without loading the base again, refused where they do not belong."""

import builtins
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, lora
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.cli.chat_terminal import Terminal, read_and_answer, say
from edgetune.errors import InputError
from edgetune.sessions import adapters
from edgetune.sessions.slash_commands import ChatCommands
from edgetune.storage.paths import BUNDLED
from tests.converters.adapters import fixed_adapter
from tests.converters.reference import mean_kl

TOKENS = np.random.default_rng(0).integers(3, 2000, 48).tolist()
SHAPES = {
    "a": {"model.layers.0.self_attn.q_proj": (256, 256), "model.layers.3.mlp.down_proj": (256, 768)},
    "b": {"model.layers.5.self_attn.v_proj": (128, 256), "model.layers.3.mlp.down_proj": (256, 768)},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundled model with two adapters: as folders and as GGUF LoRAs."""
    folder = tmp_path_factory.mktemp("adapters")
    places = {}
    for name, shapes in SHAPES.items():
        places[name] = fixed_adapter(folder / name, shapes, lora_alpha=1)
        places[f"{name}.gguf"] = folder / f"{name}.gguf"
        with open(places[f"{name}.gguf"], "wb") as file:
            lora.plan_lora(BUNDLED, places[name], "F32", name=name, extra={}).write(file)
    return places


@pytest.fixture
def engine(nano_gguf: Path) -> Iterator[Engine]:
    """The bundled model with an exact cache."""
    with Engine(nano_gguf, n_ctx=256, kv="f32") as loaded:
        yield loaded


def reference(tmp_path: Path, mix: list[tuple[Path, float]]) -> np.ndarray:
    """Logits of the base with the weighted adapters merged in."""
    path = tmp_path / "merged.gguf"
    plan = convert.plan_gguf(BUNDLED, mix, ["F32"], chat_template=None, name="n", extra={})
    with open(path, "wb") as file:
        plan.write("F32", file)
    with Engine(path, n_ctx=256, kv="f32") as merged:
        return merged.logits(TOKENS).copy()


def test_at_any_scale_it_computes_the_base_with_that_much_merged(engine: Engine, made: dict[str, Path], tmp_path: Path) -> None:
    plain = engine.logits(TOKENS).copy()
    process = engine.pid
    engine.load_adapter(made["a.gguf"], 0.8)
    engine.load_adapter(made["b.gguf"])
    for one, other in ((0.8, 1.0), (-0.5, 0.0), (0.0, 1.7)):
        engine.set_scale("a", one)
        engine.set_scale("b", other)
        expected = reference(tmp_path, [(made["a"], one), (made["b"], other)])
        assert mean_kl(expected, engine.logits(TOKENS)) <= 1e-9 < 1e-4 < mean_kl(expected, plain)
    engine.load_adapter(made["b.gguf"], 0.3, "a")  # another file under a name that is taken: swapped
    engine.set_scale("b", 0)
    assert mean_kl(reference(tmp_path, [(made["b"], 0.3)]), engine.logits(TOKENS)) <= 1e-9
    engine.set_scale("a", 0)
    assert np.array_equal(engine.logits(TOKENS), plain) and engine.pid == process


def test_what_the_cache_held_is_computed_anew(engine: Engine, made: dict[str, Path]) -> None:
    greedy = Sampling(temperature=0)
    engine.generate(TOKENS, max_tokens=5, sampling=greedy).finished()
    engine.load_adapter(made["a.gguf"], 2.0)
    answer = engine.generate(TOKENS, max_tokens=20, sampling=greedy).finished()
    assert answer.stats is not None and answer.stats.reused == 0
    with Engine(engine.path, n_ctx=256, kv="f32") as fresh:
        fresh.load_adapter(made["a.gguf"], 2.0)
        assert fresh.generate(TOKENS, max_tokens=20, sampling=greedy).finished().tokens == answer.tokens


def test_a_wrong_adapter_is_refused_and_the_engine_lives_on(
    engine: Engine, made: dict[str, Path], stories_gguf: Path, tmp_path: Path
) -> None:
    before = engine.logits(TOKENS).copy()
    (tmp_path / "cut.gguf").write_bytes(made["a.gguf"].read_bytes()[:-100])
    for path, named in ((engine.path, "a model"), (tmp_path / "none.gguf", "none.gguf"), (tmp_path / "cut.gguf", "not a valid GGUF")):
        with pytest.raises(InputError) as error:
            engine.load_adapter(path)
        assert named in f"{error.value.title} {error.value.cause}"
    for scale in (float("nan"), 1e9):
        with pytest.raises(InputError):
            engine.load_adapter(made["a.gguf"], scale)
    with pytest.raises(InputError):
        engine.set_scale("nobody", 1)
    assert not engine.adapters and np.array_equal(engine.logits(TOKENS), before)
    with Engine(stories_gguf) as other, pytest.raises(InputError, match="cannot be used as an adapter"):
        other.load_adapter(made["a.gguf"])


def test_in_the_conversation(
    engine: Engine, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adapters.load(engine, [f"{made['a.gguf']}:0.8", str(made["a.gguf"])], say)
    typed = iter(
        ["/adapters", "/adapter a 0", "/adapter nobody 1", "/adapter", f"/adapter {made['b.gguf']} 0.5", "/adapter b 0.25", "/quit"]
    )
    monkeypatch.setattr(builtins, "input", lambda _prompt="": next(typed))
    read_and_answer(ChatCommands(engine, Terminal(), Sampling()))
    said = capsys.readouterr().err
    assert "a  0.8" in said and "a-2  1" in said and "adapter a at 0: not used" in said
    assert "No adapter is called 'nobody'" in said and "needs a name" in said
    assert {name: one.scale for name, one in engine.adapters.items()} == {"a": 0.0, "a-2": 1.0, "b": 0.25}


def test_on_the_command_line(chat: Callable[..., Any], nano_gguf: Path, made: dict[str, Path]) -> None:
    common = (nano_gguf, "--prompt", "Hello", "--temperature", 0, "--max-tokens", 8)
    plain, tuned = chat(*common), chat(*common, "--adapter", f"{made['a.gguf']}:4")
    assert (plain.returncode, tuned.returncode) == (0, 0) and b"adapter a at 4" in tuned.stderr
    refused = chat(*common, "--adapter", nano_gguf)
    assert (refused.returncode, refused.stdout) == (2, b"") and b"not an adapter" in refused.stderr
    assert b"Traceback" not in refused.stderr and os.fspath(made["a.gguf"]).encode() not in refused.stderr
