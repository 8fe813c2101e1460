"""What is written down as messages or pairs reads back as the same example, and TRL reads it as it is."""

import json
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgetune.data.formats import Example, format_order, module
from edgetune.data.rewrite import as_messages, as_preference
from edgetune.data.row import RowError

PAIRED = [name for name in format_order() if name.startswith("pair_") or name == "ranking"]
TALKING = ["messages", "sharegpt", "prompt_completion", "alpaca"]
CALLS = {
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": '{"x": "é"}'}}]},
        {"role": "tool", "content": "1", "tool_call_id": "c1"},
        {"role": "assistant", "content": "a", "thinking": "hm", "weight": 0},
        {"role": "user", "content": [{"type": "text", "text": "and?"}]},
        {"role": "assistant", "content": "b"},
    ],
    "tools": '[{"name": "f", "parameters": {"type": "object"}}]',
}


def example(name: str) -> Example:
    return module(name).convert(module(name).SAMPLE)


def again(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it comes back from a file."""
    return json.loads(json.dumps(row, ensure_ascii=False))


@pytest.mark.parametrize("before", [*map(example, TALKING), module("messages").convert(CALLS)])
def test_conversations_read_back_equal(before: Example) -> None:
    (row,) = as_messages(before)
    assert module("messages").detect(again(row))
    assert module("messages").convert(again(row)) == before
    with pytest.raises(RowError) as caught:
        as_preference(before)
    assert caught.value.kind == "not_preference"


@pytest.mark.parametrize("name", PAIRED)
def test_pairs_read_back_equal(name: str) -> None:
    before = example(name)
    (row,) = as_preference(before)
    assert module("pair_lists").convert(again(row)) == before
    assert [n for n in format_order() if module(n).detect(again(row))] == ["pair_lists"]
    assert as_messages(before) == [{"messages": before.messages + before.pairs[0][0]}]


def test_a_ranking_becomes_a_row_for_every_pair_and_its_best_answer() -> None:
    row = {"prompt": "q", "answers": [{"answer": text, "rank": rank} for text, rank in (("c", 3), ("a", 1), ("b", 2))]}
    before = module("ranking").convert(row)
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in as_preference(before)] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert as_messages(before)[0]["messages"][-1]["content"] == "a"


@pytest.mark.parametrize(("name", "kind"), [("text", "not_conversation"), ("prompt", "no_answer")])
def test_what_is_no_conversation_is_refused(name: str, kind: str) -> None:
    with pytest.raises(RowError) as caught:
        as_messages(example(name))
    assert caught.value.kind == kind


def test_only_good_answers_become_messages() -> None:
    row = {"prompt": "q", "completion": "a"}
    (written,) = as_messages(module("unpaired").convert({**row, "label": True}))
    assert [m["content"] for m in written["messages"]] == ["q", "a"]
    with pytest.raises(RowError, match="bad"):
        as_messages(module("unpaired").convert({**row, "label": False}))


@pytest.fixture
def trl_data(monkeypatch: pytest.MonkeyPatch) -> Any:
    """TRL's own data_utils, without the ten seconds of torch and transformers, of which it only names two types."""
    import datasets  # noqa: F401  (it looks for transformers itself, so it comes first)

    names = ModuleType("transformers")
    names.__dict__.update(PreTrainedTokenizerBase=object, ProcessorMixin=object)
    monkeypatch.setitem(sys.modules, "transformers", names)
    package = find_spec("trl")
    assert package and package.submodule_search_locations
    spec = spec_from_file_location("trl_data_utils", Path(package.submodule_search_locations[0]) / "data_utils.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_trl_reads_what_is_written(trl_data: Any) -> None:
    for name in PAIRED:
        for row in as_preference(example(name)):
            assert trl_data.is_conversational(row)
            whole = {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}
            assert trl_data.extract_prompt(whole) == row
    for name in TALKING:
        assert all(trl_data.is_conversational(row) for row in as_messages(example(name)))
