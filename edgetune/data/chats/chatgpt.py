"""ChatGPT's data export, of before and after 2026, and single chats that browser tools save in the same form."""

import re
from collections.abc import Iterator
from typing import Any

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.chats._json import next_value, parse
from edgetune.data.chats._tree import children_of, line_to, newest_leaf
from edgetune.data.readers.json_scanner import Scanner

TITLE = "ChatGPT"
HOW_TO_EXPORT = "In ChatGPT's settings: Data controls, Export data; the mail that follows has the ZIP archive."
ASSISTANT = True

CITATION = re.compile("[ ]?(?:\ue200[^\ue201]*\ue201|\ue203|\ue204|\ue206|【\\d+(?::\\d+)?†[^】]*】)")
"""A citation's mark: a span between private characters, or between lenticular brackets in older chats."""
DOCUMENT_TOOL = "canmore.create_textdoc"
FEEDBACK = "message_feedback.json"
UP = frozenset(("thumbs_up", "thumbsup"))
DOWN = frozenset(("thumbs_down", "thumbsdown"))


def recognise(file: ExportFile) -> bool:
    """Whether a file is a chat with a `mapping` of nodes, or a list of such."""
    shape = file.outline
    if isinstance(shape, dict) and isinstance(shape.get("conversations"), list):
        shape = shape["conversations"]
    first = shape[0] if isinstance(shape, list) and shape else shape
    return isinstance(first, dict) and isinstance(first.get("mapping"), dict)


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """The chats of all files. Raises FileError: not_json, json_truncated, too_large."""
    for file in files:
        ratings = _ratings(file)
        with file.scanner() as scanner:
            for value in _conversations(scanner):
                if isinstance(value, dict) and isinstance(value.get("mapping"), dict):
                    yield _chat(value, ratings)


def _conversations(scanner: Scanner) -> Iterator[Any]:
    """The chats of a list, of an object that holds it, or the one that the file is."""
    if scanner.peek() == b"[":
        yield from (next_value(scanner) for _ in scanner.elements())
        return
    single: dict[str, Any] = {}
    for key in scanner.members():
        if key == "conversations" and scanner.peek() == b"[":
            yield from (next_value(scanner) for _ in scanner.elements())
        else:
            single[key] = next_value(scanner)
    yield single


def _ratings(file: ExportFile) -> dict[str, int]:
    """What the person said of answers, by the message's id; read from the file beside."""
    entries = file.read_beside(FEEDBACK)
    result: dict[str, int] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        word = str(entry.get("rating") or "").lower()
        rating = 1 if word in UP or entry.get("thumbsUp") is True else -1 if word in DOWN or entry.get("thumbsDown") is True else 0
        for key in ("message_id", "id"):
            if rating and entry.get(key):
                result[str(entry[key])] = rating
    return result


def _chat(value: dict[str, Any], ratings: dict[str, int]) -> Chat:
    nodes = {str(key): node for key, node in value["mapping"].items() if isinstance(node, dict)}
    parents = {key: str(node.get("parent") or "") for key, node in nodes.items()}
    times = {key: (node.get("message") or {}).get("create_time") for key, node in nodes.items()}
    times = {key: time if isinstance(time, (int, float)) else 0.0 for key, time in times.items()}
    last = str(value.get("current_node") or "")
    shown = line_to(last if last in nodes else newest_leaf(parents, times), parents)
    on_line = set(shown)
    below = children_of(parents)

    system = ""
    messages: list[Message] = []
    for key in shown:
        entry = nodes[key].get("message")
        if not isinstance(entry, dict):
            continue
        if instructions := _instructions(entry):
            system = system or instructions
        message = _message(key, entry, ratings)
        if message.role == "assistant" and not message.left_out and (question := _question(key, parents, nodes)):
            message.others = _others(question, on_line, below, nodes)
        messages.append(message)

    for key, node in nodes.items():
        if key not in on_line and isinstance(node.get("message"), dict):
            hidden = _message(key, node["message"], ratings)
            hidden.left_out = hidden.left_out or "another branch"
            messages.append(hidden)
    return Chat(str(value.get("title") or ""), messages, group=False, system=system)


def _role(node: dict[str, Any]) -> str:
    return str(((node.get("message") or {}).get("author") or {}).get("role") or "")


