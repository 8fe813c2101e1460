"""A screen as cells, the cells as a small SVG, and back: what snapshots and the README's pictures are made of.

Rich's own export has a random id, fonts from a foreign server and a line of markup for every word; here every stretch of one look is one
`<text>` at whole numbers, so that a picture is small, says nothing but the screen, and can be read back cell by cell.
"""

import io
import re
from collections import Counter
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from rich.cells import cell_len
from rich.color import blend_rgb
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from textual.app import App

WIDE, HIGH, BASELINE = 10, 20, 15
"""A cell in the units of the picture, and where its text stands."""
FONT = f"font:{WIDE / 0.6:.4g}px Menlo,'DejaVu Sans Mono',Consolas,monospace;white-space:pre"


@dataclass(frozen=True)
class Cell:
    """One cell. sign: '' for the right half of a wide one. ink: CSS of the sign, '' where nothing is drawn. ground: its background."""

    sign: str
    ink: str
    ground: str


Cells = list[list[Cell]]


def _looks(style: Style) -> tuple[str, str]:
    """CSS of what is drawn, and the background's colour."""
    theme = SVG_EXPORT_THEME
    ink = style.color.get_truecolor(theme) if style.color and not style.color.is_default else theme.foreground_color
    ground = style.bgcolor.get_truecolor(theme) if style.bgcolor and not style.bgcolor.is_default else theme.background_color
    if style.reverse:
        ink, ground = ground, ink
    if style.dim:
        ink = blend_rgb(ink, ground, 0.4)
    css = f"fill:{ink.hex}"
    for on, rule in ((style.bold, "font-weight:bold"), (style.italic, "font-style:italic")):
        css += f";{rule}" if on else ""
    lines = [name for on, name in ((style.underline, "underline"), (style.strike, "line-through")) if on]
    return css + (f";text-decoration:{' '.join(lines)}" if lines else ""), ground.hex


def cells(app: App[Any]) -> Cells:
    """What the app shows now, with the screens that shine through from below."""
    width, height = app.size
    drawn = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False)
    assert drawn is not None
    segments = Segment.filter_control(console.render(drawn))
    lines: Cells = []
    for line in list(Segment.split_and_crop_lines(segments, width, include_new_lines=False))[:height]:
        row: list[Cell] = []
        for text, style, _ in line:
            ink, ground = _looks(style or Style())
            for sign in text:
                _put(row, sign, "" if sign == " " and "decoration" not in ink else ink, ground)
        lines.append(row)
    return lines


def _put(row: list[Cell], sign: str, ink: str, ground: str) -> None:
    """A sign with the cells it takes; what takes none belongs to the one before."""
    width = cell_len(sign)
    if width == 0 and row:
        row[-1] = Cell(row[-1].sign + sign, row[-1].ink, row[-1].ground)
    row += [Cell(sign, ink, ground), Cell("", ink, ground)][:width]


def words(lines: Cells) -> list[str]:
    """The lines as plain text."""
    return ["".join(cell.sign for cell in row) for row in lines]


def _stretches(row: list[Cell]) -> list[tuple[int, str, str, int]]:
    """Column, CSS, text and cells of each part of a line that one `<text>` draws: blanks inside belong to it, blanks around do not."""
    found: list[tuple[int, str, str, int]] = []
    column = 0
    for ink, group in groupby(row, key=lambda cell: cell.ink):
        part = list(group)
        if ink:
            text = "".join(cell.sign for cell in part)
            before = found[-1] if found else None
            if before and before[1] == ink and "decoration" not in ink and column - before[0] - before[3] <= 3:
                gap = column - before[0] - before[3]
                found[-1] = (before[0], ink, before[2] + " " * gap + text, before[3] + gap + len(part))
            else:
                found.append((column, ink, text, len(part)))
        column += len(part)
    return found


