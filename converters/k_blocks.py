"""The K types' block quantization across many blocks at once, one block a lane: ggml's bits (ggml/src/ggml-quants.c), several times faster.

Every float operation of ggml's search is done in its order within a block; only the blocks run side by side. Where ggml keeps the
quants of its best try, these kernels keep the factor that try used and compute them again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from converters.lanes import Array, Code, Compiled, Lanes, Variable, width

BLOCK = 256
"""Weights in a block of a K type (QK_K)."""
TINY = 1e-15
"""Largest magnitude below which a group counts as zero (GROUP_MAX_EPS)."""


def nearest(value: Lanes) -> Lanes:
    """The nearest whole number, halves to even, by ggml's way of adding 1.5·2²³ (`nearest_int`)."""
    return ((value + 12582912.0).bits() & 0x007FFFFF) - 0x00400000


def half_bits(value: Lanes) -> Lanes:
    """float32 to the 16 bits of float16, rounded to even (`ggml_compute_fp32_to_fp16`)."""
    bits = value.bits()
    magnitude = value.absolute() * 2.0**112 * 2.0**-110
    exponent = ((bits << 1) >> 1) & 0x7F800000
    exponent = (exponent < 0x38800000).select(bits.code.constant(0x38800000, False), exponent)
    rounded = ((exponent + 0x07800000).bits() + magnitude).bits()
    return ((rounded >> 13) & 0x7C00) + (rounded & 0x0FFF) | ((bits >> 16) & 0x8000)


def half_value(bits: Lanes) -> Lanes:
    """The 16 bits of a float16 as float32; NaN becomes infinity."""
    magnitude = (((bits & 0x7FFF) << 13).bits() * 2.0**112).bits()
    magnitude = (bits & 0x7C00).equals(0x7C00).select(bits.code.constant(0x7F800000, False), magnitude)
    return ((bits & 0x8000) << 16 | magnitude).bits()


class Search(NamedTuple):
    """How a type with scale and minimum searches (`make_qkx2_quants`, `make_qkx3_quants`): group length, highest quant, the tries."""

    length: int
    top: int
    start: float
    step: float
    tries: int
    absolute: bool = False


class Found(NamedTuple):
    """A group's scale, its minimum's negative, and what its quants come from: round(factor·(x - low))."""

    scale: Lanes
    minimum: Lanes
    factor: Lanes
    low: Lanes


def _with_minimum(code: Code, x: Array, weights: Array, how: Search) -> Found:
    low = high = x[0]
    sum_w = weights[0]
    sum_x = sum_w * x[0]
    for i in range(1, how.length):
        low, high = (x[i] < low).select(x[i], low), (x[i] > high).select(x[i], high)
        sum_w += weights[i]
        sum_x += weights[i] * x[i]
    low = (low > 0).select(code.constant(0), low)
    flat = high.equals(low)
    first = how.top / (high - low)
    scale = 1 / first

    def error(quant: Callable[[int], Lanes], scale: Lanes, minimum: Lanes) -> Lanes:
        total = code.constant(0)
        for i in range(how.length):
            off = scale * quant(i) + minimum - x[i]
            total += weights[i] * (off.absolute() if how.absolute else off * off)
        return total

    quants = code.array(how.length)

    def quantize(factor: Lanes, low: Lanes, i: int) -> Lanes:
        quants[i] = nearest(factor * (x[i] - low)).clamp(0, how.top).to_float()
        return quants[i]

    best_error = Variable(code, error(lambda i: quantize(first, low, i), scale, low))
    best_scale, best_minimum, best_factor, best_low = (Variable(code, value) for value in (scale, low, first, low))
    for index in code.loop(how.tries):
        low_now = best_minimum.value
        factor = (code.constant(how.start) + code.constant(how.step) * code.real(index) + how.top) / (high - low_now)
        sum_l, sum_l2, sum_xl = code.constant(0), code.constant(0), code.constant(0)
        for i in range(how.length):
            quant = quantize(factor, low_now, i)
            weighted = weights[i] * quant
            sum_l += weighted
            sum_l2 += weighted * quant
            sum_xl += weighted * x[i]
        determinant = sum_w * sum_l2 - sum_l * sum_l
        scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
        minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
        above = minimum > 0
        scale, minimum = above.select(sum_xl / sum_l2, scale), above.select(code.constant(0), minimum)
        tried = error(lambda i: quants[i], scale, minimum)
        better = (determinant > 0) & (tried < best_error.value)
        tries = (best_error, tried), (best_scale, scale), (best_minimum, minimum), (best_factor, factor), (best_low, low_now)
        for kept, new in tries:
            kept.value = better.select(new, kept.value)
    zero = code.constant(0)
    minimum = -flat.select(low, best_minimum.value)
    return Found(flat.select(zero, best_scale.value), minimum, flat.select(zero, best_factor.value), best_low.value)


