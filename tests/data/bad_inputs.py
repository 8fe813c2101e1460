"""A corpus of bad inputs, built from a seed: for each, the command line that meets it and how that must end.

Faults of a row hide at random places among good rows, in every kind of file that can hold them. Their lines are counted here, while the
file is written, and never by the readers that are tested. `python tests/data/bad_inputs.py FOLDER [SEED]` writes the corpus to look at.
"""

import csv
import gzip
import io
import json
import os
import pickle
import random
import shutil
import signal
import sqlite3
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from edgetune.storage.paths import BUNDLED

Row = dict[str, Any]
Maker = Callable[[random.Random], Any]
Place = tuple[str, int, str]
"""File, line and kind of a fault."""

NOBODY = 65534
"""The user without rights."""
GOOD_ROWS = 24
"""Good rows beside the bad ones of a file: enough that the file is not refused as a whole."""
THINGS = [
    "lantern",
    "harbour",
    "keeper",
    "island",
    "engine",
    "ladder",
    "kettle",
    "window",
    "captain",
    "garden",
    "violin",
    "bridge",
    "winter",
    "candle",
    "saddle",
    "mirror",
    "orchard",
    "tunnel",
    "pepper",
    "blanket",
    "chimney",
    "compass",
    "feather",
    "glacier",
    "hammer",
    "ivory",
    "jacket",
    "kitchen",
    "lemon",
    "meadow",
    "needle",
    "oyster",
    "pencil",
    "quarry",
    "ribbon",
    "shovel",
    "temple",
    "umbrella",
    "valley",
    "wagon",
    "anchor",
    "barrel",
    "canyon",
    "dragon",
    "elbow",
    "falcon",
    "guitar",
    "helmet",
    "insect",
    "jungle",
    "knuckle",
    "lagoon",
    "magnet",
    "napkin",
]
DOES = [
    "carries",
    "follows",
    "repairs",
    "borrows",
    "paints",
    "measures",
    "forgets",
    "remembers",
    "polishes",
    "hides",
    "lifts",
    "watches",
    "counts",
    "sells",
    "trades",
    "guards",
]


@dataclass(frozen=True)
class Case:
    """A bad input. `words` is the command line, `code` its exit code.

    rejected, warned: every row that is left out, and every other finding, as (file, line, kind). read: rows of all files.
    kind, file, line: what the error document says where the whole input is refused; says: words of its title and cause.
    patch: module attributes that make a limit reachable with a small file. lower: to be run without the superuser's rights.
    """

    name: str
    words: tuple[str, ...]
    code: int
    read: int = 0
    rejected: tuple[Place, ...] = ()
    warned: tuple[Place, ...] = ()
    truncated: int = 0
    kind: str = ""
    file: str = ""
    line: int = 0
    says: tuple[str, ...] = ()
    patch: dict[str, int] = field(default_factory=dict)
    lower: bool = False

    @property
    def kinds(self) -> set[str]:
        """Kinds of faults that this case holds."""
        return {kind for *_, kind in (*self.rejected, *self.warned)} | ({self.kind} if self.kind else set())


# Good rows, one function for every shape.


def sentence(rng: random.Random) -> str:
    """A sentence that no other row has."""
    words = [rng.choice(THINGS), rng.choice(DOES), "the", rng.choice(THINGS), "while the", rng.choice(THINGS), rng.choice(DOES), "a"]
    return " ".join([*words, rng.choice(THINGS), "beside the", *rng.sample(THINGS, 3)])


def ask(rng: random.Random) -> str:
    """A question that no other row has."""
    return f"Why is it that the {sentence(rng)}?"


def turns(rng: random.Random, question: Any = None, reply: Any = None) -> Row:
    """Messages; a question or a reply that is not None stands in place of a good one."""
    first = ask(rng) if question is None else question
    other = sentence(rng) if reply is None else reply
    return {"messages": [{"role": "user", "content": first}, {"role": "assistant", "content": other}]}


def sharegpt(rng: random.Random) -> Row:
    """ShareGPT's turns."""
    return {"conversations": [{"from": "human", "value": ask(rng)}, {"from": "gpt", "value": sentence(rng)}]}


def alpaca(rng: random.Random, **cells: Any) -> Row:
    """Alpaca's columns; cells stand in place of good ones."""
    return {"instruction": ask(rng), "output": sentence(rng), **cells}


def completion(rng: random.Random, **cells: Any) -> Row:
    """A prompt and its completion."""
    return {"prompt": ask(rng), "completion": sentence(rng), **cells}


def pair(rng: random.Random, **cells: Any) -> Row:
    """A prompt with a better and a worse answer."""
    return {"prompt": ask(rng), "chosen": sentence(rng), "rejected": sentence(rng), **cells}


def pair_lists(rng: random.Random, **cells: Any) -> Row:
    """The same as lists of messages."""
    sides = {side: [{"role": "assistant", "content": sentence(rng)}] for side in ("chosen", "rejected")}
    return {"prompt": [{"role": "user", "content": ask(rng)}], **sides, **cells}


def pair_whole(rng: random.Random) -> Row:
    """Two dialogues that begin alike."""
    start = f"\n\nHuman: {ask(rng)}\n\nAssistant: "
    return {"chosen": start + sentence(rng), "rejected": start + sentence(rng)}


def labelled(rng: random.Random, **cells: Any) -> Row:
    """An answer with a verdict."""
    return {"prompt": ask(rng), "completion": sentence(rng), "label": rng.random() < 0.5, **cells}


def ranked(rng: random.Random, answers: Any = None) -> Row:
    """Answers in order."""
    good = [{"answer": sentence(rng), "rank": number} for number in (1, 2)]
    return {"prompt": ask(rng), "answers": good if answers is None else answers}


def steps(rng: random.Random) -> Row:
    """A judgement for every step."""
    return {"prompt": ask(rng), "completions": [sentence(rng), sentence(rng)], "labels": [True, False]}


def text(rng: random.Random, value: Any = None) -> Row:
    """Raw text."""
    return {"text": f"{sentence(rng)}. {sentence(rng)}." if value is None else value}


def prompt(rng: random.Random, value: Any = None) -> Row:
    """A prompt alone."""
    return {"prompt": ask(rng) if value is None else value}


# Files, one function for every kind. Each writes rows and gives the line (or number) of each.


