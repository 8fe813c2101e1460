"""An answer on the screen while it is written."""

import asyncio

from textual.widgets import Markdown

from edgetune.chat.terminal import REASONS
from tui.attempt import in_thread
from tui.talk import Talk
from tui.widgets.bubbles import Bubbles

DRAW, DRAW_LATE = 0.12, 0.5
"""Seconds between two pieces of an answer, what the model wrote in between being drawn at once: at least, and at most."""


async def stream(talk: Talk, bubbles: Bubbles, text: str) -> None:
    """Ask, and show the answer while it comes. Raises the engine's EdgeTuneError; when cancelled, the answer is stopped first."""
    reply = await bubbles.ask(text)
    markdown = Markdown.get_stream(reply.markdown)
    writing = asyncio.create_task(in_thread(talk.answer, text))
    clock, pause = asyncio.get_running_loop().time, DRAW
    try:
        while not writing.done():
            due = clock() + pause
            await asyncio.wait({writing}, timeout=pause)
            late = clock() - due  # for so long the last piece kept the UI: twice that is left to keys before the next
            pause = min(DRAW_LATE, max(DRAW, 2 * late))
            await markdown.write(talk.take())
        await writing
    except asyncio.CancelledError:  # the screen is left
        talk.stop()
        await asyncio.wait({writing})
        raise
    except BaseException:
        reply.how("not answered")
        raise
    finally:
        await markdown.stop()
    if stats := talk.stats:
        reply.how(f"{stats.tokens} tokens, {stats.tokens_per_second:,.0f} tokens/s; {REASONS[stats.reason]}; seed {stats.seed}")
    for notice in talk.notices:
        await bubbles.notice(notice)
    talk.notices.clear()