def _largest(values: list[Lanes], code: Code) -> Lanes:
    most = code.constant(0)
    for value in values:
        most = (value > most).select(value, most)
    return most


def _word(parts: list[Lanes]) -> Lanes:
    return parts[0] | parts[1] << 8 | parts[2] << 16 | parts[3] << 24


def _five_or_four(code: Code, how: Search, tile: Any) -> None:
    """Q4_K and Q5_K: eight groups of 32, six bits for each scale and minimum."""
    bits = 4 if how.top == 15 else 5
    stride = 144 if bits == 4 else 176
    x, weights, quants = code.array(BLOCK), code.array(32), code.array(BLOCK, real=False)
    kept = [code.array(8) for _ in Found._fields]
    code.load_transposed(code.lane_starts(code.values, tile, BLOCK * 4), BLOCK, x)
    for group in code.loop(8):
        part = x.from_(code.times(group, 32))
        squares = code.constant(0)
        for i in range(32):
            squares += part[i] * part[i]
        mean = (squares / 32).root()
        for i in range(32):
            weights[i] = mean + part[i].absolute()
        for array, value in zip(kept, _with_minimum(code, part, weights, how), strict=True):
            array[group] = value
    scales, minima = [kept[0][j] for j in range(8)], [kept[1][j] for j in range(8)]
    most, deepest = _largest(scales, code), _largest(minima, code)
    zero = code.constant(0)
    over, over_min = ((most > 0).select(63 / most, zero), (deepest > 0).select(63 / deepest, zero))
    small = [(nearest(over * scale) & 255).clamp(0, 63) for scale in scales]
    small_min = [(nearest(over_min * minimum) & 255).clamp(0, 63) for minimum in minima]
    d, d_min = half_bits(most / 63), half_bits(deepest / 63)
    starts = code.lane_starts(code.bytes, tile, stride)
    code.scatter(d | d_min << 16, starts, 0)
    code.scatter(_word([small[j] | (small[j + 4] >> 4) << 6 for j in range(4)]), starts, 4)
    code.scatter(_word([small_min[j] | (small_min[j + 4] >> 4) << 6 for j in range(4)]), starts, 8)
    code.scatter(_word([small[j] & 15 | (small_min[j] & 15) << 4 for j in range(4, 8)]), starts, 12)
    steps, offsets = code.array(8), code.array(8)
    for j in range(8):
        steps[j], offsets[j] = half_value(d) * small[j].to_float(), half_value(d_min) * small_min[j].to_float()
    for group in code.loop(8):
        first = code.times(group, 32)
        step, part, target = steps[group], x.from_(first), quants.from_(first)
        for i in range(32):
            searched = nearest(kept[2][group] * (part[i] - kept[3][group])).clamp(0, how.top)
            target[i] = step.equals(0).select(searched, nearest((part[i] + offsets[group]) / step).clamp(0, how.top))
    if bits == 5:
        for four in code.loop(8):
            place = quants.from_(code.times(four, 4))
            code.scatter(_word([_top_bits(place, i) for i in range(4)]), starts, code.plus(code.times(four, 4), 16))
    for pair in code.loop(4):
        place = quants.from_(code.times(pair, 64))
        for i in range(0, 32, 4):
            word = _word([place[j] & 15 | (place[j + 32] & 15) << 4 for j in range(i, i + 4)])
            code.scatter(word, starts, code.plus(code.times(pair, 32), stride - 128 + i))


def _top_bits(quants: Array, i: int) -> Lanes:
    byte = quants[i] >> 4
    for group in range(1, 8):
        byte |= (quants[i + 32 * group] >> 4) << group
    return byte


class Scaled(NamedTuple):
    """A group's scale, and what its quants come from: zero + round(factor·x)."""

    scale: Lanes
    factor: Lanes
    zero: Lanes


def _scale_alone(code: Code, x: Array, weights: Array, length: int, top: int) -> Scaled:
    """The search of a type without a minimum, its quants from -top to top - 1 (`make_qx_quants` with rmse_type 1)."""
    largest = peak = code.constant(0)
    for i in range(length):
        size = x[i].absolute()
        above = size > largest
        largest, peak = above.select(size, largest), above.select(x[i], peak)
    weighted = code.array(length)
    for i in range(length):
        weighted[i] = weights[i] * x[i]

    def sums(factor: Lanes) -> tuple[Lanes, Lanes]:
        sum_xl, sum_l2 = code.constant(0), code.constant(0)
        for i in range(length):
            quant = nearest(factor * x[i]).clamp(-top, top - 1).to_float()
            sum_xl += weighted[i] * quant
            sum_l2 += weights[i] * quant * quant
        return sum_xl, sum_l2

    zero = code.constant(0)
    first = -top / peak
    sum_xl, sum_l2 = sums(first)
    start = sum_l2.equals(0).select(zero, sum_xl / sum_l2)
    scale, factor, best = (Variable(code, value) for value in (start, first, start * sum_xl))
    for index in code.loop(18):
        number = code.real(index) - 9
        number = (number < 0).select(number, number + 1)  # -9 to 9 without 0, which ggml leaves out
        tried = -(number * 0.1 + top) / peak
        sum_xl, sum_l2 = sums(tried)
        better = (sum_l2 > 0) & (sum_xl * sum_xl > best.value * sum_l2)
        new = sum_xl / sum_l2
        for kept, value in ((best, new * sum_xl), (scale, new), (factor, tried)):
            kept.value = better.select(value, kept.value)
    nothing = largest < TINY
    origin = nothing.select(code.constant(0, False), code.constant(top, False))
    return Scaled(nothing.select(zero, scale.value), nothing.select(zero, factor.value), origin)


