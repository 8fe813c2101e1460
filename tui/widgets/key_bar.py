"""The keys of a screen in its last line, as one widget: Textual's Footer makes one for every key anew whenever a key may have changed,
which was a third of the app's time to its first screen."""

from typing import Any, ClassVar

from rich.style import Style
from rich.text import Text
from textual.events import Leave, MouseMove
from textual.widget import Widget

Shown = tuple[str, str, str, bool, str]
"""A key, as it is drawn, what it does, whether it can be used now, and more about it."""


class KeyBar(Widget):
    """The keys that do something now and want to be shown; a click presses one."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-bar--key", "key-bar--words"}
    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; color: $footer-foreground; }
    KeyBar .key-bar--key { color: $footer-key-foreground; text-style: bold; }
    KeyBar .key-bar--words { color: $footer-description-foreground; }
    """
    auto_links = False

    def __init__(self) -> None:
        super().__init__()
        self.keys: tuple[Shown, ...] = ()

    def on_mount(self) -> None:
        """Follow the screen's keys."""
        self.screen.bindings_updated_signal.subscribe(self, self.changed)

    def changed(self, screen: Any) -> None:
        """Draw anew, where other keys are valid now."""
        if screen is not self.screen or not screen.app.app_focus:
            return
        found: dict[str, Shown] = {}
        for _, binding, enabled, tooltip in screen.active_bindings.values():
            if binding.show and binding.action not in found:
                drawn = self.app.get_key_display(binding)
                found[binding.action] = (binding.key, drawn, binding.description, enabled, tooltip or binding.description)
        if (keys := tuple(found.values())) != self.keys:
            self.keys = keys
            self.refresh()

    def render(self) -> Text:
        """The line."""
        line = Text(no_wrap=True, overflow="crop")
        key_style, words_style = (self.get_component_rich_style(f"key-bar--{part}", partial=True) for part in ("key", "words"))
        for key, drawn, words, enabled, _ in self.keys:
            meta = Style(dim=not enabled, meta={"@click": f"app.simulate_key({key!r})", "key": key})
            line.append(f" {drawn} ", key_style + meta)
            line.append(f"{words} ", words_style + meta)
        return line

    def on_mouse_move(self, event: MouseMove) -> None:
        """What the key under the mouse does."""
        key = event.style.meta.get("key")
        self.tooltip = next((more for name, *_, more in self.keys if name == key), None)

    def on_leave(self, event: Leave) -> None:
        """Nothing is under the mouse."""
        self.tooltip = None
