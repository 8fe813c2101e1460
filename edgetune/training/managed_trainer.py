"""What every method's trainer gets from us: events, checkpoints that hold, finiteness, stopping, exact evaluation. For workers alone."""

import math
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer

from edgetune.config.recipe import Recipe
from edgetune.errors import EdgeTuneError
from edgetune.methods import Method
from edgetune.runs import checkpoints
from edgetune.runs.events import EventLog
from edgetune.storage.files import DiskFull
from edgetune.training.model import trained_weights
from edgetune.training.progress import RunProgress
from edgetune.wilson import wilson


class Diverged(EdgeTuneError):
    """The loss or the gradients are no longer finite."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(
            f"Training diverged at step {step}",
            f"{what} is not finite. The last good checkpoint is kept.",
            "Lower --learning-rate (a third is a good try) or raise --warmup-ratio, and start again.",
        )


def rate_share(step: int, shape: str, warmup: int, total: int) -> float:
    """The share of the peak learning rate that a step has, counted from 0; above 0 for every step that is trained.

    It rises evenly over `warmup` steps to the peak at the step after them, then falls as `shape` says ("cosine", "linear", "constant"),
    and would reach 0 at the step after the last of `total`.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    if shape == "constant":
        return 1.0
    return 1.0 - progress if shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))


class RowOrder(SequentialSampler):
    """Yields row numbers in the order it is given."""

    def __init__(self, numbers: list[int]) -> None:
        super().__init__(numbers)
        self.numbers = numbers

    def __iter__(self) -> Any:
        return iter(self.numbers)


