"""`edgetune data`: what a person sees, what a program reads, and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
NEEDED = {"format", "reason", "read", "kept", "rejected", "truncated", "problems", "lengths", "verdict"}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Thirty good rows and three bad ones."""
    rows = [json.dumps({"instruction": f"Say {i} please, my friend?", "output": f"It is {i}."}) for i in range(30)]
    rows[4:4] = ["not json", json.dumps({"instruction": "q", "output": ""}), "[1]"]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_check_says_it_in_words_and_in_json(edgetune: Call, mixed: Path, tmp_path: Path) -> None:
    code, out, _ = edgetune("data", "check", mixed, "--base", "nano", "--out", tmp_path / "r.html")
    assert code == 0 and "read 33 = kept 30 + rejected 3 + truncated 0" in out and "verdict: good with warnings" in out
    assert f"fix first: Fix the rows rejected as 'not_json'. The first is {mixed}:5" in out and "<html" in (tmp_path / "r.html").read_text(
        encoding="utf-8"
    )
    code, out, _ = edgetune("data", "check", mixed, "--base", "nano", "--json")
    report = json.loads(out)
    assert code == 0 and report.keys() >= NEEDED and report["format"] == "alpaca"
    assert [(p["line"], p["kind"]) for p in report["problems"] if p["rejected"]] == [(5, "not_json"), (6, "empty"), (7, "not_object")]
    assert len(Path(report["quarantine"]).read_text(encoding="utf-8").splitlines()) == 3
    assert report["effort"]["steps"] > 0 and report["effort"]["seconds"] is not None


def test_check_needs_no_base(edgetune: Call, mixed: Path) -> None:
    code, out, _ = edgetune("data", "check", mixed)
    assert code == 0 and "guessed" in out


def test_do_not_train_is_exit_1_and_train_refuses_unless_told(edgetune: Call, facts: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.jsonl"
    lines = facts.read_text(encoding="utf-8").splitlines()
    spoiled.write_text("\n".join([*lines, *["no"] * 14]) + "\n", encoding="utf-8")
    code, out, _ = edgetune("data", "check", spoiled, "--base", "nano")
    assert code == 1 and "verdict: do not train" in out and "14 of 50" in out
    code, out, err = edgetune("train", "--base", "nano", "--data", spoiled, "--dry-run")
    assert code == 2 and "do not train" in err and "--anyway" in err
    code, out, err = edgetune("train", "--base", "nano", "--data", spoiled, "--dry-run", "--anyway")
    assert code == 0 and "rank" in out


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [("a.jsonl", "", "empty"), ("a.json", '[{"a": 1}, {', "cut off"), ("a.jsonl", '{"x": 1}\n', "shape"), ("a.xyz", "x", "kind")],
)
def test_what_cannot_be_read_is_exit_2(edgetune: Call, tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    code, out, err = edgetune("data", "check", tmp_path / name)
    assert code == 2 and out == "" and why in err and "do:" in err
    code, out, _ = edgetune("data", "check", tmp_path / name, "--json")
    assert code == 2 and json.loads(out)["error"]["remedy"]


def test_preview_marks_what_is_trained(edgetune: Call, mixed: Path) -> None:
    code, out, _ = edgetune("data", "preview", mixed, "--row", 3, "--base", "nano")
    assert code == 0 and "⟦It is 2.<|im_end|>⟧" in out and f"{mixed}:3" in out
    tokens = json.loads(edgetune("data", "preview", mixed, "--row", 3, "--base", "nano", "--json")[1])["rows"][0]
    assert "".join(t["text"] for t in tokens if t["trained"]) == "It is 2.<|im_end|>"
    assert "".join(t["text"] for t in tokens).startswith("<|im_start|>")
    code, out, _ = edgetune("data", "preview", mixed, "--row", 5)
    assert code == 0 and "left out (not_json)" in out
    assert edgetune("data", "preview", mixed, "--row", 34)[0] == 2


def test_columns_can_be_mapped(edgetune: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Q,A\n" + "".join(f"what is {i},it is {i}\n" for i in range(12)), encoding="utf-8")
    code, _, err = edgetune("data", "check", path)
    assert code == 2 and "--column-map" in err and "Q" in err
    code, out, _ = edgetune("data", "check", path, "--column-map", "instruction=Q,output=A", "--json")
    assert code == 0 and json.loads(out)["kept"] == 12


def test_convert_gives_rows_that_read_back(edgetune: Call, mixed: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "m.jsonl"
    code, out, err = edgetune("data", "convert", mixed, "--to", "messages", "--out", out_file, "--json")
    result = json.loads(out)
    assert code == 0 and (result["read"], result["written"], result["left_out"]) == (33, 30, 3) and f"{mixed}:5" in err
    first = json.loads(out_file.read_text(encoding="utf-8").splitlines()[0])
    assert first == {"messages": [{"role": "user", "content": "Say 0 please, my friend?"}, {"role": "assistant", "content": "It is 0."}]}
    assert json.loads(edgetune("data", "check", out_file, "--json")[1])["format"] == "messages"
    code, _, err = edgetune("data", "convert", mixed, "--to", "preference", "--out", tmp_path / "p.jsonl")
    assert code == 2 and "All 33" in err and not (tmp_path / "p.jsonl").exists()
    code, _, err = edgetune("data", "convert", mixed, "--to", "messages", "--out", mixed)
    assert code == 2 and len(mixed.read_text(encoding="utf-8").splitlines()) == 33


def test_split_keeps_equal_rows_together(edgetune: Call, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q {i % 20}", "completion": "a"}) + "\n" for i in range(40)), encoding="utf-8")
    code, out, _ = edgetune("data", "split", path, "--share", 0.2, "--out", tmp_path / "s", "--json")
    result = json.loads(out)
    assert code == 0 and (result["train"], result["valid"]) == (32, 8)
    train, valid = ((tmp_path / "s" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("train", "valid"))
    assert not set(train) & set(valid) and sorted(train + valid) == sorted(path.read_text(encoding="utf-8").splitlines())
    assert edgetune("data", "check", tmp_path / "s")[0] == 0


def test_what_a_template_drops_is_shown_in_the_check_the_row_and_the_app(edgetune: Call, tmp_path: Path) -> None:
    from tui.report_words import report_text, row_text

    called = [{"type": "function", "function": {"name": "lamp", "arguments": {"number": 1}}}]
    turns = [{"role": "user", "content": "Light, please."}, {"role": "assistant", "content": "", "tool_calls": called}]
    thinking = [turns[0], {"role": "assistant", "content": "Here.", "reasoning_content": "It is dark."}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in (turns, *[thinking] * 3)), encoding="utf-8")
    code, out, _ = edgetune("data", "check", path, "--base", "nano")
    assert code == 1 and "calls_dropped" in out and "reasoning_dropped" in out
    assert "fix first: Use a base whose chat template writes calls of tools, or remove these rows." in out

    # The app shows the same report and the same rows.
    report = json.loads(edgetune("data", "check", path, "--base", "nano", "--json")[1])
    text = report_text(report, {}, ascii_only=True).plain
    assert "1 calls dropped" in text and "3 reasoning dropped" in text and "Use a base whose chat template writes calls" in text
    rows = [json.loads(edgetune("data", "preview", path, "--row", number, "--base", "nano", "--json")[1]) for number in (1, 2)]
    left_out, kept = (row_text(row, {}).plain for row in rows)
    assert left_out == f"left out: {rows[0]['rejected']['reason']}" and "does not write calls of tools" in left_out
    assert "⟦Here." in kept and kept.endswith("reasoning dropped  the chat template does not write the reasoning before an answer")
