"""Keys are declared once, on the screen or widget that has them; footer, palette, help and the user's own keys all read that."""

from textual.binding import Binding


def key(name: str, keys: str, action: str, label: str, tip: str = "", show: bool = True, priority: bool = False) -> Binding:
    """A key. name: what settings call it ("home.rename"). label: for the footer. tip: one sentence for help and palette."""
    return Binding(keys, action, label, show=show, tooltip=tip or label, id=name, priority=priority)
