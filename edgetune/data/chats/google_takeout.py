"""Google Takeout: Google Chat and the older Hangouts."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._json import next_value
from edgetune.data.chats._times import parsed, seconds

TITLE = "Google Chat or Hangouts"
HOW_TO_EXPORT = "On Google Takeout: choose Google Chat (or Hangouts), as JSON."
ASSISTANT = False
DATES = ("%A, %B %d, %Y at %I:%M:%S %p %Z", "%A, %B %d, %Y at %H:%M:%S %Z", "%A, %d %B %Y at %H:%M:%S %Z")


def recognise(file: ExportFile) -> bool:
    """Whether a file is a chat with creators, or conversations with events."""
    shape = file.outline
    if not isinstance(shape, dict):
        return False
    messages, conversations = shape.get("messages"), shape.get("conversations") or shape.get("conversation_state")
    first = messages[0] if isinstance(messages, list) and messages else {}
    if isinstance(first, dict) and "creator" in first and ("created_date" in first or "topic_id" in first):
        return True
    first = conversations[0] if isinstance(conversations, list) and conversations else {}
    return isinstance(first, dict) and isinstance(first.get("conversation") or first.get("conversation_state"), dict)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        with file.scanner() as scanner:
            for key in scanner.members():
                if key in ("conversations", "conversation_state") and scanner.peek() == b"[":
                    for _ in scanner.elements():
                        if isinstance(value := next_value(scanner), dict):
                            yield _hangout(value)
                elif key == "messages" and scanner.peek() == b"[":
                    values = [next_value(scanner) for _ in scanner.elements()]
                    yield _chat(file, [value for value in values if isinstance(value, dict)])
                else:
                    next_value(scanner)


def _chat(file: ExportFile, entries: list[dict[str, Any]]) -> Chat:
    info = file.read_beside("group_info.json")
    about: dict[str, Any] = info if isinstance(info, dict) else {}
    people = [m for m in about.get("members") or [] if isinstance(m, dict)]
    title = str(about.get("name") or ", ".join(str(m.get("name")) for m in people if m.get("name")) or file.name.parent.name)
    messages = [_message(entry) for entry in entries]
    return Chat(title, messages, group=len(people) > 2 if people else None)


def _message(entry: dict[str, Any]) -> Message:
    creator = entry.get("creator") or {}
    text = str(entry.get("text") or "")
    media = entry.get("attached_files") or entry.get("annotations")
    reason = "" if text.strip() else "media" if media else "deleted"
    by_bot = str(creator.get("user_type") or "").lower() == "bot"
    return Message(
        str(creator.get("name") or creator.get("email") or "a deleted account"),
        text,
        parsed(str(entry.get("created_date") or ""), *DATES),
        left_out="by a bot" if by_bot else reason,
        key=str(entry.get("message_id") or ""),
    )


def _hangout(value: dict[str, Any]) -> Chat:
    state = value["conversation_state"] if isinstance(value.get("conversation_state"), dict) else value
    about: dict[str, Any] = state.get("conversation") or {}
    about = about.get("conversation", about)
    people = {
        _gaia(p.get("id")): str(p.get("fallback_name") or _gaia(p.get("id")))
        for p in about.get("participant_data") or []
        if isinstance(p, dict)
    }
    events = value.get("events") or state.get("event") or []
    messages = [_event(event, people) for event in events if isinstance(event, dict)]
    messages.sort(key=lambda message: message.time or 0.0)
    title = str(about.get("name") or ", ".join(people.values()))
    return Chat(title, messages, group=len(people) > 2)


def _gaia(value: Any) -> str:
    return str((value or {}).get("gaia_id") or (value or {}).get("chat_id") or "")


def _event(event: dict[str, Any], people: dict[str, str]) -> Message:
    content = (event.get("chat_message") or {}).get("message_content") or {}
    text = "".join(
        "\n" if s.get("type") == "LINE_BREAK" else str(s.get("text") or "") for s in content.get("segment") or [] if isinstance(s, dict)
    )
    moment = seconds(event.get("timestamp"))
    sender = people.get(_gaia(event.get("sender_id")), _gaia(event.get("sender_id")) or "unknown")
    reason = "notice" if "chat_message" not in event else "" if text.strip() else "media" if content.get("attachment") else "empty"
    return Message(sender, text, moment / 1000 if moment and moment > 1e11 else moment, left_out=reason)
