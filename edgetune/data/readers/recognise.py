"""Tell by its first bytes what a file really is, so that a file which is not what its name says is named, not misread."""

import codecs
from pathlib import Path

from edgetune.data.readers.errors import FileError

HEAD_BYTES = 4096
"""Bytes looked at."""
LFS_HEADER = b"version https://git-lfs.github.com/spec/v1"
DOWNLOAD_AGAIN = "Download or copy the file again."
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive, as .xlsx, .docx and .zip files are", "Save its sheet as .csv or its text as .docx, or unpack it."),
    (b"\x1f\x8b", "gzip-compressed", "Rename it to end in .gz."),
    (b"%PDF-", "a PDF document", "Rename it to end in .pdf."),
    (b"PAR1", "a Parquet file", "Rename it to end in .parquet."),
    (b"ARROW1", "an Arrow file", "Rename it to end in .arrow."),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or an encrypted one", "Save it without a password, as .docx or .csv."),
    (b"BZh", "bzip2-compressed", "Unpack it."),
    (b"\xfd7zXZ", "xz-compressed", "Unpack it."),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "Unpack it."),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it."),
    (b"SQLite format 3\x00", "an SQLite database", "Save the table as .csv."),
    (b"GGUF", "a model in GGUF form", "Name a file of examples with --data."),
    (b"\x93NUMPY", "a numpy array", "Save the examples as .jsonl."),
    *((b"\x80" + bytes([n]), "a Python pickle, which can run code when it is read", "Save the examples as .jsonl.") for n in range(2, 6)),
)
_MARKUP = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<!--")
_CONTROL = bytes(n for n in range(32) if n not in b"\t\n\r\x0c\x1b")


def refuse_pointer(path: Path, head: bytes) -> None:
    """Raise FileError (lfs_pointer) for the stand-in that git keeps in place of a large file."""
    if head.startswith(LFS_HEADER):
        raise FileError(
            path,
            "lfs_pointer",
            "is only a pointer to the file",
            "It was cloned without Git LFS, so the data itself is missing.",
            "Run 'git lfs pull' in its folder.",
        )


def identify_head(head: bytes) -> tuple[str, str]:
    """What the first bytes say a file is, and what to do then; ("", "") when they say nothing."""
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            return what, remedy
    if head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        return "a web page, perhaps that of a log-in or an error", "Download the file itself; a browser shows what this page says."
    return "", ""


def wrong_content(path: Path, head: bytes, kind: str, remedy: str = DOWNLOAD_AGAIN) -> FileError:
    """The error for a file that should be of a certain kind ("a PDF document") and is not; it names what the file is where it can."""
    refuse_pointer(path, head)
    what, better = identify_head(head)
    is_html = what.startswith("a web page")
    return FileError(
        path,
        "html_page" if is_html else "wrong_content",
        f"is not {kind}",
        f"It is {what}." if what else "Its first bytes are not those of one.",
        better or remedy,
    )


def check_text(path: Path, head: bytes, markup: bool = False) -> None:
    """Raise FileError when the head of a file that should be text is not that of one. markup: web pages are welcome.

    Kinds: lfs_pointer, html_page, wrong_content, encoding, binary.
    """
    refuse_pointer(path, head)
    what, _ = identify_head(head)
    if what and not (markup and what.startswith("a web page")):
        raise wrong_content(path, head, f"what its name says ({path.suffix or 'no suffix'})")

    # UTF-16 and UTF-32 with a mark are read; without one, every other byte is zero.
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[:4] == b"\x00\x00\xfe\xff":
        return
    if len(head) >= 4 and head.count(0) * 10 >= len(head) * 4 and (not any(head[::2]) or not any(head[1::2])):
        raise FileError(path, "encoding", "is not UTF-8 text", "It looks like UTF-16 without a byte order mark.", "Save it as UTF-8.")

    # Text has hardly any control characters; UTF-8 is given more room for them, as it is text otherwise.
    control = len(head) - len(head.translate(None, _CONTROL))
    if len(head) >= 32 and control * (3 if _is_utf8(head) else 20) > len(head):
        raise FileError(path, "binary", "is not text", "It holds binary data.", "Check that this is the file you mean.")


def _is_utf8(head: bytes) -> bool:
    """Whether the bytes are UTF-8, but for a character that is cut off at their end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
