"""The last line of a screen: the keys that work now, whole words alone; what there is no room for stands in the help."""

from textual.app import ComposeResult
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Footer

HELP = "help"


class KeysLine(Footer):
    """Keys from the left on as many as fit, the help's at the right."""

    DEFAULT_CSS = """
    KeysLine .-help { dock: right; }
    """

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)

    def compose(self) -> ComposeResult:
        """As the footer does, but no word is cut."""
        keys = list(super().compose())
        room = self.app.size.width - sum(_cells(key) for key in keys if _action(key) == HELP)
        for key in keys:
            if _action(key) == HELP:
                key.add_class("-help")
                yield key
                continue
            room -= _cells(key)
            if room >= 0:
                yield key

    async def on_resize(self, event: Resize) -> None:
        """Another width has room for more or fewer."""
        await self.recompose()


def _action(key: Widget) -> str:
    """What a key of the footer does; its class has no public name."""
    return str(getattr(key, "action", ""))


def _cells(key: Widget) -> int:
    """What a key takes: blanks around and between its two words."""
    return len(getattr(key, "key_display", "")) + len(getattr(key, "description", "")) + 3
