"""Fetch a base model from a hub: what of it, the bytes with their hashes, and a folder that is whole or not there.

What is not whole yet lies in the workspace's cache/fetch and is taken up again by the same command.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from converters.weight_files import INDEX, WHOLE
from edgetune.bases import find, hub
from edgetune.bases.licence import FETCH_RECORD
from edgetune.errors import EdgeTuneError, InputError
from edgetune.storage.files import append_to, disk_errors, need_space, publish_ready, safe_name, sha256, write_json
from edgetune.storage.workspace import Workspace

WANTED_FILES = {
    *("config.json", "generation_config.json", INDEX, "chat_template.jinja", "chat_template.json"),
    "processor_config.json",
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt"),
}
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
SPARE_BYTES = 64 * 2**20
MAX_TEXT_BYTES = 200_000_000
"""Bytes that a file which is no weights may have; the largest tokenizers have about 35 MB."""


@dataclass(frozen=True)
class FetchPlan:
    """What would be fetched, and what would not, with the reason."""

    repo: hub.Repo
    files: list[hub.RemoteFile]
    skipped: dict[str, str]
    target: Path
    partial: Path

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def have(self) -> int:
        """Bytes that an earlier try left."""
        return sum(min(file.size, max(_size(self.partial / file.name), _size(_unfinished(self.partial, file)))) for file in self.files)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _unfinished(folder: Path, file: hub.RemoteFile) -> Path:
    return folder / f"{file.name}.unfinished"


def plan_fetch(repo: hub.Repo, workspace: Workspace) -> FetchPlan:
    """Choose the files. Raises InputError where names are hostile or no safetensors weights are there."""
    hostile = [f.name for f in repo.files if not _harmless(f.name)]
    if hostile:
        raise InputError(f"{repo.name} names files outside its folder", hostile[0][:200], "Do not use this model; report it to the hub.")

    # One whole file or the shards of an index are the model, in this order; other safetensors are copies in another layout.
    names = {f.name for f in repo.files}
    shards = {name for name in names if "/" not in name and name.endswith(".safetensors") and "-of-" in name} if INDEX in names else set()
    weights = {WHOLE} & names or {name for name in shards if name.startswith("model")} or shards
    chosen = (WANTED_FILES | weights) - ({INDEX} if WHOLE in weights else set())
    files = [f for f in repo.files if f.name in chosen]
    skipped = {f.name: _reason(f.name) for f in repo.files if f.name not in chosen}

    if not weights or "config.json" not in {f.name for f in files}:
        pickles = [name for name in skipped if name.endswith(PICKLE_SUFFIXES)]
        missing = "no config.json" if weights else "no safetensors weights"
        raise InputError(
            f"{repo.name} cannot be used: {missing}",
            f"Its weights are pickles ({', '.join(pickles[:3])}), which can run code when they are read."
            if pickles and not weights
            else f"It holds {', '.join(f.name for f in repo.files[:5]) or 'no files'}.",
            "Choose a model with safetensors weights; 'edgetune fetch' lists some.",
        )

    # Without a size and a hash nothing could be verified.
    bad = [f for f in files if f.size < 1 or (f.size > MAX_TEXT_BYTES and not f.name.endswith(".safetensors")) or not (f.sha256 or f.blob)]
    if bad:
        raise InputError(
            f"{repo.name} cannot be fetched",
            f"The hub gives no sensible size or hash for {bad[0].name}.",
            "Choose another model; 'edgetune fetch' lists some.",
        )

    label = safe_name(repo.name.replace("/", "--"))
    return FetchPlan(repo, files, skipped, workspace.bases / label, workspace.fetch_cache / f"{label}@{repo.commit}")


def _harmless(name: str) -> bool:
    """Whether a listed name stays inside its folder on every system."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not set(name) & set("\\:\0") and name.isprintable()


def _reason(name: str) -> str:
    """Why a file is left where it is."""
    if name.endswith(PICKLE_SUFFIXES):
        return "pickle"
    if name.endswith((".py", ".so", ".sh", ".ipynb")):
        return "code"
    return "in a subfolder" if "/" in name else "not needed"


