"""What every method's trainer gets from us: events, checkpoints that hold, finiteness, stopping, exact evaluation."""

import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgetune.config.recipe import Recipe
from edgetune.errors import EdgeTuneError
from edgetune.methods import module
from edgetune.runs import checkpoints
from edgetune.runs.events import EventLog
from edgetune.training.model import trained
from edgetune.wilson import wilson

if TYPE_CHECKING:
    from edgetune.training.samples import Sampler

MAX_EVAL_ROWS = 256
"""Held-out rows that an evaluation within a run looks at."""


class Diverged(EdgeTuneError):
    """The loss or the gradients are no longer finite."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(
            f"Training diverged at step {step}",
            f"{what} is not finite. The last good checkpoint is kept.",
            "Lower --learning-rate (a third is a good try) or raise --warmup-ratio, and start again.",
        )


class Progress:
    """What a run remembers beside the trainer's own state; saved with every checkpoint."""

    def __init__(self) -> None:
        self.best_loss = math.inf
        self.best_step = 0
        self.without_gain = 0
        self.tokens = 0
        self.stopped = False
        self.beyond = 0
        """The step that showed the model before it to be too far from its reference; 0: none."""
        self.warned = False
        self.first: dict[str, Any] = {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "best_step": self.best_step,
            "without_gain": self.without_gain,
            "tokens": self.tokens,
            "warned": self.warned,
            "first": self.first,
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Take the values of a checkpoint."""
        self.best_loss = math.inf if values["best_loss"] is None else values["best_loss"]
        self.best_step, self.without_gain, self.tokens = values["best_step"], values["without_gain"], values["tokens"]
        self.warned, self.first = values.get("warned", False), values.get("first", {})


def with_our_life(trainer_class: type) -> type:
    """A TRL trainer class whose checkpoints, evaluation and checks are ours."""
    import torch
    from torch.utils.data import SequentialSampler

    class Order(SequentialSampler):
        """Yields row numbers in the order it is given."""

        def __init__(self, numbers: list[int]) -> None:
            super().__init__(numbers)
            self.numbers = numbers

        def __iter__(self) -> Any:
            return iter(self.numbers)

    class OurTrainer(trainer_class):
        """Whoever makes it sets the fields below before training."""

        order: list[int]
        events: EventLog
        recipe: Recipe
        folder: Path
        progress: Progress
        held_out: list[dict[str, Any]]
        control: Any
        metrics: ClassVar[dict[str, str]] = getattr(trainer_class, "metrics", {})

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            expand = getattr(super(), "expand", None)
            return Order(expand(self.order) if expand else self.order)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
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
            step = self.state.global_step
            target = until_room(
                self.events,
                self.folder,
                lambda: checkpoints.save(
                    self.folder / "checkpoints",
                    step,
                    trained(self.model),
                    self.optimizer,
                    self.lr_scheduler,
                    self.state,
                    self.progress.as_dict(),
                    self.accelerator.scaler,
                ),
            )
            if reason := checkpoints.problem(target):
                raise EdgeTuneError(
                    "A checkpoint could not be read back",
                    f"{target.name}: {reason}.",
                    "Check the disk. The older checkpoint is kept: edgetune resume goes on from it.",
                )
            checkpoints.prune(self.folder / "checkpoints", self.progress.best_step)
            self.events.append("checkpoint", step=step, best=step == self.progress.best_step)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            folder = Path(resume_from_checkpoint)
            checkpoints.load_weights(folder, trained(self.model))
            self.progress.restore(checkpoints.state(folder)["progress"])

        def _load_optimizer_and_scheduler(self, checkpoint: str) -> None:
            checkpoints.load_optimizer(Path(checkpoint), self.optimizer, self.lr_scheduler, self.accelerator.scaler)

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
            rows = sorted(self.held_out, key=lambda row: sum(len(v) for v in row.values() if isinstance(v, list)))
            measure = getattr(super(), "measure", self._measure_tokens)
            for start in range(0, len(rows), self.args.per_device_eval_batch_size):
                batch = self._prepare_inputs(self.data_collator(rows[start : start + self.args.per_device_eval_batch_size]))
                with torch.no_grad(), self.compute_loss_context_manager():
                    part, size, values = measure(batch)
                total, count = total + part, count + size
                for name, (value, number) in values.items():
                    sums[name] = sums.get(name, 0.0) + value
                    sizes[name] += number
            if hasattr(self, "_metrics"):
                self._metrics["eval"].clear()
            self.model.train(was)
            torch.set_rng_state(before)
            loss = total / max(count, 1)
            self.note_evaluation(loss, count, {name: value / sizes[name] for name, value in sums.items()})
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, {"eval_loss": loss})
            return {"eval_loss": loss}

        def _measure_tokens(self, batch: dict[str, Any]) -> tuple[float, int, dict[str, tuple[float, int]]]:
            loss = float(self.compute_loss(self.model, batch, num_items_in_batch=torch.tensor(1)))
            return loss, int((batch["labels"][:, 1:] != -100).sum()), {}

        def note_evaluation(self, loss: float, count: int, values: dict[str, Any]) -> None:
            """Write the event, remember the best, warn, stop when patience is over. count: what was measured on (tokens or rows)."""
            step, progress = self.state.global_step, self.progress
            if not math.isfinite(loss):
                raise Diverged("The held-out loss", step)
            improved = loss < progress.best_loss
            if step > 0:
                if improved:
                    progress.best_loss, progress.best_step, progress.without_gain = loss, step, 0
                    self.control.should_save = True
                else:
                    progress.without_gain += 1
            if "reward_chosen" in values and "reward_rejected" in values:
                values["margin"] = values["reward_chosen"] - values["reward_rejected"]
            if not self.metrics:
                values = {"perplexity": math.exp(min(loss, 50)), **values}
            if "accuracy" in values:
                values = {**values, "count": count, "interval": wilson(values["accuracy"] * count, count)}
            self.events.append("evaluated", step=step, loss=loss, improved=improved, **values)
            progress.first = progress.first or values
            if not progress.warned and self.metrics and (text := module(self.recipe.method).warning(values, progress.first)):
                progress.warned = True
                self.events.append("warning", step=step, text=text)
            if self.recipe.early_stopping_patience and progress.without_gain >= self.recipe.early_stopping_patience:
                self.events.append("note", text=f"The held-out loss has not improved {progress.without_gain} times: stopping early.")
                self.control.should_training_stop = True
                self.control.should_save = True

    return OurTrainer


def until_room(events: EventLog, folder: Path, write: Callable[[], Path]) -> Path:
    """Do a write; while the disk is full, pause and try again, and give up only when asked to stop."""
    waiting = False
    while True:
        try:
            result = write()
        except EdgeTuneError as error:
            if error.title != "The disk is full" or (folder / "stop").exists():
                raise
            if not waiting:
                waiting = True
                print("The disk is full. Training waits and goes on once there is room.", flush=True)  # an event may not fit
            time.sleep(2.0)
        else:
            if waiting:
                events.append("note", text="The disk was full; training waited, and goes on.")
            return result


def life(trainer: Any, total: int, eval_every: int, save_every: int, sampler: "Sampler | None") -> Any:
    """The callback that writes step events and says when to evaluate, save, sample and stop."""
    import psutil
    from transformers import TrainerCallback

    process = psutil.Process()

    class Life(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            self.clock = time.monotonic()
            self.tokens = 0.0
            self.rate = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.clock = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            last = state.global_step >= total
            stop = (trainer.folder / "stop").exists()
            control.should_log = True
            control.should_evaluate = bool(trainer.held_out) and (state.global_step % eval_every == 0 or last)
            control.should_save = state.global_step % save_every == 0 or last or stop
            if stop and not last:
                control.should_training_stop = True
                trainer.progress.stopped = True

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
            if not logs or "loss" not in logs:
                return
            now = time.monotonic()
            seconds, tokens = now - self.clock, float(logs.get("num_tokens", 0)) - self.tokens
            self.clock, self.tokens = now, float(logs.get("num_tokens", 0))
            self.rate = seconds if self.rate == 0 else 0.9 * self.rate + 0.1 * seconds
            trainer.progress.tokens = self.tokens
            trainer.events.append(
                "step",
                step=state.global_step,
                total=total,
                loss=logs["loss"],
                learning_rate=logs.get("learning_rate"),
                grad_norm=logs.get("grad_norm"),
                tokens_per_second=round(tokens / seconds, 1) if seconds > 0 and "num_tokens" in logs else None,
                seconds=round(seconds, 4),
                memory=process.memory_info().rss,
                eta=round((total - state.global_step) * self.rate, 1),
                epoch=round(
                    state.global_step
                    * args.per_device_train_batch_size
                    * args.gradient_accumulation_steps
                    / max(len(trainer.train_dataset), 1),
                    3,
                ),
                **{ours: logs[theirs] for theirs, ours in trainer.metrics.items() if theirs in logs},
            )

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if sampler:
                sampler.sample(trainer.model, state.global_step)
            self.clock = time.monotonic()

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.clock = time.monotonic()

        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            # The trainer evaluates and saves once more after its last step unless told that this is done.
            control.should_log = control.should_evaluate = control.should_save = False

    return Life()
