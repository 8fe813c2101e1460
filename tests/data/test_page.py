"""The X-ray's page: nothing in it runs or loads, its figures are the report's, trained tokens are marked, and its size is bounded."""

import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from edgetune.data import page
from edgetune.data.row import Problem
from edgetune.data.verdict import DO_NOT_TRAIN, GOOD, GOOD_WITH_WARNINGS
from edgetune.data.xray import Report

HOSTILE = (
    '</style></title></svg><script>alert(1)</script><img src=x onerror=alert(2)>"\'`x` style="background:url(//evil.example)" '
    "javascript:alert(3) @import 'https://evil.example/a.css'; <!-- --> ]]> {{ 7*7 }} {% raw %} &lt;b&gt; "
    "\x1b[31m\x1b]0;t\x07\x9b2J\u202e\u2066\ud800\x00\r"
)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "footer", "section", "article", "div", "span", "p", "h1", "h2", "h3",
    "b", "i", "strong", "small", "code", "mark", "ul", "li", "dl", "dt", "dd", "table", "tr", "th", "td", "details", "summary", "figure",
    "figcaption", "svg", "g", "path", "circle", "rect", "line", "text",
}  # fmt: skip
VOID = {"meta", "path", "circle", "rect", "line"}
PARTS = ("lengths", "tokens", "content", "duplicates", "split", "preference", "languages", "effort")


