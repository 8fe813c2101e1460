"""A run or a model folder becomes a GGUF: adapter merged into the full-precision base, converted and quantized in one pass."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune import fit
from edgetune.bases import find
from edgetune.bases import tokenizer as tokenizers
from edgetune.data.template import today
from edgetune.errors import EdgeTuneError, InputError
from edgetune.files import Hashed, Staged, atomic_write, need_space, publish_folder, sha256, staged_write, write_json
from edgetune.gguf_types import USUAL
from edgetune.jobs.launch import state
from edgetune.jobs.lineage import words
from edgetune.training import checkpoints, stack
from edgetune.training.model import peft_name
from edgetune.training.run import recipe_of, unchanged
from edgetune.workspace import FAILED, Run, Workspace

if TYPE_CHECKING:
    from edgetune.proof.prove import Proof, Prover

TYPES = (  # the largest first
    *("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_1", "Q4_K_M", "Q4_K_S", "Q4_0"),
    *("IQ4_NL", "IQ4_XS", "Q3_K_M", "Q2_K"),
)


@dataclass(frozen=True)
class Source:
    """What is exported: a model folder, an adapter on it or none, its template, and facts for the file's metadata.

    base: the folder of the model before training, None where it is not known. held_out: a run's held-out examples. context: the model's
    longest text in tokens. mix: adapters with weights, where it is more than the one at weight 1. four_bit: the device on which it was
    trained on the base in NF4; empty where it was not.
    """

    model: Path
    adapter: Path | None
    template: str
    name: str
    facts: dict[str, str | int | float | bool]
    home: Path | None  # where exports of a run go
    base: Path | None = None
    held_out: Path | None = None
    context: int = 2048
    mix: tuple[tuple[Path, float], ...] = ()
    four_bit: str = ""


@contextmanager
def conversion_errors() -> Iterator[None]:
    """Converters' errors as ours."""
    from converters.errors import ConversionError

    try:
        yield
    except ConversionError as error:
        raise EdgeTuneError(error.title, error.cause, error.remedy) from error


def check_types(types: list[str]) -> list[str]:
    """Type names in llama.cpp's spelling, doubles removed; InputError for an unknown one."""
    names = list(dict.fromkeys(t.upper() for t in types)) or [USUAL]
    unknown = [t for t in names if t not in TYPES]
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
    request, recipe = run.request(), recipe_of(run)
    unchanged(run, request)
    if recipe.method == "reward":
        raise InputError(
            f"{run.name} is a reward model", "It gives scores, not answers.", f"Rank answers with it: edgetune score {run.name} --data FILE"
        )
    facts = _facts(request["template_origin"], request["template_date"], request["base_name"], run.name)
    if request.get("lineage"):
        facts["edgetune.lineage"] = words(request["lineage"])
    base = Path(request["base"])
    if checkpoint is not None:
        folder = _from_checkpoint(run, checkpoint, recipe)
    else:
        folder = run.adapter if recipe.lora else run.model
        if not folder.is_dir():
            raise InputError(
                f"The run {run.name} has no result yet",
                f"Its state is '{state(run).status}'.",
                f"Let it finish (edgetune resume {run.name}), or export a checkpoint with --checkpoint best.",
            )
        if reason := checkpoints.problem(folder):
            raise EdgeTuneError(f"The result of {run.name} is damaged", reason, f"Make it again: edgetune resume {run.name}")
    model, adapter = (base, folder) if recipe.lora else (folder, None)
    name = run.name if checkpoint is None else f"{run.name}-{folder.name}"
    held_out = run.data / "held_out.jsonl" if request["held_out"] else None
    four_bit = request["device"] if recipe.quantization == "nf4" else ""
    return Source(model, adapter, request["template"], name, facts, run.exports, base, held_out, request["context"], four_bit=four_bit)


