"""One training run from its folder: load, train or resume, choose the result, publish it."""

from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases import tokenizer as tokenizers
from edgetune.config.recipe import Recipe
from edgetune.data import store
from edgetune.errors import EdgeTuneError
from edgetune.runs import checkpoints
from edgetune.runs.events import EventLog
from edgetune.runs.integrity import recipe_of, require_unchanged
from edgetune.storage.files import publish_folder, write_json
from edgetune.storage.workspace import Run, remove
from edgetune.training.model import build_model, save_result, trained_weights
from edgetune.training.progress import RunProgress
from edgetune.training.rewards import Context
from edgetune.training.row_order import row_order
from edgetune.training.run_callback import RunCallback
from edgetune.training.samples import Sampler
from edgetune.training.trainer_setup import TrainerSetup


def _start(run: Run, events: EventLog) -> checkpoints.Checkpoint | None:
    """The checkpoint to go on from, having said what was skipped."""
    checkpoint, skipped = checkpoints.newest_valid(run.checkpoints)
    for text in skipped:
        events.append("note", text=f"A damaged checkpoint was skipped ({text}).")
    return checkpoint


def train(run: Run, events: EventLog) -> None:
    """Train, or go on from the newest valid checkpoint, and publish the result."""
    import torch

    request, recipe = run.request(), recipe_of(run)
    require_unchanged(run, request)
    torch.set_num_threads(request["threads"])
    method, base, device, total = methods.get(recipe.method), Path(request["base"]), request["device"], request["steps"]
    dtype = request["dtype"] if recipe.lora or device != "cpu" else "float32"
    tokenizer = tokenizers.load_tokenizer(base, request["template_date"])
    rows, held_out = store.TokenRows(run.data / store.TRAIN_FILE), store.TokenRows(run.data / store.HELD_OUT_FILE)
    checkpoint = _start(run, events)
    parent = run.parent if run.parent.is_dir() else None
    model = build_model(recipe, base, device, dtype, parent)

    # The method makes its trainer; the order of the rows is ours, so that it is the same wherever a run is taken up again.
    context = Context(Path(request["runs"]), base) if recipe.reward else None
    setup = TrainerSetup(recipe, model, tokenizer, rows, run.folder, total, request["length"], device, dtype, context)
    trainer = method.make_trainer(setup)
    packed = len(trainer.train_dataset)
    groups = request["groups"] if not recipe.packing else [[0, packed, packed]]
    trainer.order = row_order(groups, total * recipe.batch_size * recipe.gradient_accumulation // method.repeats(recipe), recipe.data_seed)

    # What the trainer needs to be a managed one.
    trainer.events, trainer.recipe, trainer.folder, trainer.progress = events, recipe, run.folder, RunProgress()
    trainer.held_out = held_out.whole(method.max_eval_rows)
    tenth = max(1, total // 10)
    sampler = None
    if method.writes_answers:
        sampler = Sampler(held_out if len(held_out) else rows, tokenizer, events, request["context"])
    trainer.add_callback(RunCallback(trainer, total, recipe.eval_steps or tenth, recipe.save_steps or tenth, sampler))

    # The model before training is measured too, but only once in a run's life.
    events.append(
        "started",
        total=total,
        device=device,
        dtype=dtype,
        threads=torch.get_num_threads(),
        from_step=checkpoint.step if checkpoint else 0,
        trained=sum(p.numel() for p in trained_weights(model).values()),
        rows=len(rows),
        held_out=len(trainer.held_out),
    )
    if checkpoint is None and trainer.held_out:
        trainer.evaluate()

    # A run that was killed while it published has nothing left to train.
    if checkpoint is None or checkpoint.step < total:
        trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    else:
        trainer.progress.restore(checkpoints.read_checkpoint_state(checkpoint.folder)["progress"])
        checkpoints.load_weights(checkpoint.folder, trained_weights(trainer.model))
    if trainer.progress.stopped:
        events.append(
            "stopped",
            step=trainer.state.global_step,
            text=f"Stopped after step {trainer.state.global_step}; 'edgetune resume {run.name}' continues it.",
        )
        return
    _publish(run, trainer, recipe, base, request, checkpoint)


def _publish(run: Run, trainer: Any, recipe: Recipe, base: Path, request: dict[str, Any], resumed: checkpoints.Checkpoint | None) -> None:
    """Write adapter/ (or model/) with its manifest, from the best checkpoint where the recipe says so."""
    progress, events = trainer.progress, trainer.events
    last = max(trainer.state.global_step, resumed.step if resumed else 0)
    step = last
    if progress.kl_exceeded_at:
        # A step's answers come from the step before it, so that one is too far, and the one before that was seen to be not.
        earlier = [c for c in checkpoints.list_checkpoints(run.checkpoints) if c.step < progress.kl_exceeded_at - 1]

        sound = [c for c in earlier if not checkpoints.find_damage(c.folder)]

        if not sound:
            raise EdgeTuneError(
                "The model drifted too far from the reference before the first checkpoint",
                f"The KL divergence exceeded --kl-limit ({recipe.kl_limit} nats per token).",
                "Lower --learning-rate, or raise --beta.",
            )

        checkpoints.load_weights(sound[-1].folder, trained_weights(trainer.model))
        step = sound[-1].step
    elif recipe.keep_best and progress.best_step and progress.best_step != last:
        # A finished run is worth more than its best step: a damaged checkpoint is no reason to fail.
        best = run.checkpoints / f"step-{progress.best_step:08d}"
        reason = checkpoints.find_damage(best)
        if reason:
            events.append("note", text=f"The best checkpoint cannot be used ({reason}): the result is the last step.")
        else:
            checkpoints.load_weights(best, trained_weights(trainer.model))
            step = progress.best_step

    # Better no result than one that looks like a model: NaN would be merged into every export.
    bad = [name for name, tensor in trained_weights(trainer.model).items() if not tensor.isfinite().all()]
    if bad:
        raise EdgeTuneError(
            "The trained weights are not finite", f"{bad[0]} holds NaN or infinity.", "Lower --learning-rate and start again."
        )

    # A result that was published before belongs to fewer steps.
    target = run.adapter if recipe.lora else run.model
    if target.exists():
        remove(target)
    with publish_folder(target) as part:
        save_result(trainer.model, recipe, part, base, run.parent if run.parent.is_dir() else None)
        checkpoints.write_manifest(part, step=step, base_hash=request["base_hash"], data_hash=request["data_hash"])

    # After publishing, so that a failure to measure costs no result.
    if measured := methods.get(recipe.method).assess(trainer):
        write_json(run.folder / "measured.json", measured)
        events.append("measured", step=step, **measured)

    # The last event: a program that follows the run may use the result as soon as it comes.
    events.append(
        "finished",
        step=step,
        last_step=last,
        best_loss=None if progress.best_step == 0 else progress.best_loss,
        result=target.name,
        bytes=sum(p.stat().st_size for p in target.iterdir()),
    )
