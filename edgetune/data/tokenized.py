"""Conversations as tokenized rows: rendered, tokenized together, and shortened where they are too long."""

from edgetune.data.dropped_parts import dropped_parts
from edgetune.data.formats import Example
from edgetune.data.render import (
    MAX_TOKEN_CHARACTERS,
    AnswerSpan,
    Rendered,
    Rules,
    TextTokenizer,
    TokenizedRow,
    answer_spans,
    assemble_rows,
)
from edgetune.data.row import RowError
from edgetune.data.shorten import shorten
from edgetune.data.template import ChatTemplate


def tokenize_many(examples: list[Example], tokenizer: TextTokenizer, rules: Rules) -> list[Rendered]:
    """Rows for many examples at once: all their texts go through the tokenizer together. Too long ones are treated as the rules say."""
    # All texts are gathered first: the tokenizer is fastest on many at once.
    plans: list[list[AnswerSpan] | RowError] = []
    texts: list[str] = []
    for example in examples:
        try:
            refuse_unwritten_calls(example, tokenizer.template)
            spans = answer_spans(example.messages, example.tools, tokenizer, rules.train_on)
            longest = max((len(span.whole) for span in spans), default=0)
            if rules.overlong == "drop" and longest > rules.max_length * MAX_TOKEN_CHARACTERS:
                raise RowError("too_long", f"{longest:,} characters, far more than the {rules.max_length:,} tokens that fit can hold")
            plans.append(spans)
            for span in spans:
                texts += (span.prompt, span.whole)
        except RowError as error:
            plans.append(error)

    # The encoded texts come back in the same order, two for each answer.
    encoded = iter(tokenizer.encode_many(texts))
    result = []
    for example, plan in zip(examples, plans, strict=True):
        if isinstance(plan, RowError):
            result.append(Rendered(error=plan))
            continue

        rows = assemble_rows(example, plan, [(next(encoded), next(encoded)) for _ in plan], tokenizer)
        longest = max((len(row.ids) for row in rows), default=0)
        rendered = Rendered(rows, full_length=longest)
        if longest > rules.max_length:
            rendered = shorten(example, tokenizer, rules, longest)
        elif not any(row.trained for row in rows):
            rendered = Rendered(error=RowError("nothing_trained", "none of its tokens would be trained on"), full_length=longest)
        result.append(rendered)
    return result


def refuse_unwritten_calls(example: Example, template: ChatTemplate) -> None:
    """Refuse a conversation whose calls of tools the template leaves out. Raises RowError calls_dropped."""
    if "calls" in dropped_parts(example, template):
        raise RowError(
            "calls_dropped", "the chat template does not write calls of tools: a model would learn to answer nothing in their place"
        )


def tokenize(example: Example, tokenizer: TextTokenizer, rules: Rules) -> list[TokenizedRow]:
    """Rows of one conversation. Raises RowError when there is none."""
    rendered = tokenize_many([example], tokenizer, rules)[0]
    if rendered.error:
        raise rendered.error
    return rendered.rows
