"""A line of text on a screen, changed by work that may outlive the screen."""

from textual.dom import DOMNode
from textual.visual import VisualType
from textual.widgets import Static


def set_text(node: DOMNode, selector: str, text: VisualType) -> None:
    """Change the line that `selector` names in a screen or widget. Where that was left meanwhile, nothing is there to change."""
    for line in node.query(selector).results(Static):
        line.update(text)
