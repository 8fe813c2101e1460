"""Kernels that give ggml's bits for blocks of Q8_0 and the K types (ggml/src/ggml-quants.c), one block in each lane."""

from collections.abc import Callable
from functools import partial
from typing import Any

from converters.k_search import (
    GROUP_MAX_EPS,
    MinimumFit,
    Search,
    half_bits,
    half_value,
    nearest,
    positive,
    scale_alone,
    three_bits,
    with_minimum,
)
from converters.lanes import Array, Code, Compiled, Lanes, width

QK_K = 256
"""Weights in a block of a K type (QK_K)."""


class Block:
    """A tile of blocks: the weights, their importance if there is a matrix, and where the bytes go."""

    def __init__(self, code: Code, tile: Any, length: int, stride: int, weighted: bool) -> None:
        self.code = code
        self.x = code.array(length)
        code.load_transposed(code.lane_starts(code.values, tile, length * 4), length, self.x)
        self.importance: Array | None = None
        if weighted:
            self.importance = code.array(length)
            code.load_transposed(code.lane_starts(code.importance, tile, length * 4, code.row_blocks), length, self.importance)
        self.starts = code.lane_starts(code.bytes, tile, stride)

    def write(self, word: Lanes, offset: Any, size: int = 32) -> None:
        """Write every lane's word into its block."""
        self.code.scatter(word, self.starts, offset, size)

    def spread(self, double: bool) -> Lanes:
        """The mean square of a block's weights, or twice that, to which its importance is added."""
        total = self.code.array(1)
        total[0] = self.code.constant(0)
        for chunk in self.code.loop(QK_K // 16):
            part = self.x.from_(self.code.times(chunk, 16))
            running = total[0]
            for i in range(16):
                running += part[i] * part[i]
            total[0] = running
        return (total[0] * 2 if double else total[0]) / QK_K

    def weigh(self, into: Array, first: Any, length: int, spread: Lanes) -> Lanes:
        """Put a group's weights in the search into an array: importance times √(spread + x²). Gives their sum."""
        assert self.importance
        part = self.x.from_(first)
        importance = self.importance.from_(first)
        total = self.code.constant(0)
        for i in range(length):
            into[i] = importance[i] * (spread + part[i] * part[i]).root()
            total += into[i]
        return total


def _largest(values: list[Lanes], code: Code) -> Lanes:
    largest = code.constant(0)
    for value in values:
        largest = (value > largest).select(value, largest)
    return largest


def _word(parts: list[Lanes]) -> Lanes:
    return parts[0] | parts[1] << 8 | parts[2] << 16 | parts[3] << 24


def _four_pairs(quants: Array, bits: int, i: int, mask: int) -> Lanes:
    """Bytes of quants 32 apart, four in a byte of two bits each: a word from index i on."""
    return _word(
        [
            (quants[j] & mask) | (quants[j + 32] & mask) << bits | (quants[j + 64] & mask) << 2 * bits | (quants[j + 96] & mask) << 3 * bits
            for j in range(i, i + 4)
        ]
    )


def _searched(block: Block, search: Search, default_weights: Callable[[Array, Array], None]) -> tuple[list[Array], Array]:
    """Every group's `MinimumFit`, and the sum of its weights. default_weights: fills in a group's weights where there is no importance."""
    code = block.code
    count = QK_K // search.length
    weights = code.array(search.length)
    sums = code.array(count)
    fits = [code.array(count) for _ in MinimumFit._fields]

    spread = block.spread(double=search.length == 32) if block.importance else None
    for group in code.loop(count):
        first = code.times(group, search.length)
        if spread is not None:
            sums[group] = block.weigh(weights, first, search.length, spread)
        else:
            default_weights(block.x.from_(first), weights)
        for array, value in zip(fits, with_minimum(code, block.x.from_(first), weights, search), strict=True):
            array[group] = value
    return fits, sums


def _quants(block: Block, search: Search, fits: list[Array], steps: Array, offsets: Array) -> Array:
    """The final quants with the scales as the block holds them; the search's own where a scale became zero."""
    code = block.code
    quants = code.array(QK_K, real=False)
    for group in code.loop(QK_K // search.length):
        first = code.times(group, search.length)
        part = block.x.from_(first)
        target = quants.from_(first)
        step = steps[group]
        offset = offsets[group]
        factor, low = fits[2][group], fits[3][group]
        for i in range(search.length):
            searched = nearest(factor * (part[i] - low)).clamp(0, search.top)
            target[i] = step.equals(0).select(searched, nearest((part[i] + offset) / step).clamp(0, search.top))
    return quants


def _magnitudes(x: Array, weights: Array) -> None:
    for i in range(16):
        weights[i] = x[i].absolute()


def _above_mean(x: Array, weights: Array) -> None:
    squares = x[0] * 0
    for i in range(32):
        squares += x[i] * x[i]
    mean = (squares / 32).root()
    for i in range(32):
        weights[i] = mean + x[i].absolute()


def _five_or_four(code: Code, tile: Any, weighted: bool, bits: int) -> None:
    """Q4_K and Q5_K: eight groups of 32, six bits for each scale and minimum."""
    search = SEARCHES[f"Q{bits}_K", weighted]
    stride = 144 if bits == 4 else 176
    block = Block(code, tile, QK_K, stride, weighted)
    fits, sums = _searched(block, search, _above_mean)
    if weighted:
        (d, small), (d_min, small_min) = (positive(code, fits[field], sums, 8, 63) for field in range(2))
        d = half_bits(d)
        d_min = half_bits(d_min)
        if bits == 5:
            small, small_min = ([(scale < 63).select(scale, 63) for scale in part] for part in (small, small_min))
    else:
        (d, small), (d_min, small_min) = (_six_bits(code, [fits[field][j] for j in range(8)]) for field in range(2))

    # ggml packs eight scales and eight minima of six bits into twelve bytes (`get_scale_min_k4`).
    packed = [small[j] | (small[j + 4] >> 4) << 6 & 255 for j in range(4)]
    packed += [small_min[j] | (small_min[j + 4] >> 4) << 6 & 255 for j in range(4)]
    packed += [small[j] & 15 | (small_min[j] & 15) << 4 for j in range(4, 8)]

    block.write(d | d_min << 16, 0)
    for j in range(0, 12, 4):
        block.write(_word(packed[j : j + 4]), 4 + j)

    # The quants are computed from the scales as stored, not as searched.
    steps = code.array(8)
    offsets = code.array(8)
    for j in range(8):
        scale = packed[j] & 63 if j < 4 else packed[j + 4] & 15 | packed[j - 4] >> 6 << 4
        minimum = packed[j + 4] & 63 if j < 4 else packed[j + 4] >> 4 | packed[j] >> 6 << 4
        steps[j] = half_value(d) * scale.to_float()
        offsets[j] = half_value(d_min) * minimum.to_float()

    quants = _quants(block, search, fits, steps, offsets)
    if bits == 5:
        for chunk in code.loop(8):
            part = quants.from_(code.times(chunk, 4))
            block.write(_word([_high_bits(part, i, 4) for i in range(4)]), code.plus(code.times(chunk, 4), 16))

    for pair in code.loop(4):
        part = quants.from_(code.times(pair, 64))
        for i in range(0, 32, 4):
            word = _word([part[j] & 15 | (part[j + 32] & 15) << 4 for j in range(i, i + 4)])
            block.write(word, code.plus(code.times(pair, 32), stride - 128 + i))


def _six_bits(code: Code, values: list[Lanes]) -> tuple[Lanes, list[Lanes]]:
    """Scales or minima as six bits of the largest: its float16 and theirs."""
    largest = _largest(values, code)
    inverse = (largest > 0).select(63 / largest, code.constant(0))
    return half_bits(largest / 63), [(nearest(inverse * value) & 255).clamp(0, 63) for value in values]


def _high_bits(quants: Array, i: int, shift: int) -> Lanes:
    byte = quants[i] >> shift
    for group in range(1, 8):
        byte |= (quants[i + 32 * group] >> shift) << group
    return byte


def _two(code: Code, tile: Any, weighted: bool) -> None:
    """Q2_K: sixteen groups of 16, four bits for each scale and minimum."""
    search = SEARCHES["Q2_K", weighted]
    block = Block(code, tile, QK_K, 84, weighted)
    fits, sums = _searched(block, search, _magnitudes)
    if weighted:
        (d, small), (d_min, small_min) = (positive(code, fits[field], sums, 16, 15) for field in range(2))
        d = half_bits(d)
        d_min = half_bits(d_min)
    else:
        (d, small), (d_min, small_min) = (_four_bits(code, [fits[field][j] for j in range(16)]) for field in range(2))

    packed = [(small[j] | small_min[j] << 4) & 255 for j in range(16)]

    # The quants are computed from the scales as stored, not as searched.
    steps = code.array(16)
    offsets = code.array(16)
    for j in range(16):
        steps[j] = half_value(d) * (packed[j] & 15).to_float()
        offsets[j] = half_value(d_min) * (packed[j] >> 4).to_float()

    quants = _quants(block, search, fits, steps, offsets)
    for j in range(0, 16, 4):
        block.write(_word(packed[j : j + 4]), j)
    _two_bits(block, quants, 16)
    block.write(d | d_min << 16, 80)


def _four_bits(code: Code, values: list[Lanes]) -> tuple[Lanes, list[Lanes]]:
    largest = _largest(values, code)
    nonzero = largest > 0
    zero = code.constant(0, False)
    inverse = 15 / largest
    scales = [nonzero.select(nearest(inverse * value) & 255, zero) for value in values]
    return nonzero.select(half_bits(largest / 15), zero), scales


def _two_bits(block: Block, quants: Array, offset: int) -> None:
    for half in block.code.loop(2):
        part = quants.from_(block.code.times(half, 128))
        for i in range(0, 32, 4):
            block.write(_four_pairs(part, 2, i, 3), block.code.plus(block.code.times(half, 32), offset + i))


def _three(code: Code, tile: Any, weighted: bool) -> None:
    """Q3_K: sixteen groups of 16, six bits for each scale."""
    block = Block(code, tile, QK_K, 110, weighted)
    quants = code.array(QK_K, real=False)
    scales, sums, weights = (code.array(16) for _ in range(3))
    spread = block.spread(double=True) if weighted else None
    for group in code.loop(16):
        first = code.times(group, 16)
        part = block.x.from_(first)
        target = quants.from_(first)
        if spread is None:
            scales[group] = three_bits(code, part, target)
        else:
            sums[group] = block.weigh(weights, first, 16, spread)
            scale, factor, origin = scale_alone(code, part, weights, 16, 4)
            scales[group] = scale
            for i in range(16):
                target[i] = nearest(factor * part[i]).clamp(-4, 3) + origin

    # The sixteen scales are themselves quantized, by the same search.
    if weighted:
        scale, factor, origin = scale_alone(code, scales, sums, 16, 32)
        d = half_bits(scale)
        small = [nearest(factor * scales[j]).clamp(-32, 31) + origin for j in range(16)]
    else:
        _, peak = _peak(code, scales)
        inverse = -32 / peak
        is_zero = peak.equals(0)
        zero = code.constant(0, False)
        d = is_zero.select(zero, half_bits(1 / inverse))
        small = [is_zero.select(zero, (nearest(inverse * scales[j]) << 24 >> 24).clamp(-32, 31) + 32) for j in range(16)]

    steps = code.array(16)
    for j in range(16):
        steps[j] = half_value(d) * (small[j] - 32).to_float()
    for group in code.loop(16):
        first = code.times(group, 16)
        part = block.x.from_(first)
        target = quants.from_(first)
        step = steps[group]
        for i in range(16):
            target[i] = step.equals(0).select(target[i], nearest(part[i] / step).clamp(-4, 3) + 4)

    for chunk in code.loop(8):
        part = quants.from_(code.times(chunk, 4))
        block.write(_word([_high_bits(part, i, 2) for i in range(4)]), code.times(chunk, 4))
    _two_bits(block, quants, 32)

    packed = [small[j] & 15 | (small[j + 8] & 15) << 4 for j in range(8)]
    packed += [small[j] >> 4 | small[j + 4] >> 4 << 2 | small[j + 8] >> 4 << 4 | small[j + 12] >> 4 << 6 for j in range(4)]
    for j in range(0, 12, 4):
        block.write(_word(packed[j : j + 4]), 96 + j)
    block.write(d, 108, 16)


def _peak(code: Code, values: Array) -> tuple[Lanes, Lanes]:
    """The largest magnitude of sixteen, and the first number that has it."""
    largest = peak = code.constant(0)
    for j in range(16):
        size = values[j].absolute()
        above = size > largest
        largest = above.select(size, largest)
        peak = above.select(values[j], peak)
    return largest, peak


def _six(code: Code, tile: Any, weighted: bool) -> None:
    """Q6_K: sixteen groups of 16, eight bits for each scale."""
    block = Block(code, tile, QK_K, 210, weighted)
    weights = code.array(16)
    quants = code.array(QK_K, real=False)
    scales = code.array(16)
    factors = code.array(16)
    origins = code.array(16, real=False)
    for group in code.loop(16):
        part = block.x.from_(code.times(group, 16))
        for i in range(16):
            weights[i] = part[i] * part[i]
        weight = block.importance.from_(code.times(group, 16)) if block.importance else weights
        scales[group], factors[group], origins[group] = scale_alone(code, part, weight, 16, 32)

    largest, peak = _peak(code, scales)
    inverse = -128 / peak
    empty = largest < GROUP_MAX_EPS
    zero = code.constant(0, False)
    d = empty.select(zero, half_bits(1 / inverse))
    small = [nearest(inverse * scales[j]) for j in range(16)]
    small = [(scale < 127).select(scale, 127) << 24 >> 24 for scale in small]

    steps = code.array(16)
    for j in range(16):
        steps[j] = half_value(d) * small[j].to_float()

    for group in code.loop(16):
        first = code.times(group, 16)
        step = steps[group]
        part = block.x.from_(first)
        target = quants.from_(first)
        for i in range(16):
            searched = nearest(factors[group] * part[i]).clamp(-32, 31) + origins[group]
            quant = step.equals(0).select(searched, nearest(part[i] / step).clamp(-32, 31) + 32)
            target[i] = empty.select(zero, quant)

    for half in code.loop(2):
        part = quants.from_(code.times(half, 128))
        for i in range(0, 32, 4):
            low = [part[j] & 15 | (part[j + 64] & 15) << 4 for j in range(i, i + 4)]
            high = [part[j + 32] & 15 | (part[j + 96] & 15) << 4 for j in range(i, i + 4)]
            top = [part[j] >> 4 | part[j + 32] >> 4 << 2 | part[j + 64] >> 4 << 4 | part[j + 96] >> 4 << 6 for j in range(i, i + 4)]
            block.write(_word(low), code.plus(code.times(half, 64), i))
            block.write(_word(high), code.plus(code.times(half, 64), i + 32))
            block.write(_word(top), code.plus(code.times(half, 32), 128 + i))

    for j in range(0, 16, 4):
        block.write(empty.select(zero, _word([scale & 255 for scale in small[j : j + 4]])), 192 + j)
    block.write(d, 208, 16)


def _eight(code: Code, tile: Any, weighted: bool) -> None:
    """Q8_0: 32 weights and their scale."""
    block = Block(code, tile, 32, 34, weighted)
    x = block.x
    largest = code.constant(0)
    for i in range(32):
        size = x[i].absolute()
        largest = (largest > size).select(largest, size)

    d = largest / 127
    factor = d.equals(0).select(code.constant(0), 1 / d)

    block.write(half_bits(d), 0, 16)
    for i in range(0, 32, 4):
        block.write(_word([(x[j] * factor).rounded() & 255 for j in range(i, i + 4)]), 2 + i)


SEARCHES = {
    ("Q5_K", False): Search(32, 31, -0.5, 0.1, 16),
    ("Q5_K", True): Search(32, 31, -0.9, 0.05, 37),
    ("Q4_K", False): Search(32, 15, -1.0, 0.1, 21),
    ("Q4_K", True): Search(32, 15, -0.9, 0.05, 37),
    ("Q2_K", False): Search(16, 3, -0.5, 0.1, 16, absolute=True),
    ("Q2_K", True): Search(16, 3, -0.9, 0.05, 37),
}
"""By type and whether there is an importance matrix."""
KERNEL_BUILDERS: dict[str, Callable[[Code, Any, bool], None]] = {
    "Q8_0": _eight,
    "Q6_K": _six,
    "Q5_K": partial(_five_or_four, bits=5),
    "Q4_K": partial(_five_or_four, bits=4),
    "Q3_K": _three,
    "Q2_K": _two,
}


def build_kernel(type_name: str, weighted: bool = False) -> Compiled:
    """The kernel of a type. weighted: for use with an importance matrix."""
    code = Code(type_name, width())
    for tile in code.loop(code.tiles):
        KERNEL_BUILDERS[type_name](code, tile, weighted)
    return code.compile()
