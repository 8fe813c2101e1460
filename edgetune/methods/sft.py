"""Supervised fine-tuning: TRL's SFTTrainer on token ids and labels that we prepared."""

from typing import Any

from edgetune.methods._method import BatchMeasures, Method, Setup


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
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
    return setup.make(SFTTrainer, config, pack(setup) if recipe.packing else None)


def pack(setup: Setup) -> Any:
    """Several short rows in one of at most `setup.length` tokens (best fit), each attending to itself alone."""
    from trl.data_utils import pack_dataset

    return pack_dataset(setup.dataset(), setup.length, strategy="bfd")


def measure_batch(trainer: Any, batch: dict[str, Any]) -> BatchMeasures:
    """Held-out loss of a batch, summed over its trained tokens."""
    import torch

    from edgetune.data.labels import IGNORE_INDEX

    loss = float(trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(1)))
    return loss, int((batch["labels"][:, 1:] != IGNORE_INDEX).sum()), {}


METHOD = Method(
    name="sft",
    row_kinds=("conversation", "text"),
    needs="sft needs answers to learn or text. 'edgetune data convert FILE --to messages --out NEW.jsonl' keeps the chosen answers.",
    vote_format="messages",
    options=("packing", "replay", "replay_ratio"),
    trains_every_weight=True,
    uses_dropout=True,
    make_trainer=make_trainer,
    measure_batch=measure_batch,
)
