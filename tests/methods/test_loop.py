"""The whole loop on the bundled model, by the commands people use: a judge's votes, tuning by them, and what came of it in llama.cpp.

The judge prefers the shorter answer among those that hold the fact. Its votes must shorten the answers and leave the facts alone.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.demo import preference_demo
from edgetune.demo.preference_demo import AnswerMeasures
from edgetune.preferences import prompts as asking
from edgetune.runs.events import read_events
from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Workspace
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
VOTES = 150


@dataclass(frozen=True)
class Loop:
    """What both ways of tuning share: the workspace with the votes in 'prefs', the base's file, and its answers to held-out questions."""

    place: Workspace
    base: Path
    before: AnswerMeasures

    def run(self, *words: object) -> str:
        """A command's stdout, in a process of its own; says how long it took."""
        started = time.monotonic()
        environment = {**os.environ, "EDGETUNE_WORKSPACE": str(self.place.path), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "edgetune", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        print(f"{' '.join(map(str, words[:2]))}: {time.monotonic() - started:.0f} s")
        return done.stdout


def held_out(gguf: Path, seed: int) -> AnswerMeasures:
    """Answers to the held-out questions."""
    return preference_demo.measure_answers(gguf, asking.read(preference_demo.HELD_OUT_QUESTIONS), seed)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Votes of the judge through `edgetune collect`, on questions in phrasings that the base was taught in; measured on others."""
    folder = tmp_path_factory.mktemp("loop")
    made = Loop(Workspace(folder / "workspace"), folder / "base.gguf", AnswerMeasures([]))
    made.run("export", "nano", "--type", "F16", "--no-proof", "--out", made.base)
    words = ("--prompts", preference_demo.VOTED_QUESTIONS, "--judge", "shortest", "--pairs", VOTES, "--temperature", 1, "--json")
    document = json.loads(made.run("collect", made.base, *words))
    assert document["pairs"] == VOTES and Path(document["file"]).is_file()
    return Loop(made.place, made.base, held_out(made.base, 50_000))


def flags(options: dict[str, Any]) -> list[object]:
    """Options of a recipe as words of the command line."""
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]


def told(name: str, loop: Loop) -> tuple[Path, AnswerMeasures]:
    """A run's model and its answers to the held-out questions; says what changed. The facts must be as safe as they were."""
    loop.run("export", name, "--type", "F16", "--no-proof")
    gguf = loop.place.run(name).exports / f"{name}-F16.gguf"
    before, after = loop.before, held_out(gguf, 90_000)
    print(f"{name}: length {before.length:.2f} → {after.length:.2f}, right {before.right:.1%} → {after.right:.1%}")
    assert after.right >= before.right - 0.03
    return gguf, after


def test_dpo_on_judged_votes(loop: Loop) -> None:
    assert (
        len(loop.before.answers) >= 300
        and loop.before.length * 4 <= preference_demo.MAX_ANSWER_TOKENS
        and preference_demo.ANSWERS_PER_QUESTION == 4
    )
    loop.run("train", "--name", "short", "--data", "prefs", *flags(preference_demo.OPTIONS))
    run = loop.place.run("short")
    assert run.request()["votes"] == [f"prefs, {VOTES} pairs"]
    seen = [e for e in read_events(run.events) if e["kind"] == "evaluated"]
    print([(e["step"], e["accuracy"], round(e["margin"], 2)) for e in seen])
    assert seen[-1]["accuracy"] > seen[0]["accuracy"]
    gguf, after = told("short", loop)
    assert after.length <= 0.5 * loop.before.length
    words = ("--prompts", preference_demo.HELD_OUT_QUESTIONS, "--judge", "shortest", "--temperature", 1, "--json")
    (duel,) = json.loads(loop.run("arena", gguf, loop.base, *words))["duels"]
    print(f"arena: {duel['share']} {duel['verdict']}")
    assert duel["one"] == "short-F16" and duel["share"]["low"] > 0.5
    assert duel["wins"] + duel["losses"] + duel["ties"] == len(after.answers)


def test_a_reward_model_and_rloo(loop: Loop) -> None:
    loop.run(
        *("train", "--name", "taste", "--base", "nano", "--method", "reward", "--data", "prefs", "--rank", 16, "--epochs", 5),
        *("--max-length", 256, "--batch-size", 4, "--gradient-accumulation", 1, "--validation-split", 0.3, "--learning-rate", 1e-3),
    )
    worth = json.loads((loop.place.run("taste").folder / "measured.json").read_text())
    print(worth)
    assert worth["accuracy"] >= 0.85
    loop.run(
        *("train", "--name", "liked", "--base", "nano", "--method", "rl", "--data", "prefs", "--reward", "model:taste", "--rank", 16),
        *(
            "--max-steps",
            36,
            "--batch-size",
            16,
            "--gradient-accumulation",
            1,
            "--num-generations",
            4,
            "--max-completion-length",
            64,
            "--max-length",
            256,
        ),
        *("--learning-rate", 1.5e-3, "--validation-split", 0.1, "--eval-steps", 36),
    )
    events = read_events(loop.place.run("liked").events)
    steps = [e for e in events if e["kind"] == "step"]
    print([(e["step"], round(e["reward"], 2), round(e["reward_spread"], 2), round(e["kl"], 3), round(e["length"], 1)) for e in steps[::5]])
    _, after = told("liked", loop)
    first, last = rewards(loop, loop.before), rewards(loop, after)
    print(f"reward {first.mean():.2f} ± {first.std():.2f} → {last.mean():.2f}; kl {steps[-1]['kl']:.3f}")
    assert last.mean() >= first.mean() + first.std()
    assert max(e["kl"] for e in steps) < 0.5 and not any(e["kind"] == "warning" and "nats" in e["text"] for e in events)


def rewards(loop: Loop, measured: AnswerMeasures) -> np.ndarray:
    """What the reward model gives all answers."""
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.training.reward_model import Scorer

    run = loop.place.run("taste")
    scorer, tokenizer = Scorer(run), tokenizers.load_tokenizer(BUNDLED, run.request()["template_date"])
    rows = []
    for prompt, group in zip(asking.read(preference_demo.HELD_OUT_QUESTIONS).prompts, measured.answers, strict=True):
        for one in group:
            talk = [*prompt.messages, {"role": "assistant", "content": one.text}]
            rows.append(tokenizer.encode(tokenizer.template.render(talk).rstrip()))
    return np.array(scorer.scores(rows))
