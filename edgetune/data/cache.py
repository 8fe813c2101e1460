"""Prepared data kept by content: the same files, base and settings need not be read twice."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgetune.data.render import Rules, TextTokenizer
from edgetune.data.sources import Source
from edgetune.storage.files import publish_folder, sha256, write_json

CACHE_VERSION = 4
"""Raised whenever the same input would be prepared differently."""
MAX_CACHED = 4
"""Data sets kept; older ones go when a new one is made."""
REPORT_FILE = "report.json"


def cache_key(
    sources: list[Source], format: str, mapping: dict[str, str], rules: Rules, tokenizer: TextTokenizer, tokenizer_hash: str
) -> str:
    """A name for what these files become: a hash over their bytes and over all else that decides it."""
    template = tokenizer.template
    facts: dict[str, Any] = {
        "version": CACHE_VERSION,
        "files": [[str(s.path), s.held_out, sha256(s.path)] for s in sources],
        "format": format,
        "map": sorted(mapping.items()),
        "rules": [rules.max_length, rules.overlong, rules.train_on],
        "template": [template.source, template.bos_token, template.eos_token],
        "date": template.date if "strftime_now" in template.source else "",
        "tokenizer": [tokenizer_hash, tokenizer.bos_id, tokenizer.eos_id],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def load_or_prepare(folder: Path, entry: str, prepare: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any], bool]:
    """The folder of an entry with its report, made by `prepare` where it is missing or damaged; the flag says whether it was there.

    The report is written last and holds the hash of every file beside it.
    """
    target = folder / entry

    report = _read(target)
    if report is not None:
        (target / REPORT_FILE).touch()
        return target, report, True

    # A folder without a sound report is what an interruption left.
    shutil.rmtree(target, ignore_errors=True)
    with publish_folder(target) as part:
        report = prepare(part)
        files = {path.name: [path.stat().st_size, sha256(path)] for path in sorted(part.iterdir())}
        write_json(part / REPORT_FILE, {"files": files, "report": report})
    _forget(folder, target)
    return target, report, False


def _read(target: Path) -> dict[str, Any] | None:
    """The report of a folder whose files are as they were written, else None."""
    try:
        value = json.loads((target / REPORT_FILE).read_text(encoding="utf-8"))
        whole = all([(target / n).stat().st_size, sha256(target / n)] == fact for n, fact in value["files"].items())
        report: dict[str, Any] = value["report"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return report if whole else None


def _forget(folder: Path, newest: Path) -> None:
    """Remove what was not used for longest, until MAX_CACHED are left."""
    folders = [
        entry for entry in folder.iterdir() if (entry / REPORT_FILE).is_file() and entry != newest and not entry.name.startswith(".")
    ]
    for old in sorted(folders, key=lambda entry: (entry / REPORT_FILE).stat().st_mtime, reverse=True)[MAX_CACHED - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
