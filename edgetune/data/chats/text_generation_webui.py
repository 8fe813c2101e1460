"""text-generation-webui's chat histories: pairs of a prompt and its answer, with earlier versions."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._thinking import without_tags

TITLE = "text-generation-webui"
HOW_TO_EXPORT = "Copy the files from `user_data/logs/chat` (older versions: `logs`)."
ASSISTANT = True
GREETING = "<|BEGIN-VISIBLE-CHAT|>"
"""Stands in place of a prompt before a character's greeting."""


def recognise(file: ExportFile) -> bool:
    """Whether a file has a history as the model sees it and as the page shows it."""
    shape = file.outline
    return isinstance(shape, dict) and any(
        isinstance(shape.get(a), list) and isinstance(shape.get(b), list) for a, b in (("internal", "visible"), ("data", "data_visible"))
    )


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The histories. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            yield Chat(file.name.stem, list(_messages(value)), group=False)


def _messages(value: dict[str, Any]) -> Iterator[Message]:
    metadata = value.get("metadata") or {}
    for at, pair in enumerate(value.get("internal") or value.get("data") or []):
        prompt, answer = (str(text or "") for text in (*pair, "", "")[:2]) if isinstance(pair, list) else ("", "")
        if prompt and prompt != GREETING:
            yield Message("user", prompt, role="user")
        text, reasoning = without_tags(answer)
        versions = (metadata.get(f"assistant_{at}") or {}).get("versions") or []
        others = [without_tags(str(v.get("content") or ""))[0] for v in versions if isinstance(v, dict)]
        yield Message(
            "assistant",
            text,
            role="assistant",
            left_out="" if text else "stopped",
            reasoning=reasoning,
            others=[other for other in dict.fromkeys(others) if other and other != text],
        )
