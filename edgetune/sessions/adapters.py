"""Adapters of a chat's model: named on the command line or in the conversation, loaded and rescaled without loading the base again."""

from collections.abc import Callable
from pathlib import Path

from edgetune.chat.engine import Engine
from edgetune.errors import InputError

Say = Callable[[str], None]


def parse_scale(text: str) -> tuple[Path, float]:
    """FILE or FILE:SCALE as a path and a scale (1 where none is given)."""
    path, colon, scale = text.rpartition(":")
    number = _number(scale) if colon and path and not Path(text).expanduser().exists() else None
    return (Path(text).expanduser(), 1.0) if number is None else (Path(path).expanduser(), number)


def load(engine: Engine, files: list[str], say: Say) -> None:
    """Load the adapters named with --adapter. InputError, before llama.cpp sees it, for one that does not belong to the base."""
    for path, scale in map(parse_scale, files):
        name, number = path.stem, 2
        while name in engine.adapters:
            name, number = f"{path.stem}-{number}", number + 1
        engine.load_adapter(path, scale, name)
        say(f"adapter {name} at {scale:g}")


def describe(engine: Engine) -> str:
    """The loaded adapters with their scales, one per line."""
    lines = [f"  {name}  {adapter.scale:g}{'' if adapter.scale else ' (not used)'}" for name, adapter in engine.adapters.items()]
    return "\n".join(lines) or "  No adapter is loaded; /adapter FILE.gguf loads one."


def set_scale(engine: Engine, arguments: str, say: Say) -> None:
    """Carry out `/adapter NAME SCALE`, or `/adapter FILE SCALE` for one that is not loaded yet (SCALE 1 where it is left out)."""
    parts = arguments.rsplit(maxsplit=1)
    number = _number(parts[1]) if len(parts) == 2 else None
    name, scale = (arguments, 1.0) if number is None else (parts[0], number)

    if not name:
        raise InputError("/adapter needs a name", "No adapter was named.", "/adapters lists them.")
    if name in engine.adapters:
        engine.set_scale(name, scale)
    elif Path(name).expanduser().is_file():
        name = engine.load_adapter(Path(name).expanduser(), scale)
    else:
        raise InputError(
            f"No adapter is called '{name}'",
            f"Loaded: {', '.join(engine.adapters) or 'none'}; and there is no file of that name.",
            "Name one of them, or a GGUF LoRA file.",
        )
    say(f"adapter {name} at {scale:g}{'' if scale else ': not used'}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
