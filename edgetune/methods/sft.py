"""Supervised fine-tuning: TRL's SFTTrainer on token ids and labels that we prepared."""

from typing import Any

from edgetune.data.store import TokenRows
from edgetune.training.trainer_setup import Setup, dataset

KINDS = ("conversation", "text")
NEEDS = "sft needs answers to learn or text. 'edgetune data convert FILE --to messages --out NEW.jsonl' keeps the chosen answers."
RATE = 1.0
"""Learning rate beside that of sft where none is given."""


def pack(rows: TokenRows, length: int) -> Any:
    """Several short rows in one of at most `length` tokens (best fit), each attending to itself alone."""
    from trl.data_utils import pack_dataset

    return pack_dataset(dataset(rows), length, strategy="bfd")


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl import SFTConfig, SFTTrainer

    recipe = setup.recipe
    config = SFTConfig(
        **setup.arguments(),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None if not recipe.packing else setup.length,
        packing=recipe.packing,
        shuffle_dataset=False,
        pad_to_multiple_of=None,
    )
    return setup.make(SFTTrainer, config, pack(setup.rows, setup.length) if recipe.packing else None)
