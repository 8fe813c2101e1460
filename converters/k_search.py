"""The searches of ggml's K types for a group's scale (ggml/src/ggml-quants.c), for one group of every lane's block at once.

Every float operation is done in ggml's order within a lane. Where ggml stores the quants of its best try, these store the factor of
that try, from which the quants are computed again.
"""

from collections.abc import Callable
from typing import NamedTuple

from converters.lanes import Array, Code, Lanes, Variable

GROUP_MAX_EPS = 1e-15
"""Largest magnitude below which a group counts as zero (GROUP_MAX_EPS)."""


def nearest(value: Lanes) -> Lanes:
    """The nearest whole number, halves to even, by adding 1.5·2²³ as ggml does (`nearest_int`)."""
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
    """The search of a type with scale and minimum (`make_qkx2_quants`, `make_qkx3_quants`): group length, highest quant, the tries."""

    length: int
    top: int
    start: float
    step: float
    tries: int
    absolute: bool = False


class MinimumFit(NamedTuple):
    """A group's scale, its minimum's negative, and the factor and lower bound that give its quants: round(factor·(x - low))."""

    scale: Lanes
    minimum: Lanes
    factor: Lanes
    low: Lanes


def with_minimum(code: Code, x: Array, weights: Array, search: Search) -> MinimumFit:
    """A group's scale and minimum (`make_qkx2_quants`, `make_qkx3_quants`)."""
    low = high = x[0]
    sum_w = weights[0]
    sum_x = sum_w * x[0]
    for i in range(1, search.length):
        low = (x[i] < low).select(x[i], low)
        high = (x[i] > high).select(x[i], high)
        sum_w += weights[i]
        sum_x += weights[i] * x[i]
    low = (low > 0).select(code.constant(0), low)

    flat = high.equals(low)
    first = search.top / (high - low)
    scale = 1 / first

    def error(quant: Callable[[int], Lanes], scale: Lanes, minimum: Lanes) -> Lanes:
        total = code.constant(0)
        for i in range(search.length):
            off = scale * quant(i) + minimum - x[i]
            total += weights[i] * (off.absolute() if search.absolute else off * off)
        return total

    quants = code.array(search.length)

    def quantize(factor: Lanes, low: Lanes, i: int) -> Lanes:
        quants[i] = nearest(factor * (x[i] - low)).clamp(0, search.top).to_float()
        return quants[i]

    best_error = Variable(code, error(lambda i: quantize(first, low, i), scale, low))
    best_scale, best_minimum, best_factor, best_low = (Variable(code, value) for value in (scale, low, first, low))
    for index in code.loop(search.tries):
        low_now = best_minimum.value
        factor = (code.constant(search.start) + code.constant(search.step) * code.real(index) + search.top) / (high - low_now)

        sum_l, sum_l2, sum_xl = code.constant(0), code.constant(0), code.constant(0)
        for i in range(search.length):
            quant = quantize(factor, low_now, i)
            weighted = weights[i] * quant
            sum_l += weighted
            sum_l2 += weighted * quant
            sum_xl += weighted * x[i]

        # Least squares for scale and minimum at these quants, as ggml solves them.
        determinant = sum_w * sum_l2 - sum_l * sum_l
        scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
        minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
        above = minimum > 0
        scale = above.select(sum_xl / sum_l2, scale)
        minimum = above.select(code.constant(0), minimum)

        tried_error = error(lambda i: quants[i], scale, minimum)
        better = (determinant > 0) & (tried_error < best_error.value)
        candidates = (best_error, tried_error), (best_scale, scale), (best_minimum, minimum), (best_factor, factor), (best_low, low_now)
        for best, candidate in candidates:
            best.value = better.select(candidate, best.value)

    zero = code.constant(0)
    minimum = -flat.select(low, best_minimum.value)
    return MinimumFit(flat.select(zero, best_scale.value), minimum, flat.select(zero, best_factor.value), best_low.value)


class ScaleFit(NamedTuple):
    """A group's scale, and the factor and zero point that give its quants: zero + round(factor·x)."""

    scale: Lanes
    factor: Lanes
    zero: Lanes


def scale_alone(code: Code, x: Array, weights: Array, length: int, top: int) -> ScaleFit:
    """A group's scale where there is no minimum, its quants from -top to top - 1 (`make_qx_quants` with rmse_type 1)."""
    largest = peak = code.constant(0)
    for i in range(length):
        size = x[i].absolute()
        above = size > largest
        largest = above.select(size, largest)
        peak = above.select(x[i], peak)

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
        for variable, candidate in ((best, new * sum_xl), (scale, new), (factor, tried)):
            variable.value = better.select(candidate, variable.value)

    empty = largest < GROUP_MAX_EPS
    origin = empty.select(code.constant(0, False), code.constant(top, False))
    return ScaleFit(empty.select(zero, scale.value), empty.select(zero, factor.value), origin)


