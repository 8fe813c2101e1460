"""LM Studio's chats: a file each, in the folder `conversations` of its home."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message, role_of
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._thinking import without_tags

TITLE = "LM Studio"
HOW_TO_EXPORT = "Copy the folder `conversations` from LM Studio's home folder."
ASSISTANT = True
SYSTEM_KEY = "llm.prediction.systemPrompt"


def recognise(file: ExportFile) -> bool:
    """Whether a file's messages have versions."""
    shape = file.outline
    messages = shape.get("messages") if isinstance(shape, dict) else None
    return bool(isinstance(messages, list) and messages and isinstance(messages[0], dict) and isinstance(messages[0].get("versions"), list))


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            yield _chat(value)


def _chat(value: dict[str, Any]) -> Chat:
    fields = (value.get("perChatPredictionConfig") or {}).get("fields") or []
    configured = next((f.get("value") for f in fields if isinstance(f, dict) and f.get("key") == SYSTEM_KEY), "")
    messages = [_message(entry) for entry in value.get("messages") or [] if isinstance(entry, dict)]
    return Chat(str(value.get("name") or ""), messages, group=False, system=str(value.get("systemPrompt") or configured or ""))


def _message(entry: dict[str, Any]) -> Message:
    versions = [version for version in entry.get("versions") or [] if isinstance(version, dict)]
    selected = entry.get("currentlySelected")
    at = selected if isinstance(selected, int) and 0 <= selected < len(versions) else len(versions) - 1
    read = [_version(version) for version in versions]
    if not read:
        return Message("unknown", "", left_out="empty")
    message = read[at]
    message.others = [other.text for other in read if other is not message and other.text and message.role == "assistant"]
    return message


def _version(version: dict[str, Any]) -> Message:
    role = role_of(version.get("role"))
    texts: list[str] = []
    thoughts: list[str] = []
    media = False
    blocks = [version] if version.get("type") == "singleStep" else version.get("steps") or []
    for block in blocks:
        if not isinstance(block, dict) or block.get("type") not in ("singleStep", "contentBlock"):
            continue
        thinking = isinstance(block.get("style"), dict) and block["style"].get("type") == "thinking"
        for part in block.get("content") or []:
            if isinstance(part, dict) and part.get("type") == "text":
                (thoughts if thinking else texts).append(str(part.get("text") or ""))
            else:
                media = True
    text, more = without_tags("\n\n".join(part for part in texts if part.strip())) if role == "assistant" else ("\n\n".join(texts), "")
    reasoning = "\n\n".join(part.strip() for part in (*thoughts, more) if part.strip())
    return Message(
        role or str(version.get("role")),
        text,
        role=role,
        left_out="" if text.strip() else "media" if media else "empty",
        reasoning=reasoning,
    )
