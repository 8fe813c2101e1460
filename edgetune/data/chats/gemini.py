"""Gemini, as Google Takeout's activity has it: single questions with their answers, as nothing says which belong together."""

from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._html import as_text
from edgetune.data.chats._times import seconds

TITLE = "Gemini (Google Takeout)"
HOW_TO_EXPORT = "On Google Takeout: My Activity, Gemini Apps, as JSON instead of HTML."
ASSISTANT = True
PRODUCT = "Gemini"


def recognise(file: ExportFile) -> bool:
    """Whether a file is a list of activities, of Gemini's."""
    shape = file.outline
    entries = shape if isinstance(shape, list) else []
    return any(
        isinstance(e, dict) and "title" in e and "time" in e and (PRODUCT in str(e.get("header")) or PRODUCT in str(e.get("products")))
        for e in entries
    )


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat for every question. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        for value in file.objects():
            yield Chat("", list(_messages(value)), group=False)


def _messages(value: dict[str, Any]) -> Iterator[Message]:
    moment = seconds(value.get("time"))
    answers = [item.get("html") or item.get("htmlValue") or "" for item in value.get("safeHtmlItem") or [] if isinstance(item, dict)]
    if not answers:
        yield Message("user", str(value.get("title") or ""), moment, left_out="notice")  # an activity of another kind
        return

    # The word before the prompt ("Prompted") is in the account's language; a no-break space or the first space ends it.
    title = str(value.get("title") or "")
    prompt = title.split("\u00a0", 1)[-1] if "\u00a0" in title else title.split(" ", 1)[-1]
    yield Message("user", prompt.strip(), moment, "user", left_out="" if prompt.strip() else "empty")
    text = as_text("\n".join(map(str, answers)))
    yield Message("assistant", text, moment, "assistant", left_out="" if text else "empty")
