"""Who said what: questions as they were typed, answers as Markdown that grows."""

from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from edgetune.chat.branches import Branches
from edgetune.chat.model_info import STOP_REASONS
from edgetune.text import safe_text
from tui.widgets.markdown_view import MarkdownView

VAIN = "-vain"
"""The class of a question that the model did not take, and of its empty answer."""


def fork(number: int, count: int) -> str:
    """Which of how many branches; nothing where there is one."""
    return f"branch {number}/{count}" if count > 1 else ""


def how_written(about: dict[str, Any]) -> str:
    """How an answer came about, as far as its turn says: how long and how fast it was written, why it ended, with which seed."""
    sampling, tokens, speed = (about.get(name) for name in ("sampling", "tokens", "tokens_per_second"))
    seed = sampling.get("seed") if isinstance(sampling, dict) else None
    words = []
    if isinstance(tokens, int) and isinstance(speed, int | float):
        words.append(f"{tokens} tokens, {speed:,.0f} tokens/s")
    if reason := STOP_REASONS.get(str(about.get("stop_reason"))):
        words.append(reason)
    if isinstance(seed, int):
        words.append(f"seed {seed}")
    return "; ".join(words)


class Question(Static):
    """What the person said. at: its turn in the branches."""

    def __init__(self, text: str, at: int | None = None) -> None:
        super().__init__("", markup=False, classes="question")
        self.text_asked, self.at = safe_text(text), at
        self.set_branch(1, 1)

    def set_branch(self, number: int, count: int) -> None:
        """Which branch begins here."""
        mark = fork(number, count)
        self.update(Text.assemble(self.text_asked, ("\n" + mark if mark else "", "dim")))


class Reply(Vertical):
    """What the model said, and below it how. at: its turn in the branches."""

    def __init__(self, text: str = "", at: int | None = None, how: str = "") -> None:
        super().__init__()
        self.markdown, self.at = MarkdownView(safe_text(text)), at
        self._words = {"fork": "", "vote": "", "how": how}

    def compose(self) -> ComposeResult:
        """The text, and a line below it."""
        yield self.markdown
        yield Static(self._below, classes="how", markup=False)

    @property
    def _below(self) -> str:
        return "  ".join(word for word in self._words.values() if word)

    def _say(self, name: str, text: str) -> None:
        self._words[name] = text
        for static in self.query(".how").results(Static):
            static.update(self._below)

    def how(self, text: str) -> None:
        """Say how it went."""
        self._say("how", text)

    def set_branch(self, number: int, count: int) -> None:
        """Which branch begins here."""
        self._say("fork", fork(number, count))

    def vote(self, text: str) -> None:
        """Say what was voted."""
        self._say("vote", text)


class Bubbles(VerticalScroll):
    """The messages, newest last; the view follows what is written until it is scrolled."""

    @property
    def all(self) -> list[Question | Reply]:
        """Questions and answers from the first on."""
        return [child for child in self.children if isinstance(child, Question | Reply)]

    async def ask(self, text: str) -> Reply:
        """Add a question and the place for its answer."""
        await self.mount(Question(text))
        return await self.reply()

    async def reply(self) -> Reply:
        """Add a place for an answer."""
        reply = Reply()
        await self.mount(reply)
        self.anchor()
        return reply

    async def show(self, branches: Branches, to: int | None = None) -> None:
        """Show what was said, in the branch that is open, or up to a turn; nothing else."""
        await self.remove_children()
        bubbles: list[Question | Reply] = []
        for at in branches.path(to):
            turn = branches.turns[at]
            question = turn.role == "user"
            bubbles.append(Question(turn.content, at) if question else Reply(turn.content, at, how_written(turn.provenance)))
        await self.mount_all(bubbles)
        self.number(branches)
        self.anchor()

    def number(self, branches: Branches) -> None:
        """Give messages their turns, and all the branches they begin. What was asked in vain, at the end, is none of them."""
        path, live = branches.path(), [bubble for bubble in self.all if not bubble.has_class(VAIN)]
        for bubble in live[len(path) :]:
            bubble.add_class(VAIN)
        for bubble, at in zip(live, path, strict=False):
            bubble.at = at
            bubble.set_branch(*branches.branch_number(at))

    def select(self, at: int | None) -> None:
        """Show which message is meant; None for the last one, which needs no sign."""
        for bubble in self.all:
            selected = at is not None and bubble.at == at
            bubble.set_class(selected, "-selected")
            if selected:
                bubble.scroll_visible(animate=False)

    async def notice(self, text: str) -> None:
        """A word that is neither's."""
        await self.mount(Static(safe_text(text), markup=False, classes="how"))
