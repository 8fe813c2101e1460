"""What a chart draws of a long curve."""

import math

from edgetune.runs.chart import short_number, thin_out


def test_thinning_keeps_the_order_and_every_extreme() -> None:
    pairs = [(float(n), math.sin(n)) for n in range(10_000)]
    pairs[7_321] = (7_321.0, 50.0)
    pairs[1_234] = (1_234.0, -50.0)
    found = thin_out(pairs, 160)
    assert len(found) <= 162
    assert found == sorted(found) and set(found) <= set(pairs)
    assert pairs[7_321] in found and pairs[1_234] in found
    assert thin_out(pairs[:160], 160) == pairs[:160]


def test_numbers_on_the_scale_are_short() -> None:
    assert [short_number(v) for v in (0.00012345, 1.5, 999.9, 1172.4, 250_000, 3.2e9)] == [
        "0.000123",
        "1.5",
        "1,000",
        "1,172",
        "250k",
        "3.2G",
    ]
