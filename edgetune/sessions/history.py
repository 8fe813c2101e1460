"""A talk with all its branches, kept as the app keeps it; as typed: /again, /turns, /go N, /keep."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.chat import saved
from edgetune.chat.branches import Branches
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError

if TYPE_CHECKING:
    from edgetune.sessions.chat_votes import ChatVotes

COMMANDS = ("/again", "/turns", "/go", "/keep")


class Keeping:
    """Follows a conversation turn by turn. folder: where talks are kept. votes: knows what made the last answer. say: talks to the
    person. wanted: whether the talk is written down, with every turn anew."""

    def __init__(self, talk: Conversation, votes: "ChatVotes", folder: Path, say: Callable[[str], None]) -> None:
        self.talk, self.votes, self.folder, self._say = talk, votes, folder, say
        self.branches = Branches()
        self.wanted = False
        self._place = saved.Place()

    def take_up(self, kept: saved.Saved) -> None:
        """Go on with a talk that was kept, in its file."""
        self.branches, self._place, self.wanted = Branches(kept.branches.turns, kept.branches.tip), saved.Place.of(kept), True
        self.talk.system = kept.system or None
        self._follow()

    def begin(self) -> None:
        """A new talk; the one before stays as it was kept."""
        self.branches, self._place = Branches(), saved.Place()

    def answered(self) -> None:
        """Take down the question and the answer that the conversation now ends with."""
        self.branches.add("user", str(self.talk.messages[-2]["content"]))
        self._take_down()

    def settled(self) -> None:
        """Take down the last answer where a vote put another in its place: the one before stays as a branch."""
        turns, tip = self.branches.turns, self.branches.tip
        said = str(self.talk.messages[-1]["content"]) if self.talk.messages else None
        if said is None or turns[tip].content == said:
            return
        self.branches.go(turns[tip].parent)
        self._take_down()

    def _take_down(self) -> None:
        from edgetune.sessions.chat_votes import made

        self.branches.add("assistant", str(self.talk.messages[-1]["content"]), made(self.votes.last))
        self._write()

    def _write(self) -> None:
        if self.wanted and self.branches.turns:
            elsewhere = self._place.keep(self.folder, self.talk.engine.path.name, self.talk.system or "", self.branches)
            if elsewhere and self._place.path:
                self._say(f"Another program went on with this talk too: what is said here is kept as {self._place.path.stem}.")

    def _follow(self) -> None:
        """What the model sees is the branch that is open, and votes are on its last answer."""
        from edgetune.sessions.chat_votes import maker

        self.talk.messages = self.branches.messages()
        self.votes.resume(maker(self.branches.turns[self.branches.tip]) if self.talk.messages else None)

    def carry_out(
        self, word: str, rest: str, sampling: Sampling, ask: Callable[[str, Sampling], Answer], show: Callable[[Answer], object]
    ) -> None:
        """Carry out one of COMMANDS. ask: begins an answer. show: streams it. InputError where it cannot be."""
        if word == "/again":
            self._again(sampling, ask, show)
        elif word == "/turns":
            self._say("\n".join(self.branches.lines()) or "Nothing was said yet.")
        elif word == "/go":
            self._go(rest)
        else:
            self.wanted = True
            self._write()
            kept = f"This talk is kept as {self._place.path.stem}" if self._place.path else "This talk is kept from its first answer on"
            self._say(f"{kept}; 'edgetune talks' and the app find it.")

    def _again(self, sampling: Sampling, ask: Callable[[str, Sampling], Answer], show: Callable[[Answer], object]) -> None:
        at = next((at for at in reversed(self.branches.path()) if self.branches.turns[at].role == "user"), None)
        if at is None:
            raise InputError("There is no question to answer again", "Nothing was asked yet.", "Ask something first.")
        before = self.talk.messages
        self.talk.messages = self.branches.messages(at)[:-1]
        try:
            answer = ask(self.branches.turns[at].content, sampling)
        except BaseException:
            self.talk.messages = before
            raise
        show(answer)
        self.votes.answered(answer, sampling)
        self.branches.go(at)
        self._take_down()

    def _go(self, rest: str) -> None:
        at = int(rest) - 1 if rest.isascii() and rest.isdigit() and len(rest) < 7 else -1
        turns = self.branches.turns
        if not 0 <= at < len(turns):
            raise InputError(f"There is no turn '{rest[:20]}'", f"There are {len(turns)}.", "/turns shows their numbers.")
        turn = turns[at]
        self.branches.go(at if turn.role == "assistant" else turn.parent)
        self._follow()
        self._write()
        self._say(f"The talk goes on from {'here' if turn.role == 'assistant' else 'before this question'}: {turn.content}")
