"""Conversations that were saved here (`edgetune conversations`, `chat --save`), with their branches."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message, role_of
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._tree import line_on_screen

TITLE = "EdgeTune"
HOW_TO_EXPORT = "They lie in the workspace's folder `conversations`."
ASSISTANT = True


def recognise(file: ExportFile) -> bool:
    """Whether a file is a conversation with turns and a tip."""
    shape = file.outline
    return isinstance(shape, dict) and "tip" in shape and isinstance(shape.get("turns"), list) and "model" in shape


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The conversations. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            yield _chat(value)


def _chat(value: dict[str, Any]) -> Chat:
    turns = {str(at): turn for at, turn in enumerate(value.get("turns") or []) if isinstance(turn, dict)}
    parents = {key: str(turn.get("parent")) for key, turn in turns.items()}
    messages = {
        key: Message(
            role or "unknown", text := str(turn.get("content") or ""), role=role, left_out="" if text.strip() else "empty", key=key
        )
        for key, turn in turns.items()
        for role in (role_of(turn.get("role")),)
    }
    shown = line_on_screen(messages, parents, str(value.get("tip")))
    return Chat(str(value.get("model") or ""), shown, group=False, system=str(value.get("system") or ""))