def _json(row: Any, indent: int | None = None) -> bytes:
    """A row as JSON text; bytes are such text already."""
    if isinstance(row, bytes):
        return row
    try:
        return json.dumps(row, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:
        return json.dumps(row, indent=indent).encode()


def _lined(rows: list[Any], rng: random.Random, end: bytes = b"\n") -> tuple[bytes, list[int]]:
    """JSON lines, with blank lines here and there."""
    written, lines = bytearray(), []
    for row in rows:
        if rng.random() < 0.15:
            written += end
        lines.append(1 + written.count(b"\n"))
        written += _json(row) + end
    return bytes(written), lines


def _listed(rows: list[Any], before: bytes = b"[\n", after: bytes = b"\n]\n") -> tuple[bytes, list[int]]:
    """An indented JSON list."""
    written, lines = bytearray(before), []
    for number, row in enumerate(rows):
        written += b",\n  " if number else b"  "
        lines.append(1 + written.count(b"\n"))
        written += _json(row, 2)
    return bytes(written) + after, lines


def _tabled(rows: list[Any], rng: random.Random, delimiter: str = ",", end: str = "\r\n") -> tuple[str, list[int]]:
    """A table; a row that is a list stands as it is. Some good cells go over several lines."""
    written = io.StringIO(newline="")
    out = csv.writer(written, delimiter=delimiter, lineterminator=end)
    header = list(next(row for row in rows if isinstance(row, dict)))
    out.writerow(header)
    lines = []
    for row in rows:
        cells = row if isinstance(row, list) else [row[name] for name in header]
        if isinstance(row, dict) and cells[0] and str(cells[0]).strip() and rng.random() < 0.3:
            cells = [f'{cells[0]}\nAnd "why"{delimiter} really?', *cells[1:]]
        lines.append(1 + written.getvalue().count("\n"))
        out.writerow(cells)
    return written.getvalue(), lines


def _table_of(rows: list[Any]) -> Any:
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def jsonl(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """JSON lines."""
    data, lines = _lined(rows, rng)
    return _put(stem, ".jsonl", data), lines


def crlf(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """JSON lines, as Windows ends them."""
    data, lines = _lined(rows, rng, b"\r\n")
    return _put(stem, ".jsonl", data), lines


def marked(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """JSON lines behind a byte order mark, without a last line break."""
    data, lines = _lined(rows, rng)
    return _put(stem, ".ndjson", b"\xef\xbb\xbf" + data.rstrip()), lines


def utf16(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """JSON lines in UTF-16."""
    data, lines = _lined(rows, rng, rng.choice([b"\n", b"\r\n"]))
    encoding, mark = rng.choice([("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")])
    return _put(stem, ".jsonl", mark + data.decode().encode(encoding)), lines


def packed(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """JSON lines, packed."""
    data, lines = _lined(rows, rng)
    return _put(stem, ".jsonl.gz", gzip.compress(data, mtime=0)), lines


def listed(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """An indented list."""
    data, lines = _listed(rows)
    return _put(stem, ".json", data), lines


def member(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """An object that holds the list."""
    data, lines = _listed(rows, b'{\n  "version": "1.0",\n  "notes": ["a", "b"],\n\n  "rows": [\n', b"\n  ]\n}\n")
    return _put(stem, ".json", data), lines


def lines_as_json(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """JSON lines under the name of JSON."""
    data, lines = _lined(rows, rng)
    return _put(stem, ".json", data), lines


def packed_list(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """An indented list, packed, with Windows' line ends."""
    data, lines = _listed(rows)
    return _put(stem, ".json.gz", gzip.compress(data.replace(b"\n", b"\r\n"), mtime=0)), lines


def commas(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """CSV."""
    data, lines = _tabled(rows, rng)
    return _put(stem, ".csv", data.encode("utf-8", "surrogateescape")), lines


def semicolons(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """CSV with semicolons, a byte order mark and two blank lines before the header: as some spreadsheets save it."""
    data, lines = _tabled(rows, rng, ";", "\n")
    return _put(stem, ".csv", b"\xef\xbb\xbf\n\n" + data.encode("utf-8", "surrogateescape")), [line + 2 for line in lines]


def tabs(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """TSV, packed."""
    data, lines = _tabled(rows, rng, "\t", "\n")
    return _put(stem, ".tsv.gz", gzip.compress(data.encode("utf-8", "surrogateescape"), mtime=0)), lines


def commas16(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """CSV in UTF-16."""
    data, lines = _tabled(rows, rng)
    return _put(stem, ".csv", data.encode("utf-16")), lines


def parquet(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """Parquet, in several row groups."""
    import pyarrow.parquet

    pyarrow.parquet.write_table(_table_of(rows), f"{stem}.parquet", row_group_size=rng.randint(5, 20))
    return Path(f"{stem}.parquet"), list(range(1, len(rows) + 1))


def arrow(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """A stream of Arrow batches."""
    import pyarrow as pa

    table = _table_of(rows)
    with pa.OSFile(f"{stem}.arrow", "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=rng.randint(3, 9))
    return Path(f"{stem}.arrow"), list(range(1, len(rows) + 1))


def feather(stem: Path, rows: list[Any], rng: random.Random) -> tuple[Path, list[int]]:
    """Feather."""
    import pyarrow.feather

    pyarrow.feather.write_feather(_table_of(rows), f"{stem}.feather")
    return Path(f"{stem}.feather"), list(range(1, len(rows) + 1))


def _put(stem: Path, suffix: str, data: bytes) -> Path:
    path = Path(f"{stem}{suffix}")
    path.write_bytes(data)
    return path


Carrier = Callable[[Path, list[Any], random.Random], tuple[Path, list[int]]]
LINES: tuple[Carrier, ...] = (jsonl, crlf, marked, utf16, packed, lines_as_json)
"""What can hold a row that is no JSON."""
LISTS: tuple[Carrier, ...] = (listed, member, packed_list)
JSON: tuple[Carrier, ...] = LINES + LISTS
BYTES: tuple[Carrier, ...] = (jsonl, crlf, marked, packed, lines_as_json)
"""What can hold bytes that are no UTF-8 in a row that is no JSON."""
TABLES: tuple[Carrier, ...] = (commas, semicolons, tabs, commas16)
COLUMNS: tuple[Carrier, ...] = (parquet, arrow, feather)
FLAT: tuple[Carrier, ...] = JSON + TABLES + COLUMNS
CARRIERS = FLAT


@dataclass(frozen=True)
class Fault:
    """A fault of single rows. good, bad: make rows; kind: what the bad ones are told to be; carriers: files that can hold it.

    warning: the row is kept, and told about. times: how many files hold it. most: bad rows in a file.
    """

    name: str
    kind: str
    good: Maker
    bad: Maker
    carriers: tuple[Carrier, ...] = JSON
    options: tuple[str, ...] = ()
    warning: bool = False
    truncated: bool = False
    times: int = 2
    patch: dict[str, int] = field(default_factory=dict)


def _spoken(*roles: str, **cells: Any) -> Callable[[random.Random], Row]:
    """Messages of these roles; an empty role is left out of its turn."""

    def make(rng: random.Random) -> Row:
        return {"messages": [{"role": role, "content": sentence(rng)} for role in roles], **cells}

    return make


def _turn(**changed: Any) -> Callable[[random.Random], Row]:
    """Messages whose last turn is changed."""

    def make(rng: random.Random) -> Row:
        row = turns(rng)
        row["messages"][1] |= changed
        return row

    return make


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def _nested(levels: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


def _call(arguments: Any, name: Any = "lookup") -> Callable[[random.Random], Row]:
    return _turn(content="", tool_calls=[{"type": "function", "function": {"name": name, "arguments": arguments}}])


def _with(good: Callable[..., Row], **cells: Any) -> Callable[[random.Random], Row]:
    return lambda rng: good(rng, **cells)


def _answered(template: str, good: Callable[..., Row] = alpaca, key: str = "output") -> Callable[[random.Random], Row]:
    """A row whose answer is a text with a fresh sentence in it."""
    return lambda rng: good(rng, **{key: template.replace("§", sentence(rng))})


def _cut(rng: random.Random) -> bytes:
    row = _json(turns(rng))
    return row[: rng.randint(2, len(row) - 1)]


def _latin1(rng: random.Random) -> bytes:
    return _json(turns(rng, reply="Café, " + sentence(rng))).decode().encode("latin-1")


def _equal(rng: random.Random) -> Row:
    same = sentence(rng)
    return pair(rng, chosen=same, rejected=f" {same}\n")


def _strangers(rng: random.Random) -> Row:
    return {"chosen": f"Xylophones {sentence(rng)}", "rejected": f"Zeppelins {sentence(rng)}"}


def _ranks(*ranks: Any) -> Callable[[random.Random], Row]:
    return lambda rng: ranked(rng, [{"answer": sentence(rng), "rank": rank} for rank in ranks])


def _long(rng: random.Random) -> Row:
    return turns(rng, reply=" ".join(sentence(rng) for _ in range(30)))


def _long_question(rng: random.Random) -> Row:
    return turns(rng, question=" ".join(sentence(rng) for _ in range(30)))


LIMIT = {"edgetune.data.readers.json_lines.MAX_ROW_BYTES": 1 << 20}
SHORT = ("--max-length", "256")
SECRET = "ghp_" + "a8Kq2Zt7Lw5Xn3Vb9Rm4Jc6Hd1Sf0Gy5Pe8U"
"""Of the shape of a token; nobody's."""

FAULTS = (
    # Text that is no JSON, or JSON that cannot be kept.
    Fault("cut row", "not_json", turns, _cut, LINES),
    Fault("single quotes", "not_json", sharegpt, lambda rng: str(sharegpt(rng)).encode(), LINES),
    Fault("trailing comma", "not_json", alpaca, lambda rng: _json(alpaca(rng))[:-1] + b", }", LINES),
    Fault("two rows on a line", "not_json", turns, lambda rng: _json(turns(rng)) + _json(turns(rng)), LINES),
    Fault("plain words", "not_json", turns, lambda rng: sentence(rng).encode(), LINES),
    Fault("a list", "not_object", turns, lambda rng: _json(turns(rng)["messages"]), JSON),
    Fault("a text", "not_object", alpaca, lambda rng: _json(sentence(rng)), JSON),
    Fault("null and numbers", "not_object", turns, lambda rng: rng.choice([b"null", b"17", b"-0.5", b"true"]), JSON),
    Fault("NaN", "nan", turns, lambda rng: {**turns(rng), "score": float("nan")}, JSON),
    Fault("infinity", "nan", alpaca, lambda rng: {**alpaca(rng), "score": float("-inf")}, JSON),
    Fault("number too large", "nan", turns, lambda rng: _json(turns(rng))[:-1] + b', "score": 1e999}', JSON),
    Fault("too deep", "too_deep", turns, lambda rng: b'{"messages": ' + _deep(1500) + b"}", JSON),
    Fault("deep, still JSON", "too_deep", turns, lambda rng: b'{"messages": ' + _deep(1015) + b"}", JSON),
    Fault("deep role", "too_deep", turns, lambda rng: _json(_turn(role=_nested(900))(rng)), JSON),
    Fault("deep beside", "too_deep", turns, lambda rng: _json({**turns(rng), "extra": {"a": _nested(210)}}), JSON),
    Fault("deep in words", "tools", turns, _spoken("user", "assistant", tools=json.dumps(_nested(400))), JSON + COLUMNS),
    Fault("half a pair", "surrogate", turns, lambda rng: turns(rng, reply=f"{sentence(rng)} \ud83d"), JSON),
    Fault("half a pair in a table", "surrogate", alpaca, lambda rng: b'{"instruction": "a\\udc00", "output": "b"}', JSON),
    Fault("NUL byte", "nul", turns, lambda rng: _json(turns(rng, reply="a§b")).replace("§".encode(), b"\x00"), LINES),
    Fault("NUL in text", "nul", alpaca, _answered("§ \x00"), JSON + COLUMNS),
    Fault("Latin-1", "encoding", turns, _latin1, BYTES),
    Fault("Latin-1 in a list", "encoding", turns, _latin1, LISTS),
    Fault("Latin-1 in a table", "encoding", alpaca, _answered("Caf\udce9 §"), (commas, semicolons, tabs)),
    Fault("too large", "too_large", turns, lambda rng: b'{"text": "' + b"x" * (1 << 20) + b'"}', (jsonl, crlf, packed), patch=LIMIT),
    # Tables.
    Fault("too few columns", "columns", alpaca, lambda rng: [sentence(rng)], TABLES),
    Fault("too many columns", "columns", alpaca, lambda rng: [sentence(rng), sentence(rng), "more", ""], TABLES),
    # Columns and turns that lack, or hold what is no text.
    Fault("no answer column", "missing", alpaca, lambda rng: {"instruction": ask(rng)}, JSON),
    Fault("null answer", "missing", alpaca, _with(alpaca, output=None), JSON + COLUMNS),
    Fault("null prompt", "missing", completion, _with(completion, prompt=None), JSON + COLUMNS),
    Fault("null content", "missing", turns, _turn(content=None), (*JSON, parquet)),
    Fault("null messages", "missing", turns, lambda rng: {"messages": None}, JSON + COLUMNS),
    Fault("number", "wrong_type", turns, _turn(content=42), JSON),
    Fault("true", "wrong_type", alpaca, _with(alpaca, output=True), JSON),
    Fault("list of answers", "wrong_type", alpaca, lambda rng: alpaca(rng, output=[sentence(rng), sentence(rng)]), JSON),
    Fault("object as text", "wrong_type", completion, lambda rng: completion(rng, completion={"text": sentence(rng)}), JSON),
    Fault("turn as text", "wrong_type", turns, lambda rng: {"messages": [ask(rng), sentence(rng)]}, JSON),
    Fault("messages as text", "wrong_type", turns, lambda rng: {"messages": sentence(rng)}, JSON),
    Fault("text as number", "wrong_type", text, _with(text, value=17.5), JSON),
    Fault("empty answer", "empty", alpaca, _with(alpaca, output=""), FLAT),
    Fault("blank answer", "empty", completion, _with(completion, completion=" \t "), FLAT),
    Fault("empty turn", "empty", turns, _turn(content="\n"), JSON + COLUMNS),
    Fault("empty prompt", "empty", alpaca, _with(alpaca, instruction=""), FLAT),
    Fault("empty question", "empty", turns, lambda rng: turns(rng, question="  "), JSON),
    Fault("empty text", "empty", text, _with(text, value=" \n "), JSON + COLUMNS),
    Fault("word nan", "nan", alpaca, lambda rng: alpaca(rng, output=rng.choice(["nan", "NaN", "None", "null"])), TABLES),
    Fault("no answer", "no_answer", turns, _spoken("user", "user"), JSON + COLUMNS),
    Fault("weight 0", "no_answer", turns, _turn(weight=0), JSON),
    Fault("assistant first", "assistant_first", turns, _spoken("assistant", "user", "assistant"), JSON + COLUMNS),
    Fault("assistant after system", "assistant_first", turns, _spoken("system", "assistant"), JSON),
    Fault("unknown role", "unknown_role", turns, _spoken("user", "wizard"), JSON + COLUMNS),
    Fault("role is a number", "unknown_role", turns, _turn(role=7), JSON),
    Fault("no role", "unknown_role", sharegpt, lambda rng: {"conversations": [{"value": ask(rng)}, {"value": sentence(rng)}]}, JSON),
    Fault("picture in a turn", "not_text", turns, lambda rng: turns(rng, [{"type": "image_url", "image_url": {"url": "x.png"}}]), JSON),
    Fault("sound in a turn", "not_text", turns, lambda rng: turns(rng, [{"type": "input_audio", "input_audio": {"data": ""}}]), JSON),
    Fault("pictures beside", "not_text", turns, _spoken("user", "assistant", images=["a.png"]), JSON),
    Fault("sound beside", "not_text", sharegpt, lambda rng: {**sharegpt(rng), "audio": {"path": "a.wav"}}, JSON),
    Fault("no turns", "no_turns", turns, lambda rng: {"messages": []}, JSON + COLUMNS),
    # Tools.
    Fault("arguments are no JSON", "tool_call", turns, _call('{"city": '), JSON),
    Fault("arguments are a list", "tool_call", turns, _call(["Oslo"]), JSON),
    Fault("call without a name", "tool_call", turns, _call("{}", ""), JSON),
    Fault("call is no JSON", "tool_call", sharegpt, lambda rng: _calls_in_words(rng), JSON),
    Fault("tools are no JSON", "tools", turns, _spoken("user", "assistant", tools="[{]"), JSON),
    Fault("tools are words", "tools", turns, _spoken("user", "assistant", tools=["lookup"]), JSON),
    Fault("tool without a name", "tools", sharegpt, lambda rng: {**sharegpt(rng), "tools": [{"description": "x"}]}, JSON),
    Fault("history is no JSON", "history", alpaca, _with(alpaca, history="[[1"), JSON),
    Fault("history is flat", "history", alpaca, lambda rng: alpaca(rng, history=[ask(rng), sentence(rng)]), JSON),
    # Preferences and verdicts.
    Fault("label in words", "wrong_type", labelled, _with(labelled, label="perhaps"), JSON),
    Fault("label is 2", "wrong_type", labelled, _with(labelled, label=2), JSON),
    Fault("no label", "label", labelled, _with(labelled, label=None), JSON + COLUMNS),
    Fault("rank in words", "rank", ranked, _ranks("first", "second"), JSON),
    Fault("equal ranks", "rank", ranked, _ranks(1, 1), JSON + COLUMNS),
    Fault("deep rank", "rank", ranked, lambda rng: _json(_ranks(1, _nested(190))(rng)), JSON),
    Fault("answers in words", "wrong_type", ranked, lambda rng: ranked(rng, sentence(rng)), JSON),
    Fault("chosen is rejected", "chosen_equals_rejected", pair, _equal, FLAT),
    Fault("no rejected", "missing", pair, _with(pair, rejected=None), JSON + COLUMNS),
    Fault("empty chosen", "empty", pair, _with(pair, chosen=""), FLAT),
    Fault("no shared start", "no_prompt", pair_whole, _strangers, FLAT),
    Fault("chosen asks", "no_answer", pair_lists, lambda rng: pair_lists(rng, chosen=[{"role": "user", "content": ask(rng)}]), JSON),
    Fault("empty prompt alone", "empty", prompt, _with(prompt, value=" "), JSON + COLUMNS),
    # Rows that a base cannot take.
    Fault("too long", "too_long", turns, _long, JSON, SHORT),
    Fault("answer too long to cut", "too_long", turns, _long, JSON, (*SHORT, "--overlong", "truncate")),
    Fault("long question", "shortened", turns, _long_question, JSON, (*SHORT, "--overlong", "truncate"), warning=True, truncated=True),
    Fault("template refuses", "template_refuses", turns, _spoken("system", "user", "assistant"), JSON, ("--base", "{strict}")),
    Fault("template opens otherwise", "prompt_not_prefix", turns, _spoken("system", "user", "assistant"), JSON, ("--base", "{twofold}")),
    # Texts that are kept, with a warning.
    Fault("control characters", "control", alpaca, _answered("§ \x07\x1b[31m"), JSON + COLUMNS, warning=True),
    Fault("turned writing", "bidi", alpaca, _answered("§ \u202eevil"), FLAT, warning=True),
    Fault("invisible", "zero_width", turns, lambda rng: turns(rng, reply=f"har\u200bbour {sentence(rng)}"), JSON + COLUMNS, warning=True),
    Fault("mojibake", "mojibake", alpaca, _answered("§ and then the cafÃ© of ZÃ¼rich"), FLAT, warning=True),
    Fault("lost characters", "replacement", alpaca, _answered("§ caf\ufffd"), FLAT, warning=True),
    Fault("web page left over", "html", alpaca, _answered("<p>§</p>&nbsp;"), FLAT, warning=True),
    Fault("blank not filled in", "placeholder", alpaca, _answered("Dear {{name}}, §"), FLAT, warning=True),
    Fault("key", "secret", alpaca, _answered(f"§ {SECRET}"), FLAT, warning=True),
    Fault("card", "card", alpaca, _answered("§ 4111 1111 1111 1111"), FLAT, warning=True),
    Fault("account", "iban", alpaca, _answered("§ GB82 WEST 1234 5698 7654 32"), FLAT, warning=True),
    Fault("mail", "personal", alpaca, _answered("§ ada.keeper@lighthouse.org"), FLAT, warning=True),
    Fault("mark in text", "control_token", alpaca, _answered("§ <|im_end|> and more"), FLAT, warning=True),
)


def _calls_in_words(rng: random.Random) -> Row:
    return {"conversations": [{"from": "human", "value": ask(rng)}, {"from": "function_call", "value": sentence(rng)}]}


class Builder:
    """Writes the corpus below a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed, self.rng = folder, seed, random.Random(seed)
        self.cases: list[Case] = []
        self.bases = {
            "{strict}": self._base("strict", "{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"),
            "{twofold}": self._base("twofold", "", "{%- if add_generation_prompt and messages[0]['role'] == 'system' -%}Well, {% endif %}"),
        }

    def _base(self, name: str, before: str, after: str = "") -> Path:
        """The bundled base with another template."""
        path = self.folder / "bases" / name
        path.mkdir(parents=True)
        for file in BUNDLED.iterdir():
            if file.name == "chat_template.jinja":
                source = file.read_text(encoding="utf-8")
                (path / file.name).write_text(before + source + after, encoding="utf-8")
            else:
                (path / file.name).symlink_to(file)
        return path

    def add(self, name: str, words: list[Any], code: int, **expected: Any) -> None:
        """A case. Words of the command line that name a base by its place in braces get its folder."""
        arguments = tuple(str(self.bases.get(word, word)) for word in words)
        self.cases.append(Case(name, arguments, code, **expected))

    def stem(self, name: str) -> Path:
        """A file's place, without its suffix: a folder for each, so that no two cases share one."""
        path = self.folder / "files" / f"{len(self.cases):03}"
        path.mkdir(parents=True, exist_ok=True)
        return path / name.replace(" ", "_").replace(",", "")

    def mix(self, name: str, carrier: Carrier, good: Any, bad: Any, count: int, rows: int = GOOD_ROWS) -> tuple[Path, list[int], int]:
        """A file of good rows with bad ones at random places: its path, the bad rows' lines, and the number of all rows."""
        faults = [(good(self.rng), False) for _ in range(rows)]
        for _ in range(count):
            faults.insert(self.rng.randint(1 if carrier is lines_as_json else 0, len(faults)), (bad(self.rng), True))
        path, lines = carrier(self.stem(name), [row for row, _ in faults], self.rng)
        return path, [line for line, (_, is_bad) in zip(lines, faults, strict=True) if is_bad], len(faults)

    def rows(self) -> None:
        """Every fault of a row in some kinds of files."""
        used = dict.fromkeys(CARRIERS, 0)
        for fault in FAULTS:
            order = sorted(fault.carriers, key=lambda carrier: (used[carrier], self.rng.random()))
            for carrier in order[: fault.times]:
                used[carrier] += 1
                path, lines, read = self.mix(f"{fault.name} {carrier.__name__}", carrier, fault.good, fault.bad, self.rng.randint(1, 3))
                positions = tuple((str(path), line, fault.kind) for line in lines)
                base = () if "--base" in fault.options else ("--base", "nano")
                self.add(
                    f"{fault.name} in {carrier.__name__}",
                    ["data", "check", path, *base, *fault.options, "--json"],
                    0,
                    read=read,
                    truncated=len(lines) if fault.truncated else 0,
                    patch=fault.patch,
                    **{"warned" if fault.warning else "rejected": positions},
                )

    def wholes(self) -> None:
        """Files where the faults are so many that they should not be trained on, and faults between files."""
        spoiled: list[tuple[str, str, Maker, Maker, int]] = [
            ("one in three is no JSON", "not_json", turns, _cut, 12),
            ("half are empty", "empty", alpaca, _with(alpaca, output=""), 20),
        ]
        for name, fault_kind, good, bad, count in spoiled:
            path, lines, read = self.mix(name, jsonl, good, bad, count)
            rejected = tuple((str(path), line, fault_kind) for line in lines)
            self.add(name, ["data", "check", path, "--base", "nano", "--json"], 1, read=read, rejected=rejected)
            self.add(
                f"training where {name}", ["train", "--base", "nano", "--data", path, "--json"], 2,
                says=("do not train", f"{len(lines)} of {read} rows", fault_kind),
            )  # fmt: skip
        useless: list[tuple[str, str, Maker]] = [
            ("process reward", "process_reward", steps),
            ("nobody answers", "no_answer", _spoken("user")),
        ]
        for name, fault_kind, good in useless:
            path, lines = jsonl(self.stem(name), [good(self.rng) for _ in range(15)], self.rng)
            rejected = tuple((str(path), line, fault_kind) for line in lines)
            self.add(name, ["data", "check", path, "--base", "nano", "--json"], 1, read=15, rejected=rejected)
        path, lines = parquet(self.stem("all too long"), [_long(self.rng) for _ in range(12)], self.rng)
        rejected = tuple((str(path), line, "too_long") for line in lines)
        self.add("all too long", ["data", "check", path, "--base", "nano", "--max-length", 64, "--json"], 1, read=12, rejected=rejected)
        self.add(
            "training on what is too long", ["train", "--base", "nano", "--data", path, "--max-length", 64, "--json"], 2,
            says=("Nothing is left", f"{path}:1:", "12 of 12"),
        )  # fmt: skip
        others: list[tuple[str, Maker]] = [("no sft on pairs", pair), ("no sft on prompts", prompt), ("no sft on labels", labelled)]
        for name, good in others:
            path, _ = jsonl(self.stem(name), [good(self.rng) for _ in range(15)], self.rng)
            self.add(name, ["train", "--base", "nano", "--data", path, "--json"], 2, says=("not for sft",))
        self.duplicates()
        self.leaks()
        self.several()

    def duplicates(self) -> None:
        """Rows that stand in a file twice, or nearly."""
        for name, kind, carrier in (
            ("twice", "duplicate", jsonl),
            ("twice in a list", "duplicate", listed),
            ("twice in columns", "duplicate", parquet),
            ("nearly twice", "near_duplicate", commas16),
        ):
            long = [alpaca(self.rng, output=" ".join(sentence(self.rng) for _ in range(4))) for _ in range(GOOD_ROWS)]
            first, second = sorted(self.rng.sample(range(len(long)), 2))
            long[first]["instruction"] = f"Tell me: {long[first]['instruction']}"
            long[second] = dict(long[first])
            if kind == "near_duplicate":
                long[second]["output"] += " too"
            path, lines = carrier(self.stem(name), long, random.Random(2) if carrier is commas16 else self.rng)
            warned = ((str(path), lines[second], kind),)
            self.add(name, ["data", "check", path, "--base", "nano", "--json"], 0, read=len(long), warned=warned)

    def leaks(self) -> None:
        """Rows that are both trained on and held out."""
        for name, shared, code in (("leak", 2, 0), ("leak of most", 9, 1)):
            train = [turns(self.rng) for _ in range(GOOD_ROWS)]
            valid = [(turns(self.rng), False) for _ in range(10)]
            for row in self.rng.sample(train, shared):
                valid[self.rng.choice([at for at, (_, is_bad) in enumerate(valid) if not is_bad])] = (row, True)
            stem = self.stem(name)
            path, _ = jsonl(stem.with_name("train"), train, self.rng)
            other, lines = listed(stem.with_name("valid"), [row for row, _ in valid], self.rng)
            warned = tuple((str(other), line, "leak") for line, (_, is_bad) in zip(lines, valid, strict=True) if is_bad)
            words = ["data", "check", path, "--validation", other, "--base", "nano", "--json"]
            self.add(name, words, code, read=len(train) + 10, warned=warned)

    def several(self) -> None:
        """Faults in the second of two files, in a folder, behind a mapping and under a format that was asked for; other commands."""
        stem = self.stem("two files")
        first, _ = jsonl(stem.with_name("first"), [turns(self.rng) for _ in range(10)], self.rng)
        path, lines, read = self.mix("second", packed_list, turns, _turn(content=5), 2)
        rejected = tuple((str(path), line, "wrong_type") for line in lines)
        self.add("in the second file", ["data", "check", first, path, "--base", "nano", "--json"], 0, read=read + 10, rejected=rejected)
        folder = self.stem("folder")
        folder.mkdir()
        inner, lines, read = self.mix("folder/part", tabs, alpaca, lambda rng: [ask(rng)], 2)
        rejected = tuple((str(inner), line, "columns") for line in lines)
        self.add("in a folder", ["data", "check", folder, "--base", "nano", "--json"], 0, read=read, rejected=rejected)

        def renamed(rng: random.Random, answer: Any = None) -> Row:
            return {"frage": ask(rng), "antwort": sentence(rng) if answer is None else answer}

        path, lines, read = self.mix("mapped", semicolons, renamed, lambda rng: renamed(rng, ""), 2)
        rejected = tuple((str(path), line, "empty") for line in lines)
        words = ["data", "check", path, "--column-map", "instruction=frage,output=antwort", "--base", "nano", "--json"]
        self.add("behind a mapping", words, 0, read=read, rejected=rejected)
        path, lines, read = self.mix("asked for", member, alpaca, lambda rng: completion(rng), 9)
        rejected = tuple((str(path), line, "missing") for line in lines)
        self.add("not of the format asked for", ["data", "check", path, "--format", "alpaca", "--json"], 1, read=read, rejected=rejected)
        path, lines, read = self.mix("shown", utf16, turns, _cut, 1)
        data = [line for line in path.read_bytes().decode("utf-16").splitlines() if line.strip()]
        number = next(at for at, line in enumerate(data, 1) if not _is_json(line))
        rejected = ((str(path), lines[0], "not_json"),)
        self.add("preview of a bad row", ["data", "preview", path, "--row", number, "--json"], 0, rejected=rejected)
        for command in ("convert", "split", "train"):
            path, lines, read = self.mix(f"for {command}", crlf, turns, _cut, 3)
            rejected = tuple((str(path), line, "not_json") for line in lines)
            words = {
                "convert": ["data", "convert", path, "--to", "messages", "--out", path.with_name("out.jsonl"), "--json"],
                "split": ["data", "split", path, "--out", path.with_name("split"), "--json"],
                "train": ["train", "--base", "nano", "--data", path, "--dry-run", "--json"],
            }[command]
            self.add(f"bad rows for {command}", words, 0, read=read, rejected=rejected)
        path, lines, read = self.mix("deep for split", jsonl, turns, lambda rng: {**turns(rng), "extra": _nested(900)}, 1)
        rejected = tuple((str(path), line, "too_deep") for line in lines)
        words = ["data", "split", path, "--out", path.with_name("split"), "--json"]
        self.add("deep rows for split", words, 0, read=read, rejected=rejected)
        path, lines, read = self.mix("nearly too deep", jsonl, turns, lambda rng: {**turns(rng), "extra": _nested(190)}, 1)
        self.add("not too deep for split", ["data", "split", path, "--out", path.with_name("split"), "--json"], 0, read=read)
        self.add("not too deep", ["data", "check", path, "--base", "nano", "--json"], 0, read=read)

    def refuse(self, name: str, file: str, data: bytes | None, kind: str, line: int = 0, **more: Any) -> Path:
        """A file that is refused as a whole."""
        path = self.stem(name).with_name(file)
        if data is not None:
            path.write_bytes(data)
        more.setdefault("words", ["data", "check", path, "--base", "nano", "--json"])
        words = [str(path) if word == "{path}" else word for word in more.pop("words")]
        self.add(name, words, 2, kind=kind, file=str(path), line=line, **more)
        return path

    def text_files(self) -> None:
        """Text that is refused as a whole."""
        rng, refuse = self.rng, self.refuse
        rows = [turns(rng) for _ in range(20)]
        data, lines = _listed(rows)
        at = rng.randrange(3, 20)
        cut = b"\n".join(data.split(b"\n")[: lines[at] + 3])
        refuse("list cut in a row", "a.json", cut, "json_truncated", lines[at])
        refuse("list cut behind a row", "a.json", b"\n".join(data.split(b"\n")[: lines[at] - 1]), "json_truncated", lines[at] - 1)
        refuse("packed list cut", "a.json.gz", gzip.compress(cut), "json_truncated", lines[at])
        wrong = data.split(b"\n")
        wrong[lines[at] + 2] = wrong[lines[at] + 2].replace(b'"user"', b"user")
        refuse("word without quotes", "a.json", b"\n".join(wrong), "not_json", lines[at] + 3)
        wrong = data.split(b"\n")
        wrong[lines[at] - 2] = wrong[lines[at] - 2].rstrip(b",")
        refuse("comma left out", "a.json", b"\n".join(wrong), "not_json", lines[at])
        refuse("training on a syntax error", "a.json", b"\n".join(wrong), "not_json", lines[at],
               words=["train", "--base", "nano", "--data", "{path}", "--json"])  # fmt: skip
        end = 1 + data.rstrip(b"]\n").count(b"\n")
        refuse("comma too many", "a.json", data.rstrip(b"]\n") + b",\n]\n", "not_json", end + 1)
        refuse("text behind the list", "a.json", data + b"\nThe end.\n", "not_json", data.count(b"\n") + 2)
        refuse("two lists", "a.json", b'{"a": [{"text": "x"}],\n\n"b": [{"text": "y"}]}', "several_lists", 3)
        refuse("columns of different lengths", "a.json", b'{"instruction": ["a", "b"], "output": ["c"]}', "columns")
        refuse("only a number", "a.json", b"\n42\n", "not_json", 2)
        refuse("empty list", "a.json", b"[\n]\n", "no_rows")
        refuse("blank lines", "a.jsonl", b"\n \n\r\n\t\n", "no_rows")
        refuse("only a mark", "a.csv", b"\xef\xbb\xbf", "no_rows")
        refuse("no bytes", "a.jsonl", b"", "empty", words=["train", "--base", "nano", "--data", "{path}", "--json"])
        refuse("no bytes packed", "a.jsonl.gz", gzip.compress(b""), "no_rows")
        table, _ = _tabled([alpaca(rng) for _ in range(20)], random.Random(0), end="\n")
        cells = table.split("\n")
        refuse("quote not closed", "a.csv", f"{table}{self._row()}\n\"{sentence(rng)},{sentence(rng)}\n{self._row()}\n".encode(),
               "unclosed_quote", 1 + table.count("\n") + 1)  # fmt: skip
        refuse("wrongly quoted", "a.csv", f'{table}"a"b,c\n{self._row()}\n'.encode(), "csv", 1 + table.count("\n"))
        refuse("column twice", "a.csv", f"\n\ninstruction,output,output\n{self._row()},x\n".encode(), "duplicate_column", 3)
        refuse("column without a name", "a.tsv", b"\tinstruction\toutput\n0\ta\tb\n", "empty_column", 1)
        refuse("header alone", "a.csv", f"{cells[0]}\n".encode(), "no_rows")
        refuse("header in Latin-1", "a.csv", b"instruction,r\xe9ponse\na,b\n", "encoding", 1)
        refuse("field too large", "a.csv", f"instruction,output\n{self._row()}\n\n{'x' * 5000},b\n".encode(), "too_large", 4,
               patch={"edgetune.data.readers.table.MAX_FIELD_CHARACTERS": 4096})  # fmt: skip
        refuse("web page as lines", "a.jsonl", b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "html_page")
        refuse("web page as a table", "a.csv", b"<html><head><title>404</title></head></html>\n", "html_page")
        refuse("web page as a list", "a.json", b"\xef\xbb\xbf<?xml version='1.0'?><Error/>\n", "html_page")
        refuse("pointer", "a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "lfs_pointer")
        refuse("pointer to columns", "a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "lfs_pointer")
        refuse("noise", "a.jsonl", bytes(rng.randrange(32) for _ in range(400)), "binary")
        refuse("UTF-16 without a mark", "a.jsonl", _json(rows[0]).decode().encode("utf-16-le"), "encoding")
        refuse("UTF-16 cut", "a.jsonl", b"\xff\xfe" + _lined(rows, rng)[0].decode().encode("utf-16-le") + b"{", "encoding")
        refuse("UTF-32 with wrong characters", "a.jsonl", b"\xff\xfe\x00\x00" + b"\xff" * 16, "encoding")

    def _row(self) -> str:
        return f"{sentence(self.rng)},{sentence(self.rng)}"

    def packed_files(self) -> None:
        """Files that are packed, or made of columns, or something else than their name says."""
        rng, refuse = self.rng, self.refuse
        data, _ = _lined([turns(rng) for _ in range(200)], rng)
        gz = gzip.compress(data, mtime=0)
        refuse("gzip cut", "a.jsonl.gz", gz[: len(gz) // 2], "damaged")
        refuse("gzip with a wrong byte", "a.jsonl.gz", gz[:-8] + bytes(b ^ 255 for b in gz[-8:-4]) + gz[-4:], "damaged")
        refuse("gzip in name only", "a.jsonl.gz", data, "wrong_content")
        refuse("gzip without the name", "a.jsonl", gz, "wrong_content")
        refuse("bomb", "a.jsonl.gz", gzip.compress(b"[" * (6 << 20)), "bomb", patch={"edgetune.data.readers.opened.BOMB_SIZE": 1 << 22})
        stem = self.stem("columns")
        columns = parquet(stem, [alpaca(rng) for _ in range(300)], rng)[0].read_bytes()
        ipc = arrow(stem, [alpaca(rng) for _ in range(300)], rng)[0].read_bytes()
        refuse("Parquet cut", "a.parquet", columns[: len(columns) // 2], "damaged")
        refuse("Parquet with a wrong footer", "a.parquet", columns[:-200] + bytes(150) + columns[-50:], "damaged")
        refuse("Arrow cut", "a.arrow", ipc[: len(ipc) // 2], "damaged")
        refuse("Arrow that is text", "a.arrow", data, "damaged")
        refuse("Parquet that is text", "a.parquet", data, "wrong_content")
        refuse("Parquet that is a web page", "a.parquet", b"<!doctype html><p>Sign in</p>", "html_page")
        refuse("Parquet as Feather", "a.feather", columns, "wrong_content")
        self.twice_named()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            out.writestr("a.jsonl", data)
        database = sqlite3.connect(self.stem("base").with_suffix(".sqlite"))
        database.execute("create table t (a)")
        database.commit()
        database.close()
        for name, file, content in (
            ("ZIP as lines", "a.jsonl", archive.getvalue()),
            ("PDF as a table", "a.csv", b"%PDF-1.7\n1 0 obj\n"),
            ("pickle as lines", "a.jsonl", pickle.dumps([turns(rng)])),
            ("database as a list", "a.json", self.stem("base").with_suffix(".sqlite").read_bytes()),
            ("columns as lines", "a.jsonl", columns),
        ):
            refuse(name, file, content, "wrong_content")
        for name, file, kind in (
            ("pickle", "a.pkl", "pickle"),
            ("checkpoint", "a.pt", "pickle"),
            ("spreadsheet", "a.xlsx", "spreadsheet"),
            ("old document", "a.doc", "old_document"),
            ("archive", "a.zip", "archive"),
            ("packed columns", "a.parquet.gz", "archive"),
            ("model", "a.gguf", "model"),
            ("unknown suffix", "a.yaml", "unknown_kind"),
            ("no suffix", "examples", "unknown_kind"),
        ):
            refuse(name, file, b"what it holds is not looked at", kind)

    def twice_named(self) -> None:
        """Parquet with a column's name twice."""
        import pyarrow as pa
        import pyarrow.parquet

        table = pa.table([["a"], ["b"], ["c"]], names=["instruction", "output", "output"])
        out = io.BytesIO()
        pyarrow.parquet.write_table(table, out)
        self.refuse("column twice in columns", "a.parquet", out.getvalue(), "duplicate_column")

    def paths(self) -> None:
        """Paths that are no file of examples."""
        refuse = self.refuse
        refuse("missing", "no.jsonl", None, "missing")
        refuse("missing for training", "no.jsonl", None, "missing", words=["train", "--base", "nano", "--data", "{path}", "--json"])
        refuse("missing validation", "no.jsonl", None, "missing",
               words=["data", "check", self._good(), "--validation", "{path}", "--json"])  # fmt: skip
        inside = self._good() / "inside.jsonl"
        self.add("file as a folder", ["data", "check", inside, "--json"], 2, kind="missing", file=str(inside))
        long = self.folder / f"{'x' * 300}.jsonl"
        self.add("name too long", ["data", "check", long, "--json"], 2, kind="unreadable", file=str(long))
        nul = f"{self.folder}/a\x00b.jsonl"
        self.add("NUL in a name", ["data", "check", nul, "--json"], 2, kind="missing", file=nul)
        link = self.stem("link").with_suffix(".jsonl")
        link.symlink_to("nowhere.jsonl")
        self.add("dangling link", ["data", "check", link, "--json"], 2, kind="dangling_link", file=str(link))
        for name, target, kind in (("dangling link", "nowhere", "dangling_link"), ("link to itself", "a.jsonl", "unreadable")):
            folder = self.stem(f"folder with a {name}")
            folder.mkdir()
            (folder / "a.jsonl").symlink_to(target)
            words = ["train", "--base", "nano", "--data", folder, "--json"]
            self.add(f"{name} in a folder", words, 2, kind=kind, file=str(folder / "a.jsonl"))
        nobody = "~nobody-of-that-name/a.jsonl"
        self.add("home of nobody", ["data", "check", nobody, "--json"], 2, kind="missing", file=nobody)
        self.add("base in the home of nobody", ["data", "check", self._good(), "--base", "~nobody-of-that-name/m", "--json"], 2,
                 says=("no base model",))  # fmt: skip
        self.add("base with a name too long", ["data", "check", self._good(), "--base", "x" * 300, "--json"], 2, says=("no base model",))
        loop = self.stem("loop").with_suffix(".jsonl")
        loop.symlink_to(loop.name)
        self.add("link to itself", ["data", "check", loop, "--json"], 2, kind="unreadable", file=str(loop))
        for name, files in (
            ("empty folder", ()),
            ("folder named as a file.jsonl", ()),
            ("folder without examples", ("a.xlsx", ".a.jsonl")),
        ):
            folder = self.stem(name)
            folder.mkdir()
            for file in files:
                (folder / file).write_text("{}\n", encoding="utf-8")
            self.add(name, ["data", "check", folder, "--base", "nano", "--json"], 2, kind="no_examples", file=str(folder))
        pipe = self.stem("pipe").with_suffix(".jsonl")
        os.mkfifo(pipe)
        for command in (
            ["data", "check", pipe],
            ["train", "--base", "nano", "--data", pipe],
            ["data", "split", pipe, "--out", self.folder],
        ):
            self.add(f"pipe for {command[0]} {command[1]}", [*command, "--json"], 2, kind="not_a_file", file=str(pipe))
        within = self.stem("folder with a pipe")
        within.mkdir()
        os.mkfifo(within / "a.jsonl")
        self.add("pipe in a folder", ["data", "check", within, "--json"], 2, kind="not_a_file", file=str(within / "a.jsonl"))
        self.add("device", ["data", "check", "/dev/null", "--json"], 2, kind="not_a_file", file="/dev/null")
        closed = self._good()
        closed.chmod(0)
        self.add("no permission", ["data", "check", closed, "--json"], 2, kind="no_permission", file=str(closed), lower=True)

    def _good(self) -> Path:
        """A file in which nothing is wrong."""
        return jsonl(self.stem(f"good{self.rng.randrange(10**9)}"), [turns(self.rng) for _ in range(12)], self.rng)[0]

    def shapes(self) -> None:
        """Rows whose shape nobody knows, and words of the command line that do not fit the rows."""
        rng, add = self.rng, self.add

        def check(name: str, path: Path, *words: Any, **more: Any) -> None:
            add(name, ["data", "check", path, *words, "--json"], 2, **more)

        odd, lines = jsonl(self.stem("odd"), [{"frage": ask(rng), "nutzen": sentence(rng)} for _ in range(12)], rng)
        check("unknown columns", odd, says=("frage", "nutzen"), kind="unknown_shape", file=str(odd), line=lines[0])
        add("training on unknown columns", ["train", "--base", "nano", "--data", odd, "--json"], 2, says=("frage",),
            kind="unknown_shape", file=str(odd), line=lines[0])  # fmt: skip
        named, lines = commas(self.stem("named"), [{"user_question": ask(rng), "bot_answer": sentence(rng)} for _ in range(12)], rng)
        check("columns that a mapping would name", named, says=("user_question",), kind="unknown_shape", file=str(named), line=lines[0])
        several = [*(turns(rng) for _ in range(9)), *(alpaca(rng) for _ in range(8))]
        rng.shuffle(several)
        mixed, lines = listed(self.stem("mixed"), several, rng)
        first = {key: lines[next(at for at, row in enumerate(several) if key in row)] for key in ("messages", "instruction")}
        says = (f"9 of 17 sampled rows have the shape of messages (OpenAI, ChatML), the first at line {first['messages']}",
                f"8 of 17 sampled rows have the shape of Alpaca, the first at line {first['instruction']}")  # fmt: skip
        check("mixed formats", mixed, says=says, kind="mixed_formats", file=str(mixed), line=first["instruction"])
        path, lines, _ = self.mix("many odd", jsonl, turns, lambda rng: {"note": sentence(rng)}, 10)
        check("too many of no shape", path, says=(f"the first at line {lines[0]}",), kind="unknown_shape", file=str(path), line=lines[0])
        path, lines = jsonl(self.stem("nothing"), [_cut(rng) for _ in range(5)], rng)
        check("no row is JSON", path, says=(f"line {lines[0]} of {path}",), kind="no_row_readable", file=str(path), line=lines[0])
        path, _ = tabs(self.stem("narrow"), [alpaca(rng), *([sentence(rng)] for _ in range(5))], rng)
        add("one readable row for split", ["data", "split", path, "--out", path.with_name("out"), "--json"], 2, says=("1 readable rows",))
        good = self._good()
        at = next(number for number, line in enumerate(good.read_text(encoding="utf-8").split("\n"), 1) if line.strip())
        check("another format", good, "--format", "ranking", says=("No row fits", "ranking"), kind="wrong_format", file=str(good), line=at)
        check("no such format", good, "--format", "mesages", says=("mesages", "messages"))
        check("map without a sign", good, "--column-map", "instruction", says=("instruction",))
        check("map twice", good, "--column-map", "instruction=a,instruction=b", says=("twice",))
        check(
            "map of no column",
            good,
            "--column-map",
            "messages=mesages",
            says=("mesages", "messages"),
            kind="no_column",
            file=str(good),
            line=at,
        )
        twin = self.stem("twin").with_suffix(".jsonl")
        twin.symlink_to(good)
        check("the same file twice", good, good, says=("given twice", str(good)))
        check("the same file by a link", good, twin, says=("given twice", str(good)))
        check("in its own folder", good, good.parent, says=("given twice",))
        for weight in ("0", "-1", "nan", "1e9"):
            check(f"weight {weight}", Path(f"{good}:{weight}"), says=("weight", weight))
        check("validation is data", good, "--validation", good, says=("held out", str(good)))
        check("validation is data by a link", good, "--validation", twin, says=("held out",))
        check("no such base", good, "--base", self.folder / "nowhere", says=("no base model",))
        check("length 1", good, "--max-length", 1, says=("length",))
        check("length in words", good, "--max-length", "long", says=("length",))
        check("cut in an unknown way", good, "--overlong", "fold", says=("long",))
        check("no such flag", good, "--bse", "nano", says=("--bse",))
        check("report into a folder", good, "--out", self.folder, says=("no place",))
        page = good.with_name("page.html")
        page.write_text("<!doctype html><html><body><p>The harbour is open.</p></body></html>", encoding="utf-8")
        check("report onto the data", page, "--out", page, says=("very file",))
        check("rows left out onto the data", good, "--quarantine", good, says=("very file",))
        check("rows left out onto a folder", good, "--quarantine", self.folder, says=("folder",))
        pairs, _ = jsonl(self.stem("pairs"), [pair(rng) for _ in range(12)], rng)
        check("files of two kinds", good, pairs, says=("different kinds",))
        check("report as text", good, "--out", self.folder / "report.txt", says=("no place",))
        add("no file named", ["data", "check", "--json"], 2, says=("FILE",))
        add("no examples named", ["train", "--base", "nano", "--json"], 2, says=("No examples",))
        add("no such row", ["data", "preview", good, "--row", 99, "--json"], 2, says=("no row 99",))
        add("row 0", ["data", "preview", good, "--row", 0, "--json"], 2, says=("row",))
        for name, to, out, word in (
            ("convert to nothing known", "poems", self.folder / "o.jsonl", "poems"),
            ("convert onto itself", "messages", good, "very file"),
            ("convert onto a link to the data", "messages", twin, "very file"),
            ("convert into a folder", "messages", self.folder, "folder"),
            ("convert into pairs", "preference", self.folder / "o.jsonl", "All 12"),
        ):
            add(name, ["data", "convert", good, "--to", to, "--out", out, "--json"], 2, says=(word,))
        add("split with a share of 0", ["data", "split", good, "--share", 0, "--out", self.folder / "o", "--json"], 2, says=("share",))

    def models(self) -> None:
        """Folders that are no base."""
        good = self._good()

        def broken(name: str, says: str, **files: bytes | None) -> None:
            path = self.folder / "bases" / name.replace(" ", "_")
            shutil.copytree(self.bases["{strict}"], path, symlinks=True)
            for file, data in files.items():
                target = path / file.replace("__", ".")
                target.unlink(missing_ok=True)
                if data is not None:
                    target.write_bytes(data)
            self.add(name, ["data", "check", good, "--base", path, "--json"], 2, says=(says,))

        broken("base without a config", "config.json", config__json=None)
        broken("base with a broken config", "config.json", config__json=b'{"model_type": ')
        broken("base without a kind", "model_type", config__json=b"{}")
        broken("base without weights", "No safetensors", model__safetensors=None)
        broken("base with cut weights", "damaged", model__safetensors=b"\x10\x00")
        broken("base with a long header", "header", model__safetensors=b"\xff" * 64)
        broken("base with pickled weights", "pytorch_model.bin", model__safetensors=None, pytorch_model__bin=b"\x80\x02.")
        broken("base without a tokenizer", "tokenizer.json", tokenizer__json=None)
        broken("base with a broken tokenizer", "tokenizer", tokenizer__json=b"[]")
        broken("base with a broken template", "chat template", chat_template__jinja=b"{% if %}")


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def build(folder: Path, seed: int) -> list[Case]:
    """Write the corpus below a folder and give its cases. The same seed always gives the same files."""
    builder = Builder(folder, seed)
    for part in (builder.rows, builder.wholes, builder.text_files, builder.packed_files, builder.paths, builder.shapes, builder.models):
        part()
    names = [case.name for case in builder.cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return builder.cases


def large(folder: Path) -> Iterator[Case]:
    """The limits as they are, met by files that are small only because they are packed."""
    good = _json(turns(random.Random(0)))
    long = [b'{"text": "', b"x" * (65 << 20), b'"}']
    for name, file, content, kind, line in (
        ("row of 65 MiB", "row.jsonl.gz", [good, b"\n" * 3, *long, b"\n", (good + b"\n") * 9], "", 4),
        ("value of 65 MiB", "value.json.gz", [b"[\n\n", good, b",\n\n", *long, b"]"], "too_large", 5),
        ("field of 17 MiB", "field.csv.gz", [b"instruction,output\na,b\nc,", b"x" * (17 << 20), b"\n"], "too_large", 3),
        ("bomb of short rows", "rows.jsonl.gz", [b"{}\n" * (260 << 18)] * 2, "bomb", 0),
    ):
        path = folder / file
        with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as out:
            for part in content:
                out.write(part)
        words = ("data", "check", str(path), "--base", "nano", "--json")
        if kind:
            yield Case(name, words, 2, kind=kind, file=str(path), line=line)
        else:
            copies = tuple((str(path), at, "duplicate") for at in range(5, 14))
            yield Case(name, words, 0, read=11, rejected=((str(path), 4, "too_large"),), warned=copies)


def drive(cases: Path, results: Path) -> None:
    """Run the command lines of a file of cases one after the other in this process, and write down how each ended.

    Each is given two minutes before it counts as hanging.
    """
    from importlib import import_module

    from edgetune.cli.app import run
    from edgetune.estimate import training_time

    training_time._products = cache(training_time._products)  # the machine's speed, which would be timed for every case

    def hangs(number: int, frame: Any) -> None:
        raise RuntimeError("it hangs")

    signal.signal(signal.SIGALRM, hangs)
    outcomes = []
    for case in json.loads(cases.read_text(encoding="utf-8")):
        patches = [(import_module(name.rpartition(".")[0]), name.rpartition(".")[2], value) for name, value in case["patch"].items()]
        before = [getattr(module, name) for module, name, _ in patches]
        for module, name, value in patches:
            setattr(module, name, value)
        user, ended, code, start = os.geteuid(), "", -1, time.process_time()
        sys.argv = ["edgetune", *case["words"]]
        signal.alarm(120)
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            try:
                if case["lower"] and user == 0:
                    os.seteuid(NOBODY)
                code = run(case["words"])
            except BaseException:
                ended = traceback.format_exc()
            finally:
                signal.alarm(0)
                os.seteuid(user)
        for (module, name, _), value in zip(patches, before, strict=True):
            setattr(module, name, value)
        heavy = sorted({"torch", "transformers", "llama_cpp"} & set(sys.modules))
        spent = time.process_time() - start
        outcomes.append({"code": code, "out": out.getvalue(), "err": err.getvalue() + ended, "seconds": spent, "heavy": heavy})
    results.write_text(json.dumps(outcomes), encoding="utf-8")


if __name__ == "__main__" and sys.argv[1] == "--drive":
    drive(Path(sys.argv[2]), Path(sys.argv[3]))
elif __name__ == "__main__":
    for case in build(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 0):
        print(case.name, case.code, *sorted(case.kinds), sep="\t")
