"""The text: the file's own template writes what training's wrote, llama.cpp gives the same token ids, BOS and EOS counted, and stops
where answers end.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.chat.engine import Engine
from edgetune.chat.turns import turn_end_ids
from edgetune.data.template import ChatTemplate, TemplateRefusal
from edgetune.data.typed_marks import GUARD
from edgetune.gguf.proof.check import Check
from edgetune.text import one_line

GENERAL_TEXTS = (
    "The old lighthouse stood at the end of a narrow path. Every evening, before the sun went down, the keeper climbed the stairs, "
    "cleaned the great lamp and wrote the weather into her book. Ships passed far out on the water, and now and then one of them "
    "answered her light with a low sound of its horn.",
    "Once upon a time there was a little boy who had a red ball. He liked to play with it in the garden. One day the ball rolled under "
    "a big tree. The boy was sad, but a small bird came and helped him to find it. They became good friends and played every day.",
    "Water boils at 100 degrees at sea level. In the mountains, where the air is thinner, it boils at a lower temperature, so that "
    "potatoes take longer to cook. A lid helps: it keeps the steam in and the pressure a little higher.",
    "To add two fractions, first give them the same denominator. For example, 1/2 + 1/3 = 3/6 + 2/6 = 5/6. Then check whether the "
    "result can be made simpler. If both numbers can be divided by the same number, divide them.",
)
"""General text, for models of any subject."""
AWKWARD_TEXTS = (
    *(" ", "  two  spaces   three ", "\n", "\n\n\n", "\t\tx\t", " \n \n", "a\r\nb", "\u00a0\u2003\u200b\ufeff"),
    *("0123456789 1234567 3.14159 1,000,000", "I'm you're WE'LL it's 'tis", "...!!!???---===###", "a" * 48, "\\n \\t \\\\"),
    *("naïve café Ünïcödé Ǆ ß", "e\u0301 vs \u00e9", "ﬁ ﬂ ½ ² ™", "Привет, мир! Ελληνικά", "עברית العربية हिन्दी ไทย"),
    *("北京 東京 서울 こんにちは", "👩‍👩‍👧 🏳️‍🌈 😀😀"),
    *("def f(x):\n    return x ** 2  # π\n", '{"a": [1, 2, {"b": null}]}', "<|not_a_token|> <notone> [INST]"),
    *("http://example.org/~user?q=a%20b&c=d#e", "CamelCaseWords and snake_case_words"),
)
"""Strings on which tokenizers differ."""
PROBE_CONVERSATIONS: tuple[list[dict[str, Any]], ...] = (
    [{"role": "user", "content": "Hello."}],
    [{"role": "user", "content": " Hello.\n"}, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "What is 1+1?"}],
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "The colour of snow?"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
)
"""Conversations every template is tried on."""
MAX_QUOTED = 60
"""Characters of a text quoted in a cause."""
Conversation = tuple[list[dict[str, Any]], list[Any] | None]


def check_text(engine: Engine, tokenizer: BaseTokenizer, conversations: Sequence[Conversation], texts: Sequence[str]) -> Check:
    """Compare the file, read by llama.cpp, with the base's tokenizer and template as training used them.

    conversations: held-out messages with their tools. texts: held-out plain texts.
    """
    result = Check("text")
    rendered = _templates(engine, tokenizer, [*((probe, None) for probe in PROBE_CONVERSATIONS), *conversations], result)
    strings = list(dict.fromkeys([*rendered, *AWKWARD_TEXTS, *GENERAL_TEXTS, *texts]))

    # The vocabulary first: what is wrong there explains ids that differ.
    _vocabulary(engine, tokenizer, result)
    _ids(engine, tokenizer, strings, result)
    _stops(engine, tokenizer, result)

    # Rightly so: a doubled BOS shows in the ids of every text, and says more than a template that differs.
    result.causes.sort(key=lambda cause: not cause.startswith("BOS"))
    result.figures |= {"conversations": len(PROBE_CONVERSATIONS) + len(conversations), "strings": len(strings)}
    return result


def _templates(engine: Engine, tokenizer: BaseTokenizer, conversations: Sequence[Conversation], result: Check) -> list[str]:
    """Hold the file's template against training's; returns the texts that training's wrote."""
    info = engine.info
    ours = tokenizer.template
    date = info.metadata.get("edgetune.template_date") or ours.date
    theirs = replace(info.chat_template(date), control=ours.control)

    # What both write is tokenized later, so that a text which only the file's template writes is looked at too.
    texts = []
    differences = []
    for messages, tools in conversations:
        for prompt in (True, False):
            expected = _rendered(ours, messages, tools, prompt)
            actual = _rendered(theirs, messages, tools, prompt)
            if expected is not None:
                texts.append(expected)
            if expected != actual:
                differences.append((expected, actual))
                if actual is not None:
                    texts.append(actual)

    if differences:
        expected, actual = differences[0]
        wrote = _quoted(actual, expected)
        had = _quoted(expected, actual)
        result.causes.append(f"the template differs: the file's writes {wrote} where training had {had}")
    result.figures["templates_differ"] = len(differences)
    return texts


def _rendered(template: ChatTemplate, messages: list[dict[str, Any]], tools: list[Any] | None, prompt: bool) -> str | None:
    try:
        return template.render(messages, add_generation_prompt=prompt, tools=tools)
    except TemplateRefusal:
        return None


