"""`edgetune talks`: kept conversations listed, searched, shown, turned into examples, deleted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.chat import branches, saved
from edgetune.storage.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def names(workspace: Workspace) -> list[str]:
    """Two conversations, the second one forked."""
    said = [{"role": "user", "content": "Who keeps the light?"}, {"role": "assistant", "content": "Selma.\x1b[31m"}]
    forked = branches.line(said)
    forked.replace(1, "Biscuit.", {})
    forked.add("user", "Really?")
    paths = [workspace.conversations / "20260101-1.json", workspace.conversations / "20260102-1.json"]
    saved.keep(paths[0], "nano.gguf", "Be short.", said)
    saved.keep(paths[1], "nano.gguf", "", forked)
    return [path.stem for path in paths]


def test_list_search_and_show(edgetune: Call, names: list[str]) -> None:
    assert len(edgetune("talks", "list")[1].splitlines()) == 3
    both = json.loads(edgetune("talks", "list", "selma", "--json")[1])
    assert sorted(talk["name"] for talk in both) == names, "what was said in a branch that is closed is found too"
    found = json.loads(edgetune("talks", "list", "BISCUIT", "--json")[1])
    assert [(talk["name"], talk["turns"], talk["forked"]) for talk in found] == [(names[1], 3, True)]
    assert "holds that" in edgetune("talks", "list", "otter")[1]
    code, out, _ = edgetune("talks", "show", "20260101")
    assert code == 0 and out == "system: Be short.\nuser: Who keeps the light?\nassistant: Selma.[31m\n"
    out = edgetune("talks", "show", names[1], "--branches")[1]
    assert "  2 assistant: Selma." in out and "* 3 (after 1) assistant: Biscuit." in out
    document = json.loads(edgetune("talks", "show", names[1], "--json")[1])
    assert [message["content"] for message in document["messages"]] == ["Who keeps the light?", "Biscuit.", "Really?"]


def test_talks_become_examples_that_the_data_commands_read(edgetune: Call, names: list[str], tmp_path: Path) -> None:
    out = tmp_path / "examples.jsonl"
    code, text, _ = edgetune("talks", "export", names[0], "--out", out)
    assert code == 0 and text == f"1 example added to {out}\n"
    assert json.loads(edgetune("talks", "export", "--out", out, "--json")[1]) == {"added": names, "file": str(out)}
    report = json.loads(edgetune("data", "check", out, "--json")[1])
    assert (report["format"], report["read"], report["content"]["system_turns"]) == ("messages", 3, 2)


def test_delete_asks_first(edgetune: Call, names: list[str], workspace: Workspace) -> None:
    code, _, err = edgetune("talks", "delete", names[0])
    assert code == 2 and "--yes" in err and len(saved.listed(workspace.conversations)) == 2
    assert json.loads(edgetune("talks", "delete", names[0], names[0], "--yes", "--json")[1]) == {"removed": names[:1]}
    assert [path.stem for path in workspace.conversations.iterdir()] == names[1:]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["show", "2026"], "No one conversation is called '2026'"),
        (["show", "x"], "No one conversation is called 'x'"),
        (["delete", "20260101-1", "x", "--yes"], "No one conversation is called 'x'"),
        (["export", "--out", "x.csv"], "cannot take examples"),
        (["export"], "No file of examples"),
    ],
)
def test_wrong_input_is_refused_and_leaves_all_as_it_was(
    words: list[str], why: str, edgetune: Call, names: list[str], workspace: Workspace
) -> None:
    code, out, err = edgetune("talks", *words)
    assert code == 2 and out == "" and why in err and "do:" in err
    assert why in json.loads(edgetune("talks", *words, "--json")[1])["error"]["title"]
    assert len(saved.listed(workspace.conversations)) == 2


def test_no_conversation_yet(edgetune: Call, tmp_path: Path) -> None:
    assert "edgetune chat --keep" in edgetune("talks", "list")[1] and edgetune("talks", "list", "--json")[1] == "[]\n"
    code, _, err = edgetune("talks", "export", "--out", tmp_path / "e.jsonl")
    assert code == 2 and "No conversation was kept yet" in err and not (tmp_path / "e.jsonl").exists()
