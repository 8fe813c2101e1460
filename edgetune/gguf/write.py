"""A run or a model folder becomes a GGUF: adapter merged into the full-precision base, converted and quantized in one pass."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate import fit
from edgetune.gguf.current import result_hash
from edgetune.gguf.proof import certificate
from edgetune.gguf.proof.prove import Proof, Prover
from edgetune.gguf.proof.weights import LOST_IN_ROUNDING
from edgetune.gguf.source import Source, conversion_errors, target_paths, template_marks
from edgetune.storage.files import HashedWriter, StagedFile, need_space, sha256, staged_write, write_json
from edgetune.storage.workspace import FAILED_SUFFIX, Workspace

if TYPE_CHECKING:
    from converters.convert import Plan


def export_gguf(
    source: Source,
    types: list[str],
    out: Path | None,
    progress: Callable[[str, int, int], None] | None = None,
    imatrix: Path | None = None,
    note: Callable[[str], None] | None = None,
    proving: Prover | None = None,
) -> list[dict[str, Any]]:
    """Write a GGUF of each type. Returns path, type, bytes and sha256 of each, and with `proving` what its proof says.

    Raises EdgeTuneError with nothing half-written. imatrix: a file of llama.cpp's importance matrix, for types that quantize. note: gets
    what a user should know. proving: proves every file before it gets its name; one that fails is set aside as NAME.failed.gguf, with its
    proof beside it (see `require_proven`).
    """
    from converters import convert
    from converters.imatrix import read_imatrix

    # Everything that can be wrong is found before a byte is written.
    if imatrix is not None and not imatrix.is_file():
        raise InputError(f"{imatrix} is not a file", "It was named as the importance matrix.", "Give --imatrix the path of a file.")
    with conversion_errors():
        importance = read_imatrix(imatrix) if imatrix else None
        plan = convert.plan_gguf(
            source.model,
            source.mix or source.adapter,
            types,
            chat_template=source.template,
            name=source.name,
            extra={**source.facts, certificate.PROOF_KEY: certificate.UNPROVEN},
            **template_marks(source),
            imatrix=importance,
            before=source.base if source.trained_whole else None,
        )
    if note:
        for text in [*plan.notes, *describe_grids(plan, types)]:
            note(text)

    # Several folders may lie on several disks.
    targets = target_paths(source, types, out)
    for folder in {path.parent for path in targets.values()}:
        size = sum(plan.size(type_name) for type_name, path in targets.items() if path.parent == folder)
        need_space(folder, size + 2**20, "The export")
    fit.need_memory(fit.EXPORT_MEMORY, "An export", "Close other programs.")

    # All types are written in one pass over the base, and get their names together or not at all.
    proofs: dict[str, Proof] = {}
    with conversion_errors(), ExitStack() as stack:
        staged = {type_name: stack.enter_context(staged_write(path)) for type_name, path in targets.items()}
        label = " ".join(staged)
        report = (lambda done, total: progress(label, done, total)) if progress else None
        if proving:  # a proof's short form changes the file afterwards, so that it is hashed only then
            plan.write_all({type_name: stage.file for type_name, stage in staged.items()}, report)
            proofs = {type_name: _prove(proving, stage) for type_name, stage in staged.items()}
        else:
            files = {type_name: HashedWriter(stage.file) for type_name, stage in staged.items()}
            plan.write_all(files, report)
            hashes = {type_name: file.sha256() for type_name, file in files.items()}

    exports = []
    for type_name, stage in staged.items():
        path = stage.target
        digest = sha256(path) if proving else hashes[type_name]
        export = {"path": str(path), "type": type_name, "bytes": path.stat().st_size, "sha256": digest}
        exports.append(_finish(source, export, proofs.get(type_name)))
    return exports


def describe_grids(plan: "Plan", types: list[str]) -> list[str]:
    """For each type on whose rounding a learned change would not stay of itself: why, and what is done, as a sentence."""
    sentences = []
    for type_name in types:
        on_grid = list(plan.on_grid(type_name).values())
        if not on_grid:
            continue
        own = [seen.error for seen in on_grid if seen.on_own_grid]
        how = f"of neighboring weights only {sum(seen.distinct for seen in on_grid) / len(on_grid):.0%} differ"
        if own:
            how = f"{len(own)} of them on this type's own grid, whose rounding error is {min(own):.2g} to {max(own):.2g} there instead of 1"
        sentences.append(
            f"{type_name}: the base was quantized before: {len(on_grid)} trained matrices lie on a grid ({how}). Rounding to nearest would "
            "lose or stretch a small change there, so it is rounded in a way that keeps the change in the mean."
        )
    return sentences


def _finish(source: Source, export: dict[str, Any], proof: Proof | None) -> dict[str, Any]:
    """Write what lies beside a file, and add its proof to the file's facts."""
    # A proof that stays from a file of the same name would vouch for another one.
    path = Path(export["path"])
    for former in certificate.proof_paths(path):
        former.unlink(missing_ok=True)

    if proof:
        facts = {"sha256": export["sha256"], "base": source.facts["edgetune.base"], "run": source.facts.get("edgetune.run")}
        record, page = certificate.write_proof(proof, path, facts)
        verdict = {"passed": proof.passed, "causes": proof.causes, "seconds": round(proof.seconds, 1)}
        export["proof"] = {**verdict, "json": str(record), "page": str(page)}

    # The note makes a file one of the run's exports, which a failed one must not become.
    if source.home and path.parent == source.home and not (proof and not proof.passed):
        write_json(path.with_suffix(".json"), {**export, "result": result_hash(source)})
    return export


