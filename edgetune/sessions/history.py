"""A conversation with all its branches, saved as the app saves it; as typed: /again, /turns, /go N, /save."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.chat.branches import Branches
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.sampling import Sampling
from edgetune.chat.saved import SavedConversation
from edgetune.errors import InputError
from edgetune.sessions.console import Console
from edgetune.sessions.conversation_record import ConversationRecord

if TYPE_CHECKING:
    from edgetune.sessions.chat_votes import ChatVotes

COMMANDS = ("/again", "/turns", "/go", "/save")


class History:
    """Follows a conversation turn by turn. folder: where conversations are saved. votes: knows what made the last answer.

    saving: whether the conversation is written to its file, after every turn.
    """

    def __init__(self, conversation: Conversation, votes: "ChatVotes", folder: Path, console: Console) -> None:
        self.conversation, self.votes, self.folder, self.console = conversation, votes, folder, console
        self.record = ConversationRecord()
        self.saving = False

    @property
    def branches(self) -> Branches:
        """All branches so far."""
        return self.record.branches

    def resume(self, conversation: SavedConversation) -> None:
        """Continue a conversation that was saved, in its file."""
        self.record.resume(conversation)
        self.saving = True
        self.conversation.system = conversation.system or None
        self._follow_branch()

    def start(self) -> None:
        """A new conversation; the one before stays as it was saved."""
        self.record.start()

    def record_exchange(self) -> None:
        """Add the question and the answer that the conversation now ends with."""
        self.branches.add("user", str(self.conversation.messages[-2]["content"]))
        self._record_answer()

    def record_replacement(self) -> None:
        """Add the last answer where a vote put another in its place: the one before stays as a branch."""
        turns, tip = self.branches.turns, self.branches.tip
        last = str(self.conversation.messages[-1]["content"]) if self.conversation.messages else None
        if last is None or turns[tip].content == last:
            return
        self.branches.go(turns[tip].parent)
        self._record_answer()

    def _record_answer(self) -> None:
        from edgetune.sessions.chat_votes import provenance

        self.branches.add("assistant", str(self.conversation.messages[-1]["content"]), provenance(self.votes.last))
        self._write()

    def _write(self) -> None:
        if not (self.saving and self.branches.turns):
            return
        model = self.conversation.engine.path.name
        if self.record.save(self.folder, model, self.conversation.system or ""):
            self.console.say(f"Another program also continued this conversation: your part is saved as {self.record.name}.")

    def _follow_branch(self) -> None:
        """Show the model the branch that is open, and let votes be on its last answer."""
        from edgetune.sessions.chat_votes import candidate_of_turn

        self.conversation.messages = self.branches.messages()
        last = candidate_of_turn(self.branches.turns[self.branches.tip]) if self.conversation.messages else None
        self.votes.vote_on(last)

    def run(self, command: str, arguments: str, sampling: Sampling, ask: Callable[[str, Sampling], Answer]) -> None:
        """Carry out one of COMMANDS. ask: begins an answer. InputError where it cannot be carried out."""
        if command == "/again":
            self._answer_again(sampling, ask)
        elif command == "/turns":
            self.console.say("\n".join(self.branches.lines()) or "The conversation is empty.")
        elif command == "/go":
            self._go(arguments)
        else:
            self.saving = True
            self._write()
            where = f"as {self.record.name}" if self.record.name else "from its first answer on"
            self.console.say(f"This conversation is saved {where}; 'edgetune conversations' and the app find it.")

    def _answer_again(self, sampling: Sampling, ask: Callable[[str, Sampling], Answer]) -> None:
        question = next((turn for turn in reversed(self.branches.path()) if self.branches.turns[turn].role == "user"), None)
        if question is None:
            raise InputError("There is no question to answer again", "Nothing was asked yet.", "Ask something first.")

        # The model must not see the answer that is replaced; where it cannot begin, the conversation is as before.
        before = self.conversation.messages
        self.conversation.messages = self.branches.messages(question)[:-1]
        try:
            answer = ask(self.branches.turns[question].content, sampling)
        except BaseException:
            self.conversation.messages = before
            raise

        self.console.stream(answer)
        self.votes.record_answer(answer, sampling)
        self.branches.go(question)
        self._record_answer()

    def _go(self, arguments: str) -> None:
        number = int(arguments) - 1 if arguments.isascii() and arguments.isdigit() and len(arguments) < 7 else -1
        turns = self.branches.turns
        if not 0 <= number < len(turns):
            raise InputError(f"There is no turn '{arguments[:20]}'", f"There are {len(turns)}.", "/turns shows their numbers.")

        turn = turns[number]
        self.branches.go(number if turn.role == "assistant" else turn.parent)
        self._follow_branch()
        self._write()
        self.console.say(
            f"The conversation continues from {'here' if turn.role == 'assistant' else 'before this question'}: {turn.content}"
        )
