"""A run or a model folder becomes a GGUF: adapter merged into the full-precision base, converted and quantized in one pass."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError, InputError
from edgetune.estimate import fit
from edgetune.gguf.current import result_hash
from edgetune.gguf.proof import certificate
from edgetune.gguf.proof.prove import Proof, Prover
from edgetune.gguf.source import Source, conversion_errors, target_paths
from edgetune.storage.files import HashedWriter, StagedFile, need_space, sha256, staged_write, write_json
from edgetune.storage.workspace import FAILED_SUFFIX, Workspace


def export_gguf(
    source: Source,
    types: list[str],
    out: Path | None,
    progress: Callable[[str, int, int], None] | None = None,
    imatrix: Path | None = None,
    note: Callable[[str], None] | None = None,
    proving: Prover | None = None,
    text_only: bool = False,
) -> list[dict[str, Any]]:
    """Write a GGUF of each type. Returns path, type, bytes and sha256 of each, and with `proving` what its proof says.

    Raises EdgeTuneError with nothing half-written. imatrix: a file of llama.cpp's importance matrix, for types that quantize. note: told
    what a user should know. proving: proves every file before it gets its name; one that fails is kept aside as NAME.failed.gguf, with its
    proof beside it (see `require_proven`). text_only: take the text part of a vision-language model.
    """
    from converters import convert
    from converters.imatrix import read_imatrix

    if imatrix is not None and not imatrix.is_file():
        raise InputError(f"{imatrix} is not a file", "It was named as the importance matrix.", "Correct --imatrix.")
    with conversion_errors():
        importance = read_imatrix(imatrix) if imatrix else None
        plan = convert.plan_gguf(
            source.model,
            source.mix or source.adapter,
            types,
            chat_template=source.template,
            name=source.name,
            extra={**source.facts, certificate.PROOF_KEY: certificate.UNPROVEN},
            imatrix=importance,
            text_only=text_only,
        )
    if note:
        for one in plan.notes:
            note(one)
    places = target_paths(source, types, out)
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
            files = {type_name: HashedWriter(place.file) for type_name, place in staged.items()}
            plan.write_all(files, report)
            hashes = {type_name: file.sha256() for type_name, file in files.items()}
    made = []
    for type_name, place in staged.items():
        digest = sha256(place.target) if proving else hashes[type_name]
        facts = {"path": str(place.target), "type": type_name, "bytes": place.target.stat().st_size, "sha256": digest}
        made.append(_finish(source, facts, proofs.get(type_name)))
    return made


def _finish(source: Source, made: dict[str, Any], proof: Proof | None) -> dict[str, Any]:
    """Write what is kept beside a file, and add to what is told of it."""
    path = Path(made["path"])
    for old in certificate.proof_paths(path):
        old.unlink(missing_ok=True)  # of the file that had this name before
    if proof:
        facts = {"sha256": made["sha256"], "base": source.facts["edgetune.base"], "run": source.facts.get("edgetune.run")}
        record, page = certificate.write_proof(proof, path, facts)
        found = {"passed": proof.passed, "causes": proof.causes, "seconds": round(proof.seconds, 1)}
        made["proof"] = {**found, "json": str(record), "page": str(page)}
    if source.home and path.parent == source.home and not (proof and not proof.passed):
        write_json(path.with_suffix(".json"), {**made, "result": result_hash(source)})
    return made


def make_prover(source: Source, workspace: Workspace, say: Callable[[str], None], data: Path | None = None) -> Prover:
    """What proves a source's files. data: examples to measure on instead of its held-out rows."""
    if source.mix:
        raise InputError("A mix of adapters is not proven", "A proof holds a file against one adapter.", "Leave --proof out.")
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


def require_proven(made: list[dict[str, Any]]) -> None:
    """EdgeTuneError where a file of an export failed its proof, naming the first cause found."""
    failures = [one for one in made if "proof" in one and not one["proof"]["passed"]]
    if failures:
        first, others = failures[0], [Path(one["path"]).name for one in failures[1:]]
        kept = f"The file is kept as {first['path']}." + (f" Failed too: {', '.join(others)}." if others else "")
        raise failed_proof(Path(first["path"]).name, first["proof"]["causes"], first["proof"]["page"], kept)


def failed_proof(name: str, causes: list[str], page: str | Path, kept: str = "") -> EdgeTuneError:
    """A failed proof as an error: the first cause found, and where the others stand."""
    more = f" ({len(causes) - 1} more)" if len(causes) > 1 else ""
    return EdgeTuneError(
        f"{name} failed its proof",
        f"{causes[0][0].upper()}{causes[0][1:]}{more}. {kept}".strip(),
        f"Do not use it; export it again. All that was found stands in {page}",
    )
