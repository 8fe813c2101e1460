"""A tensor made some rows at a time is the tensor made whole; results come in order with few in memory."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert, merge, slabs
from converters.archs import architecture, qwen3_5_text, supported
from tests.converters.adapters import train
from tests.converters.conftest import MakeModel
from tests.converters.test_merge import BASE, CASES, OTHERS

ADAPTED = {name: (BASE, options) for name, options in CASES.items()} | OTHERS


def assert_slabs_are_the_whole(plan: convert.Plan, exact: bool, rows: int) -> None:
    """Make every matrix so many rows at a time, and whole."""
    for tensor in plan.tensors:
        whole = tensor.build(*(plan.merged_tensor(name) for name, _ in tensor.sources))
        parts = [slab() for slab in slabs.slabs(tensor, plan.merged_tensor, rows * int(np.prod(tensor.shape[1:])))]
        assert all(len(part) <= rows for part in parts)
        made = np.concatenate(parts)
        if exact:
            assert np.array_equal(made, whole), tensor.name
        else:
            assert np.abs(made - whole).max() <= 1e-6 * np.abs(whole).max(), tensor.name


@pytest.mark.parametrize("kind", supported())
def test_slabs_of_every_architecture(make_model: MakeModel, kind: str) -> None:
    folder = make_model(architecture({"model_type": kind}).TINY | {"vocab_size": 300, "vocab_size_per_layer_input": 300})
    assert_slabs_are_the_whole(convert.plan_gguf(folder, None, ["F32"], chat_template=None, name="n", extra={}), True, 5)


@pytest.mark.parametrize("case", ADAPTED)
def test_slabs_of_a_merged_model(make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(merge, "MERGE_ROWS", 7)
    config, options = ADAPTED[case]
    folder = make_model(config | {"vocab_size": 300})
    train(folder, tmp_path / "a", **options)
    assert_slabs_are_the_whole(convert.plan_gguf(folder, tmp_path / "a", ["F32"], chat_template=None, name="n", extra={}), False, 5)


def test_no_matrix_of_these_is_made_whole(make_model: MakeModel) -> None:
    """Queries and keys, and the linear attention's dealt rows and columns: read only what the slab needs."""
    for config in (BASE, qwen3_5_text.TINY):
        plan = convert.plan_gguf(make_model(config | {"vocab_size": 300}), None, ["F32"], chat_template=None, name="n", extra={})
        read: list[int] = []

        def load(name: str, rows: Any, plan: convert.Plan = plan, read: list[int] = read) -> np.ndarray:
            values = plan.merged_tensor(name, rows)
            read.append(len(values))
            return values

        for tensor in plan.tensors:
            if len(tensor.shape) == 2 and min(tensor.shape) > 8 and "conv1d" not in tensor.name:
                for slab in slabs.slabs(tensor, load, 3 * tensor.shape[1]):
                    slab()
        assert read and max(read) <= 3


def test_several_types_in_one_reading(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = convert.plan_gguf(make_model(BASE), None, ["Q8_0", "F16", "Q4_0"], chat_template=None, name="n", extra={})
    apart, together = ({name: io.BytesIO() for name in plan.types} for _ in range(2))
    for name in plan.types:
        plan.write(name, apart[name])
    loads: list[str] = []
    load = convert.StoredTensor.load

    def counted(self: convert.StoredTensor, rows: Any = slice(None)) -> np.ndarray:
        loads.append(self.name)
        return load(self, rows)

    monkeypatch.setattr(convert.StoredTensor, "load", counted)
    plan.write_all(together)
    assert {name: file.getvalue() for name, file in together.items()} == {name: file.getvalue() for name, file in apart.items()}
    assert len(loads) == len(set(loads)) == sum(len(tensor.sources) for tensor in plan.tensors)


def test_results_are_in_order_and_few_ahead() -> None:
    started: list[int] = []
    gate = threading.Event()

    def task(number: int) -> int:
        started.append(number)
        if number == 0:
            gate.wait(10)
        return number

    results = slabs.in_order((lambda number=number: task(number) for number in range(50)), 2)  # type: ignore[misc]
    threading.Timer(0.1, gate.set).start()
    taken = []
    for result in results:
        assert len(started) <= result + 5
        taken.append(result)
    assert taken == list(range(50))


def test_an_error_in_a_task_ends_the_work() -> None:
    started: list[int] = []

    def task(number: int) -> int:
        started.append(number)
        return 1 // (3 - number)

    with pytest.raises(ZeroDivisionError):
        list(slabs.in_order((lambda number=number: task(number) for number in range(50)), 2))  # type: ignore[misc]
    assert max(started) < 10