def _from_checkpoint(run: Run, wanted: str, recipe: Any) -> Path:
    """An adapter folder made from a checkpoint, kept under the run."""
    if wanted == "best":
        step = state(run).best_step
    elif wanted.isascii() and wanted.isdecimal():
        step = int(wanted)
    else:
        raise InputError(f"'{wanted}' is not a checkpoint", "A checkpoint is a step's number or 'best'.", "Correct --checkpoint.")
    folder = run.checkpoints / f"step-{step:08d}"
    if not folder.is_dir() or not step:
        known = ", ".join(str(c.step) for c in checkpoints.found(run.checkpoints))
        raise InputError(f"{run.name} has no checkpoint {wanted}", f"Checkpoints: {known or 'none'}.", "Choose one of them.")
    if reason := checkpoints.problem(folder):
        raise EdgeTuneError(f"Checkpoint {step} is damaged", reason, "Choose another one.")
    if not recipe.lora:
        raise InputError(
            "A checkpoint of full fine-tuning cannot be exported",
            "Only its final model is kept in an exportable layout.",
            "Export the run itself.",
        )
    target = run.folder / "from-checkpoints" / f"step-{step:08d}"
    if not target.is_dir():
        from safetensors.numpy import load_file, save_file

        weights = {peft_name(name): value for name, value in load_file(folder / "weights.safetensors").items()}
        changes: dict[str, Any] = {}
        if run.parent.is_dir():
            weights, changes = stack.combined(run.parent, weights, recipe)
        target.parent.mkdir(exist_ok=True)
        with publish_folder(target) as part:
            save_file(weights, part / "adapter_model.safetensors")
            write_json(part / "adapter_config.json", {**adapter_config(run, recipe, weights), **changes})
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
    base = find.describe(folder)
    adapters = [adapter] if adapter is not None else [one for one, _ in mix]
    for one in adapters:
        if not (one / "adapter_config.json").is_file():
            raise InputError(f"{one} is not an adapter", "It has no adapter_config.json.", "Name a folder in PEFT's layout with --adapter.")
    tokenizer = tokenizers.load(folder, today(), tokenizers.own_tokenizer(adapters))
    name = "-".join([base.name, *dict.fromkeys(one.resolve().name for one in adapters)])
    facts = _facts(tokenizer.origin, tokenizer.template.date, base.name)
    if mix:
        facts["edgetune.adapters"] = ", ".join(f"{one.resolve().name}:{weight:g}" for one, weight in mix)
    return Source(folder, adapter, tokenizer.template.source, name, facts, None, folder if adapters else None, None, base.context, mix)


def weighted(text: str) -> tuple[Path, float]:
    """DIR or DIR:WEIGHT as a folder and a weight (1 where none is given). InputError where the weight is not finite."""
    path, colon, weight = text.rpartition(":")
    if not colon or not path or Path(text).exists():
        return Path(text).expanduser(), 1.0
    try:
        number = float(weight)
    except ValueError:
        return Path(text).expanduser(), 1.0
    if not math.isfinite(number):
        raise InputError(f"'{text}' has no usable weight", f"{weight} is not a finite number.", "Give a number, such as 0.5.")
    return Path(path).expanduser(), number


def resolve(source: str, workspace: Workspace, adapters: Sequence[tuple[Path, float]] = (), checkpoint: str | None = None) -> Source:
    """SOURCE as people name it: a run, 'nano', or a model folder with `adapters` and their weights."""
    if source != "nano" and not Path(source).is_dir():
        if adapters:
            raise InputError("--adapter goes with a model folder", f"{source} is a run, which has its own adapter.", "Leave --adapter out.")
        return from_run(workspace.run(source), checkpoint)
    if checkpoint is not None:
        raise InputError("--checkpoint goes with a run", f"{source} is a model folder.", "Leave --checkpoint out.")
    alone = adapters[0][0] if len(adapters) == 1 and adapters[0][1] == 1.0 else None
    return from_folder(find.resolve(source), alone, () if alone else tuple(adapters))


