"""What happens between a run's steps: step events, and when to evaluate, save, sample and stop. For workers alone."""

import time
from typing import Any

import psutil
from transformers import TrainerCallback

from edgetune.training.managed_trainer import ManagedTrainer
from edgetune.training.samples import Sampler


class RunCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Writes step events and says when to evaluate, save, sample and stop.

    total, eval_every, save_every: in steps. sampler: writes sample answers at every evaluation; None: the model writes none.
    """

    def __init__(self, trainer: ManagedTrainer, total: int, eval_every: int, save_every: int, sampler: Sampler | None) -> None:
        self.trainer, self.sampler = trainer, sampler
        self.total, self.eval_every, self.save_every = total, eval_every, save_every
        self.process = psutil.Process()
        self.clock = time.monotonic()
        self.tokens = 0.0
        self.rate = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock: what was loaded before belongs to no step."""
        self.clock = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say what is due after this step, and whether a stop was asked for."""
        last = state.global_step >= self.total
        stop = (self.trainer.folder / "stop").exists()
        control.should_log = True
        control.should_evaluate = bool(self.trainer.held_out) and (state.global_step % self.eval_every == 0 or last)
        control.should_save = state.global_step % self.save_every == 0 or last or stop
        if stop and not last:
            control.should_training_stop = True
            self.trainer.progress.stopped = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write the step's event."""
        if not logs or "loss" not in logs:
            return

        # The time left follows the newest steps more than the first ones.
        now = time.monotonic()
        seconds, tokens = now - self.clock, float(logs.get("num_tokens", 0)) - self.tokens
        self.clock, self.tokens = now, float(logs.get("num_tokens", 0))
        self.rate = seconds if self.rate == 0 else 0.9 * self.rate + 0.1 * seconds
        self.trainer.progress.tokens = self.tokens

        # Tokens a second are left out where a method does not count its tokens.
        self.trainer.events.append(
            "step",
            step=state.global_step,
            total=self.total,
            loss=logs["loss"],
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            tokens_per_second=round(tokens / seconds, 1) if seconds > 0 and "num_tokens" in logs else None,
            seconds=round(seconds, 4),
            memory=self.process.memory_info().rss,
            eta=round((self.total - state.global_step) * self.rate, 1),
            epoch=round(
                state.global_step
                * args.per_device_train_batch_size
                * args.gradient_accumulation_steps
                / max(len(self.trainer.train_dataset), 1),
                3,
            ),
            **{ours: logs[theirs] for theirs, ours in self.trainer.method.metrics.items() if theirs in logs},
        )

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Answer the sample prompts; none of it counts as a step's time."""
        if self.sampler:
            self.sampler.sample(self.trainer.model, state.global_step)
        self.clock = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restart the clock: saving is no part of a step's time."""
        self.clock = time.monotonic()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse what the trainer does once more after its last step unless told that it is done."""
        control.should_log = control.should_evaluate = control.should_save = False