class Page(HTMLParser):
    """A page parsed: its tags (which must nest), attributes, words, style, and tokens as (tag, tooltip, class, text)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.style = ""
        self.words = ""
        self.tokens: list[tuple[str, str, str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        pairs = [(name, value or "") for name, value in attrs]
        self.attributes += pairs
        tooltip = dict(pairs).get("title", "")
        if tooltip.startswith("token "):
            self.tokens.append((tag, tooltip, dict(pairs).get("class", ""), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
            return
        self.words += data
        if self.tokens and self.open[-2:] in (["div", "mark"], ["div", "span"]):
            tag, tooltip, kind, text = self.tokens[-1]
            self.tokens[-1] = (tag, tooltip, kind, text + data)


def check(html: str) -> Page:
    """What every page must be, whatever stands in the report."""
    read = Page(html)
    assert read.tags <= TAGS
    assert {name for name, _ in read.attributes}.isdisjoint({"src", "href", "xlink:href", "srcset", "action", "data", "background", "id"})
    assert not [name for name, _ in read.attributes if name.startswith("on") or ":" in name]
    assert not re.search(r"url\(|@import|//|expression|</|image-set", read.style)
    assert all(
        re.fullmatch(r"(width:[\d.]+%|flex:\d+ 0 0|[a-z-]+:[\d.]+rem;?)+", value) for name, value in read.attributes if name == "style"
    )
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in [value for _, value in read.attributes]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    html.encode()
    return read


def filled(text: str = "plain") -> dict[str, Any]:
    """A report with every part, `text` in every field that takes text."""
    bars = [{"from": i * 100 + 1, "to": i * 100 + 100, "rows": 50 + i} for i in range(24)] + [{"from": 2401, "to": 9876, "rows": 13}]
    costs = [{"limit": 1024, "rows_over": 2222, "tokens_over": 333333}, {"limit": 2048, "rows_over": 13, "tokens_over": 4444}]
    sizes = {"limit": 2048, "rows": 10000, "tokens": 7654321, "mean": 765.4, "min": 3, "median": 654, "p90": 1900, "p99": 2400, "max": 9876}
    file = {"file": f"/data/0/{text}", "bytes": 1234567, "weight": 2.0, "held_out": False, "read": 5000, "kept": 4321}
    train = {"exact": 1515, "near": 1616, "exact_groups": 1, "near_groups": 818}
    report = Report(
        files=[file, file | {"file": f"/data/1/{text}", "held_out": True, "weight": 1.0}],
        format=text,
        reason=text,
        kind="preference",
        read=10000,
        kept=8642,
        rejected=1111,
        truncated=247,
        problems=[Problem(f"/data/0/{text}", 1234, text, text, True), Problem("b", 1, "html", text)],
        problem_counts={text: 1111, "html": 1},
        rejected_counts={text: 1111},
        lengths={"exact": True, "histogram": bars, "limits": costs, **sizes},
        tokens={"rows": 17284, "tokens": 7000000, "trained_tokens": 4200000, "ends_trained": 17001, "bos_doubled": 1717, "lost_answers": 1},
        content={"answers": 1, "system_turns": 2323, "tool_calls": 0, "pairs": 8889, "good": 0, "bad": 0},
        duplicates={"train": train, "held_out": dict.fromkeys(train, 0)},
        split={"train": 7000, "held_out": 1889, "shared": 1, "nearly_shared": 1234},
        languages={"en": 0.9, text: 0.0996, "de": 0.0004},
        effort={"steps": 1250, "rows": 7000, "passes": 2.5, "tokens": 17500000, "seconds": 8040, "reason": text},
        quarantine=text,
        verdict=GOOD_WITH_WARNINGS,
        reasons=[text, "second reason"],
        fix_first=text,
    )
    report.preference = {"pairs": 8889, "chosen_mean_characters": 1931.4, "rejected_mean_characters": 1001.0}
    report.preference |= {"chosen_longer": 0.823, "rejected_longer": 0.1}
    return report.as_dict()


def token(number: int, text: str, trained: bool = False, special: bool = False) -> dict[str, Any]:
    return {"id": number, "text": text, "trained": trained, "special": special}


def sample(text: str = "plain", tokens: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    calls = [{"type": "function", "function": {"name": text, "arguments": {text: text}}}]
    turn = {"role": text, "content": text, "name": text}
    turns = [turn, {"role": "assistant", "content": "", "tool_calls": calls, "reasoning_content": text, "train": False}]
    example = {"prompt": turns, "chosen": turns, "rejected": turns, "tools": [{text: text}], "label": False}
    row = tokens or [token(1, "<s>", special=True), token(2, text), token(3, text, True), token(4, "</s>", True, True)]
    origin = {"file": f"/data/0/{text}", "line": 4321, "length": 99, "trained": 2, "shortened": True}
    return origin | {"example": example, "rows": [row, row], "more_rows": 1}


@pytest.mark.parametrize(
    "text", [HOSTILE, HOSTILE * 4000, "<" * 1_000_000, "\x1b" * 10_000, ""], ids=["marks", "more", "long", "escapes", "none"]
)
def test_nothing_in_hostile_data_runs_loads_or_hides(text: str) -> None:
    html = page.xray_html(
        filled(text) | {"verdict": text, "kind": text}, [sample(text), {**sample(), "example": {"text": text}, "rows": []}]
    )
    words = check(html).words
    assert len(html) < 1_500_000
    if text.startswith("<") and "script" in text:
        assert "<script>alert(1)</script>" in words and "{{ 7*7 }}" in words


def test_figures_of_the_report_are_on_the_page() -> None:
    words = re.sub(r"\s+([:;.,])", r"\1", " ".join(check(page.xray_html(filled(), [sample()])).words.split()))
    for figure in (
        "10,000rows read", "8,642kept whole", "1,111rejected", "247truncated", "Good, with warnings", "second reason", "limit 2,048",
        "2,401 to 9,876 tokens: 13 rows", "1 to 100 tokens: 50 rows", "2,222 22%", "333,333 4.4%", "your limit 2,048", "13 0.1%",
        "654 tokens or fewer", "4,200,000 of 7,000,000 tokens are trained on (60%)", "17,001end with", "1,717begin with BOS twice",
        "1answer does not fit", "1,515 in 1 group ", "1,616 in 818 groups", "Of 1,889 validation rows, 1 (<0.1%) also stands",
        "1,234 nearly", "1,931", "1,001", "82%", "English90%", "German<0.1%", "1,250steps: 2.5 passes over 7,000 rows",
        "17,500,000 tokens in all", "2 h 14 min", "plain:4321", "b:1", "1.2 MiB", "weight 2", "held out for validation",
        "1answer in", "2,323system turns", "Lengths are exact", "cut to fit the limit, from 99 tokens", "1 more row of", "labelled bad",
        "chosen, calls tools, context only, not trained on",
    ):  # fmt: skip
        assert figure in words, figure


@pytest.mark.parametrize("length", [5, 449, 460, 2500])
def test_exactly_the_trained_tokens_are_marked(length: int) -> None:
    tokens = [token(i, ("a", " b", "\n", "\t<", "")[i % 5], trained=i % 3 == 1, special=i % 7 == 0) for i in range(length)]
    marked = check(page.xray_html(filled(), [sample(tokens=tokens) | {"rows": [tokens]}])).tokens
    ends = 3 * page.EDGE_TOKENS
    expected = (
        tokens
        if length <= ends
        else tokens[: page.EDGE_TOKENS]
        + tokens[page.EDGE_TOKENS : -page.EDGE_TOKENS][: page.MAX_FOLDED_TOKENS]
        + tokens[-page.EDGE_TOKENS :]
    )
    assert [(tag, title, "s" in kind, text) for tag, title, kind, text in marked] == [
        ("mark" if t["trained"] else "span", f"token {t['id']}", t["special"], t["text"]) for t in expected
    ]


def test_every_combination_of_empty_parts_renders() -> None:
    whole = filled()
    for present in itertools.product((False, True), repeat=len(PARTS)):
        report = whole | {part: whole[part] if there else {} for part, there in zip(PARTS, present, strict=True)}
        assert page.xray_html(report, []).rstrip().endswith("</html>")


HEADINGS = [(GOOD, "Good"), (GOOD_WITH_WARNINGS, "Good, with warnings"), (DO_NOT_TRAIN, "Do not train"), ("", "Not judged")]


@pytest.mark.parametrize(("verdict", "sentence"), HEADINGS)
def test_empty_reports_render_and_say_so(verdict: str, sentence: str) -> None:
    for kind, lengths in itertools.product(("", "conversation", "text", "prompt", "process"), ({}, {"exact": False}, {"exact": True})):
        read = check(
            page.xray_html(Report([], "", "", kind).as_dict() | {"verdict": verdict, "lengths": lengths, "read": 3, "rejected": 3}, [])
        )
        assert sentence in read.words and "No row was kept" in read.words and "None were found" in read.words
    check(page.xray_html({"verdict": verdict, "lengths": None}, []))


@pytest.mark.parametrize("limit", [None, 1, 40, 90, 5000, 10**9])
def test_any_histogram_stays_inside_its_plot(limit: int | None) -> None:
    from collections import Counter

    from edgetune.data.xray import length_statistics

    usual = [Counter({0: 1}), Counter({1: 1}), Counter({7: 10**6}), Counter(range(1, 100)), Counter({5: 1000, 6: 1000, 70: 1, 4000: 1})]
    for lengths in usual:
        report = filled() | {"lengths": length_statistics(lengths, False, limit)}
        read, chart = check(page.xray_html(report, [])), page.length_chart(report["lengths"])
        assert chart and "guessed" in read.words
        assert all(bar["x"] >= 0 and bar["x"] + bar["width"] <= 100.001 and 0 <= bar["y"] <= page.PLOT_HEIGHT for bar in chart["bars"])
        assert chart["line"] is None or 0 <= chart["line"] <= 100


def test_size_is_bounded() -> None:
    long = [token(100_000 + i, "<'&" * 50, trained=True, special=True) for i in range(2000)]
    turns = {"messages": [{"role": "user", "content": "'" * 5000}] * 300}
    problem = {"file": "/data/" + "'" * 500, "line": 1, "message": "'" * 2000, "rejected": True}
    problems = [problem | {"kind": f"kind{i % 200}"} for i in range(10_000)]
    files = [{"file": f"/data/{i}.json", "bytes": 1, "weight": 1.0, "held_out": False, "read": 1, "kept": 1} for i in range(3000)]
    report = filled() | {"problems": problems, "files": files, "reasons": ["'" * 2000] * 1000}
    html = page.xray_html(report, [sample() | {"example": turns, "rows": [long] * 9}] * 50)
    assert len(html.encode()) < 7_000_000
    for phrase in ("162 more kinds of problems", "2,988 more files", "6 more rows of tokens", "200 more turns"):
        assert phrase in html, phrase