def targets(source: Source, types: list[str], out: Path | None) -> dict[str, Path]:
    """Where each type's file goes: --out as a file (one type) or folder; else the run's exports; else here."""
    if out is not None and out.suffix == ".gguf":
        if len(types) > 1:
            raise InputError("--out names one file for several types", f"{len(types)} types were asked for.", "Name a folder with --out.")
        return {types[0]: out}
    folder = out or source.home or Path.cwd()
    return {t: folder / f"{source.name}-{t}.gguf" for t in types}


def export(
    source: Source,
    types: list[str],
    out: Path | None,
    progress: Callable[[str, int, int], None] | None = None,
    imatrix: Path | None = None,
    note: Callable[[str], None] | None = None,
    proving: "Prover | None" = None,
    text_only: bool = False,
) -> list[dict[str, Any]]:
    """Write a GGUF of each type. Returns path, type, bytes and sha256 of each, and with `proving` what its proof says.

    Raises EdgeTuneError with nothing half-written. imatrix: a file of llama.cpp's importance matrix, for types that quantize. note: told
    what a user should know. proving: proves every file before it gets its name; one that fails is kept aside as NAME.failed.gguf, with its
    proof beside it (see `demand`). text_only: take the text part of a vision-language model.
    """
    from converters import convert
    from converters.imatrix import read
    from edgetune.proof.certificate import KEY, RESERVED

    if imatrix is not None and not imatrix.is_file():
        raise InputError(f"{imatrix} is not a file", "It was named as the importance matrix.", "Correct --imatrix.")
    with conversion_errors():
        importance = read(imatrix) if imatrix else None
        plan = convert.plan(
            source.model,
            source.mix or source.adapter,
            types,
            chat_template=source.template,
            name=source.name,
            extra={**source.facts, KEY: RESERVED},
            imatrix=importance,
            text_only=text_only,
        )
    if note:
        for one in plan.notes:
            note(one)
    places = targets(source, types, out)
    for folder in {p.parent for p in places.values()}:
        need_space(folder, sum(plan.size(t) for t, p in places.items() if p.parent == folder) + 2**20, "The export")
    fit.need_memory(fit.EXPORT_MEMORY, "An export", "Close other programs.")
    proofs: dict[str, Proof] = {}
    with conversion_errors(), ExitStack() as stack:
        staged = {type_name: stack.enter_context(staged_write(path)) for type_name, path in places.items()}
        label, report = " ".join(staged), (lambda done, total: progress(label, done, total)) if progress else None
        if proving:  # a proof's short form changes the file afterwards, so that it is hashed only then
            plan.write_all({type_name: place.file for type_name, place in staged.items()}, report)
            proofs = {type_name: _prove(proving, place) for type_name, place in staged.items()}
        else:
            files = {type_name: Hashed(place.file) for type_name, place in staged.items()}
            plan.write_all(files, report)
            hashes = {type_name: file.sha256() for type_name, file in files.items()}
    made = []
    for type_name, place in staged.items():
        digest = sha256(place.target) if proving else hashes[type_name]
        facts = {"path": str(place.target), "type": type_name, "bytes": place.target.stat().st_size, "sha256": digest}
        made.append(_finish(source, facts, proofs.get(type_name)))
    return made


def _finish(source: Source, made: dict[str, Any], proof: "Proof | None") -> dict[str, Any]:
    """Write what is kept beside a file, and add to what is told of it."""
    from edgetune.proof import certificate

    path = Path(made["path"])
    for old in certificate.beside(path):
        old.unlink(missing_ok=True)  # of the file that had this name before
    if proof:
        facts = {"sha256": made["sha256"], "base": source.facts["edgetune.base"], "run": source.facts.get("edgetune.run")}
        record, page = certificate.write(proof, path, facts)
        found = {"passed": proof.passed, "causes": proof.causes, "seconds": round(proof.seconds, 1)}
        made["proof"] = {**found, "json": str(record), "page": str(page)}
    if source.home and path.parent == source.home and not (proof and not proof.passed):
        write_json(path.with_suffix(".json"), {**made, "result": _result_hash(source)})
    return made


