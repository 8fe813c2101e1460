"""Read files of examples of every kind, row by row, in memory that does not grow with the file.

One module per kind of file, found by the suffix; each has SUFFIXES and read(path) -> Iterator[Raw].
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from edgetune.data.readers import json_document, opened
from edgetune.data.readers.errors import FileError
from edgetune.data.readers.parse import parse
from edgetune.data.row import RawRow

__all__ = ["GZIP_SUFFIXES", "READERS", "FileError", "layout_note", "parse", "read", "suffix_of"]

READERS = {
    ".jsonl": "json_document",
    ".ndjson": "json_document",
    ".json": "json_document",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "arrow",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "plain_text",
    ".md": "plain_text",
    ".pdf": "pdf",
    ".docx": "word",
    ".epub": "epub",
    ".html": "web_page",
    ".htm": "web_page",
    ".xhtml": "web_page",
}
"""Suffixes of the files that are read, and the module that reads each."""
GZIP_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md")
"""Suffixes that may be followed by .gz."""


def suffix_of(path: Path) -> str:
    """The suffix that decides how a file is read, without .gz and in small letters; "" when EdgeTune does not read such files."""
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    known = suffix in READERS and (not name.endswith(".gz") or suffix in GZIP_SUFFIXES)
    return suffix if known else ""


def read(path: Path) -> Iterator[RawRow]:
    """The rows of a file. Raises FileError when it cannot be read, at the latest where reading stops."""
    opened.check_file(path)
    suffix = suffix_of(path)
    if not suffix:
        raise _unknown(path)

    # A reader may meet an error of the disk at any row; it becomes one of the file.
    empty = True
    try:
        for raw in import_module(f"{__name__}.{READERS[suffix]}").read(path):
            empty = False
            yield raw
    except OSError as error:
        raise opened.file_error(path, error) from error

    if empty:
        raise FileError(path, "no_rows", "holds no examples", "It holds only blank lines or a header.", "Check that it was saved whole.")


def layout_note(path: Path) -> str:
    """What to say of a file that is laid out otherwise than its name says, and is read all the same; "" for all others."""
    return json_document.layout_note(path) if READERS.get(suffix_of(path)) == "json_document" else ""


_REMEDIES = (
    (
        "pickle",
        (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npy", ".npz"),
        "Such files can run code when read. Save the rows as .jsonl.",
    ),
    ("spreadsheet", (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "Save the sheet as .csv."),
    ("old_document", (".doc", ".odt", ".rtf", ".pages", ".mobi", ".azw3"), "Save it as .docx, .epub or .txt."),
    ("archive", (".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst", ".gz"), "Unpack it, and name the file or folder inside."),
    ("model", (".gguf", ".safetensors", ".bin"), "This is a model's file; name a file of examples with --data."),
)


def _unknown(path: Path) -> FileError:
    """The error for a suffix that is not read, with the way out where one is known."""
    suffix = path.suffix.lower()
    kind, remedy = next(((kind, remedy) for kind, known, remedy in _REMEDIES if suffix in known), ("unknown_kind", ""))
    return FileError(
        path,
        kind,
        "is of a kind EdgeTune does not read",
        f"Known are {', '.join(READERS)}, and {', '.join(GZIP_SUFFIXES)} with .gz.",
        remedy or "Convert the file to one of these.",
    )
