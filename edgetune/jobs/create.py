"""Make a run's folder from a recipe: everything is checked and prepared here, before a worker starts and torch is imported."""

import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.bases.fingerprint import file_hashes, fingerprint
from edgetune.config.recipe import Recipe, to_toml
from edgetune.data import prepare, run_data, verdict
from edgetune.data.run_data import data_hash
from edgetune.data.split import Prepared
from edgetune.data.template import today
from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate import fit
from edgetune.formatting import format_size
from edgetune.jobs import lineage
from edgetune.jobs.lineage import Earlier
from edgetune.machine import hardware
from edgetune.preferences import as_data
from edgetune.runs.checkpoints import MANIFEST
from edgetune.runs.lineage import describe_lineage
from edgetune.storage.files import need_space, publish_folder, sha256, write_json, write_text
from edgetune.storage.workspace import Run, Workspace
from edgetune.training import rewards
from edgetune.training.row_order import total_steps

CACHE_FACTOR = 3
"""Bytes of prepared rows for a byte of examples: two 4-byte numbers a token of about four characters, and the example itself."""
FEW_PAIRS = 30
"""Pairs below which the answers themselves are learned rather than what makes them better."""


@dataclass(frozen=True)
class RunPlan:
    """A run that was checked and can be made. votes: the preference files among its data, in words."""

    recipe: Recipe
    sources: dict[str, str]
    base: find.Base
    tokenizer: tokenizers.BaseTokenizer
    prepared: Prepared
    length: int
    total: int
    device: hardware.Choice
    dtype: hardware.Choice
    threads: hardware.Choice
    earlier: Earlier | None = None
    votes: tuple[str, ...] = ()

    def _few(self) -> str:
        """What there is too little of to learn a taste from, in words; empty where there is enough."""
        kind, count = self.prepared.report.kind, self.prepared.train
        if kind == "preference" and not methods.get(self.recipe.method).samples_answers:
            pairs = count // (1 if self.prepared.kind == "preference" else 2)
            return f"{pairs} pairs" if pairs < FEW_PAIRS else ""
        return f"{count} judged answers" if kind == "unpaired" and count < FEW_PAIRS else ""

    def notes(self) -> list[str]:
        """What a person should know before it starts, in words."""
        report = self.prepared.report
        notes = [
            f"{report.read} rows read as {report.format} ({report.reason}): "
            f"{report.kept} kept, {report.rejected} left out, {report.truncated} shortened"
        ]

        # What may disappoint later, or differs from what the recipe says.
        if few := self._few():
            notes.append(
                f"only {few} to train on: fewer than {FEW_PAIRS} teach these answers rather than a taste; "
                "collect more (edgetune rank, edgetune collect), 200 are a good start"
            )
        if self.recipe.dropout and not methods.get(self.recipe.method).uses_dropout:
            notes.append(f"dropout is off: {self.recipe.method} compares log-probabilities, which dropout would blur")
        if self.earlier and self.earlier.lineage:
            notes.append(f"continues {describe_lineage(self.earlier.lineage)}")
        if self.length < self.recipe.max_length:
            notes.append(f"rows may have {self.length} tokens, not {self.recipe.max_length}: the base's context ends there")

        # Said here because it changes the texts that are trained on and the file that is exported.
        if self.tokenizer.origin != "model":
            what = "ChatML, whose marks it knows," if self.tokenizer.origin == "chatml" else "a plain one"
            notes.append(f"the base has no chat template: {what} is used, kept with the run and written into the export")

        if self.base.left_out:
            notes.append(self.base.left_out)

        # Better known before hours of training than at the export.
        from converters.archs import supported

        if self.base.architecture not in supported():
            notes.append(
                f"this can be trained, but not exported yet: GGUF export knows {', '.join(supported())}, not {self.base.architecture}"
            )
        return notes