def make_prover(source: Source, workspace: Workspace, say: Callable[[str], None], data: Path | None = None) -> Prover:
    """What proves a source's files. data: examples to measure on instead of its held-out rows."""
    if source.mix:
        raise InputError(
            "An export of several adapters cannot be proven", "A proof compares a file with a single adapter.", "Remove --proof."
        )
    return Prover(source, workspace.proof_cache, data=data, say=say)


def _prove(proving: Prover, staged: StagedFile) -> Proof:
    """Prove a file that is written but not named yet; its short proof goes into it, and a failed one gets another name."""
    staged.flush()
    proof = proving.prove(staged.path, staged.target.name)
    certificate.write_short_form(staged.file, certificate.short_form(proof))
    if not proof.passed:
        staged.target = staged.target.with_suffix(FAILED_SUFFIX)
        proof.name = staged.target.name
    return proof


def require_proven(exports: list[dict[str, Any]]) -> None:
    """EdgeTuneError where a file of an export failed its proof, naming the first cause."""
    failures = [export for export in exports if "proof" in export and not export["proof"]["passed"]]
    if failures:
        first, *rest = failures
        location = f"The file is kept as {first['path']}."
        if rest:
            location += f" Failed too: {', '.join(Path(export['path']).name for export in rest)}."
        raise failed_proof(Path(first["path"]).name, first["proof"]["causes"], first["proof"]["page"], location)


def failed_proof(name: str, causes: list[str], page: str | Path, location: str = "") -> EdgeTuneError:
    """A failed proof as an error: the first cause, and the page that lists them all. location: where the file is, as a sentence."""
    more = f" ({len(causes) - 1} more)" if len(causes) > 1 else ""
    remedy = (
        f"Do not use it. {page} lists all causes. Another type may pass (--type Q8_0, --type F16); chat then uses that file. If all fail, "
        "report it with that page."
    )
    if causes[0].startswith(LOST_IN_ROUNDING):
        remedy = "Export with --type auto, which takes the smallest type that holds the change, or the adapter alone with --adapter-only."
    return EdgeTuneError(
        f"{name} failed its proof",
        f"{causes[0][0].upper()}{causes[0][1:]}{more}. {location}".strip(),
        remedy,
    )
