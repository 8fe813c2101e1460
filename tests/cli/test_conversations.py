"""`edgetune conversations`: saved conversations listed, searched, shown, turned into examples, deleted."""

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
    forked = branches.unbranched(said)
    forked.replace(1, "Biscuit.", {})
    forked.add("user", "Really?")
    paths = [workspace.conversations / "20260101-1.json", workspace.conversations / "20260102-1.json"]
    saved.save(paths[0], "nano.gguf", "Be short.", said)
    saved.save(paths[1], "nano.gguf", "", forked)
    return [path.stem for path in paths]


def test_list_search_and_show(edgetune: Call, names: list[str]) -> None:
    assert len(edgetune("conversations", "list")[1].splitlines()) == 3
    both = json.loads(edgetune("conversations", "list", "selma", "--json")[1])
    assert sorted(talk["name"] for talk in both) == names, "what was said in a branch that is closed is found too"
    found = json.loads(edgetune("conversations", "list", "BISCUIT", "--json")[1])
    assert [(talk["name"], talk["turns"], talk["forked"]) for talk in found] == [(names[1], 3, True)]
    assert "holds that text" in edgetune("conversations", "list", "otter")[1]
    code, out, _ = edgetune("conversations", "show", "20260101")
    assert code == 0 and out == "system: Be short.\nuser: Who keeps the light?\nassistant: Selma.[31m\n"
    out = edgetune("conversations", "show", names[1], "--branches")[1]
    assert "  2 assistant: Selma." in out and "* 3 (after 1) assistant: Biscuit." in out
    document = json.loads(edgetune("conversations", "show", names[1], "--json")[1])
    assert [message["content"] for message in document["messages"]] == ["Who keeps the light?", "Biscuit.", "Really?"]


def test_conversations_become_examples_that_the_data_commands_read(edgetune: Call, names: list[str], tmp_path: Path) -> None:
    out = tmp_path / "examples.jsonl"
    code, text, _ = edgetune("conversations", "export", names[0], "--out", out)
    assert code == 0 and text == f"1 example added to {out}\n"
    assert json.loads(edgetune("conversations", "export", "--out", out, "--json")[1]) == {"added": names, "file": str(out)}
    report = json.loads(edgetune("data", "check", out, "--json")[1])
    assert (report["format"], report["read"], report["content"]["system_turns"]) == ("messages", 3, 2)


def test_delete_asks_first(edgetune: Call, names: list[str], workspace: Workspace) -> None:
    code, _, err = edgetune("conversations", "delete", names[0])
    assert code == 2 and "--yes" in err and len(saved.list_conversations(workspace.conversations)) == 2
    assert json.loads(edgetune("conversations", "delete", names[0], names[0], "--yes", "--json")[1]) == {"removed": names[:1]}
    assert [path.stem for path in workspace.conversations.iterdir()] == names[1:]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["show", "2026"], "There is no conversation '2026'"),
        (["show", "x"], "There is no conversation 'x'"),
        (["delete", "20260101-1", "x", "--yes"], "There is no conversation 'x'"),
        (["export", "--out", "x.csv"], "cannot take examples"),
        (["export"], "No file of examples"),
    ],
)
def test_wrong_input_is_refused_and_leaves_all_as_it_was(
    words: list[str], why: str, edgetune: Call, names: list[str], workspace: Workspace
) -> None:
    code, out, err = edgetune("conversations", *words)
    assert code == 2 and out == "" and why in err and "do:" in err
    assert why in json.loads(edgetune("conversations", *words, "--json")[1])["error"]["title"]
    assert len(saved.list_conversations(workspace.conversations)) == 2


def test_no_conversation_yet(edgetune: Call, tmp_path: Path) -> None:
    assert "edgetune chat --save" in edgetune("conversations", "list")[1] and edgetune("conversations", "list", "--json")[1] == "[]\n"
    code, _, err = edgetune("conversations", "export", "--out", tmp_path / "e.jsonl")
    assert code == 2 and "No conversation is saved yet" in err and not (tmp_path / "e.jsonl").exists()


def test_the_former_names_still_work(edgetune: Call, names: list[str], nano_gguf: Path, workspace: Workspace) -> None:
    assert edgetune("talks", "list", "--json")[1] == edgetune("conversations", "list", "--json")[1]
    assert "talks" not in edgetune("--help")[1] and "--keep" not in edgetune("chat", "--help")[1]
    words = ["--prompt", "Hi", "--max-tokens", 4, "--workspace", workspace.path, "--keep"]
    for flag in (["--talk", names[0]], [f"--talk={names[0]}"]):
        code, out, err = edgetune("chat", nano_gguf, *words, *flag)
        assert code == 0 and out and "--talk is now called --resume" in err and "--keep is now called --save" in err, err
    assert len(saved.find_conversation(workspace.conversations, names[0]).messages) == 6
