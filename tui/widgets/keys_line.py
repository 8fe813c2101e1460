"""The last line of a screen: the keys that work now, whole words alone; what there is no room for stands in the help.

One widget, where Textual's Footer makes one of every key again whenever a key may have changed: that took a third of the time to the
app's first screen.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.events import Leave, MouseMove
from textual.widget import Widget

HELP_ACTION = "help"


@dataclass(frozen=True)
class Shown:
    """A key. drawn: as people know it. words: what it does. more: the same in a sentence."""

    action: str
    key: str
    drawn: str
    words: str
    enabled: bool
    more: str

    @property
    def cells(self) -> int:
        """What it takes of the line, with blanks around and between."""
        return cell_len(self.drawn) + cell_len(self.words) + 3


class KeysLine(Widget):
    """Keys from the left on as many as fit, the help's at the right; a click presses one."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys-line--key", "keys-line--words"}
    DEFAULT_CSS = """
    KeysLine { dock: bottom; height: 1; color: $footer-foreground; }
    KeysLine .keys-line--key { color: $footer-key-foreground; text-style: bold; }
    KeysLine .keys-line--words { color: $footer-description-foreground; }
    """
    auto_links = False

    def __init__(self) -> None:
        super().__init__()
        self.keys: tuple[Shown, ...] = ()

    def on_mount(self) -> None:
        """Follow the screen's keys."""
        self.screen.bindings_updated_signal.subscribe(self, self.changed)

    def changed(self, screen: Any) -> None:
        """Redraw, where other keys are valid now."""
        if screen is not self.screen or not screen.app.app_focus:
            return
        valid: dict[str, Shown] = {}
        for _, binding, enabled, tooltip in screen.active_bindings.values():
            if binding.show and binding.action not in valid:
                drawn, more = self.app.get_key_display(binding), tooltip or binding.description
                valid[binding.action] = Shown(binding.action, binding.key, drawn, binding.description, enabled, more)
        if (keys := tuple(valid.values())) != self.keys:
            self.keys = keys
            self.refresh()

    def render(self) -> Text:
        """The line."""
        at_the_end = [key for key in self.keys if key.action == HELP_ACTION]
        room = self.size.width - sum(key.cells for key in at_the_end)
        line = Text(no_wrap=True, overflow="crop")
        for key in self.keys:
            if key not in at_the_end and room >= key.cells:
                room -= key.cells
                self._add(line, key)
        line.append(" " * max(room, 0))
        for key in at_the_end:
            self._add(line, key)
        return line

    def _add(self, line: Text, key: Shown) -> None:
        meta = Style(dim=not key.enabled, meta={"@click": f"app.simulate_key({key.key!r})", "key": key.key})
        for part, text in (("key", f" {key.drawn} "), ("words", f"{key.words} ")):
            line.append(text, self.get_component_rich_style(f"keys-line--{part}", partial=True) + meta)

    def on_mouse_move(self, event: MouseMove) -> None:
        """What the key under the mouse does."""
        under = event.style.meta.get("key")
        self.tooltip = next((key.more for key in self.keys if key.key == under), None)

    def on_leave(self, event: Leave) -> None:
        """Nothing is under the mouse."""
        self.tooltip = None
