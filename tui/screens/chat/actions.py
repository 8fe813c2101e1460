"""What a chat opens beside itself: kept talks, a file of examples, adapters, two models at a time, a ranking."""

from typing import ClassVar

from textual import work
from textual.binding import BindingType

from edgetune.chat.saved import add_example
from edgetune.errors import InputError
from edgetune.storage.paths import expand_home
from tui.dialogs.ask import AskText
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key
from tui.navigation import open_screen
from tui.screens.chat.votes import ChatVotes
from tui.widgets.prompt import Prompt


class ChatAround(ChatVotes):
    """Dialogs and screens that a chat leads to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("chat.talks", "f3", "talks", "Earlier talks", "Find a conversation that was kept, and go on with it.", show=False),
        key("chat.example", "f5", "example", "To examples", "Add this conversation to a file of examples.", show=False),
        key("chat.adapters", "f9", "adapters", "Adapters", "Adapters on or off, and how strong.", show=False),
        key("chat.beside", "f12", "beside", "Two models", "The same questions to this model and to another one, side by side.", show=False),
        key("chat.rank", "f10", "rank", "Rank", "Put several answers of this model in order, prompt by prompt.", show=False),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        free = bool(self.talk and not self.answering)
        if action == "example":
            return free and bool(self.talk and self.talk.questions)
        return free if action in ("talks", "adapters", "beside", "rank") else super().check_action(action, parameters)

    @work(group="dialog")
    @show_errors
    async def action_talks(self) -> None:
        """Take up a conversation that was kept."""
        from tui.dialogs.conversations import Conversations

        talk = self.talk
        found = await self.app.push_screen_wait(Conversations(self.workspace))
        if found and talk:
            await run_in_thread(talk.resume, found)
            await self.redraw()
            self.query_one(Prompt).focus()

    @work(group="dialog")
    @show_errors
    async def action_example(self) -> None:
        """Ask for the file, and add the conversation to it."""
        if not (talk := self.talk):
            return
        usual = str(self.workspace.path / "examples.jsonl")
        if path := await self.app.push_screen_wait(AskText("File of examples to add it to (.jsonl)", usual, _in_a_folder)):
            await run_in_thread(add_example, expand_home(path), talk.settings.system, talk.messages)
            self.ours.say(f"Added to {path}")

    def action_adapters(self) -> None:
        """On or off, and how strong."""
        from tui.dialogs.adapters import Adapters

        if self.talk:
            self.app.push_screen(Adapters(self.workspace, self.talk), lambda _: self.gauge())

    @work(group="dialog")
    async def action_beside(self) -> None:
        """This model and another."""
        from edgetune.sessions.models import Model
        from tui.dialogs.choose_models import ChooseModels

        chosen = await self.app.push_screen_wait(ChooseModels(self.workspace, [], 1))
        if chosen and self.talk:
            open_screen(self.app, "versus", None, (Model("file", str(self.talk.path)), chosen[0]))

    def action_rank(self) -> None:
        """Several answers of this model, prompt by prompt."""
        from edgetune.sessions.models import Model

        if self.talk:
            open_screen(self.app, "rank_setup", [Model("file", str(self.talk.path))])


def _in_a_folder(text: str) -> None:
    """InputError where a typed file would lie in no folder that is there."""
    if not (folder := expand_home(text).parent).is_dir():
        raise InputError(f"There is no folder {folder}", "A file needs one that is there.", "Correct the path.")
