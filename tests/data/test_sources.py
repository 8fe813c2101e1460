"""Arguments become files: weights, folders, what is held out, and what is no example."""

from pathlib import Path

import pytest

from edgetune.data.readers import FileError
from edgetune.data.sources import Source, is_held_out, sources
from edgetune.errors import InputError


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def test_weights(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.jsonl", "c.jsonl", "sub/d.csv")
    files = sources([f"{tmp_path}/a.jsonl:2", f"{tmp_path}/b.jsonl:0.5", f"{tmp_path}/c.jsonl", f"{tmp_path}/sub:1e1"])
    assert [(s.path.name, s.weight) for s in files] == [("a.jsonl", 2), ("b.jsonl", 0.5), ("c.jsonl", 1), ("d.csv", 10)]


def test_a_real_name_wins_over_a_weight(tmp_path: Path) -> None:
    path = make(tmp_path, "a.jsonl:2", "a.jsonl") / "a.jsonl:2"
    assert sources([str(path)]) == [Source(path)]
    assert sources([f"{path}:3"]) == [Source(path, 3.0)]


def test_drive_letters_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path, "C:\\x.jsonl", "D:2"))
    assert sources(["C:\\x.jsonl"]) == [Source(Path("C:\\x.jsonl"))]
    assert sources(["C:\\x.jsonl:2"]) == [Source(Path("C:\\x.jsonl"), 2.0)]
    with pytest.raises(FileError) as caught:
        sources(["E:2"])
    assert caught.value.file == "E:2"


@pytest.mark.parametrize("weight", ["0", "-1", "101", "nan", "inf", "-inf", "1e9", "0.0"])
def test_weights_out_of_bounds(tmp_path: Path, weight: str) -> None:
    make(tmp_path, "a.jsonl")
    with pytest.raises(InputError, match="weight") as caught:
        sources([f"{tmp_path}/a.jsonl:{weight}"])
    assert weight in caught.value.cause and caught.value.remedy


def test_folders(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("train.jsonl", "data_test.JSONL", "b/test-00000-of-00001.parquet", "dev/0.csv.gz", "z/latest.json", "contest/x.txt", "book.pdf"),
        *(".hidden.jsonl", ".cache/x.jsonl", "b/.git/y.json", "weights.gguf", "data.parquet.gz", "notes.docx", "sub.jsonl/inner.json"),
        *("README.md", "LICENSE.txt", "dataset_infos.json", "b/dataset_info.json", "state.json", "card.md"),
    )
    held_out = {str(s.path.relative_to(tmp_path)): s.held_out for s in sources([str(tmp_path)])}
    assert held_out == {
        "b/test-00000-of-00001.parquet": True,
        "book.pdf": False,
        "contest/x.txt": False,
        "data_test.JSONL": True,
        "dev/0.csv.gz": True,
        "notes.docx": False,
        "sub.jsonl/inner.json": False,
        "train.jsonl": False,
        "z/latest.json": False,
    }
    assert list(held_out) == sorted(held_out)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("validation.jsonl", True),
        ("x.val.jsonl.gz", True),
        ("Eval-set.csv", True),
        ("my_dev_2.json", True),
        ("test/0.jsonl", True),
        ("testing.jsonl", False),
        ("invalid.jsonl", False),
        ("developers.jsonl", False),
        ("train.test", False),
    ],
)
def test_words_that_hold_out(name: str, held: bool) -> None:
    assert is_held_out(Path(name)) is held


def test_a_named_file_and_a_named_folder_are_never_held_out_by_their_own_name(tmp_path: Path) -> None:
    make(tmp_path, "test/valid.jsonl", "eval/a.jsonl")
    assert [s.held_out for s in sources([f"{tmp_path}/test/valid.jsonl", f"{tmp_path}/eval"])] == [False, False]


def test_markdown_alone_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.txt", "README.md")
    assert [s.path.name for s in sources([str(tmp_path)])] == ["a.md", "b.txt"]
    only = make(tmp_path / "only", "README.md")
    assert [s.path.name for s in sources([str(only)])] == ["README.md"]


def test_twice(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.jsonl")
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    for twice in (["a.jsonl", "a.jsonl:2"], ["a.jsonl", "link.jsonl"], ["."], ["b.jsonl", "../" + tmp_path.name + "/b.jsonl"]):
        with pytest.raises(InputError, match="twice"):
            sources([f"{tmp_path}/{name}" for name in twice])


@pytest.mark.parametrize(("name", "kind"), [("nothing.jsonl", "missing"), ("dangling.jsonl", "dangling_link"), ("empty", "no_examples")])
def test_what_is_not_there(tmp_path: Path, name: str, kind: str) -> None:
    make(tmp_path, "empty/model.gguf", "empty/.a.jsonl")
    (tmp_path / "dangling.jsonl").symlink_to("gone")
    with pytest.raises(FileError) as caught:
        sources([str(tmp_path / name)])
    assert caught.value.kind == kind and caught.value.remedy
