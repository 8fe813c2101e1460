"""The base alone as a GGUF of a type: what quantizing costs without any tuning. Written once, and stored while there is room."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import converters
from edgetune.bases.fingerprint import fingerprint
from edgetune.storage.files import atomic_write, free_bytes

FREE_SPACE_FACTOR = 20
"""A base's file stays where its disk has so many times its size free."""


def _name(base: Path, type_name: str) -> str:
    """A name that changes with the base and with the converter's code."""
    code = hashlib.sha256()
    root = Path(converters.__file__).parent
    for path in sorted(root.rglob("*.py")):
        code.update(path.read_bytes())
    return f"{fingerprint(base)[:24]}-{code.hexdigest()[:8]}-{type_name}.gguf"


@contextmanager
def base_gguf_of_type(base: Path, type_name: str, cache: Path) -> Iterator[Path]:
    """The base's file of a type, from `cache` where it is there. Afterwards it is removed where the disk has little room."""
    from converters import convert
    from edgetune.gguf.source import conversion_errors

    path = cache / _name(base, type_name)
    if not path.is_file():
        with conversion_errors():
            plan = convert.plan_gguf(base, None, [type_name], chat_template=None, name="base", extra={})
            with atomic_write(path) as file:
                plan.write(type_name, file)
    try:
        yield path
    finally:
        if free_bytes(cache) < FREE_SPACE_FACTOR * path.stat().st_size:
            path.unlink()
