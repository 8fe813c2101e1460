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
    for pair in row.get("history") or []:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
            raise ValueError("'history' should hold pairs of question and answer")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    messages += [
        {"role": "user", "content": f"{instruction}\n{extra}" if extra.strip() else instruction},
        {"role": "assistant", "content": answer},
    ]
    return Example(check_conversation(messages))
