"""What the methods without a reference share (ORPO, CPO, SimPO, in trl.experimental): their batch, and rows that are taken as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgetune.data.render import IGNORED
from edgetune.data.store import TokenRows
from edgetune.methods._pairs import METRICS, Measured
from edgetune.training.trainer_setup import Setup, dataset


@dataclass(frozen=True)
class SideCollator:
    """Rows of pairs as one batch: chosen_ and rejected_ input_ids, attention_mask, labels, all padded right to one width."""

    pad: int

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = max(len(row[f"{side}_ids"]) for side in ("chosen", "rejected") for row in rows)
        batch = {}
        for side in ("chosen", "rejected"):
            missing = [(row, width - len(row[f"{side}_ids"])) for row in rows]
            batch[f"{side}_input_ids"] = torch.tensor([row[f"{side}_ids"] + [self.pad] * gap for row, gap in missing])
            batch[f"{side}_attention_mask"] = torch.tensor([[1] * (width - gap) + [0] * gap for _, gap in missing])
            batch[f"{side}_labels"] = torch.tensor([row[f"{side}_labels"] + [IGNORED] * gap for row, gap in missing])
        return batch


class Rows:
    """A run's rows by number; TRL's preparation, which would render and tokenize them again, passes them on as they are."""

    def __init__(self, rows: TokenRows) -> None:
        self.inner = dataset(rows)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Any:
        return self.inner[index]

    def map(self, *args: Any, **kwargs: Any) -> "Rows":
        """Itself."""
        return self

    def to_list(self) -> list[dict[str, Any]]:
        """All rows."""
        return list(self.inner)


def make(trainer_class: type, config_class: Callable[..., Any], setup: Setup, **options: Any) -> Any:
    """TRL's trainer with our life. options: the method's own settings."""

    class Free(trainer_class):  # type: ignore[misc,valid-type,unused-ignore]
        """Is measured by its pairs."""

        metrics = METRICS

        def measure(self, batch: dict[str, Any]) -> Measured:
            """Held-out loss and preference of a batch."""
            loss, found = self.get_batch_loss_metrics(self.model, batch, train_eval="eval")
            count = len(batch["chosen_labels"])
            values = {ours: (float(found[f"eval_{theirs}"]) * count, count) for theirs, ours in METRICS.items()}
            return float(loss) * count, count, values

    config = config_class(**setup.arguments(), max_length=setup.length, remove_unused_columns=False, **options)
    return setup.make(Free, config, Rows(setup.rows), data_collator=SideCollator(setup.tokenizer.pad_id))
