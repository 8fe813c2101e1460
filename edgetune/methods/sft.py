"""Supervised fine-tuning: TRL's SFTTrainer on token ids and labels that we prepared."""

from pathlib import Path
from typing import Any

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.store import TokenRows
from edgetune.methods._settings import arguments, dataset, processing, untouched
from edgetune.recipe import Recipe
from edgetune.training.trainer import with_our_life

KINDS = ("conversation", "text")
NEEDS = "sft needs answers to learn or text. 'edgetune data convert FILE --to messages --out NEW.jsonl' keeps the chosen answers."
RATE = 1.0
"""Learning rate beside that of sft where none is given."""


def pack(rows: TokenRows, length: int) -> Any:
    """Several short rows in one of at most `length` tokens (best fit), each attending to itself alone."""
    from trl.data_utils import pack_dataset

    return pack_dataset(dataset(rows), length, strategy="bfd")


def trainer(
    recipe: Recipe,
    model: Any,
    tokenizer: BaseTokenizer,
    rows: TokenRows,
    folder: Path,
    total: int,
    length: int,
    device: str,
    dtype: str,
) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        **arguments(recipe, folder, total, device, dtype),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None if not recipe.packing else length,
        packing=recipe.packing,
        shuffle_dataset=False,
        pad_to_multiple_of=None,
    )
    return untouched(
        model,
        lambda: with_our_life(SFTTrainer)(
            model=model,
            args=config,
            train_dataset=pack(rows, length) if recipe.packing else dataset(rows),
            processing_class=processing(tokenizer),
        ),
    )
