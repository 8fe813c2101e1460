"""What the app remembers between two starts: theme, keys of the user's own, the tour. One JSON file in the workspace."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edgetune.storage.files import write_json
from tui.themes import DARK


@dataclass
class Settings:
    """theme: a theme's name. keys: names of bindings with the keys for them. toured: whether the tour was shown to its end or skipped."""

    theme: str = DARK
    keys: dict[str, str] = field(default_factory=dict)
    toured: bool = False

    def save(self, path: Path) -> None:
        """Write them."""
        write_json(path, asdict(self))


def load_settings(path: Path) -> Settings:
    """The settings of a file; what is missing or makes no sense is as usual, for a broken file must not keep the app shut."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Settings()
    usual = Settings()
    if not isinstance(saved, dict):
        return usual
    good = {f.name: saved[f.name] for f in fields(Settings) if isinstance(saved.get(f.name), type(getattr(usual, f.name)))}
    return Settings(**good)
