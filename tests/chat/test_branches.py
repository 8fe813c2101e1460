"""Conversations that fork, and how they are kept."""

import json
from pathlib import Path

import pytest

from edgetune.chat import branches, saved
from edgetune.chat.branches import START, Branches


def said(talk: Branches) -> str:
    return " ".join(turn["content"] for turn in talk.messages())


def forked() -> Branches:
    """a b; the answer anew: a c; further: a c d e; the second question otherwise: a c f g."""
    talk = Branches()
    for role, text in (("user", "a"), ("assistant", "b")):
        talk.add(role, text)
    talk.go(0)
    for role, text in (("assistant", "c"), ("user", "d"), ("assistant", "e")):
        talk.add(role, text)
    talk.go(2)
    for role, text in (("user", "f"), ("assistant", "g")):
        talk.add(role, text)
    return talk


def test_a_question_asked_otherwise_and_an_answer_written_anew_keep_the_old_branch() -> None:
    talk = forked()
    assert said(talk) == "a c f g" and talk.path() == [0, 2, 5, 6]
    assert [talk.branch_number(at) for at in talk.path()] == [(1, 1), (2, 2), (2, 2), (1, 1)]
    assert talk.switch(5, 1) == 3 and said(talk) == "a c d e"
    assert talk.switch(2, -1) == 1 and said(talk) == "a b"
    assert talk.switch(1, 1) == 2 and said(talk) == "a c d e", "it comes back to where that branch was last"
    assert talk.switch(0, 1) == 0 and said(talk) == "a c d e", "one branch is round and round itself"
    talk.go(START)
    talk.add("user", "h")
    assert said(talk) == "h" and talk.branch_number(7) == (2, 2)
    assert talk.replace(6, "other", {"model": "person"}) == 8 and said(talk) == "a c f other" and talk.branch_number(8) == (2, 2)
    talk.forget(8, 6)
    assert said(talk) == "a c f g" and len(talk.turns) == 8


def test_all_branches_are_kept_and_old_files_still_load(tmp_path: Path) -> None:
    talk = forked()
    talk.replace(6, "better", {"model": "person"})
    saved.save(tmp_path / "new.json", "m.gguf", "Be short.", talk)
    old = {"model": "m.gguf", "system": "", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]}
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    found = {one.path.stem: one for one in saved.list_conversations(tmp_path)}
    assert found["new"].branches.turns == talk.turns and found["new"].branches.tip == talk.tip
    assert found["new"].messages == talk.messages(), "what knows no branches reads the open one"
    assert "e" in found["new"].text.split(), "every branch is searched"
    assert found["old"].branches.messages() == old["messages"] and found["old"].text == "q\nr"


@pytest.mark.parametrize(
    ("rows", "tip"),
    [
        ([{"role": "user", "content": "q", "parent": 0}], 0),
        ([{"role": "user", "content": "q", "parent": True}], 0),
        ([{"role": "user", "content": "q", "parent": -1}], 1),
        ([{"role": "user", "content": "q", "parent": -2}], 0),
    ],
)
def test_damaged_branches_are_refused(rows: list[dict[str, object]], tip: int) -> None:
    with pytest.raises(ValueError, match=r"follows|tip"):
        branches.read(rows, tip)
