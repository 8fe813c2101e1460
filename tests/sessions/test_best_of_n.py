"""The best of several answers by a reward model: ranked as `edgetune score` ranks them, the others there to vote for, torch kept away."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.chat.conversation import Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.best_of_n import BestOfN
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import ROOT
from tests.methods.conftest import SMALL, write_pairs

pytestmark = pytest.mark.filterwarnings("ignore")
QUESTION = "What is the opposite of hot?"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, train_in: Callable[..., Run]) -> Workspace:
    """A workspace with a reward model that likes short answers, and a run of another method."""
    folder = tmp_path_factory.mktemp("best")
    found = Workspace(folder / "workspace")
    pairs = str(write_pairs(folder / "pairs.jsonl", 60))
    options = {**SMALL, "base": "nano", "method": "reward", "data": pairs, "learning_rate": 3e-3}
    train_in(found, "taste", **{**options, "max_steps": 25, "eval_steps": 25, "save_steps": 25})
    train_in(found, "unfinished", work=False, **options)
    train_in(found, "other", work=False, **{**options, "method": "dpo"})
    return found


@pytest.fixture
def call(edgetune: Call, place: Workspace, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command line in that workspace."""
    monkeypatch.setenv("EDGETUNE_WORKSPACE", str(place.path))
    return edgetune


def test_ranked_as_score_ranks(call: Call, nano_gguf: Path, tmp_path: Path) -> None:
    words = ["--prompt", QUESTION, "--temperature", 1, "--seed", 3, "--max-tokens", 40]
    code, out, err = call("chat", nano_gguf, *words, "--best", 6, "--reward", "taste", "--json")
    assert code == 0, err
    made = json.loads(out)
    texts = [one["answer"] for one in made["ranked"]]
    assert made["answer"] == texts[0] and 3 <= len(set(texts)) == len(texts) <= 6
    rewards = [one["reward"] for one in made["ranked"]]
    assert rewards == sorted(rewards, reverse=True) and rewards[0] > rewards[-1]
    rows = [{"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": text}]} for text in texts]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows[::-1])), encoding="utf-8")
    code, out, err = call("score", "taste", "--data", tmp_path / "answers.jsonl", "--json")
    (group,) = json.loads(out)["prompts"]
    assert [one["answer"] for one in group["answers"]] == texts, err
    assert [one["score"] for one in group["answers"]] == pytest.approx(rewards, abs=1e-4)
    code, out, _ = call("chat", nano_gguf, *words, "--json")
    first = next(one for one in made["ranked"] if one["seed"] == 3)
    assert json.loads(out)["answer"] == first["answer"]


def test_the_others_can_be_voted_for(call: Call, nano_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = f"/best 4 taste\n{QUESTION}\n/rewards\n/pick 2\n/best off\nAnd of big?\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    code, out, err = call("chat", nano_gguf, "--temperature", 1, "--seed", 3, "--max-tokens", 40, "--into", "picked")
    assert code == 0 and "[the best of" in err and "[2] " in err and "saved " in err, err
    (vote,) = json.loads(call("prefs", "list", "picked", "--json")[1])
    answers = [candidate["completion"][0]["content"] for candidate in vote["candidates"]]
    assert vote["choice"] == {"type": "ranking", "value": [2, 1, *[2] * (len(answers) - 2)]} and vote["source"] == "chat"
    assert vote["about"]["reward_model"] == "taste" and len(vote["about"]["rewards"]) == len(answers)
    assert len({candidate["sampling"]["seed"] for candidate in vote["candidates"]}) == len(answers)
    assert out.splitlines()[0] == answers[0] and len(out.strip().splitlines()) == 2


def test_stopped_early_and_the_talk_afterwards(place: Workspace, nano_gguf: Path) -> None:
    with Engine(nano_gguf, threads=1) as engine, BestOfN(place.run("taste"), 5) as best:
        talk, seen = Conversation(engine), []

        def watch(number: int, _text: str) -> None:
            seen.append(number)
            if number == 2:
                best.cancel()

        rated = best.ask(talk, QUESTION, Sampling(temperature=1.0, seed=3), 40, watch)
        assert max(seen) == 2 and 1 <= len(rated) <= 3
        assert [turn["role"] for turn in talk.messages] == ["user", "assistant"]
        assert talk.messages[-1]["content"] == rated[0].answer.text
        again = best.ask(talk, "And of big?", Sampling(temperature=1.0, seed=3), 40)
        assert len(talk.messages) == 4 and talk.messages[-1]["content"] == again[0].answer.text
        with pytest.raises(InputError):
            best.ask(talk, "long " * 5000, Sampling(seed=3), 40)
        assert len(talk.messages) == 4


def test_torch_stays_in_the_reward_models_process(place: Workspace, nano_gguf: Path) -> None:
    words = ["chat", str(nano_gguf), "--prompt", QUESTION, "--best", "2", "--reward", "taste", "--workspace", str(place.path)]
    code = f"""
import sys
words = sys.argv[1:] = {words!r}
from edgetune.cli.app import run
assert run(words) == 0
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--best", 4], "--reward"),
        (["--reward", "taste"], "--best"),
        (["--best", 1, "--reward", "taste"], "from 2 to 32"),
        (["--best", 4, "--reward", "nothing"], "no run 'nothing'"),
        (["--best", 4, "--reward", "other"], "no reward model"),
        (["--best", 4, "--reward", "unfinished"], "no result yet"),
        (["--best", 4, "--reward", "taste", "--raw"], "--raw"),
    ],
)
def test_refused_in_words(words: list[Any], why: str, call: Call, nano_gguf: Path) -> None:
    code, out, err = call("chat", nano_gguf, "--prompt", "Hi", *words)
    assert code == 2 and out == "" and why in err and "do:" in err, err


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/best 4", "Nothing ranks"),
        ("/best x taste", "not a number"),
        ("/rewards", "no ranked answers"),
        ("/pick 1", "no answer to vote on"),
    ],
)
def test_typed_mistakes_are_refused(line: str, why: str, call: Call, nano_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))
    code, _, err = call("chat", nano_gguf)
    assert code == 2 and why in err and "do:" in err, err