def _question(key: str, parents: dict[str, str], nodes: dict[str, Any]) -> str:
    """The user's message that an answer belongs to: thinking and tools may stand between them."""
    for _ in range(len(parents)):
        key = parents.get(key, "")
        if key not in nodes:
            return ""
        if _role(nodes[key]) == "user":
            return key
    return ""


def _others(question: str, on_line: set[str], below: dict[str, list[str]], nodes: dict[str, Any]) -> list[str]:
    """Last texts of the other answers to a question: down each of its other branches, up to where the user speaks again."""
    texts = []
    for branch in below.get(question, ()):
        if branch in on_line or _role(nodes[branch]) == "user":
            continue
        text, key, passed = "", branch, set[str]()
        while key and key not in passed:
            passed.add(key)
            entry = nodes[key].get("message")
            if isinstance(entry, dict):
                message = _message(key, entry, {})
                text = message.text if message.role == "assistant" and not message.left_out else text
            key = next((child for child in below.get(key, ()) if _role(nodes[child]) != "user"), "")
        if text:
            texts.append(text)
    return texts


def _instructions(entry: dict[str, Any]) -> str:
    """The person's own instructions, in either place where exports have them; "" in any other message."""
    content, metadata = entry.get("content") or {}, entry.get("metadata") or {}
    data = metadata.get("user_context_message_data") if metadata.get("is_user_system_message") else None
    if isinstance(data, dict):
        return "\n\n".join(str(data[key]) for key in ("about_user_message", "about_model_message") if data.get(key))
    if content.get("content_type") == "user_editable_context":
        return "\n\n".join(str(content[key]) for key in ("user_profile", "user_instructions") if content.get(key))
    return ""


def _message(key: str, entry: dict[str, Any], ratings: dict[str, int]) -> Message:
    author, content, metadata = entry.get("author") or {}, entry.get("content") or {}, entry.get("metadata") or {}
    role = str(author.get("role") or "")
    kind = str(content.get("content_type") or "text")
    text, media = _text(content, kind)
    cleaned = CITATION.sub("", text)
    time = entry.get("create_time")
    message = Message(
        role or "unknown",
        cleaned.strip(),
        float(time) if isinstance(time, (int, float)) else None,
        role if role in ("system", "user", "assistant", "tool") else "",  # type: ignore[arg-type]
        key=key,
        citations=text if cleaned != text else "",
        rating=ratings.get(str(entry.get("id") or key), ratings.get(key, 0)),
    )

    recipient = str(entry.get("recipient") or "all")
    if (
        metadata.get("is_visually_hidden_from_conversation")
        or kind in ("user_editable_context", "model_editable_context")
        or role == "system"
    ):
        message.left_out = "hidden"
    elif kind == "thoughts":
        thoughts = [t for t in content.get("thoughts") or [] if isinstance(t, dict)]
        message.reasoning = "\n\n".join(str(t.get("content") or t.get("summary") or "") for t in thoughts).strip()
        message.left_out = "" if message.reasoning else "empty"
    elif kind == "reasoning_recap":
        message.left_out = "notice"
    elif role == "tool" or kind in ("execution_output", "tether_browsing_display", "tether_quote", "sonic_webpage", "system_error"):
        message.role, message.left_out = "tool", "tool result"
    elif role == "assistant" and (recipient != "all" or kind == "code"):
        _call(message, recipient, text)
    elif not message.text:
        message.left_out = "media" if media else "empty"
    return message


def _call(message: Message, recipient: str, text: str) -> None:
    """A message of the assistant to a tool; a page of its canvas is a document."""
    arguments = parse(text.encode())
    message.text = ""
    if recipient == DOCUMENT_TOOL and isinstance(arguments, dict) and arguments.get("content"):
        message.documents = [str(arguments["content"])]
        return
    message.tool_calls = [
        {"type": "function", "function": {"name": recipient, "arguments": arguments if isinstance(arguments, dict) else {"input": text}}}
    ]


def _text(content: dict[str, Any], kind: str) -> tuple[str, bool]:
    """(text of a message, whether there is more in it than text)."""
    if kind in ("code", "execution_output", "tether_quote", "sonic_webpage", "system_error"):
        return str(content.get("text") or ""), False
    parts = content.get("parts")
    texts, media = [], False
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("content_type") == "audio_transcription":
            texts.append(str(part.get("text") or ""))
        else:
            media = True
    return "\n".join(text for text in texts if text.strip()), media
