"""Every kind of file reads as independent readers read it, streams, and what cannot be read says why, where and what to do."""

import contextlib
import csv
import gzip
import io
import json
import os
import pickle
import random
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetune.data import readers
from edgetune.data.formats import module
from edgetune.data.read import read_rows
from edgetune.data.readers import FileError, json_lines, json_scanner, opened, parse, pdf, table
from edgetune.data.row import EMPTY_CELL_WORDS, ParsedRow, RawRow
from edgetune.text import safe_text
from tests.fixtures.datasets import datasets

VALUES: list[dict[str, Any]] = [{"instruction": f"q{i}", "output": 'a, "b"\nc é 🎈'} for i in range(3)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(path: Path) -> list[dict[str, Any]]:
    rows = list(read_rows(path))
    assert not [row for row in rows if row.problem]
    return [row.value for row in rows]


def failure(path: Path) -> FileError:
    with pytest.raises(FileError) as caught:
        list(readers.read(path))
    error = caught.value
    assert error.file == str(path) and safe_text(path.name) in error.title and error.remedy and error.exit_code == 2
    assert (f"Line {error.line}: " in error.cause) == bool(error.line)
    assert "\n" not in error.title + error.cause + error.remedy
    return error


def test_every_kind_of_file(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    lines = "".join(json.dumps(v) + "\n" for v in VALUES)
    write(tmp_path / "a.jsonl", "\ufeff" + lines)
    write(tmp_path / "b.json", json.dumps(VALUES, indent=1))
    write(tmp_path / "c.jsonl.gz", gzip.compress(lines.encode()))
    quoted = "".join(f'q{i},"a, ""b""\nc é 🎈"\r\n' for i in range(3))
    write(tmp_path / "d.csv", "instruction,output\r\n" + quoted)
    write(tmp_path / "e.json", lines)
    write(tmp_path / "f.json", json.dumps({"version": 1, "data": VALUES, "languages": ["en"]}).encode("utf-16"))
    arrow = pyarrow.Table.from_pylist(VALUES)
    pyarrow.parquet.write_table(arrow, tmp_path / "g.parquet")
    pyarrow.feather.write_feather(arrow, tmp_path / "h.feather")
    with pyarrow.ipc.new_stream(str(tmp_path / "i.arrow"), arrow.schema) as stream:
        stream.write_table(arrow)
    write(tmp_path / "j.tsv", ("instruction\toutput\n" + quoted.replace(",", "\t", 3).replace("a\t", "a,")).replace("\nq2,", "\nq2\t"))
    write(tmp_path / "k.csv.gz", gzip.compress(("instruction;output\n" + quoted.replace(',"', ';"')).encode()))
    write(tmp_path / "l.json", json.dumps({"instruction": ["q0", "q1", "q2"], "output": [v["output"] for v in VALUES]}))
    write(tmp_path / "m.ndjson", lines.replace("\n", "\r\n\r\n").encode("utf-16-be").join([b"\xfe\xff", b""]))
    write(tmp_path / "n.json", json.dumps({c: {str(i): v[c] for i, v in enumerate(VALUES)} for c in VALUES[0]}))  # pandas' to_json
    write(tmp_path / "o.json", "\n".join(json.dumps(v, indent=2) for v in VALUES))
    write(tmp_path / "P.JSON.GZ", gzip.compress(json.dumps(VALUES).encode()))
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 16
    for path in paths:
        assert values(path) == VALUES, path.name
    assert [raw.line for raw in readers.read(tmp_path / "b.json")] == [2, 6, 10]
    assert [raw.line for raw in readers.read(tmp_path / "d.csv")] == [2, 4, 6]
    assert [raw.line for raw in readers.read(tmp_path / "m.ndjson")] == [1, 3, 5]
    assert [raw.line for raw in readers.read(tmp_path / "o.json")] == [1, 5, 9]
    assert len(list(read_rows(tmp_path))) == 16 * 3


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "tools": [{"name": "f"}]},
        {"tools": [{"name": "f"}], "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"prompt": "p", "completions": ["a", "b"], "labels": [True, False]},
        {"instruction": "q", "output": "a"},
    ],
)
def test_one_object_is_one_row(tmp_path: Path, row: dict[str, Any]) -> None:
    for indent in (None, 2):
        assert values(write(tmp_path / "one.json", json.dumps(row, indent=indent))) == [row]
        assert values(write(tmp_path / "one.json", json.dumps(row, indent=indent) + "\n")) == [row]


