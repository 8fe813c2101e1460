"""Where runs live, and what a run's folder holds. Plain files are the database."""

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError, InputError
from edgetune.storage.files import TEMPORARY, folder_bytes, safe_name
from edgetune.storage.paths import BUNDLED

FAILED_SUFFIX = ".failed.gguf"
"""Suffix of an export that failed its proof."""

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""What PEFT names the two files of an adapter."""
HELD_OUT_EXAMPLES = "held_out.jsonl"
"""A run's held-out examples in words, among its data."""
REQUIRED_KEYS = ("base", "base_name", "data", "steps", "read", "kept", "rejected", "held_out", "device", "dtype")
"""What every run's request holds, whichever version made it."""


@dataclass(frozen=True)
class Run:
    """One run's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The run's name is its folder's."""
        return self.folder.name

    @property
    def events(self) -> Path:
        """The append-only event log."""
        return self.folder / "events.jsonl"

    @property
    def request_file(self) -> Path:
        """What was asked for when the run was made; see `request`. A folder without it is no run."""
        return self.folder / "request.json"

    @property
    def moved_base_file(self) -> Path:
        """Where the base is now, if it was moved after the run was made (`edgetune rebase`); see `request`."""
        return self.folder / "moved_base.json"

    @property
    def recipe_file(self) -> Path:
        """The recipe, as it was when the run was made."""
        return self.folder / "recipe.toml"

    @property
    def held_out(self) -> Path:
        """The held-out examples in words; not there where nothing was held out."""
        return self.data / HELD_OUT_EXAMPLES

    @property
    def worker_log(self) -> Path:
        """What the worker wrote on its streams."""
        return self.folder / "worker.log"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints, one folder each."""
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The finished adapter in PEFT's layout."""
        return self.folder / "adapter"

    @property
    def parent(self) -> Path:
        """The adapter of the earlier run that this one is built on, copied when it was made; not there for others."""
        return self.folder / "parent"

    @property
    def model(self) -> Path:
        """The finished model of a full fine-tuning run."""
        return self.folder / "model"

    @property
    def exports(self) -> Path:
        """Finished GGUF files."""
        return self.folder / "exports"

    @property
    def data(self) -> Path:
        """Prepared rows."""
        return self.folder / "data"

    @property
    def stop_file(self) -> Path:
        """Its presence asks the worker to stop after a checkpoint."""
        return self.folder / "stop"

    def request(self) -> dict[str, Any]:
        """What was asked for when the run was made: base, hashes, template, counts. `base` is the folder where the base is now."""
        try:
            value: dict[str, Any] = json.loads(self.request_file.read_text(encoding="utf-8"))
            for key in REQUIRED_KEYS:
                value[key]
            if self.moved_base_file.is_file():
                value["base"] = str(json.loads(self.moved_base_file.read_text(encoding="utf-8"))["base"])
            if Path(value["base"]).parts[-2:] == ("bundled", "nano") and not Path(value["base"]).exists():
                value["base"] = str(BUNDLED)  # the installation it was made with lay elsewhere; the base's hash is checked all the same
            return value
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EdgeTuneError(
                f"The run {self.name} is damaged", f"request.json: {error}", f"Delete it: edgetune delete {self.name}"
            ) from error

    def created(self) -> float:
        """When the run was made, in seconds since 1970. Raises FileNotFoundError where there is no run.

        Runs that have not noted it: the time of their recipe, which nothing changes later.
        """
        with suppress(ValueError, KeyError, TypeError):  # a damaged run is listed too, in the place that its files' times give it
            return float(json.loads(self.request_file.read_text(encoding="utf-8"))["created"])
        return (self.recipe_file if self.recipe_file.exists() else self.request_file).stat().st_mtime

    def size(self) -> int:
        """Bytes on disk."""
        return folder_bytes(self.folder)


