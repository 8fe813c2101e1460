"""Build a GGUF tensor in float32 some rows (a slab) at a time, so that memory does not grow with the largest matrix."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from converters.archs import TensorPlan
from converters.weights import RowSelection

MAX_SLAB, MIN_SLAB, WEIGHTS_IN_FLIGHT = 2**20, 2**17, 2**24
"""Weights in a slab: at most and at least; and about how many in all slabs that are worked on at the same time."""
Load = Callable[[str, RowSelection], np.ndarray]
"""Some rows of one of the model's tensors in float32, by its name."""
Result = TypeVar("Result")


def slab_size(threads: int) -> int:
    """Weights in a slab for this number of threads."""
    return max(MIN_SLAB, min(MAX_SLAB, WEIGHTS_IN_FLIGHT // threads))


def built_by_rows(tensor: TensorPlan) -> bool:
    """Whether some rows of a tensor can be built without the others."""
    return len(tensor.sources) == 1 and len(tensor.shape) > 1 and (tensor.build.within_rows or tensor.build.moves_rows)


def slab_rows(tensor: TensorPlan, slab_weights: int) -> int:
    """Rows of a tensor in a slab of so many weights."""
    return max(1, slab_weights // int(np.prod(tensor.shape[1:])))


def slabs(tensor: TensorPlan, load: Load, slab_weights: int) -> Iterator[Callable[[], np.ndarray]]:
    """The function that builds each slab of a tensor, in order, for any thread to call. slab_weights: weights in a slab.

    A tensor that can only be built whole is built here and cut into slabs.
    """
    rows = tensor.shape[0]
    step = slab_rows(tensor, slab_weights)
    parts = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]

    if built_by_rows(tensor):
        name, shape = tensor.sources[0]
        order = tensor.build(np.arange(shape[0])[:, None])[:, 0] if tensor.build.moves_rows else None
        for part in parts:
            yield partial(load, name, order[part]) if order is not None else partial(_built, tensor, load, part)
        return

    values = tensor.build(*(load(name, slice(None)) for name, _ in tensor.sources))
    assert values.shape == tensor.shape, (tensor.name, values.shape, tensor.shape)
    yield from (partial(values.__getitem__, part) for part in parts)


def _built(tensor: TensorPlan, load: Load, rows: slice) -> np.ndarray:
    return tensor.build(load(tensor.sources[0][0], rows))


def in_order(tasks: Iterator[Callable[[], Result]], threads: int) -> Iterator[Result]:
    """The tasks' results in order, computed by threads while earlier results are used, only a few tasks ahead."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(task))
                if len(pending) > threads + 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
