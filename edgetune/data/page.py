"""The X-ray of a dataset as one HTML page: no script, nothing loaded, and every text in it made safe, escaped and bounded."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from edgetune.data.verdict import DO_NOT_TRAIN, GOOD, GOOD_WITH_WARNINGS, QUIET_KINDS, WARNING_TEXTS
from edgetune.data.xray import Report
from edgetune.formatting import format_count, format_counted, format_duration, format_share, format_size
from edgetune.text import one_line, safe_text

MAX_LINE = 300
"""Characters of a message or a file name."""
MAX_KINDS, MAX_PER_KIND = 40, 30
"""Kinds of problems, and problems of a kind, that the page has; the first few of a kind are open."""
MAX_FILES = 100
"""Files named; the first dozen are open."""
MAX_SAMPLES, MAX_ROWS, MAX_TURNS = 8, 4, 100
"""Samples, rows of tokens of a sample, and turns of a sample."""
OPEN_CHARACTERS, MAX_SAMPLE_CHARACTERS = 1200, 20_000
"""Characters of a turn that are open, and of a whole conversation that the page has."""
EDGE_TOKENS, MAX_FOLDED_TOKENS, MAX_ROW_CHARACTERS = 150, 350, 4000
"""Tokens open at either end of a row, tokens folded between them, and characters of all of them together."""
PLOT_HEIGHT, SIDE_BAR_X = 180, 94.0
"""Height of the histogram in pixels, and where (in percent of its width) the bar of much longer rows begins."""
MIN_BARS = 8
"""The histogram is never drawn with fewer places for bars, so that one bar does not fill it."""

HEADLINES = {
    GOOD: ("good", "Good", "Nothing stands in the way of training on this data."),
    GOOD_WITH_WARNINGS: ("warn", "Good, with warnings", "You can train on this data. Look at the warnings first."),
    DO_NOT_TRAIN: ("stop", "Do not train", "A run on this data would not learn what you want it to."),
}
READ_AS = {
    "conversation": "conversations with answers to learn",
    "text": "plain text to continue",
    "preference": "pairs of a better and a worse answer",
    "unpaired": "answers labeled good or bad",
    "prompt": "prompts still to be answered",
    "process_reward": "answers judged step by step",
    "vote_log": "votes with their history",
}
KIND_MEANINGS = {kind: f"rows {does}" for kind, does in WARNING_TEXTS.items()} | {
    "duplicate": "rows repeat another row",
    "near_duplicate": "rows nearly repeat another row",
    "leak": "validation rows are training rows too",
    "near_leak": "validation rows nearly repeat training rows",
    "too_long": "rows have more tokens than the limit",
    "not_json": "lines are not JSON",
    "missing": "rows lack a field that their format needs",
    "empty": "rows hold nothing to learn",
    "no_answer": "rows have no answer to learn",
    "nothing_trained": "no token of these rows would be trained on",
    "unknown_role": "turns have a role that no chat template knows",
    "wrong_type": "fields hold something else than text",
    "template_refuses": "the chat template refuses these rows",
    "calls_dropped": "the chat template does not write the calls of tools in these rows",
}
"""Kinds of problems in words."""
NOTE_KINDS = QUIET_KINDS - {"leak"}
"""Kinds that are shown as a note, not as a warning."""
LANGUAGE_NAMES = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch", "pl": "Polish",
    "cs": "Czech", "sv": "Swedish", "da": "Danish", "fi": "Finnish", "hu": "Hungarian", "ro": "Romanian", "el": "Greek", "tr": "Turkish",
    "ru": "Russian", "uk": "Ukrainian", "ar": "Arabic", "fa": "Persian", "he": "Hebrew", "hi": "Hindi", "bn": "Bengali", "zh": "Chinese",
    "ja": "Japanese", "ko": "Korean", "vi": "Vietnamese", "th": "Thai", "id": "Indonesian",
}  # fmt: skip
_BACKTICKS = re.compile("`([^`]+)`")


def xray_html(report: dict[str, Any], samples: list[dict[str, Any]]) -> str:
    """The page for a report (`Report.as_dict`) and kept rows to show (`shown.unit_view`); any part of the report may be empty."""
    report = Report([], "", "", "").as_dict() | {name: part for name, part in report.items() if part is not None}

    # Files of the same name in several folders are shown with their folders.
    file_names = Counter(Path(file["file"]).name for file in report["files"])
    return _template().render(
        report=report,
        headline=HEADLINES.get(report["verdict"], ("none", "Not judged", "The data was read, but not judged.")),
        read_as=READ_AS.get(report["kind"], report["kind"]),
        chart=length_chart(report["lengths"]),
        kinds=_kinds(report),
        languages=[(LANGUAGE_NAMES.get(name, name), part) for name, part in list(report["languages"].items())[:MAX_KINDS]],
        samples=[_sample(sample) for sample in samples[:MAX_SAMPLES]],
        place=lambda file: file if file_names[Path(file).name] > 1 else Path(file).name,
        PLOT_HEIGHT=PLOT_HEIGHT,
        MAX_PER_KIND=MAX_PER_KIND,
        MAX_KINDS=MAX_KINDS,
        MAX_FILES=MAX_FILES,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else safe_text(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
    )

    filters = {
        "n": format_count,
        "share": format_share,
        "many": format_counted,
        "size": format_size,
        "duration": format_duration,
        "line": bounded_line,
        "quoted": with_code,
        "breaks": visible_breaks,
    }
    environment.filters.update(filters)
    return environment.get_template("page.html.jinja")


def bounded_line(text: str) -> str:
    """A bounded message or name on one line."""
    return one_line(text[: 9 * MAX_LINE], MAX_LINE)


def with_code(text: str) -> Markup:
    """A bounded message on one line, what it has in backticks set as code."""
    return Markup(_BACKTICKS.sub(r"<code>\1</code>", str(escape(bounded_line(text)))))


def visible_breaks(text: str) -> Markup:
    """Safe text with visible line breaks and tabs; what is shown for them is no part of the text that is copied."""
    escaped = str(escape(text))
    return Markup(escaped.replace("\t", '<i class="tab"></i>\t').replace("\n", "<i></i>\n"))


def _ticks(top: float, most: int) -> list[int]:
    """Round numbers from 0 to `top`, about `most` of them."""
    power = 10 ** max(0, math.floor(math.log10(max(top / most, 1))))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= top / most)
    return list(range(0, int(top) + 1, step))


def length_chart(lengths: dict[str, Any]) -> dict[str, Any] | None:
    """The histogram in coordinates: x in percent, y in pixels. Rows longer than nearly all others have a separate bar at the side."""
    bars = lengths.get("histogram") or []
    if not bars:
        return None

    # A last bar of another width gathers the much longer rows; it is drawn apart, at the side.
    width = bars[0]["to"] - bars[0]["from"] + 1
    has_side_bar = len(bars) > 1 and bars[-1]["to"] - bars[-1]["from"] + 1 != width
    end = width * max(len(bars) - has_side_bar, MIN_BARS)
    scale = (SIDE_BAR_X - 4 if has_side_bar else 100) / end

    most_rows = max(bar["rows"] for bar in bars)
    levels = _ticks(most_rows, 4)
    top = max(most_rows, 1)

    # The limit is marked where its length lies, also inside the bar at the side.
    limit = lengths.get("limit")
    line = None
    if limit and limit <= end:
        line = limit * scale
    elif limit and has_side_bar and limit <= bars[-1]["to"]:
        line = SIDE_BAR_X + (100 - SIDE_BAR_X) * (limit - end) / (bars[-1]["to"] - end)

    # Even a single row among thousands gets a visible bar.
    drawn = []
    for index, bar in enumerate(bars):
        is_side_bar = has_side_bar and index == len(bars) - 1
        height = max(PLOT_HEIGHT * bar["rows"] / top, 1.5) if bar["rows"] else 0
        drawn.append(bar | {
            "x": SIDE_BAR_X if is_side_bar else (bar["from"] - 1) * scale, "width": 100 - SIDE_BAR_X if is_side_bar else width * scale,
            "y": PLOT_HEIGHT - height, "height": height, "over": bool(limit) and bar["from"] > limit,
        })  # fmt: skip

    # Ticks near the bar at the side would run into its label.
    x_ticks = [tick for tick in _ticks(end, 5) if not has_side_bar or tick * scale < SIDE_BAR_X - 14]
    return {
        "bars": drawn, "line": line, "beside": has_side_bar, "x": [(tick, tick * scale) for tick in x_ticks],
        "y": [(level, PLOT_HEIGHT * (1 - level / top)) for level in levels],
    }  # fmt: skip


def _kinds(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The problems by kind: those that cost rows first, then the most frequent."""
    listed: dict[str, list[dict[str, Any]]] = {}
    for problem in report["problems"]:
        listed.setdefault(problem["kind"], []).append(problem)

    counts: dict[str, int] = (
        {kind: len(problems) for kind, problems in listed.items()} | report["rejected_counts"] | report["problem_counts"]
    )
    lost = report["rejected_counts"]
    order = sorted(filter(counts.__getitem__, counts), key=lambda kind: (-lost.get(kind, 0), kind in NOTE_KINDS, -counts[kind]))

    return [
        {"kind": kind, "count": counts[kind], "rejected": lost.get(kind, 0), "meaning": KIND_MEANINGS.get(kind, ""),
         "note": kind in NOTE_KINDS, "first": listed.get(kind, [])[:3], "more": listed.get(kind, [])[3:MAX_PER_KIND]}
        for kind in order
    ]  # fmt: skip


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    """A kept row: its turns in words and its rows of tokens, each with a part that is open and one that is folded."""
    left = MAX_SAMPLE_CHARACTERS
    turns = []

    # Turns share one budget of characters, so that a single sample cannot fill the page.
    spoken = list(_turns(sample["example"]))
    for who, note, text in spoken[:MAX_TURNS]:
        visible = safe_text(text[:left])
        missing = max(0, len(text) - left)
        left -= len(visible)
        cut = (
            max(visible.rfind(" ", OPEN_CHARACTERS - 100, OPEN_CHARACTERS), OPEN_CHARACTERS - 100)
            if len(visible) > OPEN_CHARACTERS + 200
            else len(visible)
        )
        turns.append({"who": who, "note": note, "open": visible[:cut], "folded": visible[cut:], "missing": missing})

    # Rows of a pair alternate: the chosen side, then the rejected one.
    pairs = "chosen" in sample["example"]
    rows = [_row(tokens) | {"side": ("chosen", "rejected")[at % 2] if pairs else ""} for at, tokens in enumerate(sample["rows"][:MAX_ROWS])]
    more = sample["more_rows"] + max(0, len(sample["rows"]) - MAX_ROWS)
    return sample | {"turns": turns, "rows": rows, "more_rows": more, "more_turns": max(0, len(spoken) - MAX_TURNS)}


