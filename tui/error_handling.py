"""What the app asks of the engine, off the UI's thread; a failure becomes a dialog, and whatever was busy is free again."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from edgetune.errors import EdgeTuneError
from edgetune.storage.files import system_error
from tui.navigation import open_screen

if TYPE_CHECKING:
    from textual.app import App

P = ParamSpec("P")
T = TypeVar("T")


class _Node(Protocol):
    @property
    def app(self) -> "App[Any]": ...


N = TypeVar("N", bound=_Node)


def show_errors(method: Callable[Concatenate[N, P], Awaitable[T]]) -> Callable[Concatenate[N, P], Coroutine[Any, Any, T | None]]:
    """For an async method of a screen or widget: errors the user can cause open the error dialog; then it returns None."""

    @wraps(method)
    async def guarded(self: N, *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return await method(self, *args, **kwargs)
        except EdgeTuneError as error:
            failure = error
        except (OSError, MemoryError) as error:
            failure = system_error(error)
        open_screen(self.app, "error", failure)
        return None

    return guarded


async def run_in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run what takes time, but no more than a second or two, beside the UI. What is longer belongs in `tui.command`."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def run_or_undo(function: Callable[P, T], undo: Callable[[], object], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread what cannot be stopped. Where its screen is left meanwhile, `undo` runs once it has come to its end."""
    begun, ended = threading.Lock(), threading.Event()

    def run() -> T:
        if not begun.acquire(blocking=False):
            raise asyncio.CancelledError  # the screen was left before a thread was free
        try:
            return function(*args, **kwargs)
        finally:
            ended.set()

    def undo_after() -> None:
        ended.wait()
        undo()

    try:
        return await asyncio.to_thread(run)
    except asyncio.CancelledError:
        # Whoever takes the lock first decides: what has not begun never will, and leaves nothing to undo.
        if not begun.acquire(blocking=False):
            asyncio.get_running_loop().run_in_executor(None, undo_after)
        raise