def check_target(plan: FetchPlan) -> None:
    """Refuse what is here already, and what the disk cannot hold."""
    if plan.target.exists():
        raise InputError(
            f"{plan.repo.name} is here already", f"{plan.target} exists.", "Use it with --base, or remove the folder to fetch it again."
        )
    need_space(plan.target, plan.bytes - plan.have + SPARE_BYTES, f"Fetching {plan.repo.name}")


def fetch(plan: FetchPlan, token: str | None, progress: Callable[[str, int, int], None] | None = None) -> find.Base:
    """Fetch everything, verify it, and let the folder appear. progress: called with file name, bytes so far in all, bytes in all.

    Raises EdgeTuneError; what is whole or half fetched then stays in the cache. One process at a time fetches the same model.
    """
    with _owned(plan.partial) as own:
        if not own:
            raise EdgeTuneError(
                f"{plan.repo.name} is being fetched already", "Another process has its folder.", "Wait for it, or end that one."
            )

        # Checked again under the lock: another process may have finished meanwhile.
        check_target(plan)
        done = 0
        for file in plan.files:
            _fetch_file(plan, file, token, partial(_report_progress, progress, file.name, done, plan.bytes))
            done += file.size

        find.describe_base(plan.partial)  # config, index and headers make sense, and no shard is missing
        write_json(plan.partial / FETCH_RECORD, _record(plan))
        publish_ready(plan.partial, plan.target)
    return find.describe_base(plan.target)


@contextmanager
def _owned(unfinished: Path) -> Iterator[bool]:
    """Whether this process alone may write an unfinished model's folder; as long as it lasts, no other one may."""
    from filelock import FileLock, Timeout

    with disk_errors(unfinished):
        unfinished.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(unfinished.with_name(f".{unfinished.name}.lock"), timeout=0):
            yield True
    except Timeout:
        yield False


def is_being_fetched(unfinished: Path) -> bool:
    """Whether a process fetches into an unfinished model's folder."""
    with _owned(unfinished) as own:
        return not own


def _report_progress(progress: Callable[[str, int, int], None] | None, name: str, before: int, total: int, have: int) -> None:
    if progress:
        progress(name, before + have, total)


def _record(plan: FetchPlan) -> dict[str, Any]:
    repo = plan.repo
    files = {f.name: {"bytes": f.size, "sha256": f.sha256 or sha256(plan.partial / f.name), "hub": f.sha256 or f.blob} for f in plan.files}
    return {
        "model": repo.name,
        "from": repo.endpoint,
        "commit": repo.commit,
        "licence": repo.licence,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
        "skipped": plan.skipped,
    }


def fetch_record(folder: Path) -> dict[str, Any] | None:
    """What is known about a folder that was fetched, or None."""
    try:
        value = json.loads((folder / FETCH_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _fetch_file(plan: FetchPlan, file: hub.RemoteFile, token: str | None, progress: Callable[[int], None]) -> None:
    """One file, verified; a damaged one is fetched once more."""
    target, part = plan.partial / file.name, _unfinished(plan.partial, file)
    if target.exists() and is_intact(target, file):
        return
    target.unlink(missing_ok=True)

    # What is on disk is continued; a file that then fails its hash is fetched once more from its start.
    for _ in range(2):
        if _size(part) > file.size:
            part.unlink()
        with append_to(part, file.size, progress) as to:
            hub.download(plan.repo, file, to, _size(part), token)
        if is_intact(part, file):
            part.replace(target)
            return
        part.unlink()

    raise EdgeTuneError(
        f"{file.name} is damaged",
        f"It was downloaded twice and never matched the hash published by {plan.repo.endpoint} ({(file.sha256 or file.blob)[:16]}…).",
        "It was deleted. Try again later, or from another network.",
    )


def is_intact(path: Path, file: hub.RemoteFile) -> bool:
    """Whether a file has the size and the hash the hub states: LFS's sha256, or git's blob hash."""
    if path.stat().st_size != file.size:
        return False
    if file.sha256:
        return sha256(path) == file.sha256
    return hashlib.sha1(b"blob %d\0" % file.size + path.read_bytes()).hexdigest() == file.blob  # git's identity, not a defence
