"""Every shape is recognised, converted, and what does not fit is listed with its line; nothing is dropped in silence."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from edgetune.bases import find, tokenizer
from edgetune.data.formats import module
from edgetune.data.prepare import detect, prepare
from edgetune.data.read import Row, rows
from edgetune.errors import InputError
from edgetune.recipe import build

SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}),
    ("messages", {"conversations": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "a"}]}),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}]}, {"role": "assistant", "content": "a"}]}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}),
    ("alpaca", {"instruction": "q", "output": "a"}),
    ("alpaca", {"instruction": "q", "input": "", "response": "a"}),
    ("prompt_completion", {"prompt": "q", "completion": "a"}),
    ("prompt_completion", {"question": "q", "answer": "a"}),
    ("prompt_completion", {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}),
]


@pytest.mark.parametrize(("name", "row"), SHAPES)
def test_shape_is_recognised_and_means_the_same(name: str, row: dict[str, Any]) -> None:
    assert detect([Row("f", 1, row)])[0] == name
    assert module(name).convert(row).messages == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def test_input_goes_below_the_instruction_and_history_before() -> None:
    row = {"instruction": "do", "input": "this", "output": "done", "system": "s", "history": [["a", "b"]]}
    assert [m["content"] for m in module("alpaca").convert(row).messages] == ["s", "a", "b", "do\nthis", "done"]


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("messages", {"messages": [{"role": "user", "content": "q"}]}, "no assistant"),
        ("messages", {"messages": [{"role": "assistant", "content": "a"}]}, "speaks first"),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "a"}]},
            "image_url",
        ),
        ("messages", {"messages": [{"role": "robot", "content": "q"}]}, "robot"),
        ("alpaca", {"instruction": "q", "output": 5}, "int"),
        ("alpaca", {"instruction": "q", "output": " "}, "empty"),
        ("alpaca", {"instruction": "q\x00", "output": "a"}, "NUL"),
        ("alpaca", {"instruction": "q", "output": "\ud800"}, "surrogate"),
        ("text", {"text": None}, "missing"),
        ("alpaca", {"instruction": "q", "output": "a", "history": 5}, "history"),
        ("alpaca", {"instruction": "q", "output": "a", "history": [["\ud800", "x"]]}, "surrogate"),
        ("alpaca", {"instruction": "q", "output": "a", "system": 5}, "system"),
        ("prompt_completion", {"prompt": [], "completion": []}, "empty"),
        ("messages", {"messages": [{"role": ["user"], "content": "a"}, {"role": "assistant", "content": "b"}]}, "unknown"),
        ("messages", {"messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "b"}]}, "speaks first"),
        ("sharegpt", {"conversations": [{"from": ["human"], "value": "a"}, {"from": "gpt", "value": "b"}]}, "unknown"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "a"}, 5]}, "unknown"),
    ],
)
def test_rows_that_do_not_fit_say_why(name: str, row: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        module(name).convert(row)


def test_preferences_are_not_mistaken_for_conversations() -> None:
    row = {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "a"},
        "rejected": {"from": "gpt", "value": "b"},
    }
    with pytest.raises(InputError, match="shape"):
        detect([Row("f", 1, row)])


def test_every_kind_of_file(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    values = [{"instruction": f"q{i}", "output": 'a, "b"\nc'} for i in range(3)]
    lines = "".join(json.dumps(v) + "\n" for v in values)
    (tmp_path / "a.jsonl").write_text("\ufeff" + lines, encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "d.csv").write_bytes(b"instruction,output\r\n" + b"".join(f'q{i},"a, ""b""\nc"\r\n'.encode() for i in range(3)))
    (tmp_path / "e.json").write_text(lines, encoding="utf-8")
    (tmp_path / "f.json").write_text(json.dumps({"data": values}), encoding="utf-16")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(values), tmp_path / "g.parquet")
    for path in sorted(tmp_path.iterdir()):
        assert [row.value for row in rows(path)] == values, path.name
    assert [row.line for row in rows(tmp_path / "b.json")] == [2, 6, 10]
    assert len(list(rows(tmp_path))) == 7 * 3


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", b'[{"a": 1}, {"a"', "not JSON"),
        ("b.csv", b'a,b\n"x,1\n', "CSV"),
        ("c.jsonl", b"\xff\xfe\xfa\xfb\xfc", "UTF"),
        ("d.bin", b"x", "kind"),
        ("e.txt", b"", "empty"),
        ("f.jsonl.gz", b"nope", "unpacked"),
        ("g.parquet", b"PAR1", "Parquet"),
        ("h.jsonl", b"ok\xff\xff", "UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(rows(path))
    assert why.lower() in (caught.value.title + caught.value.cause).lower()


def test_read_is_kept_plus_rejected_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    good = json.dumps({"instruction": "q", "output": "a"})
    path.write_text(
        f"{good}\nnot json\n\n{good}\n[1]\n{json.dumps({'instruction': 'q', 'output': ''})}\n" + f"{good}\n" * 20, encoding="utf-8"
    )
    tokens = tokenizer.load(find.BUNDLED, "2026-01-01")
    result = prepare(build({"data": str(path), "base": "nano"})[0], tokens, 256)
    assert result.read == result.kept + len(result.rejected) == 25
    assert [(r.line, r.file) for r in result.rejected] == [(2, str(path)), (5, str(path)), (6, str(path))]


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("alpaca_en_demo.json", "alpaca", 999),
        ("identity.json", "alpaca", 91),
        ("gsm8k-train.json", "alpaca", 7473),
        ("v1_sft_demo.jsonl", "messages", 500),
        ("wiki_demo.txt", "text", 30),
        ("c4_demo.jsonl", "text", 300),
        ("glaive_toolcall_en_demo.json", "sharegpt", 300),
    ],
)
def test_real_datasets(shared: Path, name: str, shape: str, count: int) -> None:
    found = list(rows(shared / "datasets" / name))
    assert len(found) == count
    assert detect(found[:: max(1, len(found) // 100)])[0] == shape
