"""`edgetune prove`: is this GGUF the model it was made from?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.show import say
from edgetune.errors import InputError
from edgetune.storage.workspace import open_workspace


def prove(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="The model folder, a run, or 'nano'.", show_default=False)],
    gguf: Annotated[Path, typer.Argument(help="The file to prove.", show_default=False)],
    adapter: Annotated[Path | None, typer.Option(help="Adapter folder that was merged into it.", show_default=False)] = None,
    data: Annotated[Path | None, typer.Option(help="Held-out examples. [a run's own, or general text]", show_default=False)] = None,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Measure whether a GGUF is the model (with its adapter) that it was made from, and write proof.json and a page beside it.

    Text: same template, same token ids. Weights: every tensor within what its type costs, what was learned fully in it. Meaning: llama.cpp
    computes what the weights say. Behavior: it answers as the trained model does. Exit code 0 when all four hold, else 1.

    Examples:

      edgetune prove ~/models/base model-Q4_K_M.gguf --adapter ~/adapters/a --data held-out.jsonl

      edgetune prove mine mine-Q8_0.gguf
    """
    from edgetune.chat.engine import check_gguf
    from edgetune.gguf.source import resolve
    from edgetune.gguf.write import failed_proof, make_prover

    # A proof takes minutes: what can be wrong is refused before it starts.
    workspace = open_workspace(workspace_path)
    check_gguf(gguf)
    if data is not None and not data.is_file():
        raise InputError(f"There is no file {data}", "No file or folder exists at that path.", "Name an existing file with --data.")

    chosen = resolve(source, workspace, [(adapter, 1.0)] if adapter else [])

    from edgetune.gguf.proof import certificate
    from edgetune.storage.files import sha256

    # The hash ties the record to this very file: a proof of one that was changed later is none.
    proof = make_prover(chosen, workspace, say, data).prove(gguf)
    facts = {"sha256": sha256(gguf), "base": chosen.facts["edgetune.base"], "run": chosen.facts.get("edgetune.run")}
    record, page = certificate.write_proof(proof, gguf, facts)

    if as_json:
        typer.echo(json.dumps({**certificate.proof_record(proof, facts), "json": str(record), "page": str(page)}))
        raise typer.Exit(0 if proof.passed else 1)

    # The page tells the cause in full, so it is written for a failed proof too.
    if not proof.passed:
        raise failed_proof(proof.name, proof.causes, page)
    typer.echo(f"{gguf} is the model it was made from, as far as {proof.type} can hold it.")
    say(f"{proof.sample['tokens']} tokens compared in {proof.seconds:.1f} s: {page}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("prove")(prove)
