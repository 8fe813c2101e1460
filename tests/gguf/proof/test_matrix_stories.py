"""Every fault at every strength and type, on the model of stories."""

from collections.abc import Callable

import pytest

from tests.gguf.proof.conftest import STRENGTHS, Bench

pytestmark = pytest.mark.slow
TYPES = ("Q8_0", "Q4_K_M", "Q4_0")


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("strength", STRENGTHS["stories"])
def test_correct_passes_and_every_fault_fails_by_name(bench: Callable[..., Bench], strength: str, type_name: str) -> None:
    model = bench("stories", strength)
    assert model.right(type_name).causes == []
    assert not model.missed(type_name)
