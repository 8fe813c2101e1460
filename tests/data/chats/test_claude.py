"""Claude's export: blocks and texts, pastes, artifacts, branches by parents, and the form that browser tools save."""

from typing import Any

from tests.data.chats.conftest import Import

ROOT = "00000000-0000-4000-8000-000000000000"


def message(key: str, sender: str, *blocks: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    """A message; strings are blocks of text."""
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    return {
        "uuid": key,
        "sender": sender,
        "text": "",
        "content": content,
        "created_at": "2026-01-02T10:00:00Z",
        "attachments": [],
        "files": [],
        **more,
    }


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chat of the account's export."""
    return {"uuid": "c", "name": "", "chat_messages": list(messages), **more}


def test_blocks_pastes_and_parts(imported: Import) -> None:
    paste = [{"file_name": "", "extracted_content": "a long text"}]
    call = {"type": "tool_use", "id": None, "name": "web_search", "input": {"query": "x"}}
    page = {"type": "tool_use", "name": "artifacts", "input": {"command": "create", "content": "# Page"}}
    value = chat(
        message("1", "human", "sum it up", attachments=paste),
        message("2", "assistant", {"type": "thinking", "thinking": "hm"}, "short", call, {"type": "token_budget"}, page),
        message("3", "human", files=[{"file_name": "a.png"}]),
        message("4", "human", "and now?"),
        message("5", "assistant", "done"),
    )
    result = imported({"conversations.json": [value, chat()]})
    assert result.sources == ["claude"]
    assert result.dialogs() == [[("user", "sum it up\n\na long text"), ("assistant", "short"), ("user", "and now?"), ("assistant", "done")]]
    assert result.counts.left_out == {"media": 1}
    kept = imported({"conversations.json": [value]}, thinking="keep", documents="keep").examples[0]["messages"][1]
    assert kept == {"role": "assistant", "content": "short\n\n# Page", "reasoning_content": "hm"}


def test_older_files_have_the_text_beside_the_blocks(imported: Import) -> None:
    entries = [
        {"uuid": str(n), "sender": sender, "text": text} for n, (sender, text) in enumerate((("human", "hi"), ("assistant", "hello")))
    ]
    assert imported({"c.json": [chat(*entries)]}).dialogs() == [[("user", "hi"), ("assistant", "hello")]]


def test_branches_of_a_saved_chat(imported: Import) -> None:
    value = chat(
        message("u", "human", "a fruit?", parent_message_uuid=ROOT),
        message("a1", "assistant", "pear", parent_message_uuid="u"),
        message("a2", "assistant", "fig", parent_message_uuid="u"),
        current_leaf_message_uuid="a1",
        model="m",
    )
    result = imported({"saved.json": value})
    assert result.dialogs() == [[("user", "a fruit?"), ("assistant", "pear")]]
    assert [(p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in result.pairs] == [("pear", "fig")]
    assert result.counts.left_out == {"another branch": 1}