class Refined(NamedTuple):
    """A group's scale and its quants."""

    scale: Lanes
    quants: list[Lanes]


def _refined(
    code: Code, x: Array, weights: Array, quants: Array, length: int, start: tuple[Lanes, Lanes], bounds: tuple[int, int]
) -> Lanes:
    """Five rounds in which each quant may change to a better fit given the others; gives the scale.

    bounds: lowest and highest quant; a lowest of 0 is not enforced, as in `make_qp_quants`, whose quants are bytes.
    """
    low, top = bounds
    sum_xl, sum_l2 = (Variable(code, value) for value in start)
    for _ in code.loop(5):
        for i in range(length):
            old = quants[i].to_float()
            weighted = weights[i] * x[i]
            without_xl = sum_xl.value - weighted * old
            without_l2 = sum_l2.value - weights[i] * old * old

            fit = nearest(x[i] * without_l2 / without_xl)
            fit = fit.clamp(low, top) if low else (fit < top).select(fit, top)
            new = fit.to_float()
            with_xl = without_xl + weighted * new
            with_l2 = without_l2 + weights[i] * new * new

            better = with_xl * with_xl * sum_l2.value > sum_xl.value * sum_xl.value * with_l2
            better = better & (without_xl > 0) & ((with_l2 if low else without_l2) > 0)
            better = better & fit.differs(quants[i])
            quants[i] = better.select(fit if low else fit & 255, quants[i])
            sum_xl.value = better.select(with_xl, sum_xl.value)
            sum_l2.value = better.select(with_l2, sum_l2.value)
    return (sum_l2.value > 0).select(sum_xl.value / sum_l2.value, code.constant(0))


def positive(code: Code, x: Array, weights: Array, length: int, top: int) -> Refined:
    """The scale of a block's scales or minima, quants from 0 to top (`make_qp_quants`)."""
    zero = code.constant(0)
    largest = zero
    for i in range(length):
        largest = (largest > x[i]).select(largest, x[i])
    first = top / largest

    def error(factor: Lanes, quant: Callable[[Lanes], Lanes]) -> Lanes:
        scale = 1 / factor
        total = zero
        for i in range(length):
            off = x[i] - scale * quant(nearest(factor * x[i])).to_float()
            total += weights[i] * off * off
        return total

    best_error = Variable(code, error(first, lambda quant: quant & 255))
    best = Variable(code, first)
    for index in code.loop(8):
        number = code.real(index) - 4
        number = (number < 0).select(number, number + 1)
        factor = (number * 0.1 + top) / largest
        tried_error = error(factor, lambda quant: (quant < top).select(quant, top))
        better = tried_error < best_error.value
        best_error.value = better.select(tried_error, best_error.value)
        best.value = better.select(factor, best.value)

    quants = code.array(length, real=False)
    sum_xl = sum_l2 = zero
    for i in range(length):
        quant = nearest(best.value * x[i])
        quant = (quant < top).select(quant, top)
        quants[i] = quant & 255
        sum_xl += weights[i] * x[i] * quant.to_float()
        sum_l2 += weights[i] * quant.to_float() * quant.to_float()
    scale = _refined(code, x, weights, quants, length, (sum_xl, sum_l2), (0, top))
    empty = largest < GROUP_MAX_EPS
    return Refined(empty.select(zero, scale), [empty.select(code.constant(0, False), quants[i]) for i in range(length)])


def three_bits(code: Code, x: Array, quants: Array) -> Lanes:
    """The scale of a group of 16 with quants from -4 to 3, which are put into `quants` plus 4 (`make_q3_quants`)."""
    zero = code.constant(0)
    largest = peak = zero
    for i in range(16):
        size = x[i].absolute()
        above = size > largest
        largest = above.select(size, largest)
        peak = above.select(x[i], peak)

    factor = -4 / peak
    weights = code.array(16)
    sum_xl = sum_l2 = zero
    for i in range(16):
        weights[i] = x[i] * x[i]
        quants[i] = nearest(factor * x[i]).clamp(-4, 3)
        quant = quants[i].to_float()
        sum_xl += weights[i] * x[i] * quant
        sum_l2 += weights[i] * quant * quant

    scale = _refined(code, x, weights, quants, 16, (sum_xl, sum_l2), (-4, 3))

    empty = largest < GROUP_MAX_EPS
    for i in range(16):
        quants[i] = empty.select(code.constant(0, False), quants[i] + 4)
    return empty.select(zero, scale)