def plan_run(recipe: Recipe, sources: dict[str, str], workspace: Workspace, anyway: bool = False, progress: Any = None) -> RunPlan:
    """Check everything and prepare the rows. Raises InputError or EdgeTuneError before a run is made; `anyway` overrides the X-ray."""
    # A run on a run is trained on that run's base, so the recipe need not name one.
    earlier = lineage.find_earlier(recipe, workspace) if recipe.from_run else None
    if earlier:
        recipe = recipe.model_copy(update={"base": str(earlier.base)})
        sources = {**sources, "base": f"that of {recipe.from_run}"}

    # The recipe is saved with names as the person gave them, and run with files that later votes cannot change.
    folder = find.resolve_base(recipe.base)
    named, (recipe, votes) = recipe, as_data.frozen(recipe, workspace)

    # Quantized weights have to be refused here: training would only fail once they are loaded.
    base = find.describe_base(folder)
    find.refuse_quantized(folder, base.config)
    if refusal := methods.find_refusal(recipe, base.architecture):
        raise InputError(f"--packing does not work on {base.architecture}", f"{refusal[0].upper()}{refusal[1:]}.", "Leave --packing out.")

    # A template may write today's date into its prompt: a run on a run keeps the date of the first.
    device = hardware.choose_device(recipe.device)
    tokenizer = tokenizers.load_tokenizer(folder, earlier.date if earlier else today())

    # A method that samples answers needs room in the context for them, after the prompt.
    length = min(recipe.max_length, base.context)
    method = methods.get(recipe.method)
    if method.samples_answers:
        length = min(recipe.max_length, base.context - recipe.max_completion_length)
        if length < 8:
            raise InputError(
                "No prompt fits",
                f"The base accepts {base.context} tokens, {recipe.max_completion_length} of them the answer's.",
                "Lower --max-completion-length.",
            )
        rewards.check_rewards(recipe.reward, rewards.Context(workspace.runs_folder, folder))

    # Too little memory or disk would end the run hours later.
    need_memory(recipe, base, device.value)
    files = sum(source.path.stat().st_size for source in prepare.files_of(recipe))
    prepared_bytes = int(files * CACHE_FACTOR * 2)  # once kept by content, once in the run
    need_space(workspace.path, fit.training_disk(recipe, base) + prepared_bytes + 64 * 2**20, "The run with its rows and checkpoints")

    # The X-ray comes with the rows, so that no run starts unasked on data that it advises against.
    prepared = prepare.prepare(recipe, tokenizer_source(folder, tokenizer), length, workspace.data_cache, method, progress)
    verdict.judge(prepared.report)
    if prepared.report.verdict == verdict.DO_NOT_TRAIN and not anyway:
        raise InputError(
            f"The data check says: {verdict.DO_NOT_TRAIN}",
            "; ".join(prepared.report.reasons) + ".",
            f"{prepared.report.fix_first} Full report: edgetune data check FILE --base DIR. To train anyway, add --anyway.",
        )

    # The rate is written into the recipe, so that resuming never chooses another one.
    dtype = hardware.choose_dtype(device.value)
    if recipe.learning_rate is None:
        rate = choose_learning_rate(recipe, base)
        named = named.model_copy(update={"learning_rate": float(rate.value)})
        sources = {**sources, "learning_rate": f"automatic: {rate.reason}"}

    return RunPlan(
        named,
        sources,
        base,
        tokenizer,
        prepared,
        length,
        total_steps(recipe, prepared.each_pass),
        device,
        dtype,
        hardware.choose_threads(base.parameters, recipe.threads),
        earlier,
        tuple(map(str, votes)),
    )


def tokenizer_source(folder: Path, tokenizer: tokenizers.BaseTokenizer) -> prepare.TokenizerSource:
    """What preparing data needs of a base."""
    return prepare.TokenizerSource(
        partial(tokenizers.load_tokenizer, folder, tokenizer.template.date), tokenizer, sha256(folder / "tokenizer.json")
    )


