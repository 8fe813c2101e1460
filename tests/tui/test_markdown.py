"""Answers as Markdown: what is drawn and copied, while it grows as in one piece, and that nothing in it can act."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from edgetune.chat.branches import Branches, Turn
from edgetune.chat.saved import SavedConversation
from tests.tui import picture
from tests.tui.conftest import SIZES, Seat, Snapshot
from tui.widgets import markdown_lines
from tui.widgets.bubbles import Bubbles, Reply
from tui.widgets.markdown_lines import MarkdownLines
from tui.widgets.markdown_view import MarkdownView
from tui.widgets.wrapped import Line, Table, breaks

ALL = """# Keeping a light
A **lighthouse** keeper writes `down  it` what the *sea* does, every ~~minute~~ hour of the night.\\
See [the book](http://example.org/book) or <https://example.org>.

- one with a rather long text that has to be wrapped somewhere in the middle of it all
  1. nested

     and more
- two
  ```py
  x = 1
  ```

9. nine
10. ten

> quoted
>
> - list

---

| name | value |
|:-----|------:|
| a | 1 |
| **bcd** | 200 |

```python
def light(hour):

\treturn "a very long line of code that does not fit into a row of the terminal"
```

灯台守は毎晩一時間ごとに海の様子を帳面に書きとめます。
The end"""
DRAWN = """Keeping a light

A lighthouse keeper writes down  it what the
sea does, every minute hour of the night.
See the book (http://example.org/book) or
https://example.org.

• one with a rather long text that has to be
  wrapped somewhere in the middle of it all
  1. nested

     and more
• two

    x = 1

 9. nine
10. ten

▌ quoted
▌
▌ • list

──────────────────────────────────────────────

name │ value
─────┼──────
a    │     1
bcd  │   200

  def light(hour):

      return "a very long line of code that
  does not fit into a row of the terminal"

灯台守は毎晩一時間ごとに海の様子を帳面に書きと
めます。 The end
"""


class Shown(App[None]):
    """Bubbles alone."""

    CSS = "Bubbles { height: 1fr; scrollbar-size: 0 0; } Reply, .question, .how { height: auto; }"

    def compose(self) -> ComposeResult:
        yield Bubbles()


def lines(text: MarkdownLines, width: int) -> list[Line]:
    return [line for part in text.parts for line in ([part] if isinstance(part, Line) else part.lines(width))]


def read(text: str) -> MarkdownLines:
    found = MarkdownLines()
    found.append(text)
    return found


def words(app: App[Any]) -> str:
    return "\n".join(row.rstrip() for row in picture.words(picture.cells(app))).strip("\n") + "\n"


@pytest.mark.parametrize("size", [len(ALL), 9])
def test_it_looks_the_same_in_one_piece_and_in_many(size: int) -> None:
    async def scene() -> None:
        app = Shown()
        async with app.run_test(size=(46, 44)) as pilot:
            reply = await app.query_one(Bubbles).reply()
            for at in range(0, len(ALL), size):
                reply.markdown.append(ALL[at : at + size])
                await pilot.pause()
            assert words(app) == DRAWN

    asyncio.run(scene())


@pytest.mark.parametrize("size", [1, 13])
def test_what_is_written_piece_by_piece_is_as_if_read_at_once(size: int) -> None:
    grown = MarkdownLines()
    for at in range(0, len(ALL), size):
        kept = grown.parts[: grown.settled]
        grown.append(ALL[at : at + size])
        assert all(now is before for now, before in zip(grown.parts, kept, strict=False)), "what is settled stays"
        assert lines(grown, 46) == lines(read(ALL[: at + size]), 46)
    said = lines(read(ALL), 46)
    assert [line.text.spans for line in lines(grown, 46)] == [line.text.spans for line in said]


def test_a_piece_costs_the_last_block_however_long_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = markdown_lines._blocks

    def counted(source: str) -> Any:
        sizes.append(len(source))
        return real(source)

    monkeypatch.setattr(markdown_lines, "_blocks", counted)

    async def scene() -> None:
        app = Shown()
        async with app.run_test(size=(48, 20)) as pilot:
            reply = await app.query_one(Bubbles).reply()
            for number in range(40):
                reply.markdown.append(f"Paragraph {number} with some words in it.\n\n- and\n- a list\n\n")
            await pilot.pause()
            assert max(sizes[2:]) < 200 and len(reply.query("*")) == 2 and len(reply.markdown.source) > 2000
            assert words(app).splitlines()[-2:] == ["• and", "• a list"]

    asyncio.run(scene())


def test_nothing_a_model_writes_acts() -> None:
    async def scene() -> None:
        app = Shown()
        async with app.run_test(size=(80, 16)) as pilot:
            text = "[here](http://example.org) <b>bold</b> &#x202e;turned &#27;[31m [red]no markup[/red]\n\n```[red]\n[bold]x\u2028y\n```\n"
            reply = Reply(text + "\n![seen](a.png)\n\n<div>\nin a block\n</div>")
            await app.query_one(Bubbles).mount(reply)
            await pilot.pause()
            shown = words(app)
            assert "here (http://example.org) <b>bold</b> turned" in shown and "[red]no markup[/red]" in shown and "seen (a.png)" in shown
            assert "<div> in a block </div>" in shown
            assert "[bold]x" in shown and not {"\u202e", "\x1b", "\u2028"} & set(shown)
            for y in range(reply.markdown.size.height):
                for segment in reply.markdown.render_line(y):
                    assert not segment.style or (not segment.style.link and "@click" not in segment.style.meta)

    asyncio.run(scene())


def test_lines_are_copied_as_they_were_written() -> None:
    async def scene() -> None:
        app = Shown()
        async with app.run_test(size=(40, 16)) as pilot:
            text = "A long paragraph that is wrapped into several rows of the screen.\n\n- an item\n\n```\n    code\n```"
            reply = Reply(text)
            await app.query_one(Bubbles).mount(reply)
            await pilot.pause()
            reply.markdown.text_select_all()
            written = "A long paragraph that is wrapped into several rows of the screen.\n\n• an item\n\n    code"
            assert app.screen.get_selected_text() == written
            left, top = reply.markdown.content_region.offset
            await pilot.mouse_down(offset=(left + 2, top))
            await pilot.hover(offset=(left + 6, top + 1))
            await pilot.mouse_up(offset=(left + 6, top + 1))
            assert app.screen.get_selected_text() == "long paragraph that is wrapped into several"

    asyncio.run(scene())


def test_the_view_follows_the_end_until_it_is_scrolled() -> None:
    async def scene() -> None:
        app = Shown()
        async with app.run_test(size=(40, 10)) as pilot:
            bubbles = app.query_one(Bubbles)
            reply = await bubbles.reply()

            async def more(texts: Iterator[str]) -> None:
                for text in texts:
                    reply.markdown.append(text)
                    await pilot.pause()

            await more(f"Line {number}.\n\n" for number in range(20))
            assert "Line 19." in words(app) and bubbles.scroll_y == bubbles.max_scroll_y > 0
            bubbles.scroll_to(y=4, animate=False)
            await pilot.pause()
            before = words(app)
            await more(f"More {number}.\n\n" for number in range(5))
            assert words(app) == before and bubbles.scroll_y == 4

    asyncio.run(scene())


def test_long_code_has_all_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_lines, "COLOURED", 3)
    code = ["if a:", "", "", "    b()", "", "", "", "", "c", "", "d"]
    found = lines(read("\n".join(["```python", *code, "```"])), 40)
    assert [line.plain for line in found] == code


@given(st.text(alphabet="ab  \t語.-", max_size=80), st.integers(2, 20))
def test_rows_fit_and_hold_all(text: str, width: int) -> None:
    begins = breaks(text, width)
    rows = [text[at:end] for at, end in zip(begins, [*begins[1:], None], strict=True)]
    assert "".join(rows) == text and all(cell_len(row.rstrip()) <= width for row in rows if row.strip())


@pytest.mark.parametrize("width", [12, 20, 46])
def test_a_table_fits_and_says_all(width: int) -> None:
    [table] = read("| what | how much of it |\n|---|--:|\n| a b c d e f | a very long text about it |\n| 灯台守 | 2 |").parts
    assert isinstance(table, Table)
    drawn = [line.plain for line in table.lines(width)]
    assert all(cell_len(row) <= width for row in drawn)
    joined = "".join("".join(drawn).split())
    assert all(sign in joined for sign in "abcdef灯台守2")


def test_a_text_that_came_in_pieces_looks_as_if_it_had_come_whole(drive: Callable[..., None]) -> None:
    text = "1. one\n\n2. two [here][there]\n\n[there]: https://example.org\n"

    async def scene(seat: Seat) -> None:
        grown, whole = MarkdownView(), MarkdownView(text)
        await seat.app.screen.mount(grown, whole)
        for sign in text:
            grown.append(sign)
        await seat.settle()
        assert grown.source == text and rows(grown) != rows(whole), "or there is no need to read it anew"
        grown.read_again()
        await seat.settle()
        assert rows(grown) == rows(whole)

    def rows(view: MarkdownView) -> list[str]:
        return [view.render_line(y).text for y in range(view.size.height)]

    drive(scene)


def test_a_chat_with_all_of_markdown(drive: Callable[..., None], snapshot: Snapshot, nano_gguf: Path) -> None:
    from tui.screens.chat import Chat

    async def scene(seat: Seat) -> None:
        chat = Chat(str(nano_gguf))
        await seat.app.push_screen(chat)
        await seat.until(lambda: chat.session)
        assert chat.session is not None
        made = {"tokens": 200, "tokens_per_second": 71.3, "stop_reason": "end", "sampling": {"seed": 1}}
        turns = [Turn("user", "What does a keeper do?"), Turn("assistant", ALL, 0, made)]
        chat.session.resume(SavedConversation(Path("kept.json"), "nano", "", [], Branches(turns)))
        await chat.branches.redraw()
        await snapshot("chat-markdown", seat, *SIZES, (120, 60))
        await seat.press("f2")
        await snapshot("chat-markdown-light", seat, (120, 60))

    drive(scene)
