"""The recommendation: the smallest file that surely stands in for full precision, with the reason the next smaller does not."""

from dataclasses import replace

from edgetune.gguf.compare.advice import advise, shortfall
from edgetune.gguf.compare.measure import FileMeasurement

GOOD = FileMeasurement(
    name="Q8_0",
    type="Q8_0",
    path=None,
    bytes=8 * 2**20,
    bits=8.5,
    perplexity=4.01,
    worse=0.0025,
    worse_error=0.001,
    kl_mean=0.001,
    kl_99=0.01,
    top1=0.99,
    slope=1.0,
    slope_error=0.001,
    answer_tokens=900,
    tokens=2000,
    speed=10.0,
    memory=2**30,
)
Q4 = replace(GOOD, name="Q4_K_M", bytes=4 * 2**20, kl_mean=0.01, top1=0.96, worse=0.01)
Q2 = replace(GOOD, name="Q2_K", bytes=2 * 2**20, kl_mean=0.2, top1=0.93, worse=0.09)


def test_the_smallest_that_is_as_good_is_taken_and_the_next_smaller_named() -> None:
    advice = advise([Q2, GOOD, Q4], 4.0, "your held-out examples")
    assert advice.choice is Q4
    assert advice.why == (
        "Recommended: Q4_K_M (4.0 MiB), the smallest type within 2% of full precision on your held-out examples "
        "(perplexity 4.01, full precision 4); Q2_K would save 2.0 MiB but is 9.0% worse."
    )
    assert advise([GOOD, Q4], 4.0, "it").why.endswith("; all the others are larger.")


def test_every_limit_is_named() -> None:
    assert shortfall(GOOD) is None
    assert shortfall(replace(GOOD, slope=None)) is None
    for changes, reason in (
        ({"slope": 0.8}, "shows 0.80 of what was learned"),
        ({"slope": 1.2}, "shows 1.20 of what was learned"),
        ({"top1": 0.8}, "picks another next token 20% of the time"),
        ({"worse": None}, "was not measured on answers"),
        ({"worse": 0.05}, "is 5.0% worse"),
        ({"worse": 0.01, "worse_error": 0.02}, "may be 5.0% worse"),
        ({"worse": -0.01, "worse_error": 0.02}, "may be 3.0% worse"),
    ):
        assert shortfall(replace(GOOD, **changes)) == reason


def test_where_none_is_as_good_the_closest_is_taken_and_few_tokens_are_said() -> None:
    files = [replace(file, worse_error=0.1, answer_tokens=12) for file in (Q2, GOOD, Q4)]
    advice = advise(files, 4.0, "your held-out examples")
    assert advice.choice.name == "Q8_0"
    assert "comes closest" in advice.why and "only 12 answer tokens" in advice.why
