"""What a row holds that is not read: flags that look like masks, keys of its turns, and choices in an annotation tool's columns."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from edgetune.data.formats._turns import LOSS_KEYS, MASK_KEYS, REASONING_KEYS, SPEAKER_ROLES, TURN_COLUMNS, loss_flag
from edgetune.text import one_line

Finding = tuple[str, str]

TURN_LISTS = (*TURN_COLUMNS, "prompt", "completion", "chosen", "rejected", "chosen_messages", "rejected_messages")
"""Columns that may hold turns."""
TURN_KEYS = frozenset(("role", "from", "content", "value", "tool_calls", "function_call", *REASONING_KEYS, *LOSS_KEYS, *MASK_KEYS))
"""Keys of a turn that are read."""
FLAG_COLUMNS = frozenset((*LOSS_KEYS, *MASK_KEYS)) - {"weight", "training", "train"}
"""Flags as columns of a row; the others of these words are columns of many tables."""
RESULT_KEYS = frozenset(("name", "tool_call_id"))
"""Keys that are read of a tool's result alone."""
_FLAG = re.compile(r"(?i)(?:^|_)(?:loss|mask\w*|train\w*|weight|supervis\w*|ignore|learn\w*)(?:_|$)")
"""Names that say whether a text is trained on."""
NOT_SAID: tuple[Any, ...] = (None, "", [], {})


def row_findings(row: dict[str, Any], judged: bool = False) -> Iterator[Finding]:
    """(kind, message) of what is not read: unknown_flag, unused_key, unused_choice; and of turns that became one: joined_turns.

    judged: the row's answers are learned with a verdict on them.
    """
    flags: dict[str, None] = {}
    unused: dict[str, None] = {}
    joined = 0
    for turns in (row[key] for key in TURN_LISTS if isinstance(row.get(key), list)):
        turns = [turn for turn in turns if isinstance(turn, dict)]
        roles = [_role(turn) for turn in turns]
        joined += sum(before == after == "assistant" for before, after in pairwise(roles))
        for turn, role in zip(turns, roles, strict=True):
            _look_at_turn(turn, role, flags, unused)

    for name in flags:
        yield "unknown_flag", f"{name}, which is not understood: the answer is trained on"
    if unused:
        yield "unused_key", f"its turns' {one_line(', '.join(unused), 120)} {'is' if len(unused) == 1 else 'are'} not used"
    elif whole := sorted(row.keys() & FLAG_COLUMNS):
        yield "unused_key", f"'{whole[0]}' stands beside the turns or texts, where it says nothing: a flag belongs on a turn"
    if joined:
        yield "joined_turns", "turns of the assistant that follow each other are read as one"
    if not judged and (choice := unused_choice(row)):
        yield "unused_choice", f"'{one_line(choice, 60)}' holds a person's judgment, which is not used"


def _role(turn: dict[str, Any]) -> str:
    speaker = turn.get("role") or turn.get("from")
    return SPEAKER_ROLES.get(speaker.lower(), "") if isinstance(speaker, str) else ""


def _look_at_turn(turn: dict[str, Any], role: str, flags: dict[str, None], unused: dict[str, None]) -> None:
    for key in turn.keys() - TURN_KEYS:
        if turn[key] in NOT_SAID or (role == "tool" and key in RESULT_KEYS):
            continue
        if role == "assistant" and _FLAG.search(str(key)):
            flags[f"a turn has {one_line(str(key), 40)!r}"] = None
        else:
            unused[repr(one_line(str(key), 40))] = None

    # Of the flags that are known, a value may say nothing, or more than yes and no.
    if role == "assistant":
        for key in turn.keys() & {*LOSS_KEYS, *MASK_KEYS}:
            value = turn[key]
            if value is not None and (loss_flag(turn, key) is None or (not isinstance(value, (bool, str)) and value not in (0, 1))):
                flags[f"a turn's {key!r} is {one_line(repr(value), 40)}"] = None


def unused_choice(row: dict[str, Any]) -> str:
    """The column in which an annotation tool keeps what people chose, or "".

    Argilla 2 writes `QUESTION.responses` or a nested `responses`, Argilla 1 a list of {user_id, value, status}; Label Studio
    `annotations` with a `result`, or `lead_time` beside `annotation_id`.
    """
    for key, value in row.items():
        if not isinstance(value, (list, dict)) or not value:
            continue
        first = value[0] if isinstance(value, list) else None
        if isinstance(first, dict):
            if key in ("annotations", "completions") and "result" in first:
                return str(key)
            if {"user_id", "value", "status"} <= first.keys():
                return str(key)
        elif isinstance(value, list):
            if str(key).endswith(".responses"):
                return str(key)
        elif key == "responses" and any(_is_answered(answers) for answers in value.values()):
            return str(key)
    return "annotation_id" if "annotation_id" in row and "lead_time" in row else ""


def _is_answered(answers: Any) -> bool:
    return isinstance(answers, list) and bool(answers) and isinstance(answers[0], dict) and "value" in answers[0]