# Round trips against the standard library's writers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PRINTED = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\r\t"), max_size=20)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8
)
OBJECTS = st.lists(st.dictionaries(TEXT, JSON, min_size=1, max_size=3), min_size=1, max_size=5)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(OBJECTS, st.sampled_from([None, 0, 1, 4]), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_json_comes_back_as_it_was_written(
    tmp_path: Path, objects: list[dict[str, Any]], indent: int | None, ascii: bool, end: str
) -> None:
    texts = [json.dumps(o, indent=indent, ensure_ascii=ascii).replace("\n", end) for o in objects]
    path = write(tmp_path / "a.json", f"[{end}" + f",{end}".join(texts) + f"{end}]{end}")
    assert [row.value for row in read_rows(path)] == objects
    starts = [2]
    for text in texts[:-1]:
        starts.append(starts[-1] + text.count("\n") + 1)
    assert [row.line for row in read_rows(path)] == starts


@QUICK
@given(OBJECTS, st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n \n"]), st.booleans())
def test_json_lines_come_back(tmp_path: Path, objects: list[dict[str, Any]], ascii: bool, end: str, last: bool) -> None:
    text = end.join(json.dumps(o, ensure_ascii=ascii) for o in objects) + end * last
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        rows = list(read_rows(write(tmp_path / "a.jsonl", text.encode(encoding))))
        assert [row.value for row in rows] == objects
        assert [row.line for row in rows] == [1 + i * end.count("\n") for i in range(len(objects))]


@QUICK
@given(
    st.lists(st.lists(PRINTED.filter(lambda cell: cell not in EMPTY_CELL_WORDS), min_size=2, max_size=2), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_tables_come_back(tmp_path: Path, records: list[list[str]], delimiter: str, end: str) -> None:
    buffer, starts = io.StringIO(newline=""), []
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b c"])
    for record in records:
        starts.append(len(io.StringIO(buffer.getvalue(), newline=None).readlines()) + 1)
        writer.writerow(record)
    parsed = list(read_rows(write(tmp_path / "a.csv", buffer.getvalue())))
    assert [row.value for row in parsed] == [{"a": a, "b c": b} for a, b in records]
    assert [row.line for row in parsed] == starts


def test_values_that_cross_the_buffers_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps([{"é": '\\"]}{[', "n": [1, {"deep": [[[[[[1.5e3]]]]]]}]}, {}, 12, "s", None, [True]], indent=1, ensure_ascii=False)
    path = write(tmp_path / "a.json", text)
    expected = [raw for raw in readers.read(path)]
    assert [json.loads(raw.content) for raw in expected if isinstance(raw.content, bytes)] == json.loads(text)
    for size in range(1, 9):
        monkeypatch.setattr(json_scanner, "SCAN_CHUNK_BYTES", size)
        assert list(readers.read(path)) == expected


def test_real_json_is_what_the_standard_library_reads() -> None:
    for path in (path for path in datasets() if path.suffix == ".json"):
        text = path.read_text(encoding="utf-8")
        rows = list(read_rows(path))
        assert [row.value for row in rows] == json.loads(text), path
        lines = text.split("\n")
        assert all(lines[row.line - 1].strip() == "{" for row in rows)


# Columns


def test_damaged_columns_are_errors_never_crashes(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    arrow = pyarrow.Table.from_pylist([{"text": f"row {i}", "turns": [{"role": "user", "n": i}]} for i in range(40)])
    pyarrow.parquet.write_table(arrow, tmp_path / "a.parquet")
    pyarrow.feather.write_feather(arrow, tmp_path / "b.feather", compression="uncompressed")
    generator = random.Random(1)
    for path in list(tmp_path.iterdir()):
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(generator.choice([1, 3, 20])):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            path.write_bytes(damaged[: generator.choice([len(whole), len(whole), generator.randrange(1, len(whole))])])
            with contextlib.suppress(FileError):
                for raw in readers.read(path):
                    assert isinstance(raw.content, dict) or raw.problem


def test_parquet_and_arrow_keep_null_nan_and_nesting(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    expected = [{"t": None, "x": 1.5, "m": [{"role": "user"}], "b": b"\xff"}, {"t": "nan", "x": None, "m": [], "b": None}]
    arrow = pyarrow.Table.from_pylist(expected * 2000)
    pyarrow.parquet.write_table(arrow, tmp_path / "a.parquet", row_group_size=700)
    with pyarrow.ipc.new_file(str(tmp_path / "b.arrow"), arrow.schema) as file:
        file.write_table(arrow)
    for path in (tmp_path / "a.parquet", tmp_path / "b.arrow"):
        rows = list(readers.read(path))
        assert [raw.content for raw in rows] == expected * 2000
        assert [raw.line for raw in rows] == list(range(1, 4001))
    pyarrow.parquet.write_table(pyarrow.table({"x": pyarrow.array([float("nan")])}), tmp_path / "c.parquet")
    content = next(readers.read(tmp_path / "c.parquet")).content
    assert isinstance(content, dict) and content["x"] != content["x"]


def test_a_column_that_is_not_utf8_does_not_hide_one_that_would_crash(tmp_path: Path) -> None:
    """Arrow stops its check at the first fault; offsets that lead far out of the file came behind one."""
    import pyarrow

    bad = pyarrow.array([b"caf\xe9", b"x"]).view(pyarrow.string())
    offsets = pyarrow.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 1 << 30, 1)))
    far = pyarrow.Array.from_buffers(pyarrow.list_(pyarrow.int64()), 2, [None, offsets], children=[pyarrow.array([1])])
    with pyarrow.ipc.new_stream(str(tmp_path / "a.arrow"), pyarrow.schema([("t", bad.type), ("far", far.type)])) as stream:
        stream.write_batch(pyarrow.record_batch([bad, far], names=["t", "far"]))
    assert failure(tmp_path / "a.arrow").kind == "damaged"


def test_text_in_columns_that_is_not_utf8_is_a_problem_of_its_row(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    column = pyarrow.array([b"ok", b"caf\xe9", b"fine"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"t": column}), tmp_path / "a.parquet")
    with pyarrow.ipc.new_stream(str(tmp_path / "b.arrow"), pyarrow.schema([("t", pyarrow.string())])) as stream:
        stream.write_table(pyarrow.table({"t": column}))
    for name in ("a.parquet", "b.arrow"):
        rows = list(readers.read(tmp_path / name))
        assert [raw.kind for raw in rows] == ["", "encoding", ""]
        assert rows[0].content == {"t": "ok"} and "0xe9" in rows[1].problem


# Text and documents


def test_text_is_cut_at_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {i} begins." + "\nIt goes on for a while." * (i % 40) for i in range(200)]
    path = write(tmp_path / "a.txt", "\n" + "\n\n".join(paragraphs))
    rows = list(read_rows(path))
    assert "\n\n".join(row.value["text"] for row in rows) == "\n\n".join(paragraphs)
    assert len(rows) > 5 and all(len(row.value["text"]) <= 8000 for row in rows)
    lines = path.read_text().split("\n")
    assert all(lines[row.line - 1] == row.value["text"].split("\n")[0] for row in rows)


def test_short_text_is_one_document_and_long_lines_are_many(tmp_path: Path) -> None:
    assert values(write(tmp_path / "a.md", "# Title\r\n\r\n  one\r\n\r\ntwo\r\n")) == [{"text": "# Title\n\n  one\n\ntwo"}]
    assert values(write(tmp_path / "b.txt", "one\ntwo\n")) == [{"text": "one\ntwo"}]
    long = ["word " * 80 + str(i) for i in range(3)]
    rows = list(read_rows(write(tmp_path / "c.txt.gz", gzip.compress("\n".join(long).encode()))))
    assert [(row.line, row.value["text"]) for row in rows] == list(enumerate(long, 1))
    broken = list(readers.read(write(tmp_path / "d.txt", b"fine\n\ncaf\xe9\n")))
    assert [(raw.line, raw.kind) for raw in broken] == [(1, "encoding")] and "0xe9 on line 3" in broken[0].problem


def make_pdf(pages: list[list[str]]) -> bytes:
    """A PDF by hand, with its cross-reference table (ISO 32000-1, 7.5)."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode()]
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    for i, lines in enumerate(pages):
        drawn = "BT /F1 12 Tf 14 TL 50 700 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {5 + 2 * i} 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
        objects += [page.encode(), f"<</Length {len(drawn)}>>stream\n{drawn}\nendstream".encode()]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, item in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % p for p in offsets)
    return bytes(out) + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def test_pdf(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pdf", make_pdf([["The first page says hello to everyone.", "Short end."], ["Page two."]]))
    assert values(path) == [{"text": "The first page says hello to everyone.\nShort end.\n\nPage two."}]
    many = write(tmp_path / "b.pdf", make_pdf([[f"Line {i} of page {n} is a sentence." for i in range(40)] for n in range(20)]))
    rows = list(read_rows(many))
    assert [row.line for row in rows] == list(range(1, len(rows) + 1)) and len(rows) > 2
    assert all(f"Line {i} of page {n} " in "".join(row.value["text"] for row in rows) for i in range(40) for n in range(20))


def test_paragraphs_of_a_page() -> None:
    page = "A long line of the first paragraph of this page\ngoes on and ends here.\nThe second one is a long line of text\n\nThird"
    assert [p.split()[0] for p in pdf.page_paragraphs(page)] == ["A", "The", "Third"]


def test_encrypted_and_scanned_pdfs(tmp_path: Path) -> None:
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf([["Secret."]])))
    writer.encrypt("word", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")
    assert failure(tmp_path / "a.pdf").kind == "encrypted"
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf([["Owned."]])))
    writer.encrypt("", "owner", algorithm="RC4-128")
    writer.write(tmp_path / "b.pdf")
    assert values(tmp_path / "b.pdf") == [{"text": "Owned."}]
    scanned = failure(write(tmp_path / "c.pdf", make_pdf([[], []])))
    assert scanned.kind == "no_text" and "OCR" in scanned.remedy
    assert failure(write(tmp_path / "d.pdf", make_pdf([["x"]])[:60])).kind == "damaged"


def test_word_documents(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Title")
    document.add_paragraph("Before the table.")
    cells = document.add_table(rows=2, cols=2)
    for i, cell in enumerate(cell for row in cells.rows for cell in row.cells):
        cell.text = f"cell {i}"
    cells.cell(1, 0).merge(cells.cell(1, 1))
    document.add_paragraph("After it.")
    document.save(str(tmp_path / "a.docx"))
    text = "Title\n\nBefore the table.\n\ncell 0 | cell 1\ncell 2 cell 3\n\nAfter it."
    assert values(tmp_path / "a.docx") == [{"text": text}]
    with zipfile.ZipFile(tmp_path / "a.docx") as old, zipfile.ZipFile(tmp_path / "wide.docx", "w") as new:
        for part in old.namelist():
            new.writestr(part, old.read(part).replace(b'gridSpan w:val="2"', b'gridSpan w:val="2000000000"'))
    assert values(tmp_path / "wide.docx") == [{"text": text}]
    docx.Document().save(str(tmp_path / "b.docx"))
    assert failure(tmp_path / "b.docx").kind == "no_text"


PAGE = """<!DOCTYPE html><html><head><title>no</title><style>p {}</style></head><body><nav><a>Menu</a></nav>
<h1>Head\n line</h1><p>One <b>bold</b><!-- no --> word,<br>a break.</p><script>no()</script>
<table><tr><td>a</td> <td>b <i>c</i></td></tr>\n<tr><th>d</th></tr></table><pre>  kept\n    so</pre>tail é</body></html>"""
PAGE_TEXT = "Head line\n\nOne bold word,\na break.\n\na | b c\n\nd\n\n  kept\n    so\n\ntail é"


def test_web_pages(tmp_path: Path) -> None:
    assert values(write(tmp_path / "a.html", PAGE)) == [{"text": PAGE_TEXT}]
    assert values(write(tmp_path / "b.htm", PAGE.encode("utf-16"))) == [{"text": PAGE_TEXT}]
    assert values(write(tmp_path / "c.html", PAGE.encode("windows-1252"))) == [{"text": PAGE_TEXT}]
    declared = PAGE.replace("<head>", '<head><meta charset="koi8-r">').replace("é", "я").encode("koi8-r")
    assert values(write(tmp_path / "d.html", declared)) == [{"text": PAGE_TEXT.replace("é", "я")}]
    assert failure(write(tmp_path / "e.html", "<html><script>x</script></html>")).kind == "no_text"
    deep = write(tmp_path / "f.html", "<div>" * 20000 + "deep")
    assert [raw.line for raw in readers.read(deep)] == [1]


def make_epub(path: Path, chapters: dict[str, str], extra: dict[str, str] | None = None) -> Path:
    items = "".join(f'<item id="i{i}" href="{name}" media-type="application/xhtml+xml"/>' for i, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="i{i}"/>' for i in reversed(range(len(chapters))))
    package = f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
    container = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfile full-path="O/p.opf"/></container>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip")
        parts = {"META-INF/container.xml": container, "O/p.opf": package, **{f"O/{name}": text for name, text in chapters.items()}}
        for name, text in {**parts, **(extra or {})}.items():
            book.writestr(name.replace("%20", " "), text)
    return path


def chapter(text: str) -> str:
    return f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body><p>{text}</p></body></html>'


def test_books_read_in_the_order_of_their_spine(tmp_path: Path) -> None:
    book = make_epub(tmp_path / "a.epub", {"t/second%20part.xhtml": chapter("Two &amp; three."), "first.xhtml": chapter("One.")})
    assert values(book) == [{"text": "One.\n\nTwo & three."}]
    locked = '<encryption><CipherReference xmlns="http://www.w3.org/2001/04/xmlenc#" URI="O/a.xhtml"/></encryption>'
    assert failure(make_epub(tmp_path / "b.epub", {"a.xhtml": chapter("x")}, {"META-INF/encryption.xml": locked})).kind == "encrypted"
    fonts = locked.replace("a.xhtml", "font.otf")
    assert values(make_epub(tmp_path / "c.epub", {"a.xhtml": chapter("x")}, {"META-INF/encryption.xml": fonts})) == [{"text": "x"}]
    secret = write(tmp_path / "secret", "not for you")
    entity = f'<!DOCTYPE container [<!ENTITY e SYSTEM "{secret.as_uri()}">]><container><rootfile full-path="&e;"/></container>'
    error = failure(make_epub(tmp_path / "d.epub", {"a.xhtml": chapter("x")}, {"META-INF/container.xml": entity}))
    assert error.kind == "damaged" and "not for you" not in error.cause
    assert failure(make_epub(tmp_path / "e.epub", {"a.xhtml": "<img/>"})).kind == "no_text"


# Rows that cannot be used


@pytest.mark.parametrize(
    ("content", "kind", "phrase"),
    [
        (b'{"a": "caf\xe9"}', "encoding", "0xe9 at offset 10"),
        (b'{"a": "\xed\xa0\x80"}', "encoding", "offset 7"),
        (b'{"a": 1', "not_json", "character"),
        (b"{'a': 1}", "not_json", "character 2"),
        (b'{"a": 1}}', "not_json", "character 9"),
        (b"[1]", "not_object", "a list"),
        (b"null", "not_object", "null"),
        (b'"x"', "not_object", "text"),
        (b'{"\xc3\xa9\xc3\xa9": NaN}', "nan", "NaN"),
        (b'{"a": [-Infinity]}', "nan", "-Infinity"),
        (b'{"a": 1e999}', "nan", "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "nan", "too large"),
        (b'{"a": "\\ud800"}', "surrogate", "surrogate"),
        (b'{"a": "\\ude00 x"}', "surrogate", "surrogate"),
        (b'{"a": "\\ud800\\u0041"}', "surrogate", "surrogate"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep", "1,024"),
        (b'{"a": ' + b"[" * 100_000, "too_deep", "1,024"),
        (b"\x00" * 20, "nul", "NUL"),
        (b'{"a": "\x1b[31m', "not_json", "control"),
    ],
)
def test_rows_that_cannot_be_used_say_why(content: bytes, kind: str, phrase: str) -> None:
    row = parse("f.jsonl", RawRow(7, content))
    assert (row.file, row.line, row.value, row.kind) == ("f.jsonl", 7, {}, kind)
    assert phrase in row.problem
    assert len(row.raw) <= 2000 and "\x1b" not in row.raw and "\x00" not in row.raw
    assert pickle.loads(pickle.dumps(row)) == row


def test_parse_accepts_what_json_allows() -> None:
    assert parse("f", RawRow(1, b'{"a": 1, "a": 2, "b": 18446744073709551616}')).value == {"a": 2, "b": 2.0**64}
    assert parse("f", RawRow(1, b'\xef\xbb\xbf{"a": "\\ud83c\\udf88"}')) == ParsedRow("f", 1, {"a": "🎈"})
    assert parse("f", RawRow(3, {"x": float("nan")})).line == 3
    assert parse("f", RawRow(3, None, "columns", "why")) == ParsedRow("f", 3, {}, "why", "columns")


@given(st.binary(max_size=60))
def test_parse_never_raises_and_refuses_what_is_no_object(content: bytes) -> None:
    row = parse("f", RawRow(1, content))
    assert bool(row.problem) == bool(row.kind)
    if not row.problem:
        assert row.value == json.loads(content)


def test_parse_is_quick() -> None:
    raws = [RawRow(i, json.dumps({"instruction": f"What is {i}?", "output": f"It is {i}. " * 10}).encode()) for i in range(50_000)]
    start = time.process_time()
    for raw in raws:
        parse("f", raw)
    assert time.process_time() - start < 2.5  # about 0.15 s on an idle core


def test_problems_of_single_rows_do_not_stop_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MAX_ROW_BYTES", 50)
    content = b'{"a": 1}\n' + b'{"a": "' + b"x" * 600_000 + b'"}\nnot json\n{"a": "\xff"}\n{"a": 2}' + b" " * 42
    rows = [parse("f", raw) for raw in readers.read(write(tmp_path / "a.jsonl", content))]
    assert [(row.line, row.kind) for row in rows] == [(1, ""), (2, "too_large"), (3, "not_json"), (4, "encoding"), (5, "")]
    lone = '{"a": "x"}\n{"a": "\ud800"}\n{"a": "y"}'.encode("utf-16", "surrogatepass")
    assert [parse("f", raw).kind for raw in readers.read(write(tmp_path / "b.jsonl", lone))] == ["", "encoding", ""]
    listed = b'[{"a": NaN},\n{"a": "\xff"},\n5, {"a": 1}]'
    rows = [parse("f", raw) for raw in readers.read(write(tmp_path / "c.json", listed))]
    assert [(row.line, row.kind) for row in rows] == [(1, "nan"), (2, "encoding"), (3, "not_object"), (3, "")]


def test_problems_of_single_records(tmp_path: Path) -> None:
    content = b'a,b\n1,2,3\n"x\ny",caf\xe9\n1\n\nn\x00l,"a\rb"\n'
    rows = list(readers.read(write(tmp_path / "a.csv", content)))
    assert [(raw.line, raw.kind) for raw in rows] == [(2, "columns"), (3, "encoding"), (5, "columns"), (7, "")]
    assert "3 columns" in rows[0].problem and "column 'b'" in rows[1].problem
    assert rows[3].content == {"a": "n\x00l", "b": "a\rb"}
    assert values(write(tmp_path / "b.csv", b"a,b\r1,2\r3,4\r")) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


# Files that cannot be used


@pytest.mark.parametrize(
    ("name", "content", "kind", "line"),
    [
        ("a.json", b'[{"a": 1},\n {"a"', "json_truncated", 2),
        ("b.json", b'[{"a": 1},\n', "json_truncated", 2),
        ("c.json", b'[{"a": 1},\n {"a": "x', "json_truncated", 2),
        ("d.json", b'[{"a": 1}\n {"a": 2}]', "not_json", 2),
        ("e.json", b'[{"a": 1},\n]', "not_json", 2),
        ("f.json", b'[{"a": 1},\n{"b":\n 2,, "c": 1}]', "not_json", 3),
        ("g.json", b'[{"a": 1}] x', "not_json", 1),
        ("h.json", b"hello", "not_json", 1),
        ("i.json", b"[{'a': 1}]", "not_json", 1),
        ("j.json", b'{"a": [{"x": 1}],\n "b": [{"x": 2}]}', "several_lists", 2),
        ("k.json", b'{"a": [1, 2], "b": [1]}', "columns", 0),
        ("l.json", b'{"data": [{"a": 1}, {"b"', "json_truncated", 1),
        ("m.json", b"[12, 13", "json_truncated", 1),
        ("n.json", b"[]", "no_rows", 0),
        ("o.json", b'{"data":\n {"a" 1}}', "not_json", 2),
        ("p.json", b"[[1, 2}]", "not_json", 1),
        ("a.csv", b'a,b\n1,2\n"x,1\n', "unclosed_quote", 3),
        ("b.csv", b'a,b\n"1\n1",2\n3,"x\n1,1\n', "unclosed_quote", 4),
        ("c.csv", b'a,b\n1,"x"y\n', "csv", 2),
        ("d.csv", b"a,a\n1,2\n", "duplicate_column", 1),
        ("e.csv", b"\n,a\n1,2\n", "empty_column", 2),
        ("f.csv", b"a,b\n", "no_rows", 0),
        ("g.csv", b"caf\xe9,b\n1,2\n", "encoding", 1),
        ("h.tsv", b'a\tb\n"', "unclosed_quote", 2),
        ("a.jsonl", b"\xff\xfe\xfa\xfb\xfc", "encoding", 0),
        ("b.jsonl", '{"a": 1}'.encode("utf-16-le"), "encoding", 0),
        ("c.jsonl", b"\n \n\r\n", "no_rows", 0),
        ("d.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "lfs_pointer", 0),
        ("e.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "lfs_pointer", 0),
        ("f.jsonl.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "lfs_pointer", 0),
        ("g.jsonl", b"\n<!DOCTYPE html>\n<html>", "html_page", 0),
        ("h.csv", b"<html><body>Log in</body></html>", "html_page", 0),
        ("i.parquet", b"<html><body>Log in</body></html>", "html_page", 0),
        ("j.json", b"PK\x03\x04 and more", "wrong_content", 0),
        ("k.jsonl", gzip.compress(b"{}", mtime=0), "wrong_content", 0),
        ("l.txt", b"%PDF-1.4 text", "wrong_content", 0),
        ("m.csv", b"PAR1 text", "wrong_content", 0),
        ("n.md", b"\x80\x04\x95pickle", "wrong_content", 0),
        ("o.txt", bytes(range(256)) * 20, "binary", 0),
        ("p.jsonl.gz", b"nope", "wrong_content", 0),
        ("q.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:-20], "damaged", 0),
        ("r.parquet", b"PAR1", "damaged", 0),
        ("s.parquet", b"nothing", "wrong_content", 0),
        ("t.arrow", b"ARROW1\x00\x00 and more", "damaged", 0),
        ("u.arrow", b"nothing of it", "damaged", 0),
        ("v.docx", b"PK\x03\x04 cut off", "damaged", 0),
        ("w.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 locked", "wrong_content", 0),
        ("x.epub", b"nothing", "wrong_content", 0),
        ("y.pdf", b"%PDF-1.4", "damaged", 0),
        ("z.pdf", b"text", "wrong_content", 0),
        ("a.bin", b"x", "model", 0),
        ("b", b"x", "unknown_kind", 0),
        ("c.xlsx", b"PK", "spreadsheet", 0),
        ("d.doc", b"x", "old_document", 0),
        ("e.pkl", b"x", "pickle", 0),
        ("f.pt", b"x", "pickle", 0),
        ("g.tar.gz", b"x", "archive", 0),
        ("h.parquet.gz", b"x", "archive", 0),
        ("i.txt", b"", "empty", 0),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, kind: str, line: int) -> None:
    error = failure(write(tmp_path / name, content))
    assert (error.kind, error.line) == (kind, line), error.cause
    again = pickle.loads(pickle.dumps(error))
    assert (again.as_dict(), again.kind, again.file, again.line) == (error.as_dict(), error.kind, error.file, error.line)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.mkdir(), "folder"),
        (lambda path: path.symlink_to("nowhere"), "dangling_link"),
        (lambda path: path.symlink_to(path), "unreadable"),
        (lambda path: os.mkfifo(path), "not_a_file"),
        (lambda path: path.symlink_to("/dev/zero"), "not_a_file"),
    ],
)
def test_what_is_no_file_is_never_opened(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    path = tmp_path / "a.jsonl"
    make(path)
    assert failure(path).kind == kind


def test_names_with_control_characters_are_safe(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        list(readers.read(tmp_path / "\x1b]0;x\x07\na.jsonl"))
    assert "\x1b" not in caught.value.title and "\n" not in caught.value.title
    assert failure(Path("a\x00b.jsonl")).kind == "missing"


def test_forbidden_and_failing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", "{}")

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(opened.io, "FileIO", refuse)
    error: OSError = PermissionError(13, "Permission denied")
    assert failure(path).kind == "no_permission"
    error = OSError(5, "Input/output error")
    assert failure(path).kind == "unreadable"


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "BOMB_SIZE", 1 << 20)
    assert failure(write(tmp_path / "a.jsonl.gz", gzip.compress(b" " * (4 << 20)))).kind == "bomb"
    for name in ("b.docx", "c.epub"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("word/document.xml", b" " * (20 << 20))
        assert failure(tmp_path / name).kind == "bomb"


def test_fields_and_values_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_FIELD_CHARACTERS", 1000)
    error = failure(write(tmp_path / "a.csv", "a,b\n1,2\n" + '"' + "x\n" * 2000))
    assert (error.kind, error.line) == ("too_large", 3)
    error = failure(write(tmp_path / "b.csv", "a,b\n1,2\n" + "x" * 2000))
    assert (error.kind, error.line) == ("too_large", 3)
    monkeypatch.setattr(json_scanner.Scanner.__init__, "__defaults__", (1000,))
    error = failure(write(tmp_path / "c.json", '[{"a": 1},\n{"a": "' + "x" * 300_000))
    assert (error.kind, error.line) == ("too_large", 2)


# Size

ROW = {"instruction": "What is the number of the door? " * 60, "input": "", "output": ("It is 7. " * 100 + "\n") * 4}
COUNT = 11_500


def big_files(folder: Path) -> dict[str, Path]:
    """60 MB and more of each."""
    line = json.dumps(ROW)
    record = io.StringIO(newline="")
    csv.writer(record).writerow(ROW.values())
    texts = {
        "a.jsonl": (f"{line}\n",) * COUNT,
        "b.json": ("[", *(f"{line},\n",) * (COUNT - 1), line, "]"),
        "c.json": ('{"data": [', *(f"{line}, ",) * (COUNT - 1), line, "]}"),
        "d.csv": ("instruction,input,output\n", *(record.getvalue(),) * COUNT),
        "e.txt": (ROW["output"] + "\n",) * COUNT,
    }
    for name, parts in texts.items():
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            file.writelines(parts)
    return {name: folder / name for name in texts}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    for name, path in big_files(tmp_path).items():
        assert path.stat().st_size > 60 << 20 or name == "e.txt"
        tracemalloc.start()
        count = sum(1 for _ in readers.read(path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        path.unlink()
        assert peak < 20 << 20, (name, peak)
        assert count == COUNT or name == "e.txt"


CITIES = [{"instruction": f"Wie heißt Ort {i}?", "output": f"Köln, {i} €"} for i in range(12)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
@pytest.mark.parametrize(
    ("text", "note"),
    [
        (json.dumps(CITIES), "one JSON list"),
        ("\n" + json.dumps(CITIES, indent=1) + "\n", "one JSON list"),
        ("[\n" + ",\n".join(map(json.dumps, CITIES)) + "\n]", "one JSON list"),
        ("\n".join(json.dumps(row, indent=2) for row in CITIES), "over several lines"),
        ("".join(json.dumps(row) + "\n" for row in CITIES), ""),
    ],
)
def test_json_of_any_layout_is_read_under_the_name_of_lines(name: str, text: str, note: str, tmp_path: Path) -> None:
    from edgetune.data.scan import detect_file_format
    from edgetune.data.sources import Source

    path = write(tmp_path / name, gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert [row.value for row in read_rows(path)] == CITIES
    reason = detect_file_format(Source(path), "auto", {}).reason
    assert reason.startswith("Alpaca: 12 of 12") and note in reason and ("read as such" in reason) == bool(note)


@pytest.mark.parametrize(
    ("first", "kinds"),
    [
        ('{"instruction": "q", "output": "a', ["not_json", ""]),
        ("[1]", ["not_object", ""]),
        ('[{"role": "user"}]', ["not_object", ""]),
        ("{", ["not_json", ""]),
        ("[{", ["not_json", ""]),
        ('{"a": 1} {"b": 2}', ["not_json", ""]),
    ],
)
def test_a_broken_first_line_costs_that_line_alone(first: str, kinds: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", first + "\n" + json.dumps(CITIES[0]) + "\n")
    assert [row.kind for row in read_rows(path)] == kinds


TURNS = [{"role": "user", "content": "Who's 'it'?\nSay \"so\"."}, {"role": "assistant", "content": "It is [{'a': 1}\n {'b': 2}]."}]


@pytest.mark.parametrize(
    "written",
    [json.dumps(TURNS), json.dumps(TURNS, indent=1), repr(TURNS), "[" + "\n ".join(map(repr, TURNS)) + "]"],
    ids=["json", "indented", "python", "numpy"],
)
@pytest.mark.parametrize("column", ["messages", "dialog", "conversations"])
def test_a_conversation_in_a_cell_is_a_list_of_turns(written: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", column], *([number, written] for number in range(16))])
    rows = list(read_rows(path))
    assert [row.value[column] for row in rows] == [TURNS] * 16
    lines = write(tmp_path / "a.jsonl", (json.dumps({column: written}) + "\n").encode())
    assert [row.value for row in read_rows(lines)] == [{column: TURNS}]


@pytest.mark.parametrize(
    "row",
    [
        {"output": json.dumps(TURNS)},
        {"messages": "[{'role': 'user', 'content': print(1)}]"},
        {"messages": "[{'a': 1}]"},
        {"messages": '[{"role": ' + "[" * 300},
        {"messages": "[1, 2]"},
    ],
)
def test_a_text_that_is_no_conversation_stays_text(row: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", (json.dumps(row) + "\n").encode())
    assert [parsed.value for parsed in read_rows(path)] == [row]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_nulls_that_storing_made_are_not_there(suffix: str, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    def asks(name: str, arguments: dict[str, str], properties: dict[str, Any]) -> dict[str, Any]:
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        parameters = {"type": "object", "properties": properties}
        return {
            "messages": [{"role": "user", "content": f"{name}?"}, {"role": "assistant", "content": None, "tool_calls": [call]}],
            "tools": [{"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}],
        }

    rows = [
        asks("weather", {"town": "Bern"}, {"town": {"type": "string"}}),
        asks("clock", {"zone": "a"}, {"zone": {"type": "string", "enum": ["a", "b"]}}),
    ]
    table = pyarrow.Table.from_pylist(rows)
    assert table.to_pylist()[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"town": "Bern", "zone": None}
    path = tmp_path / f"a{suffix}"
    pyarrow.parquet.write_table(table, path) if suffix == ".parquet" else pyarrow.feather.write_feather(table, path)

    # The same with nulls that were written into JSON lines, as `datasets` does.
    stored = write(tmp_path / "stored.jsonl", "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode())

    # As if each row had been a line of JSON.
    lines = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    convert = module("messages").convert
    meant = [convert(row.value) for row in read_rows(lines)]
    assert [convert(row.value) for row in read_rows(path)] == meant
    assert [convert(row.value) for row in read_rows(stored)] == meant


def test_a_column_of_maps_holds_objects(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"m": pyarrow.array([[("town", "Bern")]], pyarrow.map_(pyarrow.string(), pyarrow.string()))})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert [row.value for row in read_rows(tmp_path / "a.parquet")] == [{"m": {"town": "Bern"}}]
