"""All branches of a conversation and the file they are saved in; what the chat in the app and the one in a terminal share."""

from pathlib import Path

from edgetune.chat import saved
from edgetune.chat.branches import Branches


class ConversationRecord:
    """The branches of a conversation, and its file once it has one."""

    def __init__(self) -> None:
        self.branches = Branches()
        self._file = saved.ConversationFile()

    @property
    def name(self) -> str | None:
        """What the saved conversation is called by; None until it is saved."""
        return self._file.path.stem if self._file.path else None

    def start(self) -> None:
        """A new conversation; the one before stays as it was saved."""
        self.branches, self._file = Branches(), saved.ConversationFile()

    def resume(self, conversation: saved.SavedConversation) -> None:
        """Continue a saved conversation, in its file."""
        self.branches = Branches(conversation.branches.turns, conversation.branches.tip)
        self._file = saved.ConversationFile.of(conversation)

    def save(self, folder: Path, model: str, system: str) -> bool:
        """Write all branches. True where another program had changed the file: they are then in a new one."""
        return self._file.save(folder, model, system, self.branches)
