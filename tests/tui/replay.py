"""What real child processes said, said again: their figures differ from machine to machine, and a picture's must not."""

import asyncio
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.errors import EdgeTuneError
from edgetune.storage.workspace import Workspace

RECORDED = Path(__file__).parent / "recorded"


class Replay:
    """Stands in for `tui.command.edgetune` in one module. Each of `names` is what a command said, in the order they are asked.

    held: lines after which the last command waits until `go` is set; None for no waiting.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str, *names: str, held: int | None = None) -> None:
        self.records = [json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8")) for name in names]
        self.held, self.go = held, asyncio.Event()
        monkeypatch.setattr(importlib.import_module(module), "edgetune", self)

    async def __call__(self, workspace: Workspace, *words: str, on_line: Callable[[str], None] = lambda line: None) -> Any:
        """Say the lines, give the document. Raises the command's error."""
        record = self.records.pop(0)
        last = not self.records
        for number, line in enumerate(record["said"]):
            if last and number == self.held:
                await self.go.wait()
            on_line(line)
        if last and self.held is not None and self.held >= len(record["said"]):
            await self.go.wait()
        if error := record.get("error"):
            raise EdgeTuneError(error["title"], error["cause"], error["remedy"])
        return record["document"]
