"""`edgetune export`: a run or a model folder as GGUF."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.cli.flags import AdaptersFlag, JsonFlag, WorkspaceFlag
from edgetune.cli.former_flags import with_former_flags
from edgetune.cli.imatrix import imatrix_path
from edgetune.cli.show import ProgressLine, say, table
from edgetune.errors import InputError
from edgetune.formatting import format_size
from edgetune.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from edgetune.gguf.source import Source


def export(
    source: Annotated[str, typer.Argument(help="A run, 'nano', or a model folder.", show_default=False)],
    type_names: Annotated[
        list[str] | None, typer.Option("--type", help="GGUF type, may be repeated; or 'auto'. [Q4_K_M]", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File (one type) or folder. [the run's exports, or here]", show_default=False)] = None,
    adapter: AdaptersFlag = None,
    adapter_only: Annotated[bool, typer.Option("--adapter-only", help="The adapter alone, as a GGUF LoRA to load on its base.")] = False,
    imatrix: Annotated[
        str | None,
        typer.Option(metavar="auto|FILE", help="Importance matrix: a file, or 'auto' from a run's training data.", show_default=False),
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Export a run's checkpoint: a step, or 'best'.", show_default=False)] = None,
    proof: Annotated[
        bool | None, typer.Option("--proof/--no-proof", help="Prove files before they get their names. [a run's: yes]", show_default=False)
    ] = None,
    programs: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="PROGRAM", help="Make a folder for ollama, lmstudio or llama-server too.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Of a run: show the types with size, loss and speed here; write nothing.")
    ] = False,
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Write a run or a model folder as GGUF: adapter merged into the full-precision base, converted and quantized in one pass.

    Types, the largest first: F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q4_1, Q4_K_M, Q4_K_S, Q4_0, IQ4_NL, IQ4_XS, Q3_K_M, Q2_K.
    'auto' writes the smallest from Q4_K_M up that holds 0.95 of the learned change, found by writing and proving one after the other.
    An importance matrix makes those from Q6_K down keep what the text it was gathered on needs most: worth most at 4 bits and fewer.

    A run's files are proven (see edgetune prove); one that fails is kept aside as NAME.failed.gguf, and the exit code is 1.

    Examples:

      edgetune export mine --type Q4_K_M --type Q8_0

      edgetune export mine --type auto

      edgetune export ~/models/base --adapter ~/adapters/a --type F16 --out model.gguf

      edgetune export ~/models/base --adapter ~/adapters/a:0.7 --adapter ~/adapters/b:0.3

      edgetune export mine --type IQ4_XS --imatrix auto

      edgetune export ~/models/base --type IQ4_XS --imatrix ~/models/base.imatrix.gguf

      edgetune export mine --adapter-only

      edgetune export mine --for ollama --for llama-server

      edgetune export mine --dry-run    # about how large each type is, what it loses, and how fast it answers here
    """
    from edgetune.gguf import auto_type, runtimes, write
    from edgetune.gguf.source import check_types, is_automatic, parse_weighted_adapter, resolve, target_paths

    if dry_run:
        show_offers(source, open_workspace(workspace_path), as_json)
        return

    # An adapter alone is neither quantized nor put into a program's folder: flags for these would be ignored without a word.
    adapters = [parse_weighted_adapter(one) for one in adapter or []]
    if adapter_only:
        if imatrix is not None:
            raise InputError(
                "--imatrix cannot be combined with --adapter-only", "An adapter alone is not quantized.", "Remove one of them."
            )
        if programs:
            raise InputError("--for cannot be combined with --adapter-only", "The folder would have no model.", "Remove one of them.")
        write_adapter(resolve(source, open_workspace(workspace_path), adapters, checkpoint), type_names or [], out, as_json)
        return

    # All names and targets are settled before the first weight is read.
    automatic = is_automatic(type_names or [])
    types, workspace = check_types([] if automatic else type_names or []), open_workspace(workspace_path)
    if automatic and proof is False:
        raise InputError("--type auto cannot be combined with --no-proof", "It chooses by what the proofs measure.", "Remove one of them.")
    chosen = resolve(source, workspace, adapters, checkpoint)
    if automatic and chosen.base is None:
        say(f"auto: {types[0]}, the usual type: nothing was trained that a type could lose")
        automatic = False
    matrix = imatrix_path(imatrix, chosen, types, workspace)
    folders = runtimes.plan_folders(chosen, programs or [], target_paths(chosen, types, out), say)

    # A run's files are proven unless that is declined; a plain model folder only where a proof is asked for.
    line = ProgressLine()
    proven = automatic or (chosen.home is not None if proof is None else proof)
    prover = write.make_prover(chosen, workspace, line.tell) if proven else None
    if automatic and prover:
        exported = [auto_type.export_smallest_type(chosen, out, line.weights, line.tell, prover, matrix)]
        folders = runtimes.plan_folders(chosen, programs or [], {exported[0]["type"]: Path(exported[0]["path"])}, lambda _: None)
    else:
        exported = write.export_gguf(chosen, types, out, line.weights, matrix, line.tell, prover)
    line.clear()

    # A failed proof ends here, before a file that is not the model is offered to anyone.
    write.require_proven(exported)
    written = [(folder, runtimes.write_folder(folder, say)) for folder in folders]

    if as_json:
        places = [{"program": folder.program, "gguf": str(folder.gguf), "path": str(path)} for folder, path in written]
        typer.echo(json.dumps([{**one, "for": [p for p in places if p["gguf"] == one["path"]]} if places else one for one in exported]))
        return

    # Only the paths go to stdout, so that they can be piped into another command.
    for one in exported:
        typer.echo(one["path"])
        how = f", proven in {one['proof']['seconds']:.0f} s: {one['proof']['page']}" if "proof" in one else ""
        say(f"{one['type']}: {format_size(one['bytes'])}{how}")

    for folder, path in written:
        typer.echo(path)
        say(f"for {runtimes.module(folder.program).TITLE}: README.txt there says what to do.")

    say(f"next: edgetune chat {exported[0]['path']}")


