"""Texts with something wrong in them, and many with nothing wrong."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgetune.data.text_checks import control_tokens, mojibake, text_findings


def kinds(text: str) -> list[str]:
    """The kinds of what was found."""
    return [kind for kind, _ in text_findings(text)]


@pytest.mark.parametrize(
    "text, kind, message",
    [
        ("a bell\x07 rang\x08", "control", "2 control characters (U+0007, U+0008)"),
        ("next\x85line", "control", "U+0085"),
        ("\x1b[31mred\x1b[0m", "control", "2 of them terminal escape sequences (ANSI)"),
        ("if admin\u202e { nimda", "bidi", "U+202E"),
        ("pass\u200bword", "zero_width", "U+200B"),
        ("co\u00adoperate", "zero_width", "U+00AD"),
        ("lost \ufffd\ufffd here", "replacement", "2 replacement characters"),
        ("He said it<br>and <b class='x'>left</b>.", "html", "3 leftovers of a web page: '<br>'"),
        ("Salt &amp; pepper", "html", "'&amp;'"),
        ("Dear {{ customer_name }},", "placeholder", "'{{ customer_name }}'"),
        ("It was held on [INSERT DATE HERE].", "placeholder", "'[INSERT DATE HERE]'"),
        ("Sincerely, [Your Name]", "placeholder", "'[Your Name]'"),
        ("My name is <your name>.", "placeholder", "'<your name>'"),
        ("TODO", "placeholder", "still missing"),
        (" Lorem ipsum dolor sit amet.", "placeholder", "still missing"),
    ],
)
def test_found(text: str, kind: str, message: str) -> None:
    (finding,) = text_findings(text)
    assert finding[0] == kind and message in finding[1]
    assert finding[1].isprintable(), "messages are for terminals too"


@pytest.mark.parametrize("word", ["café", "it’s", "“quoted”", "a – b", "€ 5", "über", "Привет", "日本語", "😀", "żółć", "25 °C"])  # noqa: RUF001
@pytest.mark.parametrize("code", ["cp1252", "latin-1"])
def test_mojibake_of_any_script(word: str, code: str) -> None:
    broken = "".join(
        bytes([b]).decode(code) if code == "latin-1" or b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(b) for b in word.encode()
    )
    assert kinds(f"This is {broken} here.")[-1:] == ["mojibake"]
    assert "mojibake" not in kinds(f"This is {word} here.")


@pytest.mark.parametrize(
    "text",
    [
        "Plain text,\twith a tab\r\nand two lines.",
        "She ordered a CAFÉ… and a „BAFÖ“ form; NESCAFÉ® costs £5; ÉTÉ° AMANHÃ” – naïve façade",  # noqa: RUF001
        "Élève à l’école «où ça» ; año, Ärger, São Paulo, Århus",  # noqa: RUF001
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937 and \U0001f469\u200d\U0001f4bb and \u05e9\u05dc\u05d5\u05dd\u200f!",
        "日本語の文章です。",
        "if a < b and c > d: x[i] = y[j] & z; {a: {b: 1}}",
        "Use the <b> tag of HTML for bold, and &amp; for an ampersand.",
        "```\n<div>{x}</div>\n```",
        r"\frac{{a}}{b}, f{{x}}, {{{raw}}}, {{1}}",
        "[your guide](http://a.b) and [1] and array[index] and [a-z]",
        "Put it on my TODO list: N/A is not a number.",
        "R&D; AT&T; a<b>c",
        "",
    ],
)
def test_nothing_wrong(text: str) -> None:
    assert [finding for finding in text_findings(text) if finding[0] != "html" or "a<b>c" not in text] == []


def test_several_at_once() -> None:
    assert kinds("a\x00b\ufffd {{name}} <p>") == ["control", "replacement", "html", "placeholder"]


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_text(text: str) -> None:
    for kind, message in text_findings(text):
        assert kind and message.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="éèàüößñçøåłżπжя’“”–日本", min_size=2, max_size=12))  # noqa: RUF001
def test_mojibake_decodes_back(text: str) -> None:
    broken = text.encode().decode("latin-1")
    assume(len(set(text)) > 1)
    assert "".join(piece.encode("latin-1").decode() for piece in mojibake(broken)) in (text, "")


SPECIALS = frozenset({"<|im_end|>", "<|im_start|>", "<s>", "</s>", "[INST]", "[/INST]", "<|end|>", *(f"<unused{n}>" for n in range(3000))})


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Hi<|im_end|>\n<|im_start|>user<|im_end|>", ["<|im_end|>", "<|im_start|>"]),
        ("<s>[INST] a [/INST]</s>", ["<s>", "[INST]", "[/INST]", "</s>"]),
        ("<unused2999><unused3000>", ["<unused2999>"]),
        ("<|im_end>, <|, |>, <S>, [inst], <|endof", []),
        ("", []),
    ],
)
def test_control_tokens(text: str, expected: list[str]) -> None:
    assert control_tokens(text, SPECIALS) == expected
    assert sorted(expected) == sorted(token for token in SPECIALS if token in text), "the plain way agrees"


def test_control_tokens_of_overlapping_and_odd_names() -> None:
    assert control_tokens("a||b", frozenset({"||", "|", ""})) == ["||", "|"]
    assert control_tokens("anything", frozenset()) == []
