"""Rows that are too long: dropped, cut so that the answer stays, or split at turns; each is counted, and no answer is cut."""

from typing import Any, Literal

import pytest

from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.data.formats import Example
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import Rules, TokenizedRow
from edgetune.data.tokenized import tokenize_many

SYSTEM = {"role": "system", "content": "Be brief."}


def dialogue(turns: int, words: int = 12) -> list[dict[str, str]]:
    """A conversation of so many questions and answers, each of its own words."""
    result = [SYSTEM]
    for i in range(turns):
        result.append({"role": "user", "content": f"Question {i}: " + "what is it " * words})
        result.append({"role": "assistant", "content": f"Answer {i} is here."})
    return result


def answers(rows: list[TokenizedRow], tokens: tokenizers.BaseTokenizer) -> list[str]:
    """The texts trained on, in order."""
    texts, now = [], []
    for row in rows:
        for token, label in [*zip(row.ids, row.labels, strict=True), (0, IGNORE_INDEX)]:
            if label != IGNORE_INDEX:
                now.append(token)
            elif now:
                texts.append(tokens.inner.decode(now, skip_special_tokens=False))
                now = []
    return texts


@pytest.fixture(scope="module")
def nano_tokens() -> tokenizers.BaseTokenizer:
    return tokenizers.load_tokenizer(find.BUNDLED, "2026-01-01")


def test_dropping_says_how_long_it_is(nano_tokens: tokenizers.BaseTokenizer) -> None:
    rendered = tokenize_many([Example(dialogue(4))], nano_tokens, Rules(100, "drop"))[0]
    assert (
        rendered.error
        and rendered.error.kind == "too_long"
        and f"{rendered.full_length:,} tokens" in str(rendered.error)
        and not rendered.rows
    )


def test_truncating_lets_the_oldest_turns_go_and_keeps_the_last_answer(nano_tokens: tokenizers.BaseTokenizer) -> None:
    rendered = tokenize_many([Example(dialogue(6))], nano_tokens, Rules(150, "truncate"))[0]
    remaining = answers(rendered.rows, nano_tokens)
    assert rendered.shortened and all(len(row.ids) <= 150 for row in rendered.rows)
    assert remaining == [f"Answer {i} is here.<|im_end|>" for i in range(6 - len(remaining), 6)] and rendered.lost == 6 - len(remaining) > 0
    text = nano_tokens.inner.decode(rendered.rows[0].ids, skip_special_tokens=False)
    assert "Be brief." in text and "Question 0" not in text and "Question 5" in text


def test_splitting_trains_every_answer_once(nano_tokens: tokenizers.BaseTokenizer) -> None:
    rendered = tokenize_many([Example(dialogue(7))], nano_tokens, Rules(150, "split"))[0]
    assert rendered.shortened and rendered.lost == 0 and len(rendered.rows) > 1
    assert answers(rendered.rows, nano_tokens) == [f"Answer {i} is here.<|im_end|>" for i in range(7)]
    for row in rendered.rows:
        assert len(row.ids) <= 150 and "Be brief." in nano_tokens.decode(row.ids)


@pytest.mark.parametrize("long", ["truncate", "split"])
def test_one_long_question_loses_its_middle(nano_tokens: tokenizers.BaseTokenizer, long: Literal["truncate", "split"]) -> None:
    question = "Begin here. " + "filler words " * 200 + "Which end?"
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "This end."}]
    rendered = tokenize_many([Example(turns)], nano_tokens, Rules(80, long))[0]
    assert rendered.shortened and len(rendered.rows) == 1 and 60 < len(rendered.rows[0].ids) <= 80
    text = nano_tokens.inner.decode(rendered.rows[0].ids, skip_special_tokens=False)
    assert "Begin here." in text and "Which end?" in text and " … " in text
    assert answers(rendered.rows, nano_tokens) == ["This end.<|im_end|>"]


def test_an_answer_too_long_by_itself_is_never_cut(nano_tokens: tokenizers.BaseTokenizer) -> None:
    turns = [{"role": "user", "content": "Tell me."}, {"role": "assistant", "content": "so it goes on " * 60}]
    for rules in (Rules(80, "truncate"), Rules(80, "split")):
        rendered = tokenize_many([Example(turns)], nano_tokens, rules)[0]
        assert rendered.error and rendered.error.kind == "too_long" and "in one answer" in str(rendered.error)


def test_split_counts_the_answers_that_fit_nowhere(nano_tokens: tokenizers.BaseTokenizer) -> None:
    turns = dialogue(3, 3)
    turns[4] = {"role": "assistant", "content": "so it goes on " * 60}
    rendered = tokenize_many([Example(turns)], nano_tokens, Rules(80, "split"))[0]
    assert rendered.lost == 1 and answers(rendered.rows, nano_tokens) == ["Answer 0 is here.<|im_end|>", "Answer 2 is here.<|im_end|>"]


def test_only_the_last_answer_when_asked(nano_tokens: tokenizers.BaseTokenizer) -> None:
    rendered = tokenize_many([Example(dialogue(3, 2))], nano_tokens, Rules(256, train_on="last"))[0]
    assert answers(rendered.rows, nano_tokens) == ["Answer 2 is here.<|im_end|>"]


def test_an_answer_marked_as_context_is_not_trained(nano_tokens: tokenizers.BaseTokenizer) -> None:
    turns: list[dict[str, Any]] = [dict(turn) for turn in dialogue(3, 2)]
    turns[4]["train"] = False
    rendered = tokenize_many([Example(turns)], nano_tokens, Rules(256))[0]
    assert answers(rendered.rows, nano_tokens) == ["Answer 0 is here.<|im_end|>", "Answer 2 is here.<|im_end|>"]
