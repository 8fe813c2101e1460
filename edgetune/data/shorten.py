"""What becomes of conversations that are too long: left out, cut so that the last answer stays, or split at turns."""

from typing import Any

from edgetune.data.formats import Example
from edgetune.data.render import Rendered, Rules, TextTokenizer, TokenizedRow, answer_spans, assemble_rows
from edgetune.data.row import RowError

ELLIPSIS = " … "
"""Stands where the middle of a text was cut out."""
MIN_TOKENS_LEFT = 8
"""Tokens of a text that must remain for a cut to make sense."""
MAX_CUTS = 6


def shorten(example: Example, tokenizer: TextTokenizer, rules: Rules, longest: int) -> Rendered:
    """Rows of a conversation of `longest` tokens that fit into the rules' length, or the reason why there are none.

    truncate: the oldest turns go first, then the middle of the longest text that is no answer; answers are never cut.
    split: as many turns a row as fit, the system turn in each, every answer in one row.
    """
    error = RowError("too_long", f"{longest:,} tokens, more than the {rules.max_length:,} that fit")
    if rules.overlong == "drop":
        return Rendered(error=error, full_length=longest)

    head, exchanges = _exchanges(example.messages)
    rendered = Rendered(shortened=True, full_length=longest)

    # Split: each run of exchanges that fits is a row. Truncate: the longest end of the conversation that fits.
    if rules.overlong == "split" and rules.train_on == "all":
        for start, end in _chunks(head, exchanges, example, tokenizer, rules):
            part = [m for exchange in exchanges[start:end] for m in exchange]
            rows = _fit(head, part, example, tokenizer, rules)
            rendered.rows += rows
            rendered.lost += 0 if rows else sum(m["role"] == "assistant" for m in part)
    else:
        first = next((i for i in range(len(exchanges)) if _rows([*head, *_flat(exchanges[i:])], example, tokenizer, rules)), None)
        first = len(exchanges) - 1 if first is None else first
        rendered.rows = _fit(head, _flat(exchanges[first:]), example, tokenizer, rules)
        rendered.lost = sum(m["role"] == "assistant" for m in _flat(exchanges[:first])) if rules.train_on == "all" else 0

    # Nothing fits: say how much of it is a single answer, which is never cut.
    if not rendered.rows:
        answer = max((len(tokenizer.plain(str(m.get("content") or ""))) for m in example.messages if m["role"] == "assistant"), default=0)
        return Rendered(
            error=RowError(
                "too_long", f"{longest:,} tokens, more than the {rules.max_length:,} that fit, {answer:,} of them in one answer"
            ),
            full_length=longest,
        )
    return rendered


def _flat(exchanges: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [message for exchange in exchanges for message in exchange]


def _exchanges(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """The system turns in front, and the exchanges behind them: each a question with all up to the next question."""
    start = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    exchanges: list[list[dict[str, Any]]] = []
    for message in messages[start:]:
        if not exchanges or (message["role"] == "user" and exchanges[-1][-1]["role"] != "user"):
            exchanges.append([])
        exchanges[-1].append(message)
    answered = [e for e in exchanges if any(m["role"] == "assistant" for m in e)]
    return messages[:start], answered


def _rows(messages: list[dict[str, Any]], example: Example, tokenizer: TextTokenizer, rules: Rules) -> list[TokenizedRow]:
    """The rows of these messages if all fit, else none."""
    try:
        plan = answer_spans(messages, example.tools, tokenizer, rules.train_on)
    except RowError:
        return []
    encoded = tokenizer.encode_many([text for span in plan for text in (span.prompt, span.whole)])
    part = Example(messages, tools=example.tools)
    rows = assemble_rows(part, plan, list(zip(encoded[::2], encoded[1::2], strict=True)), tokenizer)
    return rows if all(len(row.ids) <= rules.max_length for row in rows) and any(row.trained for row in rows) else []


def _chunks(
    head: list[dict[str, Any]], exchanges: list[list[dict[str, Any]]], example: Example, tokenizer: TextTokenizer, rules: Rules
) -> list[tuple[int, int]]:
    """Ranges of exchanges, each as long as fits; one that does not fit alone is a separate range."""
    result: list[tuple[int, int]] = []
    start = 0
    while start < len(exchanges):
        end = start + 1
        while end < len(exchanges) and _rows([*head, *_flat(exchanges[start : end + 1])], example, tokenizer, rules):
            end += 1
        result.append((start, end))
        start = end
    return result


def _fit(
    head: list[dict[str, Any]], part: list[dict[str, Any]], example: Example, tokenizer: TextTokenizer, rules: Rules
) -> list[TokenizedRow]:
    """Rows of these turns, the longest text that is no answer cut in its middle as far as needed; none if that does not help."""
    messages = [dict(m) for m in (*head, *part)]
    if rows := _rows(messages, example, tokenizer, rules):
        return rows

    # Render without a limit to see the excess, cut the longest text by it, and look again.
    wide = Rules(2**62, train_on=rules.train_on)
    for _ in range(MAX_CUTS):
        now = _rows(messages, example, tokenizer, wide)
        excess = max((len(row.ids) for row in now), default=0) - rules.max_length
        texts = [(len(tokenizer.plain(m["content"])), i) for i, m in enumerate(messages) if m["role"] != "assistant" and m.get("content")]
        if not now or not texts:
            return []
        if excess <= 0:
            return now

        size, index = max(texts)
        left = size - excess - len(tokenizer.plain(ELLIPSIS))
        if left < MIN_TOKENS_LEFT:
            return []
        messages[index]["content"] = _without_middle(messages[index]["content"], tokenizer, left)
    return _rows(messages, example, tokenizer, rules)


def _without_middle(text: str, tokenizer: TextTokenizer, tokens: int) -> str:
    """The first and last part of a text that together have about `tokens` tokens; a question is often at one end of its context."""
    count = len(tokenizer.plain(text))
    remaining = max(1, int(len(text) * tokens / count) - 1)
    return text[: (remaining + 1) // 2] + ELLIPSIS + text[len(text) - remaining // 2 :]