@dataclass(frozen=True)
class Workspace:
    """The folder that holds everything EdgeTune makes."""

    path: Path

    @property
    def runs_folder(self) -> Path:
        """The folder of runs."""
        return self.path / "runs"

    @property
    def data_cache(self) -> Path:
        """The folder of prepared data, kept by content; it can be made again."""
        return self.path / "cache" / "data"

    @property
    def votes_cache(self) -> Path:
        """The folder of votes frozen into rows, each in a folder named by its content; they can be made again."""
        return self.path / "cache" / "votes"

    @property
    def proof_cache(self) -> Path:
        """The folder of the bases' own GGUF files, which proofs measure quantization on; they can be made again."""
        return self.path / "cache" / "proof"

    @property
    def imatrix_cache(self) -> Path:
        """The folder of importance matrices of model folders (a run keeps its own); they can be made again."""
        return self.path / "cache" / "imatrix"

    @property
    def caches(self) -> tuple[Path, ...]:
        """The folders of what can be made again."""
        return self.data_cache, self.votes_cache, self.proof_cache, self.imatrix_cache, self.chat_cache, self.fetch_cache

    @property
    def chat_cache(self) -> Path:
        """The folder of bases as GGUF files, to chat with beside what was made of them; they can be made again."""
        return self.path / "cache" / "chat"

    @property
    def conversations(self) -> Path:
        """The folder of kept conversations."""
        return self.path / "conversations"

    @property
    def bases(self) -> Path:
        """The folder of base models that were fetched."""
        return self.path / "bases"

    @property
    def fetch_cache(self) -> Path:
        """The folder of base models that are not fetched whole yet."""
        return self.path / "cache" / "fetch"

    @property
    def quarantine(self) -> Path:
        """The folder of rows that checks left out."""
        return self.path / "quarantine"

    @property
    def preferences(self) -> Path:
        """The folder of preference files, one JSON lines file a name."""
        return self.path / "preferences"

    @property
    def locks(self) -> Path:
        """The folder of locks shared by all jobs."""
        return self.path / "locks"

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        created: dict[Run, float] = {}
        for folder in self.runs_folder.iterdir() if self.runs_folder.is_dir() else ():
            if not folder.name.endswith(TEMPORARY):
                with suppress(FileNotFoundError, NotADirectoryError):  # no run, or one that is deleted or renamed this moment
                    created[Run(folder)] = Run(folder).created()
        return sorted(created, key=created.__getitem__)

    def run(self, name: str) -> Run:
        """The run of a name; InputError when there is none."""
        run = Run(self.runs_folder / safe_name(name))
        if not run.request_file.is_file():
            names = ", ".join(r.name for r in self.runs()[-5:])
            if not names:
                start = "Start one: edgetune train --base DIR --data FILE --name NAME (or edgetune demo)."
                raise InputError(f"There is no run '{name}'", "There are no runs yet.", start)
            raise InputError(f"There is no run '{name}'", f"Runs here: {names}.", "'edgetune runs' lists them all.")
        return run

    def new_name(self, requested: str | None, stem: str) -> str:
        """A name no run has: the wanted one, or the stem with a number."""
        if requested:
            if (self.runs_folder / safe_name(requested)).exists():
                raise InputError(
                    f"There is a run '{requested}' already",
                    "Names are unique.",
                    f"Choose another --name, or delete it: edgetune delete {requested}",
                )
            return requested

        # The stem may be any file's name; only characters that every system accepts are kept.
        stem = "".join(c if (c.isascii() and c.isalnum()) or c in "-_" else "-" for c in stem).strip("-_")[:40] or "run"
        number = 1
        while (self.runs_folder / f"{stem}-{number}").exists():
            number += 1
        return safe_name(f"{stem}-{number}")

    def leftovers(self) -> list[Path]:
        """Temporary files and folders that interrupted work left behind."""
        folders = [folder for folder in (self.runs_folder, self.locks, *self.caches, self.quarantine) if folder.is_dir()]
        dead = sorted(p for folder in folders for p in folder.rglob(f".*{TEMPORARY}") if _OURS.fullmatch(p.name) and not _owner_lives(p))
        return [p for p in dead if not any(other in p.parents for other in dead)]


_OURS = re.compile(r"\..+\.\d+" + re.escape(TEMPORARY))
"""What files.py names what it is still writing; other programs use the suffix too."""


def _owner_lives(path: Path) -> bool:
    """Whether the process that a temporary name carries still runs."""
    import psutil

    number = path.name.removesuffix(TEMPORARY).rsplit(".", 1)[-1]
    return number.isdigit() and psutil.pid_exists(int(number))


def open_workspace(path: Path | None = None) -> Workspace:
    """The workspace: the flag, else EDGETUNE_WORKSPACE, else the user's data folder."""
    if path is None and (named := os.environ.get("EDGETUNE_WORKSPACE")):
        path = Path(named)
    if path is None:
        from platformdirs import user_data_path

        path = user_data_path("edgetune", appauthor=False)
    return Workspace(path.expanduser().resolve())


def remove(path: Path) -> None:
    """Delete a file or folder: renamed first, so that an interruption leaves no half-deleted run under its name."""
    aside = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    os.rename(path, aside)
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink()
