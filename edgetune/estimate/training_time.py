"""How many steps a data set means, and about how long they take on this machine."""

import time
from pathlib import Path
from typing import Any

from edgetune.bases.find import Base
from edgetune.config.recipe import Recipe
from edgetune.data.xray import Report
from edgetune.errors import EdgeTuneError
from edgetune.machine import hardware
from edgetune.runs import manage
from edgetune.runs.integrity import recipe_of
from edgetune.storage.workspace import Run, Workspace
from edgetune.training.row_order import total_steps

FLOP_PER_TOKEN = {(True, False): 4, (True, True): 6, (False, False): 6, (False, True): 8}
"""FLOP per parameter and token by (LoRA, gradient checkpointing): 2 forward, 2 for the gradient of the activations, 2 more where the
weights are trained, and 2 more where the forward is done again."""
REACHED_SHARE = 0.5
"""Share of a large matrix product's speed that training reaches on a processor; a guess (measured runs count more)."""
MATRIX_SIDE = 768


def estimate_training(report: Report, recipe: Recipe, base: Base | None, workspace: Workspace, rows: int | None = None) -> dict[str, Any]:
    """Steps, tokens of a pass, and about how many seconds with the reason; seconds is None where nothing could be measured.

    rows: of one pass, where they are divided already.
    """
    usable = report.tokens.get("rows") or report.kept + report.truncated

    # Rows that a file holds out are not trained on; without such a file the recipe holds a share out.
    held_out = sum(file["kept"] for file in report.files if file["held_out"])
    rows = rows or max(1, round((usable - held_out) * (1 if held_out else 1 - recipe.validation_split)))

    total = total_steps(recipe, rows)
    passes = total * recipe.batch_size * recipe.gradient_accumulation / rows
    tokens = (report.tokens.get("tokens") or report.lengths.get("tokens", 0)) * rows / max(usable, 1)
    result: dict[str, Any] = {"steps": total, "rows": rows, "passes": round(passes, 2), "tokens": round(tokens * passes)}

    # Without a base there is nothing to time.
    result |= {"seconds": None, "reason": "name --base"}
    if base is None:
        return result
    rate, reason = training_speed(recipe, base, workspace)
    return result | {"seconds": round(result["tokens"] / rate) if rate else None, "reason": reason}


def training_speed(recipe: Recipe, base: Base, workspace: Workspace) -> tuple[float | None, str]:
    """Tokens a second, and where the figure comes from: the last run that was trained on this base the same
    way on the same device, else a matrix product timed now. A damaged run counts as none."""
    device = hardware.choose_device(recipe.device)
    # A measured run counts more than any estimate.
    for run, request, state in reversed(list(manage.readable(workspace))):
        same_base = Path(request["base"]) == base.path and request["device"] == device.value
        if same_base and state.tokens_per_second and _comparable(run, recipe, base.context):
            return float(state.tokens_per_second), f"as fast as the run {run.name}, trained the same way"
    if device.value != "cpu":
        return None, f"not measured yet on {device.value}: the first run with this base tells"

    rate = _products() * REACHED_SHARE
    flop = FLOP_PER_TOKEN[recipe.lora, recipe.gradient_checkpointing] * base.parameters
    return rate / flop, f"a rough guess from this processor's speed ({rate / 1e9:.0f} GFLOP/s of matrix products)"


def _comparable(run: Run, recipe: Recipe, context: int) -> bool:
    """Whether a run's tokens take as long as this recipe's would; not where its recipe cannot be read. context: the base's, in tokens."""
    try:
        other = recipe_of(run)
    except EdgeTuneError:
        return False
    return _cost(other, context) == _cost(recipe, context)


def _cost(recipe: Recipe, context: int) -> tuple[object, ...]:
    """What the time of a token depends on, the base and the device aside."""
    weights = (recipe.quantization, recipe.lora, recipe.dora, recipe.gradient_checkpointing)
    return (recipe.method, *weights, recipe.packing, min(recipe.max_length, context))


def _products() -> float:
    """FLOP a second of single-precision matrix products on all cores, timed for about a tenth of a second."""
    import numpy as np

    matrix = np.ones((MATRIX_SIDE, MATRIX_SIDE), dtype=np.float32)
    matrix @ matrix  # the first product starts the library's threads
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < 0.1:
        matrix @ matrix
        count += 1
    return count * 2 * MATRIX_SIDE**3 / (time.perf_counter() - began)