def _turns(example: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Who speaks, a note, and the words, of every turn of an example."""
    if "text" in example:
        yield "text", "", _as_text(example["text"])
    if example.get("tools"):
        yield "tools", "offered to the model", _as_text(example["tools"])

    # Pairs hold their turns in three lists; other examples in one.
    for part in ("messages", "prompt", "chosen", "rejected"):
        side = part if part in ("chosen", "rejected") else ""
        for message in example.get(part) or ():
            role = _as_text(message.get("role"))
            context = "context only, not trained on" if message.get("train") is False else ""
            for field, note in (
                ("reasoning_content", "reasoning"),
                ("content", _as_text(message.get("name"))),
                ("tool_calls", "calls tools"),
            ):
                if message.get(field) or (field == "content" and not message.get("tool_calls")):
                    yield role, ", ".join(filter(None, (side, note, context))), _as_text(message.get(field))


def _as_text(value: Any) -> str:
    """A value as text: the parts of a list each on a line, as JSON."""
    if isinstance(value, list):
        return "\n".join(map(_as_text, value))
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _row(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of tokens: its beginning and its end are open, what lies between is folded, and of that only a part is on the page."""
    left = MAX_ROW_CHARACTERS

    def bounded(part: list[dict[str, Any]]) -> list[dict[str, Any]]:
        nonlocal left
        visible = []
        for token in part:
            room = min(left, MAX_LINE)
            text = safe_text(token["text"][:room])
            left -= len(text)
            visible.append(token | {"text": text + "…" if len(token["text"]) > room else text})
        return visible

    # Short rows are shown whole.
    between = tokens[EDGE_TOKENS:-EDGE_TOKENS] if len(tokens) > 3 * EDGE_TOKENS else []
    head, tail = (tokens[:EDGE_TOKENS], tokens[-EDGE_TOKENS:]) if between else (tokens, [])
    return {
        "head": bounded(head), "tail": bounded(tail), "middle": bounded(between[:MAX_FOLDED_TOKENS]), "between": len(between),
        "between_trained": sum(t["trained"] for t in between), "trained": sum(t["trained"] for t in tokens), "count": len(tokens),
    }  # fmt: skip
