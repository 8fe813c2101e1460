"""ChatGPT's export old and new: the line that was on screen, thinking, tools, pages, citations, ratings, shards in a ZIP archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

from tests.data.chats.conftest import Import, import_from


def node(key: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A node of the older form."""
    content = {"content_type": "text", "parts": [content]} if isinstance(content, str) else content
    message = {"id": key, "author": {"role": role}, "content": content, "create_time": 1.7e9, "recipient": "all", "metadata": {}, **more}
    return {"id": key, "parent": parent, "message": message, "children": []}


def chat(*nodes: dict[str, Any], last: str, **more: Any) -> dict[str, Any]:
    """A chat whose root has no message."""
    root: dict[str, Any] = {"id": "client-created-root", "parent": None, "message": None, "children": []}
    return {"title": "t", "mapping": {entry["id"]: entry for entry in (root, *nodes)}, "current_node": last, **more}


ROOT = "client-created-root"


def test_the_line_on_screen_and_other_answers(imported: Import) -> None:
    value = chat(
        node("s", ROOT, "system", ""),
        node("u1", "s", "user", "a fruit?"),
        node("a1", "u1", "assistant", "pear"),
        node("a2", "u1", "assistant", "fig \ue200cite\ue202turn0search3\ue201."),
        node("u2", "a2", "user", "why?"),
        node("a3", "u2", "assistant", "it is sweet"),
        last="a3",
    )
    result = imported({"conversations.json": [value]})
    assert result.sources == ["chatgpt"]
    assert result.dialogs() == [[("user", "a fruit?"), ("assistant", "fig."), ("user", "why?"), ("assistant", "it is sweet")]]
    assert result.counts.left_out == {"hidden": 1, "another branch": 1}
    assert [(p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in result.pairs] == [("fig.", "pear")]
    kept = imported({"conversations.json": [value]}, citations="keep")
    assert "turn0search3" in kept.dialogs()[0][1][1]


def test_newer_exports_have_less(imported: Import) -> None:
    def bare(key: str, parent: str | None, role: str, text: str) -> dict[str, Any]:
        message = {
            "id": key,
            "author": {"role": role},
            "content": {"content_type": "text", "parts": [text]},
            "create_time": 1.0,
            "metadata": {},
        }
        return {"id": key, "parent": parent, "message": message}

    mapping = {key: entry for key, entry in (("u", bare("u", None, "user", "hi")), ("a", bare("a", "u", "assistant", "hello")))}
    assert imported({"conversations-000.json": [{"title": None, "mapping": mapping}]}).dialogs() == [
        [("user", "hi"), ("assistant", "hello")]
    ]


def test_thinking_tools_and_pages_are_the_persons_choice(imported: Import) -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "let me see"}]}
    page = json.dumps({"name": "n", "type": "document", "content": "# A page"})
    value = chat(
        node("u", ROOT, "user", "write"),
        node("t", "u", "assistant", thoughts),
        node("r", "t", "assistant", {"content_type": "reasoning_recap", "content": "Thought for 8s"}),
        node("c", "r", "assistant", {"content_type": "code", "text": "1+1", "language": "python"}, recipient="python"),
        node("o", "c", "tool", {"content_type": "execution_output", "text": "2"}),
        node("d", "o", "assistant", page, recipient="canmore.create_textdoc"),
        node("a", "d", "assistant", "there it is"),
        last="a",
    )
    result = imported({"c.json": [value]})
    assert result.dialogs() == [[("user", "write"), ("assistant", "there it is")]]
    assert result.counts.left_out == {"thinking": 1, "notice": 1, "tool call": 1, "tool result": 1, "document": 1}

    kept = imported({"c.json": [value]}, thinking="keep", documents="keep").examples[0]["messages"]
    assert kept[1] == {"role": "assistant", "content": "# A page\n\nthere it is", "reasoning_content": "let me see"}
    turns = imported({"c.json": [value]}, tools="keep").examples[0]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "assistant"] and turns[1]["tool_calls"]
    assert imported({"c.json": [value]}, thinking="refuse").counts.left_out["chat with thinking"] == 5


def test_voice_pictures_and_instructions(imported: Import) -> None:
    heard = {"content_type": "multimodal_text", "parts": [{"content_type": "audio_transcription", "text": "spoken", "direction": "in"}]}
    seen = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "x"}]}
    hidden = {"content_type": "user_editable_context", "user_profile": "I am Ben.", "user_instructions": "Be short."}
    value = chat(
        node("i", ROOT, "user", hidden, metadata={"is_visually_hidden_from_conversation": True}),
        node("u", "i", "user", heard),
        node("a", "u", "assistant", "heard"),
        node("u2", "a", "user", seen),
        node("a2", "u2", "assistant", "a dog"),
        last="a2",
    )
    result = imported({"c.json": [value]}, system=True)
    assert result.dialogs() == [[("system", "I am Ben.\n\nBe short."), ("user", "spoken"), ("assistant", "heard\n\na dog")]]
    assert result.counts.left_out == {"hidden": 1, "media": 1}


def test_a_loop_of_parents_ends(imported: Import) -> None:
    value = chat(node("u", "a", "user", "hi"), node("a", "u", "assistant", "hello"), last="a")
    assert imported({"c.json": [value]}).dialogs() == [[("user", "hi"), ("assistant", "hello")]]


def test_a_zip_archive_with_ratings(tmp_path: Path) -> None:
    value = chat(node("u", ROOT, "user", "hi"), node("a", "u", "assistant", "hello"), last="a")
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._conversations-000.json", b"\x00")
        archive.writestr("conversations-000.json", json.dumps([value]))
        archive.writestr("conversations-001.json", json.dumps([value]))
        archive.writestr("message_feedback.json", json.dumps([{"id": "a", "rating": "thumbs_down"}]))
        archive.writestr("user.json", json.dumps({"id": "u", "email": "x"}))
    result = import_from([path])
    assert len(result.examples) == 2
    assert [row["label"] for row in result.labels] == [False, False]
