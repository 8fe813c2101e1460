"""`instruction, output` with optional `input`, `system`, `history`: Alpaca's shape; `response` may stand for `output`."""

from typing import Any

from edgetune.data.formats import Example, check_conversation, string


def detect(row: dict[str, Any]) -> bool:
    """Whether the row has this shape."""
    return "instruction" in row and ("output" in row or "response" in row)


def convert(row: dict[str, Any]) -> Example:
    """One question and its answer; a non-empty input goes below the instruction."""
    answer = string(row, "output" if "output" in row else "response")
    instruction, extra = string(row, "instruction"), string(row, "input", required=False)
    messages = [{"role": "system", "content": string(row, "system")}] if row.get("system") else []
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in history):
        raise ValueError("'history' should hold pairs of question and answer")
    for pair in history:
        for role, text in zip(("user", "assistant"), pair, strict=True):
            messages.append({"role": role, "content": string({"history": text}, "history")})
    messages += [
        {"role": "user", "content": f"{instruction}\n{extra}" if extra.strip() else instruction},
        {"role": "assistant", "content": answer},
    ]
    return Example(check_conversation(messages))
