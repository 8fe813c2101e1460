"""The comparison as one page that a person can read: a table and a picture, no script, nothing loaded, every text escaped."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from edgetune.formatting import format_size
from edgetune.gguf.compare.comparison import ComparisonResult
from edgetune.gguf.compare.measure import FileMeasurement
from edgetune.gguf.compare.picture import MIN_KL, decades
from edgetune.text import one_line

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 380, 70, 30, 320
"""Of the picture, in its own units."""
LABEL_HEIGHT, LABEL_GAP = 15, 10
"""Height of a label, and how far it stands from its dot."""
MEANINGS = {
    "bits": "stored for each weight",
    "perplexity": "of the answers: how many next tokens the model wavers between",
    "mean KL, 99% KL": "how far next-token predictions are from full precision's, in nats: on average, and in the worst hundredth",
    "same token": "how often the most likely next token is the same",
    "learned": "share of what training changed that shows in the answers (1: all of it)",
    "tokens/s": "written on this machine just now",
    "memory": "of the whole llama.cpp process while it answers",
}
COLUMN_TITLES = ["type", "size", "bits", "perplexity", "mean KL", "99% KL", "same token", "learned", "tokens/s", "memory"]


def format_perplexity(value: float | None) -> str:
    """A perplexity as people write it."""
    return "-" if value is None else f"{value:.3f}" if value < 1000 else f"{value:.3g}"


def table_cells(one: FileMeasurement) -> list[str]:
    """A file's figures under HEAD, as people write them."""
    return [
        one_line(one.name, 40),
        format_size(one.bytes),
        f"{one.bits:.2f}",
        format_perplexity(one.perplexity),
        f"{one.kl_mean:.2g}",
        f"{one.kl_99:.2g}",
        f"{one.top1:.1%}",
        "-" if one.slope is None else f"{one.slope:.3f}",
        "-" if one.speed is None else f"{one.speed:.0f}",
        format_size(one.memory),
    ]


@cache
def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    )


def comparison_page(compared: ComparisonResult) -> str:
    """The page."""
    take = compared.advice.take
    return _template().render(
        name=one_line(compared.name, 100),
        why=one_line(compared.advice.why, 600),
        on=compared.on,
        tokens=compared.tokens,
        answer_tokens=compared.answer_tokens,
        perplexity=format_perplexity(compared.perplexity),
        head=COLUMN_TITLES,
        rows=[{"cells": table_cells(one), "take": one is take} for one in compared.files],
        meanings=MEANINGS,
        plot=_plot(compared),
    )


def _plot(compared: ComparisonResult) -> dict[str, Any]:
    """Where everything in the picture lies: KL upwards by powers of ten, size to the right."""
    sizes = [one.bytes / 2**20 for one in compared.files]
    far = [max(one.kl_mean, MIN_KL) for one in compared.files]
    ticks = decades(far)
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    span = (max(sizes) - min(sizes)) or max(sizes)
    start, end = max(0.0, min(sizes) - 0.05 * span), max(sizes) + 0.05 * span

    def x(size: float) -> float:
        return round(LEFT + (WIDTH - 10 - LEFT) * (size - start) / (end - start), 1)

    def y(kl: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (math.log10(kl) - low) / (high - low), 1)

    dots = [
        {"name": one_line(one.name, 40), "x": x(size), "y": y(kl), "take": one is compared.advice.take}
        for one, size, kl in zip(compared.files, sizes, far, strict=True)
    ]
    step = _step(end - start)
    first = math.ceil(start / step)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "bottom": BOTTOM,
        "up": [{"at": y(tick), "label": f"{tick:g}"} for tick in ticks],
        "across": [{"at": x(n * step), "label": f"{n * step:g}"} for n in range(first, math.floor(end / step) + 1)],
        "dots": _labelled(dots),
    }


def _step(span: float) -> float:
    """A round distance between marks: 1, 2 or 5 times a power of ten, four to ten of them."""
    rough = span / 8
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def _labelled(dots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The dots with a place for each name: beside its dot, where that is free of other dots and names, else a little lower."""
    taken = [(dot["x"] - 6, dot["x"] + 6, dot["y"]) for dot in dots]

    def free(left: float, right: float, middle: float) -> bool:
        inside = left > LEFT and right < WIDTH and middle < BOTTOM
        return inside and not any(abs(middle - other) < LABEL_HEIGHT and left < end and begin < right for begin, end, other in taken)

    for dot in dots:
        width = 8.0 * len(dot["name"])
        sides = [(False, dot["x"] + LABEL_GAP), (True, dot["x"] - LABEL_GAP - width)]
        places = [(before, left, dot["y"] + down) for down in (0, 8, -8, 16, -16, 24, -24) for before, left in sides]
        before, left, middle = next((place for place in places if free(place[1], place[1] + width, place[2])), places[0])
        taken.append((left, left + width, middle))
        dot |= {"text_x": dot["x"] + (-LABEL_GAP if before else LABEL_GAP), "text_y": middle + 4, "before": before}
    return dots
