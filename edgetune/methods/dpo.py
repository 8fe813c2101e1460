"""Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) and its kin: TRL's DPOTrainer on pairs that we prepared.

The reference is the model before this run: the base with the adapter off, or the earlier run's adapter where one is stacked on it. No
second model is held in memory.
"""

from functools import partial
from typing import Any

from edgetune.methods._likelihood_drop import SUMMED, find_likelihood_drop
from edgetune.methods._method import Method, Setup
from edgetune.methods._pairs import PAIR_METRICS, PAIR_NEEDS, PAIR_ROW_KINDS, PairCollator, measure_pairs
from edgetune.methods._prepared_rows import AsPrepared

LEARNING_RATE_FACTOR = 0.5
"""A preference moves the whole answer, and larger steps cost facts. Tried on a base of 5M parameters only, where three times as much, four
pairs a step and three passes over 150 pairs moved a taste whole and cost no fact."""


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    from trl import DPOConfig, DPOTrainer

    class Pairs(AsPrepared, DPOTrainer):  # type: ignore[misc,unused-ignore]
        """Takes rows as they are."""

    # A share of plain fine-tuning on the chosen answers keeps their likelihood from falling.
    recipe = setup.recipe
    mixed = recipe.sft_weight > 0

    # Rows are cut and padded by us: TRL must neither shorten them nor drop their columns.
    config = DPOConfig(
        **setup.arguments(),
        loss_type=[recipe.loss_type, "sft"] if mixed else [recipe.loss_type],
        loss_weights=[1.0, recipe.sft_weight] if mixed else None,
        beta=setup.beta,
        label_smoothing=recipe.label_smoothing,
        max_length=None,
        remove_unused_columns=False,
        pad_to_multiple_of=None,
    )

    return setup.make(Pairs, config, data_collator=PairCollator(setup.tokenizer.pad_id))


def find_problem(recipe: Any) -> str:
    """Only the robust loss knows of wrong votes."""
    return "label_smoothing goes with loss_type robust" if recipe.label_smoothing and recipe.loss_type != "robust" else ""


METHOD = Method(
    name="dpo",
    row_kinds=PAIR_ROW_KINDS,
    needs=PAIR_NEEDS,
    rows_per_example=2,
    options=("loss_type", "beta", "sft_weight", "label_smoothing"),
    beta=0.1,
    learning_rate_factor=LEARNING_RATE_FACTOR,
    find_problem=find_problem,
    adapts_lm_head=False,
    make_trainer=make_trainer,
    measure_batch=measure_pairs,
    metrics=PAIR_METRICS,
    find_warning=partial(find_likelihood_drop, limit=SUMMED),
)
