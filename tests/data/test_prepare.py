"""What is trained on is exactly each answer through its end of turn; the prompt is exactly what chat sends."""

import shutil
from pathlib import Path

import pytest

from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.data.formats import Example
from edgetune.data.labels import IGNORE_INDEX
from edgetune.data.render import Rules, token_pieces
from edgetune.data.template import PLAIN_TEMPLATE, ChatTemplate, TemplateRefusal
from edgetune.data.tokenized import tokenize
from tests.data.conftest import FAMILIES
from tests.fixtures.real import chat_template, tokenizer_folder

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi there"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Bye."},
]


def trained_parts(row: object, tokens: tokenizers.BaseTokenizer) -> list[str]:
    """The texts of a row's trained stretches, special tokens kept."""
    parts: list[list[int]] = [[]]
    for token, label in zip(row.ids, row.labels, strict=True):  # type: ignore[attr-defined]
        if label == IGNORE_INDEX:
            parts.append([])
        else:
            assert label == token
            parts[-1].append(token)
    return [tokens.inner.decode(p, skip_special_tokens=False) for p in parts if p]


def test_every_answer_is_trained_once_through_its_end_of_turn() -> None:
    tokens = tokenizers.load_tokenizer(find.BUNDLED, "2026-01-01")
    rows = tokenize(Example(TALK), tokens, Rules(256))
    assert len(rows) == 1
    assert trained_parts(rows[0], tokens) == ["Hello.<|im_end|>", "Bye.<|im_end|>"]
    prompt = tokens.encode(tokens.template.render(TALK[:4], add_generation_prompt=True))
    assert rows[0].ids[: len(prompt)] == prompt


def test_masks_agree_with_the_templates_own_marks() -> None:
    """transformers' assistant mask from the {% generation %} marks is an independent reference."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(find.BUNDLED).apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    tokens = tokenizers.load_tokenizer(find.BUNDLED, "2026-01-01")
    ours = tokenize(Example(TALK), tokens, Rules(256))[0]
    assert theirs["input_ids"][: len(ours.ids)] == ours.ids
    assert [label != IGNORE_INDEX for label in ours.labels] == [bool(m) for m in theirs["assistant_masks"][: len(ours.ids)]]


def test_rendering_equals_transformers() -> None:
    from transformers import AutoTokenizer

    inner = AutoTokenizer.from_pretrained(tokenizer_folder("qwen2"))
    for path in sorted(chat_template(family.template) for family in FAMILIES.values()):
        source = path.read_text(encoding="utf-8")
        if "strftime_now" in source:
            continue  # it writes today's date; the next test freezes one
        turns = TALK[1:4] if "emma" in path.name else TALK[:4]
        marks = {"bos_token": inner.bos_token or "", "eos_token": inner.eos_token}
        theirs = inner.apply_chat_template(turns, chat_template=source, tokenize=False, add_generation_prompt=True)
        assert ChatTemplate(source, **marks).render(turns, add_generation_prompt=True) == theirs.replace("None", marks["bos_token"]), (
            path.name
        )


def test_the_date_is_frozen() -> None:
    source = chat_template("meta-llama-Llama-3.2-3B-Instruct").read_text(encoding="utf-8")
    assert "03 Feb 2021" in ChatTemplate(source, date="2021-02-03").render(TALK[:2], add_generation_prompt=True)


def test_a_base_without_a_template_gets_plain_text_ended_by_eos(stories: Path) -> None:
    tokens = tokenizers.load_tokenizer(stories, "2026-01-01")
    assert (tokens.origin, tokens.template.source) == ("plain", PLAIN_TEMPLATE)
    rows = tokenize(Example(TALK[1:]), tokens, Rules(512))
    assert trained_parts(rows[0], tokens) == ["Hello.</s>", "Bye.</s>"]
    assert rows[0].ids[0] == tokens.bos_id and tokens.bos_id not in rows[0].ids[1:]


def test_too_long_and_refused_rows_say_so(tmp_path: Path) -> None:
    tokens = tokenizers.load_tokenizer(find.BUNDLED, "2026-01-01")
    with pytest.raises(ValueError, match="more than the 20"):
        tokenize(Example(TALK), tokens, Rules(20))
    shutil.copytree(find.BUNDLED, tmp_path / "gemma")
    shutil.copy(chat_template("google-gemma-2-2b-it"), tmp_path / "gemma" / "chat_template.jinja")
    with pytest.raises(ValueError, match="template refuses"):
        tokenize(Example(TALK), tokenizers.load_tokenizer(tmp_path / "gemma", "2026-01-01"), Rules(256))


def test_raw_text_ends_in_eos_and_loses_nothing() -> None:
    tokens = tokenizers.load_tokenizer(find.BUNDLED, "2026-01-01")
    text = "The capital of France is Paris. " * 20
    pieces = token_pieces(Example(text=text), tokens, 32)
    ids = [t for p in pieces for t in p.ids]
    assert ids[-1] == tokens.eos_id and tokens.inner.decode(ids[:-1]) == text
    assert all(len(p.ids) <= 32 and p.labels == p.ids for p in pieces)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ raise_exception('no') }}",
        "{{ messages[0].nothing.more }}",
    ],
)
def test_hostile_templates_are_refused(source: str) -> None:
    with pytest.raises(TemplateRefusal):
        text = ChatTemplate(source).render(TALK)
        assert not text, f"rendered {text[:80]!r}"
        raise TemplateRefusal("empty")
