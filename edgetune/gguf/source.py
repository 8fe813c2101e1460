"""What is exported: a run's result, one of its checkpoints, or a model folder with adapters."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.adapter_files import adapter_folder
from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.chat.turns import end_marks
from edgetune.data.template import today
from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate.gguf_types import AUTO, DEFAULT_TYPE, TYPES
from edgetune.runs import checkpoints
from edgetune.runs.integrity import recipe_of, require_unchanged, require_writer, result_folder
from edgetune.runs.launch import state
from edgetune.runs.lineage import describe_lineage
from edgetune.storage.files import publish_folder, write_json
from edgetune.storage.paths import split_number
from edgetune.storage.workspace import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Run, Workspace
from edgetune.training import stacked_adapter
from edgetune.training.model import peft_name


@dataclass(frozen=True)
class Source:
    """What is exported: a model folder, an adapter on it or none, its template, and facts for the file's metadata.

    home: where a run's exports go, None for a model folder. base: the folder of the model before training, None where it is not known.
    held_out: a run's held-out examples. context: the model's longest text in tokens. mix: adapters with weights, where it is more than
    the one at weight 1. nf4_training_device: the device on which it was trained on the base in NF4; empty where it was not.
    """

    model: Path
    adapter: Path | None
    template: str
    name: str
    facts: dict[str, str | int | float | bool]
    home: Path | None
    base: Path | None = None
    held_out: Path | None = None
    context: int = 2048
    mix: tuple[tuple[Path, float], ...] = ()
    nf4_training_device: str = ""

    @property
    def trained_whole(self) -> bool:
        """Whether the model itself was trained, from a base that is known: there is no adapter."""
        return self.adapter is None and not self.mix and self.base is not None and self.base != self.model


@contextmanager
def conversion_errors() -> Iterator[None]:
    """Converters' errors as ours."""
    from converters.errors import ConversionError

    try:
        yield
    except ConversionError as error:
        raise EdgeTuneError(error.title, error.cause, error.remedy) from error


def is_automatic(types: list[str]) -> bool:
    """Whether the type is to be found by trying, as 'auto' says; InputError where types are named beside it."""
    automatic = AUTO in (name.lower() for name in types)
    if automatic and len({name.lower() for name in types}) > 1:
        raise InputError("--type auto cannot be combined with other types", "It chooses one by trying.", "Remove it, or the other types.")
    return automatic


def check_types(types: list[str]) -> list[str]:
    """Type names in llama.cpp's spelling, doubles removed; InputError for an unknown one."""
    names = list(dict.fromkeys(name.upper() for name in types)) or [DEFAULT_TYPE]
    unknown = [name for name in names if name not in TYPES]
    if unknown:
        raise InputError(
            f"'{unknown[0]}' is not a type EdgeTune writes", f"Types are {', '.join(TYPES)}.", "Choose one of them with --type."
        )
    return names


def _facts(origin: str, date: str, base: str, run: str = "") -> dict[str, str | int | float | bool]:
    facts: dict[str, str | int | float | bool] = {"edgetune.template_origin": origin, "edgetune.template_date": date, "edgetune.base": base}
    return {**facts, "edgetune.run": run} if run else facts


def from_run(run: Run, checkpoint: str | None = None) -> Source:
    """A finished run's result, or one of its checkpoints (a step's number, or 'best')."""
    request = run.request()
    recipe = recipe_of(run)

    # What a file is made from must be what was trained, by a program that may write it.
    require_unchanged(run, request)
    require_writer(run, recipe)

    # The file says where it comes from, so that it can be traced when its folder is gone.
    facts = _facts(request["template_origin"], request["template_date"], request["base_name"], run.name)
    if request.get("lineage"):
        facts["edgetune.lineage"] = describe_lineage(request["lineage"])

    # LoRA leaves an adapter for the base; full fine-tuning leaves a model that replaces it.
    base = Path(request["base"])
    folder = (
        result_folder(run, recipe, ". Or export a checkpoint: --checkpoint best")
        if checkpoint is None
        else _from_checkpoint(run, checkpoint, recipe)
    )
    model, adapter = (base, folder) if recipe.lora else (folder, None)
    return Source(
        model,
        adapter,
        request["template"],
        name=run.name if checkpoint is None else f"{run.name}-{folder.name}",
        facts=facts,
        home=run.exports,
        base=base,
        held_out=run.held_out if request["held_out"] else None,
        context=request["context"],
        nf4_training_device=request["device"] if recipe.quantization == "nf4" else "",
    )


