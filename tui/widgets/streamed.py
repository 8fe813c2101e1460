"""An answer on the screen while it is written."""

import asyncio
import time
from collections.abc import Callable

from edgetune.sessions.chat_session import ChatSession
from tui.error_handling import run_in_thread
from tui.widgets.bubbles import Bubbles, Reply, how_written

DRAW, DRAW_LATE = 0.08, 0.5
"""Seconds between two pieces of an answer, what the model wrote in between being drawn at once: at least, and at most."""


async def stream(session: ChatSession, bubbles: Bubbles, text: str) -> None:
    """Ask, and show the answer while it comes. Raises the engine's EdgeTuneError; when cancelled, the answer is stopped first."""
    await follow(session, bubbles, await bubbles.ask(text), lambda: session.answer(text))


async def follow(session: ChatSession, bubbles: Bubbles, reply: Reply, write: Callable[[], None]) -> None:
    """Show in `reply` what `write` lets the model write."""
    writing = asyncio.create_task(run_in_thread(write))
    try:
        await drawn(session, writing, reply.markdown.append)
    except asyncio.CancelledError:  # the screen is left
        raise
    except BaseException:
        reply.how("not answered")
        raise
    reply.markdown.read_again()
    if session.stats:
        reply.how(how_written(session.branches.turns[session.branches.tip].provenance))
    for notice in session.notices:
        await bubbles.notice(notice)
    session.notices.clear()


async def drawn(session: ChatSession, writing: "asyncio.Task[None]", show: Callable[[str], object]) -> None:
    """Give `show` what comes until all is written. When cancelled, the answer is stopped first."""
    clock, pause = asyncio.get_running_loop().time, DRAW
    try:
        while not writing.done():
            due, worked = clock() + pause, time.thread_time()
            await asyncio.wait({writing}, timeout=pause)
            late, worked = clock() - due, time.thread_time() - worked  # what the last piece cost: most of the time is left to keys
            pause = min(DRAW_LATE, max(DRAW, 2 * late, 3 * worked))
            show(session.new_text())
        await writing
    except asyncio.CancelledError:
        session.stop()
        await asyncio.wait({writing})
        writing.exception()
        raise