def _quoted(text: str | None, other: str | None) -> str:
    """The part of a text around where it first differs from another."""
    if text is None:
        return "nothing (it refuses the messages)"
    differs = (at for at, (a, b) in enumerate(zip(text, other or "", strict=False)) if a != b)
    start = max(0, next(differs, min(len(text), len(other or ""))) - MAX_QUOTED // 4)
    return one_line(repr(text[start : start + MAX_QUOTED]), 2 * MAX_QUOTED)


def _ids(engine: Engine, tokenizer: BaseTokenizer, strings: Sequence[str], result: Check) -> None:
    """Hold llama.cpp's ids against the base's: as EdgeTune's chat asks for them, and with what llama.cpp adds by itself."""
    bos = tokenizer.bos_id
    bos_of_file = bos if bos is not None else engine.info.bos
    bos_extra = bos_missing = eos_added = decomposed = 0
    different: list[str] = []
    for text in strings:
        expected = tokenizer.encode(text)
        plain = engine.tokenize(text)
        expected_plain = tokenizer.plain(text)

        # The same would hold for every GGUF of a base whose tokenizer composes accents first.
        composed = unicodedata.normalize("NFC", text)
        if plain != expected_plain and composed != text and engine.tokenize(composed) == expected_plain:
            decomposed += 1
            continue

        # llama.cpp's own chat takes a BOS off that both the template and the vocabulary would put there (common/chat.cpp).
        adds_bos = engine.info.add_bos and engine.info.bos_text
        bare = text.removeprefix(engine.info.bos_text) if adds_bos else text
        asked = [engine.prompt_tokens(text)]
        if GUARD not in text:  # only EdgeTune's own chat knows what was typed
            asked.append(engine.tokenize(bare, add_special=True))
        for ids in asked:
            if ids == expected:
                continue
            ours = _leading(expected, bos)
            theirs = _leading(ids, bos_of_file)
            bos_extra += theirs > ours
            bos_missing += theirs < ours
            eos_added += ids[:-1] == expected and ids[-1] == tokenizer.eos_id
        if plain != expected_plain:
            different.append(text)
        bos_extra += bos is not None and _leading(expected, bos) > 1

    if bos_extra:
        result.causes.append(f"BOS doubled: {bos_extra} texts begin with one BOS more than training had")
    if bos_missing:
        result.causes.append(f"BOS missing: {bos_missing} texts begin without the BOS that training had")
    if eos_added:
        result.causes.append(f"EOS added: llama.cpp ends {eos_added} texts with an EOS that training did not have")
    if different:
        first = different[0]
        where = f"{one_line(repr(first[:MAX_QUOTED]), 2 * MAX_QUOTED)}{_first_difference(engine, tokenizer, first)}"
        result.causes.append(f"the token ids differ in {len(different)} of {len(strings)} texts, first in {where}")
    if decomposed:
        result.notes.append(
            f"In {decomposed} texts accents are separate from their letters; the base's tokenizer joins them first, llama.cpp never does"
        )
    result.figures |= {"ids_differ": len(different), "bos_extra": bos_extra, "bos_missing": bos_missing, "eos_added": eos_added}


def _leading(ids: list[int], token: int | None) -> int:
    """How many of these tokens a list begins with."""
    return next((at for at, number in enumerate(ids) if number != token), len(ids)) if token is not None else 0


def _first_difference(engine: Engine, tokenizer: BaseTokenizer, text: str) -> str:
    pairs = zip(engine.tokenize(text), tokenizer.plain(text), strict=False)
    pair = next(((theirs, ours) for theirs, ours in pairs if theirs != ours), None)
    return f": {pair[0]} for {pair[1]}" if pair else ""


def _vocabulary(engine: Engine, tokenizer: BaseTokenizer, result: Check) -> None:
    """Hold every token's bytes against the base's."""
    size = min(tokenizer.inner.get_vocab_size(with_added_tokens=True), engine.info.n_vocab)
    theirs = [token.data for token in engine.describe(list(range(size)))]
    ours = [tokenizer.bytes_of(number) for number in range(size)]
    wrong = [number for number in range(size) if ours[number] and ours[number] != theirs[number]]
    result.figures |= {"tokens": size, "tokens_differ": len(wrong)}

    swapped = len(wrong) == 2 and ours[wrong[0]] == theirs[wrong[1]] and ours[wrong[1]] == theirs[wrong[0]]
    if swapped:
        result.causes.append(f"the tokens {wrong[0]} and {wrong[1]} are swapped in the file's vocabulary")
    elif wrong:
        examples = ", ".join(f"{number} is {_bytes(theirs[number])} for {_bytes(ours[number])}" for number in wrong[:3])
        result.causes.append(f"{len(wrong)} tokens of the file's vocabulary stand for something else: {examples}")


def _stops(engine: Engine, tokenizer: BaseTokenizer, result: Check) -> None:
    """Hold the tokens at which answers end against llama.cpp's own: EdgeTune's chat has stop rules besides, other programs have not."""
    missed = [number for number in turn_end_ids(tokenizer) if number not in engine.info.eog]
    result.figures["stops_missed"] = len(missed)
    if missed:
        names = ", ".join(_bytes(token.data) for token in engine.describe(missed))
        result.causes.append(f"llama.cpp does not stop at {names}, where answers end: other programs would write on to their limit")


def _bytes(data: bytes) -> str:
    return one_line(repr(data.decode("utf-8", "backslashreplace")), MAX_QUOTED)
