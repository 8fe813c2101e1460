"""Which models are asked: any of those that were found, or GGUF files from elsewhere."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from edgetune.sessions.models import KINDS, Model, list_models, model_of_path
from edgetune.storage.workspace import Workspace
from tui.dialogs.ask import AskText
from tui.dialogs.dialog import Dialog
from tui.error_handling import run_in_thread, show_errors
from tui.keys import key, with_keys
from tui.widgets.listing import Line, Listing


class ChooseModels(Dialog[list[Model]]):
    """Gives those that were marked."""

    NAME = "Models"
    ABOUT = (
        "Enter chooses the selected model. Where several can be chosen, Enter checks or unchecks it, and {models.take} uses those checked. "
        "What has no GGUF yet is written as one when it is needed."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("models.take", "s", "take", "Use them", "Use the models that are checked."),
        key("models.file", "f", "file", "A file", "Add a GGUF file by its path."),
    ]

    def __init__(self, workspace: Workspace, marked: list[Model], most: int) -> None:
        super().__init__()
        self.workspace, self.marked, self.most = workspace, list(marked), most
        self.models = list(marked)

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(classes="box list-box") as box:
            box.border_title, box.border_subtitle = (
                self.NAME,
                (
                    with_keys("Enter: OK, {models.file}: a file, {dialog.close}: cancel")
                    if self.most == 1
                    else with_keys("Enter: check, {models.file}: add a file, {models.take}: use them, {dialog.close}: cancel")
                ),
            )
            yield Listing("", "model", "what it is", empty="looking for models …")

    def on_mount(self) -> None:
        """Look for them."""
        self.query_one(Listing).table.focus()
        self.look()

    @work
    @show_errors
    async def look(self) -> None:
        """All models there are."""
        self.models = list(dict.fromkeys([*await run_in_thread(list_models, self.workspace), *self.marked]))
        self.draw()

    def draw(self) -> None:
        """The list with its marks."""
        lines = []
        for number, model in enumerate(self.models):
            mark = str(self.marked.index(model) + 1) if model in self.marked else " "
            lines.append(Line(str(number), (mark, model.name, KINDS.get(model.kind, model.kind)), model.place.lower()))
        self.query_one(Listing).show(lines)

    @on(Listing.Chosen)
    def toggle(self, event: Listing.Chosen) -> None:
        """Enter."""
        model = self.models[int(event.key)]
        if self.most == 1:
            self.dismiss([model])
        elif model in self.marked:
            self.marked.remove(model)
        elif len(self.marked) < self.most:
            self.marked.append(model)
        self.draw()

    @work(group="dialog")
    async def action_file(self) -> None:
        """Ask for a path."""
        if text := await self.app.push_screen_wait(AskText("Path of a GGUF file", check=model_of_path)):
            model = model_of_path(text)
            self.models = list(dict.fromkeys([*self.models, model]))
            self.marked = list(dict.fromkeys([*self.marked, model]))[: self.most]
            self.draw()

    def action_take(self) -> None:
        """Use the marked ones, or the one under the cursor where none is marked."""
        current = self.query_one(Listing).current
        self.dismiss(self.marked or ([self.models[int(current)]] if current else []))
