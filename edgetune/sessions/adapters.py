"""Adapters of a chat's model: named on the command line or in the conversation, loaded and rescaled without loading the base again."""

from collections.abc import Callable
from pathlib import Path

from edgetune.chat.engine import Engine
from edgetune.errors import InputError
from edgetune.storage.paths import split_number

Say = Callable[[str], None]


def load(engine: Engine, files: list[str], say: Say) -> None:
    """Load the adapters named with --adapter, as FILE or FILE:SCALE.

    InputError, before llama.cpp sees it, for one that does not belong to the base.
    """
    for path, number in map(split_number, files):
        scale = 1.0 if number is None else number

        # Files of the same name in different folders are told apart by a number.
        name = path.stem
        count = 1
        while name in engine.adapters:
            count += 1
            name = f"{path.stem}-{count}"
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
