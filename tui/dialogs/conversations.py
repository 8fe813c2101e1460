"""Conversations that were kept: found by any word in them, and taken up again."""

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical

from edgetune.chat.saved import SavedConversation, list_conversations
from edgetune.storage.workspace import Workspace
from tui.dialogs.dialog import Dialog
from tui.error_handling import run_in_thread, show_errors
from tui.keys import with_keys
from tui.widgets.listing import Line, Listing


class Conversations(Dialog[SavedConversation]):
    """Gives the conversation that was chosen."""

    NAME = "Conversations"
    ABOUT = "Every conversation is saved. {list.filter} finds those that hold a text; Enter continues the selected one."

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.talks: dict[str, SavedConversation] = {}

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(classes="box list-box") as box:
            box.border_title, box.border_subtitle = self.NAME, with_keys("{list.filter} finds, Enter opens, {dialog.close} closes")
            yield Listing("began with", "messages", "model", empty="looking …")

    def on_mount(self) -> None:
        """Look for them."""
        self.query_one(Listing).table.focus()
        self.look()

    @work
    @show_errors
    async def look(self) -> None:
        """Read what is saved."""
        kept = await run_in_thread(list_conversations, self.workspace.conversations)
        self.talks = {talk.path.name: talk for talk in kept}
        self.query_one(Listing).empty("No conversations are saved yet.")
        self.query_one(Listing).show(
            [Line(n, (t.title[:48], str(len(t.messages)), t.model[:24]), t.text.lower()) for n, t in self.talks.items()]
        )

    @on(Listing.Chosen)
    def chosen(self, event: Listing.Chosen) -> None:
        """Enter."""
        self.dismiss(self.talks[event.key])
