"""An adapter alone as a GGUF LoRA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.gguf.source import Source, conversion_errors
from edgetune.storage.files import atomic_write, need_space, sha256


def export_adapter(source: Source, type_name: str, out: Path | None, note: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Write the adapter alone as a GGUF LoRA. Returns path, type, bytes and sha256. Raises EdgeTuneError with nothing half-written.

    type_name: one of converters.lora.ADAPTER_TYPES. out: a file, or a folder. note: gets what a user should know.
    """
    from converters import lora

    if source.adapter is None:
        raise InputError(
            "There is not one adapter to write",
            "--adapter-only writes a single one, and its strength is chosen when it is loaded." if source.mix else "The source has none.",
            "Name a run trained with LoRA, or a base folder with one --adapter DIR.",
        )
    extra = {key: value for key, value in source.facts.items() if key in ("edgetune.base", "edgetune.run")}
    with conversion_errors():
        plan = lora.plan_lora(source.model, source.adapter, type_name, name=source.name, extra=extra)
    if note:
        for text in plan.notes:
            note(text)
    path = out if out is not None and out.suffix == ".gguf" else (out or source.home or Path.cwd()) / f"{source.name}-lora-{type_name}.gguf"
    need_space(path.parent, plan.size() + 2**20, "The export")
    with conversion_errors(), atomic_write(path) as file:
        plan.write(file)
    return {"path": str(path), "type": type_name, "bytes": path.stat().st_size, "sha256": sha256(path)}
