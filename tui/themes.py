"""The app's own two themes; every colour in edgetune.tcss is one of their variables."""

from textual.theme import Theme

DARK, LIGHT = "edgetune-dark", "edgetune-light"

THEMES = (
    Theme(
        name=DARK,
        primary="#6cb6ff",
        secondary="#96d0c8",
        accent="#f2b45a",
        foreground="#d7dde6",
        background="#10141b",
        surface="#161b24",
        panel="#212936",
        success="#7fc98b",
        warning="#e6b455",
        error="#ef7078",
        dark=True,
        variables={"footer-key-foreground": "#f2b45a", "block-cursor-text-style": "bold", "border": "#3a4658", "border-blurred": "#2a3342"},
    ),
    Theme(
        name=LIGHT,
        primary="#1d5fb8",
        secondary="#15756b",
        accent="#9a5200",
        foreground="#1f252e",
        background="#f4f3ef",
        surface="#fbfaf7",
        panel="#e6e4dd",
        success="#28723a",
        warning="#8a5a00",
        error="#b3262f",
        dark=False,
        variables={"footer-key-foreground": "#9a5200", "block-cursor-text-style": "bold", "border": "#a9a699", "border-blurred": "#cdcabf"},
    ),
)