def _six(code: Code, tile: Any) -> None:
    """Q6_K: sixteen groups of 16, eight bits for each scale."""
    x, weights, quants = code.array(BLOCK), code.array(16), code.array(BLOCK, real=False)
    scales, factors, origins = code.array(16), code.array(16), code.array(16, real=False)
    code.load_transposed(code.lane_starts(code.values, tile, BLOCK * 4), BLOCK, x)
    for group in code.loop(16):
        part = x.from_(code.times(group, 16))
        for i in range(16):
            weights[i] = part[i] * part[i]
        scales[group], factors[group], origins[group] = _scale_alone(code, part, weights, 16, 32)
    largest = peak = code.constant(0)
    for j in range(16):
        size = scales[j].absolute()
        above = size > largest
        largest, peak = above.select(size, largest), above.select(scales[j], peak)
    over = -128 / peak
    empty = largest < TINY
    nothing = code.constant(0, False)
    d = empty.select(nothing, half_bits(1 / over))
    small = [nearest(over * scales[j]) for j in range(16)]
    small = [(one < 127).select(one, 127) << 24 >> 24 for one in small]
    starts = code.lane_starts(code.bytes, tile, 210)
    steps = code.array(16)
    for j in range(16):
        steps[j] = half_value(d) * small[j].to_float()
    for group in code.loop(16):
        first = code.times(group, 16)
        step, part, target = steps[group], x.from_(first), quants.from_(first)
        for i in range(16):
            searched = nearest(factors[group] * part[i]).clamp(-32, 31) + origins[group]
            quant = step.equals(0).select(searched, nearest(part[i] / step).clamp(-32, 31) + 32)
            target[i] = empty.select(nothing, quant)
    for half in code.loop(2):
        place = quants.from_(code.times(half, 128))
        for i in range(0, 32, 4):
            low = [place[j] & 15 | (place[j + 64] & 15) << 4 for j in range(i, i + 4)]
            high = [place[j + 32] & 15 | (place[j + 96] & 15) << 4 for j in range(i, i + 4)]
            top = [place[j] >> 4 | place[j + 32] >> 4 << 2 | place[j + 64] >> 4 << 4 | place[j + 96] >> 4 << 6 for j in range(i, i + 4)]
            code.scatter(_word(low), starts, code.plus(code.times(half, 64), i))
            code.scatter(_word(high), starts, code.plus(code.times(half, 64), i + 32))
            code.scatter(_word(top), starts, code.plus(code.times(half, 32), 128 + i))
    for j in range(0, 16, 4):
        code.scatter(empty.select(nothing, _word([one & 255 for one in small[j:j + 4]])), starts, 192 + j)
    code.scatter(d, starts, 208, 16)


def _eight(code: Code, tile: Any) -> None:
    """Q8_0: 32 weights and their scale."""
    x = code.array(32)
    code.load_transposed(code.lane_starts(code.values, tile, 32 * 4), 32, x)
    largest = code.constant(0)
    for i in range(32):
        size = x[i].absolute()
        largest = (largest > size).select(largest, size)
    d = largest / 127
    factor = d.equals(0).select(code.constant(0), 1 / d)
    starts = code.lane_starts(code.bytes, tile, 34)
    code.scatter(half_bits(d), starts, 0, 16)
    for i in range(0, 32, 4):
        code.scatter(_word([(x[j] * factor).rounded() & 255 for j in range(i, i + 4)]), starts, 2 + i)


SEARCHES = {"Q4_K": Search(32, 15, -1.0, 0.1, 21), "Q5_K": Search(32, 31, -0.5, 0.1, 16)}


def build(type_name: str, weighed: bool = False) -> Compiled:
    """The kernel of a type. weighed: for use with an importance matrix."""
    code = Code(type_name, width())
    for tile in code.loop(code.tiles):
        if type_name == "Q8_0":
            _eight(code, tile)
        elif type_name == "Q6_K":
            _six(code, tile)
        else:
            _five_or_four(code, SEARCHES[type_name], tile)
    return code.compile()
