"""How a run's status looks: a sign, a word and a colour, so that it also reads without colours."""

from rich.text import Text

LOOKS = {
    "running": ("▶", "success"),
    "stopping": ("▶", "warning"),
    "waiting": ("◌", "warning"),
    "finished": ("✔", "primary"),
    "stopped": ("■", "warning"),
    "interrupted": ("!", "warning"),
    "failed": ("✘", "error"),
    "damaged": ("✘", "error"),
    "new": ("·", "foreground"),
}


def look(status: str, colours: dict[str, str]) -> Text:
    """The status with its sign. colours: the theme's variables."""
    sign, colour = LOOKS.get(status, ("·", "foreground"))
    return Text.assemble((f"{sign} {status}", colours.get(colour, "")))