def _from_checkpoint(run: Run, name: str, recipe: Any) -> Path:
    """An adapter folder made from a checkpoint, stored under the run. name: the step's number, or "best"."""
    if name == "best":
        step = state(run).best_step
    elif name.isascii() and name.isdecimal():
        step = int(name)
    else:
        raise InputError(
            f"'{name}' is not a checkpoint", "A checkpoint is a step's number or 'best'.", "Give --checkpoint a step's number, or 'best'."
        )

    # All that can be wrong is said before anything is written.
    folder = run.checkpoints / f"step-{step:08d}"
    if not folder.is_dir() or not step:
        known = ", ".join(str(checkpoint.step) for checkpoint in checkpoints.list_checkpoints(run.checkpoints))
        raise InputError(f"{run.name} has no checkpoint {name}", f"Checkpoints: {known or 'none'}.", "Choose one of them.")
    if reason := checkpoints.find_damage(folder):
        raise EdgeTuneError(f"Checkpoint {step} is damaged", reason, "Choose another one.")
    if not recipe.lora:
        raise InputError(
            "A checkpoint of full fine-tuning cannot be exported",
            "Only its final model is saved in a layout that can be exported.",
            "Export the run itself.",
        )

    # Made once: a checkpoint never changes.
    target = run.folder / "from-checkpoints" / f"step-{step:08d}"
    if not target.is_dir():
        from safetensors.numpy import load_file, save_file

        weights = {peft_name(tensor): value for tensor, value in load_file(folder / "weights.safetensors").items()}
        changes: dict[str, Any] = {}
        if run.parent.is_dir():
            weights, changes = stacked_adapter.combine_adapters(run.parent, weights, recipe)
        target.parent.mkdir(exist_ok=True)
        with publish_folder(target) as part:
            save_file(weights, part / ADAPTER_WEIGHTS)
            write_json(part / ADAPTER_CONFIG, {**adapter_config(run, recipe, weights), **changes})
    return target


def adapter_config(run: Run, recipe: Any, weights: dict[str, Any]) -> dict[str, Any]:
    """PEFT's adapter configuration for weights taken from a checkpoint."""
    targets = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in weights})
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": recipe.rank,
        "lora_alpha": recipe.alpha,
        "lora_dropout": recipe.dropout,
        "bias": "none",
        "use_rslora": recipe.rslora,
        "use_dora": recipe.dora,
        "target_modules": targets,
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "base_model_name_or_path": run.request()["base"],
    }


def from_folder(folder: Path, adapter: Path | None, mix: tuple[tuple[Path, float], ...] = ()) -> Source:
    """A plain model folder, with an adapter or several with weights (`mix`), or without. An adapter's own tokenizer and template count."""
    base = find.describe_base(folder)
    with conversion_errors():
        adapter = adapter_folder(adapter) if adapter is not None else None
        mix = tuple((adapter_folder(path), weight) for path, weight in mix)
    adapters = [adapter] if adapter is not None else [path for path, _ in mix]

    # The name and the facts say what went in, as there is no run to ask.
    tokenizer = tokenizers.load_tokenizer(folder, today(), tokenizers.own_tokenizer(adapters))
    name = "-".join([base.name, *dict.fromkeys(path.resolve().name for path in adapters)])
    facts = _facts(tokenizer.origin, tokenizer.template.date, base.name)
    if mix:
        facts["edgetune.adapters"] = ", ".join(f"{path.resolve().name}:{weight:g}" for path, weight in mix)
    return Source(
        folder,
        adapter,
        tokenizer.template.source,
        name,
        facts,
        home=None,
        base=folder if adapters else None,
        context=base.context,
        mix=mix,
    )


def source_tokenizer(source: Source) -> BaseTokenizer:
    """The tokenizer that a source was trained with, and its template. Raises InputError where it cannot be read."""
    adapters = [source.adapter] if source.adapter else [path for path, _ in source.mix]
    date = str(source.facts["edgetune.template_date"])
    tokenizer = tokenizers.load_tokenizer(source.model, date, tokenizers.own_tokenizer(adapters))
    return replace(tokenizer, template=replace(tokenizer.template, source=source.template))


def template_marks(source: Source) -> dict[str, Any]:
    """What a source's file must say of its chat template: `ends`, the special tokens at which answers end, and `opens`."""
    tokenizer = source_tokenizer(source)
    return {"ends": end_marks(tokenizer.template, tokenizer.specials), "opens": tokenizer.template.opens}


def parse_weighted_adapter(text: str) -> tuple[Path, float]:
    """DIR or DIR:WEIGHT as a folder and a weight (1 where none is given). InputError where the weight is not finite."""
    path, weight = split_number(text)
    if weight is not None and not math.isfinite(weight):
        raise InputError(f"'{text}' has no usable weight", f"{weight} is not a finite number.", "Give a number, such as 0.5.")
    return path, 1.0 if weight is None else weight


def resolve(source: str, workspace: Workspace, adapters: Sequence[tuple[Path, float]] = (), checkpoint: str | None = None) -> Source:
    """A source as people name it: a run, 'nano', or a model folder with `adapters` and their weights."""
    if source != "nano" and not Path(source).is_dir():
        if adapters:
            raise InputError(
                "--adapter works only with a model folder, not with a run",
                f"{source} is a run, which has its own adapter.",
                "Remove --adapter.",
            )
        return from_run(workspace.run(source), checkpoint)
    if checkpoint is not None:
        raise InputError(
            "--checkpoint works only with a run, not with a model folder", f"{source} is a model folder.", "Remove --checkpoint."
        )
    alone = adapters[0][0] if len(adapters) == 1 and adapters[0][1] == 1.0 else None
    return from_folder(find.resolve_base(source), alone, () if alone else tuple(adapters))


def target_paths(source: Source, types: list[str], out: Path | None) -> dict[str, Path]:
    """Where each type's file goes: --out as a file (one type) or folder; else the run's exports; else here."""
    if out is not None and out.suffix == ".gguf":
        if len(types) > 1:
            raise InputError("--out names one file for several types", f"{len(types)} types were asked for.", "Name a folder with --out.")
        return {types[0]: out}
    folder = out or source.home or Path.cwd()
    return {type_name: folder / f"{source.name}-{type_name}.gguf" for type_name in types}
