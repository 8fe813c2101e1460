"""Claude's export: `conversations.json` of the account, or a single chat as browser tools save it."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message, Role
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._times import seconds
from edgetune.data.chats._tree import line_on_screen

TITLE = "Claude"
HOW_TO_EXPORT = "In Claude's settings: Privacy, Export data; the mail that follows has the ZIP archive."
ASSISTANT = True

DOCUMENT_TOOLS = ("artifacts", "create_file")
ROLES: dict[str, Role] = {"human": "user", "assistant": "assistant"}


def recognise(file: ExportFile) -> bool:
    """Whether a file is a chat with `chat_messages`, or a list of such."""
    shape = file.outline
    first = shape[0] if isinstance(shape, list) and shape else shape
    return isinstance(first, dict) and isinstance(first.get("chat_messages"), list) and "uuid" in first


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            yield _chat(value)


def _chat(value: dict[str, Any]) -> Chat:
    entries = [entry for entry in value.get("chat_messages") or [] if isinstance(entry, dict)]
    keys = [str(entry.get("uuid") or at) for at, entry in enumerate(entries)]
    by_key = dict(zip(keys, entries, strict=True))
    if not any("parent_message_uuid" in entry for entry in entries):
        return Chat(str(value.get("name") or ""), [_message(entry) for entry in entries], group=False)

    # With parents, the list holds edited and retried turns too: the line that was last on screen is the chat.
    parents = {key: str(entry.get("parent_message_uuid") or "") for key, entry in by_key.items()}
    messages = {key: _message(entry) for key, entry in by_key.items()}
    shown = line_on_screen(messages, parents, str(value.get("current_leaf_message_uuid") or ""))
    return Chat(str(value.get("name") or ""), shown, group=False)


def _message(entry: dict[str, Any]) -> Message:
    role = ROLES.get(str(entry.get("sender")), "")
    blocks = [block for block in entry.get("content") or [] if isinstance(block, dict)]
    texts = [str(b.get("text") or "") for b in blocks if b.get("type") == "text"]
    voice = [str(b.get("text") or "") for b in blocks if b.get("type") == "voice_note"]
    text = "\n\n".join(part for part in (*texts, *voice) if part.strip()) or str(entry.get("text") or "")

    # A long paste lies beside the text: for the model it was part of the question.
    for attachment in entry.get("attachments") or []:
        if isinstance(attachment, dict) and (content := str(attachment.get("extracted_content") or "")).strip():
            name = str(attachment.get("file_name") or "")
            pasted = f"{name}:\n{content}" if name else content
            text = f"{text}\n\n{pasted}".strip()

    reasoning = "\n\n".join(str(b.get("thinking") or "") for b in blocks if b.get("type") == "thinking").strip()
    calls = [b for b in blocks if b.get("type") == "tool_use"]
    documents = [
        str(c["input"]["content"])
        for c in calls
        if c.get("name") in DOCUMENT_TOOLS and isinstance(c.get("input"), dict) and c["input"].get("content")
    ]
    tools = [
        {"type": "function", "function": {"name": str(c.get("name") or ""), "arguments": c.get("input") or {}}}
        for c in calls
        if c.get("name") not in DOCUMENT_TOOLS
    ]
    media = bool(entry.get("files") or entry.get("files_v2"))
    reason = ("" if text.strip() or documents or tools else "media" if media else "empty") or ("" if role else "unknown role")
    return Message(
        role or str(entry.get("sender") or ""),
        text,
        seconds(entry.get("created_at")),
        role,
        reason,
        str(entry.get("uuid") or ""),
        reasoning=reasoning,
        tool_calls=tools,
        documents=documents,
    )
