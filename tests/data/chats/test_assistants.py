"""Chats of programs that run models on one's own machine: the line on screen, thinking, other answers, what was stopped."""

import json
from typing import Any

from edgetune.chat import branches, saved
from tests.data.chats.conftest import Import

HELLO = [("user", "hi"), ("assistant", "hello")]


def lines(*rows: Any) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def webui(key: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message of Open WebUI's history."""
    return {
        "id": key,
        "parentId": parent,
        "childrenIds": [],
        "role": role,
        "content": content,
        "timestamp": 1700000000,
        "done": True,
        **more,
    }


def webui_chat(*messages: dict[str, Any], last: str, **more: Any) -> dict[str, Any]:
    """A chat as an account's export has it."""
    history = {"messages": {message["id"]: message for message in messages}, "currentId": last}
    return {"id": "c", "title": "t", "chat": {"title": "t", "models": ["m"], "history": history, "messages": [], **more}}


def test_open_webui(imported: Import) -> None:
    thought = (
        '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>\n&gt; is 1 &lt; 2?\n</details>\nyes'
    )
    chat = webui_chat(
        webui("u", None, "user", "hi"),
        webui("a", "u", "assistant", "hey", annotation={"rating": -1}),
        webui("b", "u", "assistant", thought, annotation={"rating": 1}),
        webui("v", "b", "user", "more"),
        webui("c", "v", "assistant", "cut", done=False),
        last="c",
        params={"system": "Be short."},
    )
    result = imported({"x.json": [chat]}, system=True)
    assert result.sources == ["open_webui"]
    assert result.dialogs() == [[("system", "Be short."), ("user", "hi"), ("assistant", "yes")]]
    assert result.counts.left_out == {"another branch": 1, "stopped": 1, "not answered": 1}
    assert [(p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in result.pairs] == [("yes", "hey")]
    assert [row["label"] for row in result.labels] == [True]
    kept = imported({"x.json": [chat]}, thinking="keep").examples[0]["messages"][1]
    assert kept["reasoning_content"] == "is 1 < 2?"

    # A single export may be the chat itself; details that the model wrote for its readers stay; parents may be missing.
    bare = webui_chat(
        webui("u", "gone", "user", "hi"), webui("a", "u", "assistant", "<details><summary>s</summary>hello</details>"), last="a"
    )
    assert imported({"y.json": bare["chat"]}).examples[0]["messages"][1]["content"].endswith("hello")


def test_lm_studio(imported: Import) -> None:
    def user(text: str) -> dict[str, Any]:
        return {"versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": text}]}], "currentlySelected": 0}

    def answer(*texts: str, at: int = 0) -> dict[str, Any]:
        versions = [
            {
                "type": "multiStep",
                "role": "assistant",
                "steps": [
                    {"type": "contentBlock", "style": {"type": "thinking"}, "content": [{"type": "text", "text": "hm"}]},
                    {"type": "contentBlock", "content": [{"type": "text", "text": text}]},
                    {"type": "debugInfoBlock", "debugInfo": "x"},
                ],
            }
            for text in texts
        ]
        return {"versions": versions, "currentlySelected": at}

    chat = {"name": None, "createdAt": 1, "systemPrompt": "Be short.", "messages": [user("hi"), answer("hey", "hello", at=7)]}
    result = imported({"1700.conversation.json": chat}, system=True)
    assert result.sources == ["lm_studio"] and result.dialogs() == [[("system", "Be short."), *HELLO]]
    assert [p["rejected"][0]["content"] for p in result.pairs] == ["hey"]
    assert imported({"1700.conversation.json": chat}, thinking="keep").examples[0]["messages"][1]["reasoning_content"] == "hm"

    # Older files: an answer in one step, the system text among the settings.
    step = {
        "versions": [{"type": "singleStep", "role": "assistant", "content": [{"type": "text", "text": "hello"}]}],
        "currentlySelected": 0,
    }
    fields = {"fields": [{"key": "llm.prediction.systemPrompt", "value": "Old."}]}
    older = {"name": "n", "messages": [user("hi"), step], "perChatPredictionConfig": fields}
    assert imported({"1700.conversation.json": older}, system=True).dialogs() == [[("system", "Old."), *HELLO]]


def test_jan(imported: Import) -> None:
    def message(role: str, text: str, at: int, **more: Any) -> dict[str, Any]:
        content = [{"type": "text", "text": {"value": text, "annotations": []}}]
        return {
            "id": str(at),
            "object": "thread.message",
            "thread_id": "t",
            "role": role,
            "content": content,
            "status": "ready",
            "created_at": at,
            **more,
        }

    thread = {"id": "t", "object": "thread", "title": "t", "assistants": [{"model": "m", "instructions": "Be short."}]}
    rows = [message("assistant", "<think>hm</think>hello", 2), message("user", "hi", 1), message("assistant", "cut", 3, status="stopped")]
    result = imported({"threads/t/messages.jsonl": lines(*rows), "threads/t/thread.json": thread}, system=True)
    assert result.sources == ["jan"] and result.dialogs() == [[("system", "Be short."), *HELLO]]
    assert result.counts.left_out == {"stopped": 1}

    # Newer: reasoning as a part of its own, times in milliseconds.
    parts = [{"type": "reasoning", "text": {"value": "hm"}}, {"type": "text", "text": {"value": "hello"}}]
    rows = [message("user", "hi", 1_700_000_000_000), message("assistant", "", 1_700_000_001_000, content=parts)]
    kept = imported({"threads/t/messages.jsonl": lines(*rows)}, thinking="keep")
    assert kept.examples[0]["messages"][1] == {"role": "assistant", "content": "hello", "reasoning_content": "hm"}


