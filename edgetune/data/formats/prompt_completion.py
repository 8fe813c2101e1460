"""`prompt, completion` (text or message lists), `prompt, response`, `question, answer` with optional `context`."""

from typing import Any

from edgetune.data.formats import Example, check_conversation, string
from edgetune.data.formats import messages as chat

PAIRS = (("prompt", "completion"), ("prompt", "response"), ("question", "answer"))


def _keys(row: dict[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if pair[0] in row and pair[1] in row), None)


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return _keys(row) is not None and "label" not in row


def convert(row: dict[str, Any]) -> Example:
    """The prompt as the user's turn, the completion as the assistant's."""
    keys = _keys(row)
    if keys is None:
        raise ValueError("no prompt with a completion")
    prompt, completion = row[keys[0]], row[keys[1]]
    if isinstance(prompt, list) or isinstance(completion, list):
        before = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        after = completion if isinstance(completion, list) else [{"role": "assistant", "content": completion}]
        if not before or not after:
            raise ValueError("the prompt or the completion is empty")
        return chat.convert({"messages": before + after})
    question, context = string(row, keys[0]), string(row, "context", required=False)
    messages = [{"role": "system", "content": string(row, "system")}] if row.get("system") else []
    messages += [
        {"role": "user", "content": f"{context}\n\n{question}" if context.strip() else question},
        {"role": "assistant", "content": string(row, keys[1])},
    ]
    return Example(check_conversation(messages))
