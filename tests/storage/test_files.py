"""Writes are whole or not there; names and texts are safe."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetune.errors import EdgeTuneError, InputError
from edgetune.formatting import format_size
from edgetune.storage.files import DiskFull, atomic_write, disk_errors, need_space, publish_folder, safe_name, system_error
from edgetune.text import one_line, safe_text


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="boom"), atomic_write(path) as file:
        file.write(b"half")
        raise ValueError("boom")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_published_folder_is_whole_or_absent(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), publish_folder(tmp_path / "d") as part:
        (part / "a").write_text("x")
        raise ValueError("boom")
    assert os.listdir(tmp_path) == []
    with publish_folder(tmp_path / "d") as part:
        (part / "a").write_text("x")
    assert os.listdir(tmp_path) == ["d"]


BIG_WRITE = """
import resource, signal, sys
from pathlib import Path
from edgetune.storage.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    with atomic_write(Path(sys.argv[1])) as file:
        file.write(b"x" * 10_000_000)
except OSError as error:
    print("broke off", error.errno)
"""


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    done = subprocess.run(
        [sys.executable, "-c", BIG_WRITE, str(tmp_path / "f")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert "broke off" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []
    with pytest.raises(EdgeTuneError, match="Not enough disk space"):
        need_space(tmp_path, 10**18, "The export")


def test_what_the_system_refuses_has_a_cause_and_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(OSError) as missing:
        open(tmp_path / "none", "rb").close()
    errors = [system_error(missing.value), system_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "r")), system_error(MemoryError())]
    errors.append(system_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "r")))
    assert [isinstance(error, DiskFull) for error in errors] == [False, True, False, False]
    assert [error.title for error in errors] == [f"Cannot open {tmp_path / 'none'}", "The disk is full", "Out of memory", "Not allowed"]
    assert system_error(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))).title == "Out of memory"
    assert system_error(TimeoutError()).cause == "TimeoutError." and "path" not in system_error(PermissionError(errno.EPERM, "no")).remedy
    assert "edgetune prune" in errors[1].remedy and all(error.remedy for error in errors)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_a_full_disk_has_a_remedy() -> None:
    with pytest.raises(DiskFull, match="disk is full"), disk_errors(Path("x")), open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")


@pytest.mark.parametrize("name", ["", "..", "a/b", "CON", "nul.txt", "a\x1b", "-x", "a" * 65, "x."])
def test_names_that_no_system_takes(name: str) -> None:
    with pytest.raises(InputError):
        safe_name(name)


def test_control_sequences_never_pass() -> None:
    evil = "a\x1b]0;title\x07b\x9b31mc\u202ed\ud800e\r\x00"
    assert safe_text(evil) == "a]0;titleb31mcd\ufffde"
    assert "\n" not in one_line("a\nb") and len(one_line("x" * 200, 50)) == 50


def test_sizes_for_people() -> None:
    assert [format_size(n) for n in (0, 1023, 1536, 5 * 2**20, 3 * 2**30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