def test_llama_cpp(imported: Import) -> None:
    def message(key: int, parent: int | None, role: str, content: str, kind: str = "text", **more: Any) -> dict[str, Any]:
        return {
            "id": str(key),
            "convId": "c",
            "type": kind,
            "timestamp": 1,
            "role": role,
            "content": content,
            "parent": str(parent),
            **more,
        }

    about = {"id": "c", "name": "n", "lastModified": 1, "currNode": "3"}
    messages = [
        message(0, None, "system", "", "root"),
        message(1, 0, "user", "hi", extra=[{"type": "textFile", "name": "a.txt", "content": "pasted"}]),
        message(2, 1, "assistant", "hey"),
        message(3, 1, "assistant", "hello", thinking="hm"),
    ]
    for export in ({"conv": about, "messages": messages}, [{"conv": about, "messages": messages}], lines(about, *messages)):
        result = imported({"c.json": export})
        assert result.sources == ["llama_cpp"]
        assert result.dialogs() == [[("user", "hi\n\na.txt:\npasted"), ("assistant", "hello")]]
        assert [p["rejected"][0]["content"] for p in result.pairs] == ["hey"]


def test_sillytavern(imported: Import) -> None:
    header = {"user_name": "unused", "character_name": "unused", "create_date": "2025-1-1@10h00m00s", "chat_metadata": {}}
    rows = [
        {"name": "Mira", "is_user": False, "mes": "Welcome, {{user}}."},
        {"name": "Ben", "is_user": True, "mes": "hi"},
        {"name": "note", "is_user": False, "is_system": True, "mes": "hidden", "extra": {}},
        {"name": "Mira", "is_user": False, "mes": "hello", "swipes": ["hey", "hello", ""], "swipe_id": 1, "extra": {"reasoning": "hm"}},
    ]
    result = imported({"m.jsonl": lines(header, *rows)})
    assert result.sources == ["sillytavern"] and result.dialogs() == [HELLO]
    assert result.counts.left_out == {"hidden": 1, "nothing before it": 1}
    assert result.counts.people == {"Mira": 2, "Ben": 1}
    assert [p["rejected"][0]["content"] for p in result.pairs] == ["hey"]
    assert imported({"m.jsonl": lines(*rows[1:2], rows[3])}).dialogs() == [HELLO]  # a group's file of before, without a header


def test_text_generation_webui(imported: Import) -> None:
    versions = {"assistant_1": {"versions": [{"content": "hey"}, {"content": "hello"}], "current_version_index": 1}}
    chat = {
        "internal": [["<|BEGIN-VISIBLE-CHAT|>", "Welcome."], ["hi", "hello"], ["more", ""]],
        "visible": [["", "x"], ["hi", "x"], ["more", ""]],
    }
    result = imported({"a.json": {**chat, "metadata": versions}})
    assert result.sources == ["text_generation_webui"] and result.dialogs() == [HELLO]
    assert result.counts.left_out == {"nothing before it": 1, "stopped": 1, "not answered": 1}
    assert [p["rejected"][0]["content"] for p in result.pairs] == ["hey"]
    assert imported({"a.json": {"data": [["hi", "hello"]], "data_visible": [["hi", "hello"]]}}).dialogs() == [HELLO]


def test_koboldcpp(imported: Import) -> None:
    save = {"gamestarted": True, "prompt": "{{[INPUT]}}hi{{[OUTPUT]}}", "memory": "Be short.", "authorsnote": "", "actions": ["hel", "lo"]}
    result = imported({"a.json": save}, system=True)
    assert result.sources == ["koboldcpp"] and result.dialogs() == [[("system", "Be short."), *HELLO]]
    named = {
        **save,
        "prompt": "\nBen: hi",
        "actions": ["\nMira: hello\nthere"],
        "savedsettings": {"opmode": 3, "chatname": "Ben", "chatopponent": "Mira"},
    }
    assert imported({"a.json": named}).dialogs() == [[("user", "hi"), ("assistant", "hello\nthere")]]
    story = imported({"a.json": {**save, "prompt": "Once upon", "actions": [" a time"], "savedsettings": {"opmode": 1}}})
    assert not story.examples and story.counts.left_out == {"a story without turns": 1}


def test_conversations_of_our_own(imported: Import, tmp_path: Any) -> None:
    tree = branches.unbranched([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}])
    path = tmp_path / "export" / "a.json"
    path.parent.mkdir()
    saved.save(path, "m.gguf", "Be short.", tree)
    result = imported({}, system=True)
    assert result.sources == ["edgetune_chat"] and result.dialogs() == [[("system", "Be short."), *HELLO]]
