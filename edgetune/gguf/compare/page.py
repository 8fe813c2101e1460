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
"""Height of a label, and its distance from its dot."""
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


def table_cells(file: FileMeasurement) -> list[str]:
    """A file's figures under COLUMN_TITLES, as people write them."""
    return [
        one_line(file.name, 40),
        format_size(file.bytes),
        f"{file.bits:.2f}",
        format_perplexity(file.perplexity),
        f"{file.kl_mean:.2g}",
        f"{file.kl_99:.2g}",
        f"{file.top1:.1%}",
        "-" if file.slope is None else f"{file.slope:.3f}",
        "-" if file.speed is None else f"{file.speed:.0f}",
        format_size(file.memory),
    ]


@cache
def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    )


def comparison_page(compared: ComparisonResult) -> str:
    """The page."""
    choice = compared.advice.choice
    return _template().render(
        name=one_line(compared.name, 100),
        why=one_line(compared.advice.why, 600),
        on=compared.on,
        tokens=compared.tokens,
        answer_tokens=compared.answer_tokens,
        perplexity=format_perplexity(compared.perplexity),
        head=COLUMN_TITLES,
        rows=[{"cells": table_cells(file), "chosen": file is choice} for file in compared.files],
        meanings=MEANINGS,
        plot=_plot(compared),
    )


def _plot(compared: ComparisonResult) -> dict[str, Any]:
    """Where everything in the picture lies: KL upwards by powers of ten, size to the right."""
    sizes = [file.bytes / 2**20 for file in compared.files]
    distances = [max(file.kl_mean, MIN_KL) for file in compared.files]

    # The axes end at whole powers of ten, and a little beyond the smallest and the largest file.
    ticks = decades(distances)
    low = math.log10(ticks[0])
    high = math.log10(ticks[-1])
    span = (max(sizes) - min(sizes)) or max(sizes)
    start = max(0.0, min(sizes) - 0.05 * span)
    end = max(sizes) + 0.05 * span

    def x(size: float) -> float:
        return round(LEFT + (WIDTH - 10 - LEFT) * (size - start) / (end - start), 1)

    def y(kl: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (math.log10(kl) - low) / (high - low), 1)

    dots = [
        {"name": one_line(file.name, 40), "x": x(size), "y": y(kl), "chosen": file is compared.advice.choice}
        for file, size, kl in zip(compared.files, sizes, distances, strict=True)
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
    """The dots with a position for each name: beside its dot, where that is free of other dots and names, else a little lower or higher."""
    occupied = [(dot["x"] - 6, dot["x"] + 6, dot["y"]) for dot in dots]

    def free(left: float, right: float, middle: float) -> bool:
        inside = left > LEFT and right < WIDTH and middle < BOTTOM
        return inside and not any(abs(middle - other) < LABEL_HEIGHT and left < end and begin < right for begin, end, other in occupied)

    for dot in dots:
        width = 8.0 * len(dot["name"])
        sides = [(False, dot["x"] + LABEL_GAP), (True, dot["x"] - LABEL_GAP - width)]
        positions = [(before, left, dot["y"] + down) for down in (0, 8, -8, 16, -16, 24, -24) for before, left in sides]
        free_positions = (position for position in positions if free(position[1], position[1] + width, position[2]))
        before, left, middle = next(free_positions, positions[0])
        occupied.append((left, left + width, middle))
        dot |= {"text_x": dot["x"] + (-LABEL_GAP if before else LABEL_GAP), "text_y": middle + 4, "before": before}
    return dots