def show_offers(source: str, workspace: Workspace, as_json: bool) -> None:
    """What a run could be written as."""
    from edgetune.gguf.export_options import list_export_options

    options = list_export_options(workspace.run(source))
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in options]))
        return

    # A loss from another model is marked, as it only tells the order.
    rows = [
        [
            *(one.type, format_size(one.bytes), "-" if one.loss is None else f"{one.loss:.2g}{'' if one.measured else ' (Llama-3-8B)'}"),
            *(f"{one.speed:.0f}", "proven" if one.proven else "written" if one.written else "", one.description),
        ]
        for one in options
    ]

    typer.echo(table(rows, ["type", "size", "loss", "tokens/s", "here", "for whom"]))
    say("loss: mean KL divergence to the full model, as this file's proof measured it, or as published of Llama-3-8B; small ones lose more")
    say("tokens/s: estimated from this machine's memory speed, for the processor; edgetune compare measures")


def write_adapter(source: "Source", type_names: list[str], out: Path | None, as_json: bool) -> None:
    """The adapter alone as a GGUF LoRA."""
    from converters.lora import ADAPTER_TYPES
    from edgetune.gguf.adapter import export_adapter

    # llama.cpp's adapters are not quantized, so only few types are possible.
    names = list(dict.fromkeys(name.upper() for name in type_names)) or [ADAPTER_TYPES[0]]
    if len(names) > 1 or names[0] not in ADAPTER_TYPES:
        raise InputError(
            f"--adapter-only does not write {', '.join(names)}",
            f"It writes one of {', '.join(ADAPTER_TYPES)}.",
            "Choose one of these with --type.",
        )
    exported = export_adapter(source, names[0], out, say)
    typer.echo(json.dumps([exported]) if as_json else exported["path"])
    if not as_json:
        say(f"{exported['type']}: {format_size(exported['bytes'])}")
        say(f"next: edgetune chat BASE.gguf --adapter {exported['path']}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("export", cls=with_former_flags({"--text-only": None}))(export)
