"""What a chat leads to: kept conversations, a file of examples, adapters, two models at a time, a ranking, another model."""

from edgetune.chat.saved import add_example
from edgetune.errors import InputError
from edgetune.sessions.models import Model
from edgetune.storage.paths import expand_home
from tui.dialogs.ask import AskText
from tui.error_handling import run_in_thread
from tui.navigation import open_screen, replace_screen
from tui.pages.page import Page
from tui.screens.chat.branches import ChatBranches


class ChatLinks:
    """Opens dialogs and screens from a chat. page: in front of which they open."""

    def __init__(self, page: Page, branches: ChatBranches) -> None:
        self.page, self.branches = page, branches

    async def conversations(self) -> None:
        """Continue a conversation that was kept."""
        from tui.dialogs.conversations import Conversations

        session = self.branches.session
        chosen = await self.page.app.push_screen_wait(Conversations(self.page.workspace))
        if chosen and session:
            await run_in_thread(session.resume, chosen)
            await self.branches.redraw()

    async def example(self) -> None:
        """Ask for a file, and add the conversation to it."""
        if not (session := self.branches.session):
            return
        usual = str(self.page.workspace.path / "examples.jsonl")
        if path := await self.page.app.push_screen_wait(AskText("File of examples to add it to (.jsonl)", usual, check_folder)):
            await run_in_thread(add_example, expand_home(path), session.settings.system, session.messages)
            self.page.ours.say(f"Added to {path}")

    def adapters(self) -> None:
        """Adapters on or off, and how strong."""
        from tui.dialogs.adapters import Adapters

        if session := self.branches.session:
            self.page.app.push_screen(Adapters(self.page.workspace, session), lambda _: self.branches.changed())

    async def choose_model(self) -> Model | None:
        """Ask for another model."""
        from tui.dialogs.choose_models import ChooseModels

        chosen = await self.page.app.push_screen_wait(ChooseModels(self.page.workspace, [], 1))
        return chosen[0] if chosen else None

    async def other_model(self) -> None:
        """Leave this model for another."""
        if model := await self.choose_model():
            replace_screen(self.page.app, "chat", model.place)

    async def two_models(self) -> None:
        """This model and another, side by side."""
        model = await self.choose_model()
        if model and (session := self.branches.session):
            open_screen(self.page.app, "versus", None, (Model("file", str(session.path)), model))

    def rank(self) -> None:
        """Several answers of this model, prompt by prompt."""
        if session := self.branches.session:
            open_screen(self.page.app, "rank_setup", [Model("file", str(session.path))])


def check_folder(text: str) -> None:
    """InputError where a typed file would lie in no folder that is there."""
    if not (folder := expand_home(text).parent).is_dir():
        raise InputError(f"There is no folder {folder}", "A file needs a folder that exists.", "Name a file in a folder that exists.")
