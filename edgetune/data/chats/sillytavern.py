"""SillyTavern's chats: JSON lines with a header, a character and a person, and swipes: other answers of the last turn."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile

TITLE = "SillyTavern"
HOW_TO_EXPORT = "In the chat's menu: Manage chat files, Export as JSONL."
ASSISTANT = True


def recognise(file: ExportFile) -> bool:
    """Whether a file begins with a header of names, or with a message that says whether a person wrote it."""
    first = file.outline
    if not isinstance(first, dict):
        return False
    return ("user_name" in first and "character_name" in first) or ("is_user" in first and "mes" in first)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        user, character = "", ""
        entries: list[dict[str, Any]] = []
        for value in file.objects():
            if "mes" in value:
                entries.append(value)
            else:
                user, character = str(value.get("user_name") or ""), str(value.get("character_name") or "")

        # The names of newer headers are not always filled; the messages have them.
        user = next((str(e.get("name")) for e in entries if e.get("is_user") and e.get("name")), user)
        character = next((str(e.get("name")) for e in entries if not e.get("is_user") and e.get("name")), character)
        yield Chat(file.name.stem, [_message(entry, user, character) for entry in entries], group=False)


def _message(entry: dict[str, Any], user: str, character: str) -> Message:
    def filled(text: Any) -> str:
        text = str(text.get("message") or text.get("mes") or "") if isinstance(text, dict) else str(text or "")
        return text.replace("{{user}}", user).replace("{{char}}", character).strip()

    extra = entry.get("extra") or {}
    text = filled(entry.get("mes"))
    mine = bool(entry.get("is_user"))
    hidden = bool(entry.get("is_system")) and extra.get("type") != "narrator"
    swipes = [filled(swipe) for swipe in entry.get("swipes") or []] if not mine else []
    return Message(
        str(entry.get("name") or (user if mine else character)),
        text,
        role="user" if mine else "assistant",
        left_out="hidden" if hidden else "" if text else "empty",
        reasoning=str(extra.get("reasoning") or "").strip(),
        others=[swipe for swipe in dict.fromkeys(swipes) if swipe and swipe != text],
    )