def svg(lines: Cells, small: bool = False) -> str:
    """The cells as an SVG: a line of it for each line of the screen. small: its texts are as long as the font makes them."""
    width, height = len(lines[0]), len(lines)
    base = Counter(cell.ground for row in lines for cell in row).most_common(1)[0][0]
    inks: dict[str, str] = {}
    body = []
    for y, row in enumerate(lines):
        drawn, x = "", 0
        for ground, group in groupby(row, key=lambda cell: cell.ground):
            size = len(list(group))
            if ground != base:
                drawn += f'<rect x="{x * WIDE}" y="{y * HIGH}" width="{size * WIDE}" height="{HIGH}" fill="{ground}"/>'
            x += size
        for x, ink, text, size in _stretches(row):
            name = inks.setdefault(ink, f"t{len(inks)}")
            place = f'x="{x * WIDE}" y="{y * HIGH + BASELINE}"' + ("" if small else f' textLength="{size * WIDE}"')
            drawn += f'<text class="{name}" {place}>{escape(text, quote=False)}</text>'
        body.append(drawn)
    rules = "".join(f".{name}{{{ink}}}" for ink, name in inks.items())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * WIDE} {height * HIGH}" shape-rendering="crispEdges">'
    whole = f'<rect width="{width * WIDE}" height="{height * HIGH}" fill="{base}"/>'
    return "\n".join([head, f"<style>text{{{FONT}}}{rules}</style>", whole, *body, "</svg>"]) + "\n"


def read(text: str) -> Cells:
    """The cells of such an SVG."""
    root = ElementTree.fromstring(text)
    tag = "{http://www.w3.org/2000/svg}"
    width, height = (int(number) for number in root.attrib["viewBox"].split()[2:])
    inks = dict(re.findall(r"\.(t\d+)\{([^}]*)\}", root.findtext(f"{tag}style") or ""))
    whole, *grounds = root.iter(f"{tag}rect")
    lines = [[Cell(" ", "", whole.attrib["fill"])] * (width // WIDE) for _ in range(height // HIGH)]
    for rect in grounds:
        x, y, size = (int(rect.attrib[name]) for name in ("x", "y", "width"))
        for column in range(x // WIDE, (x + size) // WIDE):
            lines[y // HIGH][column] = Cell(" ", "", rect.attrib["fill"])
    for element in root.iter(f"{tag}text"):
        row, column = lines[int(element.attrib["y"]) // HIGH], int(element.attrib["x"]) // WIDE
        ink, drawn = inks[element.attrib["class"]], list[Cell]()
        for sign in element.text or "":
            _put(drawn, sign, "" if sign == " " and "decoration" not in ink else ink, "")
        for place, cell in enumerate(drawn, column):
            row[place] = Cell(cell.sign, cell.ink, row[place].ground)
    return lines


def differences(before: Cells, now: Cells, most: int = 12) -> list[str]:
    """In words, where the cells differ: a line for each stretch of them, at most so many."""
    if (len(before), len(before[0])) != (len(now), len(now[0])):
        return [f"{len(before[0])}x{len(before)} cells before, {len(now[0])}x{len(now)} now"]
    found = []
    for y, (old, new) in enumerate(zip(before, now, strict=True), 1):
        for differs, group in groupby(enumerate(zip(old, new, strict=True), 1), key=lambda item: item[1][0] != item[1][1]):
            if not differs:
                continue
            part = list(group)
            columns = f"{part[0][0]}-{part[-1][0]}" if len(part) > 1 else f"{part[0][0]}"
            was, now_is = ("".join(pair[side].sign for _, pair in part) for side in (0, 1))
            if was == now_is:
                one, other = part[0][1]
                found.append(f"line {y}, cells {columns}: {was!r} was {one.ink} on {one.ground}, is {other.ink} on {other.ground}")
            else:
                found.append(f"line {y}, cells {columns}: was {was!r}, is {now_is!r}")
    return found[:most] + ([f"… and {len(found) - most} more"] if len(found) > most else [])