class ManagedTrainer(Trainer):  # type: ignore[misc,unused-ignore]
    """Stands before one of TRL's trainers in a class of both (`managed`), whose checkpoints, evaluation and checks are then ours.

    Whoever makes it sets the fields below before training; `managed` sets the method.
    """

    method: ClassVar[Method]
    order: list[int]
    events: EventLog
    recipe: Recipe
    folder: Path
    progress: RunProgress
    held_out: list[dict[str, Any]]
    control: Any
    lr_scheduler: Any

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return RowOrder(self.method.expand_order(self.recipe, self.order))

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """One batch forward and backward. Raises Diverged where its loss is not finite."""
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise Diverged("The loss", self.state.global_step + 1)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and self.accelerator.scaler is None and not math.isfinite(norm):  # a loss scaler skips such steps by itself
            raise Diverged("The gradient", self.state.global_step + 1)
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Hours of training are not lost because the disk is full for a while.
        step = self.state.global_step
        target = retry_while_full(
            self.events,
            self.folder,
            lambda: checkpoints.save_checkpoint(
                self.folder / "checkpoints",
                step,
                trained_weights(self.model),
                self.optimizer,
                self.lr_scheduler,
                self.state,
                self.progress.as_dict(),
                self.accelerator.scaler,
            ),
        )

        # Read back at once: older checkpoints are removed next, and this one must be able to take their place.
        if reason := checkpoints.find_damage(target):
            raise EdgeTuneError(
                "A checkpoint could not be read back",
                f"{target.name}: {reason}.",
                "Check the disk. The older checkpoint is kept: edgetune resume continues from it.",
            )
        checkpoints.prune_checkpoints(self.folder / "checkpoints", self.progress.best_step)

        self.events.append("checkpoint", step=step, best=step == self.progress.best_step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        checkpoints.load_weights(folder, trained_weights(self.model))
        self.progress.restore(checkpoints.read_checkpoint_state(folder)["progress"])

    def _load_optimizer_and_scheduler(self, checkpoint: str) -> None:
        checkpoints.load_optimizer(Path(checkpoint), self.optimizer, self.lr_scheduler, self.accelerator.scaler)

        # The checkpoint's rate belongs to the schedule of its time: a run that was made longer goes on with the longer one.
        schedule = self.lr_scheduler
        schedule._last_lr = [
            start * share(schedule.last_epoch) for start, share in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        ]
        for group, rate in zip(self.optimizer.param_groups, schedule._last_lr, strict=True):
            group["lr"] = rate

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The learning rate as a share of the recipe's, step by step; transformers' own begins at 0, a step that teaches nothing."""
        if self.lr_scheduler is None:
            warmup = round(self.recipe.warmup_ratio * num_training_steps)
            share = partial(rate_share, shape=self.recipe.lr_scheduler_type, warmup=warmup, total=num_training_steps)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, share)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _load_scaler(self, checkpoint: str) -> None:
        """Restored together with the optimizer."""

    def _load_rng_state(self, checkpoint: str) -> None:
        if checkpoint is not None:
            checkpoints.load_random(Path(checkpoint))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Held-out loss, each trained token (or pair) counted once; the random state stays as it was."""
        was, before = self.model.training, torch.get_rng_state()
        self.model.eval()
        total, count = 0.0, 0
        sums: dict[str, float] = {}
        sizes = Counter[str]()

        # Rows of like length share a batch, so that little of it is padding.
        rows = sorted(self.held_out, key=lambda row: sum(len(v) for v in row.values() if isinstance(v, list)))
        for start in range(0, len(rows), self.args.per_device_eval_batch_size):
            batch = self._prepare_inputs(self.data_collator(rows[start : start + self.args.per_device_eval_batch_size]))
            with torch.no_grad(), self.compute_loss_context_manager():
                part, size, values = self.method.measure_batch(self, batch)
            total, count = total + part, count + size
            for name, (value, number) in values.items():
                sums[name] = sums.get(name, 0.0) + value
                sizes[name] += number

        # Nothing of an evaluation may reach the next step: neither what TRL gathered meanwhile, nor the mode, nor the random state.
        getattr(self, "_metrics", {"eval": {}})["eval"].clear()
        self.model.train(was)
        torch.set_rng_state(before)

        loss = total / max(count, 1)
        self.note_evaluation(loss, count, {name: value / sizes[name] for name, value in sums.items()})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, {"eval_loss": loss})
        return {"eval_loss": loss}

    def note_evaluation(self, loss: float, count: int, values: dict[str, Any]) -> None:
        """Write the event, remember the best, warn, stop when patience is over. count: what was measured on (tokens or rows)."""
        step, progress = self.state.global_step, self.progress
        if not math.isfinite(loss):
            raise Diverged("The held-out loss", step)

        # The model before training is no result: only what was trained can be the best.
        improved = loss < progress.best_loss
        if step > 0:
            if improved:
                progress.best_loss, progress.best_step, progress.evals_without_improvement = loss, step, 0
                self.control.should_save = True
            else:
                progress.evals_without_improvement += 1

        # What can be told from the measures alone is added here, once for all methods.
        if "reward_chosen" in values and "reward_rejected" in values:
            values["margin"] = values["reward_chosen"] - values["reward_rejected"]
        if not self.method.metrics:
            values = {"perplexity": math.exp(min(loss, 50)), **values}
        if "accuracy" in values:
            values = {**values, "count": count, "interval": wilson(values["accuracy"] * count, count)}
        self.events.append("evaluated", step=step, loss=loss, improved=improved, **values)

        # A warning is given once, from measures beside those before the first step.
        progress.first = progress.first or values
        if not progress.warned and self.method.metrics and (text := self.method.find_warning(values, progress.first)):
            progress.warned = True
            self.events.append("warning", step=step, text=text)

        times = progress.evals_without_improvement
        if self.recipe.early_stopping_patience and times >= self.recipe.early_stopping_patience:
            self.events.append("note", text=f"The held-out loss has not improved {times} times: stopping early.")
            self.control.should_training_stop = True
            self.control.should_save = True


def managed(trainer_class: type, method: Method) -> type:
    """One of TRL's trainer classes as a method's managed trainer."""
    return type(f"Managed{trainer_class.__name__}", (ManagedTrainer, trainer_class), {"method": method})


def retry_while_full(events: EventLog, folder: Path, write: Callable[[], Path]) -> Path:
    """Do a write; while the disk is full, pause and try again, and give up only when asked to stop."""
    waiting = False
    while True:
        try:
            result = write()
        except DiskFull:
            # Whoever stops a run that waits for room must not wait for the room.
            if (folder / "stop").exists():
                raise
            if not waiting:
                waiting = True
                print("The disk is full. Training waits and continues once there is room.", flush=True)  # an event may not fit
            time.sleep(2.0)
        else:
            if waiting:
                events.append("note", text="The disk was full; training waited, and now continues.")
            return result