def prover(source: Source, workspace: Workspace, say: Callable[[str], None], data: Path | None = None) -> "Prover":
    """What proves a source's files. data: examples to measure on instead of its held-out rows."""
    from edgetune.proof.prove import Prover

    if source.mix:
        raise InputError("A mix of adapters is not proven", "A proof holds a file against one adapter.", "Leave --proof out.")
    return Prover(source, workspace.proof_cache, data=data, say=say)


def _prove(proving: "Prover", staged: Staged) -> "Proof":
    """Prove a file that is written but not named yet; its short proof goes into it, and a failed one gets another name."""
    from edgetune.proof import certificate

    staged.flush()
    proof = proving.prove(staged.path, staged.target.name)
    certificate.fill(staged.file, certificate.short(proof))
    if not proof.passed:
        staged.target = staged.target.with_suffix(FAILED)
        proof.name = staged.target.name
    return proof


def demand(made: list[dict[str, Any]]) -> None:
    """EdgeTuneError where a file of an export failed its proof, naming the first cause found."""
    failures = [one for one in made if "proof" in one and not one["proof"]["passed"]]
    if failures:
        first, others = failures[0], [Path(one["path"]).name for one in failures[1:]]
        kept = f"The file is kept as {first['path']}." + (f" Failed too: {', '.join(others)}." if others else "")
        raise failed(Path(first["path"]).name, first["proof"]["causes"], first["proof"]["page"], kept)


def failed(name: str, causes: list[str], page: str | Path, kept: str = "") -> EdgeTuneError:
    """A failed proof as an error: the first cause found, and where the others stand."""
    more = f" ({len(causes) - 1} more)" if len(causes) > 1 else ""
    return EdgeTuneError(
        f"{name} failed its proof",
        f"{causes[0][0].upper()}{causes[0][1:]}{more}. {kept}".strip(),
        f"Do not use it; export it again. All that was found stands in {page}",
    )


def export_adapter(source: Source, type_name: str, out: Path | None) -> dict[str, Any]:
    """Write the adapter alone as a GGUF LoRA. Returns path, type, bytes and sha256. Raises EdgeTuneError with nothing half-written.

    type_name: one of converters.lora.TYPES. out: a file, or a folder.
    """
    from converters import lora

    if source.adapter is None:
        raise InputError(
            "There is not one adapter to write",
            "--adapter-only writes a single one, and its strength is chosen when it is loaded." if source.mix else "The source has none.",
            "Name a run trained with LoRA, or a base folder with one --adapter DIR.",
        )
    extra = {key: value for key, value in source.facts.items() if key in ("edgetune.base", "edgetune.run")}
    with conversion_errors():
        plan = lora.plan(source.model, source.adapter, type_name, name=source.name, extra=extra)
    path = out if out is not None and out.suffix == ".gguf" else (out or source.home or Path.cwd()) / f"{source.name}-lora-{type_name}.gguf"
    need_space(path.parent, plan.size() + 2**20, "The export")
    with conversion_errors(), atomic_write(path) as file:
        plan.write(file)
    return {"path": str(path), "type": type_name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _result_hash(source: Source) -> str:
    """What an export was made from, to tell whether it is still current."""
    folder = source.adapter or source.model
    path = folder / checkpoints.MANIFEST
    return sha256(path) if path.is_file() else ""


def current(source: Source, type_name: str) -> Path | None:
    """A run's export of a type under its usual name, where it is there and was made from the run's present result."""
    path = targets(source, [type_name], None)[type_name]
    note = path.with_suffix(".json")
    if source.home is None or not (path.is_file() and note.is_file()):
        return None
    return path if json.loads(note.read_text(encoding="utf-8")).get("result") == _result_hash(source) else None


def current_gguf(run: Run) -> Path | None:
    """A run's export that is still what the run is, smallest type preferred; None where there is none."""
    source = from_run(run)
    for type_name in (USUAL, *TYPES[::-1]):
        if path := current(source, type_name):
            return path
    return None
