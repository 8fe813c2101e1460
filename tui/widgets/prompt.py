"""Where a question is typed: Enter sends it, Ctrl+J or Shift+Enter begins a new line."""

from textual import events
from textual.message import Message
from textual.widgets import TextArea

ASK = "Ask something. Enter sends it, Ctrl+J begins a new line."


class Prompt(TextArea):
    """A few lines of text. Posts Sent."""

    class Sent(Message):
        """Enter was pressed on a text that is not blank."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id, show_line_numbers=False, soft_wrap=True, tab_behavior="focus", compact=True, placeholder=ASK)

    async def _on_key(self, event: events.Key) -> None:
        if event.key in ("shift+enter", "ctrl+j"):
            event.stop()
            event.prevent_default()
            self.insert("\n")
        elif event.key == "enter":
            event.stop()
            event.prevent_default()
            if self.text.strip():
                self.post_message(self.Sent(self.text.strip()))
        else:
            await super()._on_key(event)