def choose_learning_rate(recipe: Recipe, base: find.Base) -> hardware.Choice:
    """The peak learning rate where none is given: 2e-4 for LoRA at a billion parameters, higher for smaller bases, a tenth without LoRA.

    The exponent 0.3 is a rule of thumb tried on bases of 0.26M and 5M parameters; larger ones were not measured.
    """
    value = 2e-4 * min(20.0, max(0.5, (1e9 / base.parameters) ** 0.3)) * (1.0 if recipe.lora else 0.1)
    value *= methods.get(recipe.method).learning_rate_factor
    size = f"{base.parameters / 1e9:.1f}B" if base.parameters >= 1e9 else f"{base.parameters / 1e6:.1f}M"
    return hardware.Choice(f"{value:.2g}", f"for {recipe.method} on a base of {size} parameters")


def need_memory(recipe: Recipe, base: find.Base, device: str) -> None:
    """Refuse what cannot fit even if every row were short: the base, the trained weights with moments and gradients, the interpreter."""
    short = recipe.model_copy(update={"max_length": min(recipe.max_length, 64), "batch_size": 1})
    need, free = fit.interpreter_memory(device) + fit.training_memory(short, base, device).total, fit.free_memory(device)
    if need > free:
        change = fit.smallest_change(recipe, base, device, free)
        raise EdgeTuneError(
            "Not enough memory",
            f"Training {base.name} this way needs at least {format_size(need)}; {format_size(free)} are free.",
            (f"Try {change.description}. " if change else "")
            + "Use --quantization nf4, a lower --rank, a smaller base, or close other programs.",
        )


def create_run(planned: RunPlan, workspace: Workspace, name: str | None) -> Run:
    """Write the run's folder at once: frozen recipe, prepared rows, request."""
    # A run without a given name is called after its base and its method.
    stem = f"{planned.base.name}-{planned.recipe.method}"
    run = Run(workspace.runs_folder / workspace.new_name(name, stem))

    # All that a resume must find unchanged, and the reasons of automatic choices, so that they can still be explained.
    template = planned.tokenizer.template
    request: dict[str, Any] = {
        "created": round(time.time(), 3),
        "base": str(planned.base.path),
        "base_name": planned.base.name,
        "base_hash": fingerprint(planned.base.path),
        "base_files": file_hashes(planned.base.path),
        "base_parameters": planned.base.parameters,
        "context": planned.base.context,
        "length": planned.length,
        "steps": planned.total,
        "device": planned.device.value,
        "device_reason": planned.device.reason,
        "dtype": planned.dtype.value,
        "dtype_reason": planned.dtype.reason,
        "threads": int(planned.threads.value),
        "threads_reason": planned.threads.reason,
        "template": template.source,
        "template_origin": planned.tokenizer.origin,
        "template_date": template.date,
        "read": planned.prepared.report.read,
        "kept": planned.prepared.report.kept,
        "rejected": planned.prepared.report.rejected,
        "truncated": planned.prepared.report.truncated,
        "train": planned.prepared.train,
        "held_out": planned.prepared.held_out,
        "groups": [[group.start, group.count, group.each] for group in planned.prepared.groups],
        "format": planned.prepared.report.format,
        "verdict": planned.prepared.report.verdict,
        "sources": planned.sources,
        "method": planned.recipe.method,
        "kind": planned.prepared.kind,
        "runs": str(workspace.runs_folder),
        "lineage": planned.earlier.lineage if planned.earlier else [],
        "data": [file["file"] for file in planned.prepared.report.files],
        "votes": list(planned.votes),
    }

    # The folder appears complete or not at all: a list of runs must never meet half a run.
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with publish_folder(run.folder) as part:
        (part / "data").mkdir()
        run_data.write_run_data(part / "data", planned.prepared, planned.tokenizer)

        # The hashes tell a resume whether anything under it has changed.
        request["data_hash"] = data_hash(part / "data")

        # The earlier adapter is copied: this run must outlive the one it builds on.
        if planned.earlier and planned.earlier.adapter:
            shutil.copytree(planned.earlier.adapter, part / run.parent.name)
            request["parent_hash"] = sha256(part / run.parent.name / MANIFEST)

        write_text(Run(part).recipe_file, to_toml(planned.recipe, planned.sources))
        request["recipe_hash"] = sha256(Run(part).recipe_file)
        write_json(Run(part).request_file, request)
    return run
