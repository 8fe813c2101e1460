"""The demo, whole: it learns what the base cannot know, and forgets next to nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.cli.demo_taste import taste_page
from edgetune.demo.demo import LIGHTHOUSE, questions


def test_the_questions_are_not_among_the_examples() -> None:
    lines = (LIGHTHOUSE / "train.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {json.loads(line)["messages"][0]["content"].lower() for line in lines}
    assert not asked & {q["prompt"].lower() for q in questions(LIGHTHOUSE / "questions.jsonl")}


@pytest.mark.slow
def test_the_demo_does_what_it_says(edgetune: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = edgetune("demo", "--full", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["held_out_loss"]["after"] < facts["held_out_loss"]["before"] / 4
    assert facts["base"]["new"] < 0.10 and facts["tuned"]["new"] > 0.80
    assert facts["tuned"]["old"] >= facts["base"]["old"] - 0.10
    assert all(Path(made["path"]).is_file() for made in facts["exports"]) and len(facts["exports"]) == 3
    taste = facts["taste"]
    assert taste["pairs"] == 150 and taste["questions"] >= 300
    assert taste["after"]["length"] <= 0.5 * taste["before"]["length"]
    assert taste["after"]["right"] >= taste["before"]["right"] - 0.03
    assert taste["arena"]["low"] > 0.5 and taste["run"] in taste["arena"]["verdict"]
    assert "tokens an answer" in "\n".join(taste_page(taste))
