"""`edgetune data import-chats`: the chats people already had, as examples."""

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.cli.data_write import refuse_to_overwrite
from edgetune.cli.flags import JsonFlag
from edgetune.cli.show import ProgressLine, say, table
from edgetune.errors import InputError

if TYPE_CHECKING:
    from edgetune.data.chat_rows import Choices, Counts
    from edgetune.data.import_chats import Survey

IMPORT_CHATS = """Turn exported chats into examples: what one person wrote, or what an assistant answered, becomes what the model learns.

Reads a file, a folder or a ZIP archive as the program exported it; what it is shows from its content. Everything stays on this machine.
Private things (mail addresses, phone and card numbers, keys) are replaced by placeholders, unless --private leave is given.

Examples:

  edgetune data import-chats "WhatsApp Chat with Ann.zip" --me "Ben" --out examples.jsonl

  edgetune data import-chats chatgpt-export.zip --out examples.jsonl --pairs pairs.jsonl
"""
OUTPUTS = {"example": "--out", "pair": "--pairs", "label": "--labels"}


def import_chats(
    files: Annotated[list[Path], typer.Argument(metavar="FILE|FOLDER|ZIP…", help="Exports of chats.", show_default=False)],
    out: Annotated[Path, typer.Option(help="JSON lines file to write.", show_default=False)],
    me: Annotated[str, typer.Option(help="Who answers: your name as the chats show it.", show_default=False)] = "",
    source: Annotated[str, typer.Option(help="The program, where the files do not show it.", show_default=False)] = "",
    pause: Annotated[float, typer.Option(help="Minutes without a message that end a conversation.", min=1)] = 60,
    longest: Annotated[int, typer.Option(help="Characters of one example; longer conversations become several.", min=200)] = 6000,
    groups: Annotated[
        str, typer.Option(metavar="leave-out|replies", help="Group chats: left out, or answers to a message they refer to.")
    ] = "leave-out",
    thinking: Annotated[str, typer.Option(metavar="keep|strip|refuse", help="An assistant's thinking.")] = "strip",
    tools: Annotated[str, typer.Option(metavar="keep|strip|refuse", help="An assistant's tool calls.")] = "strip",
    citations: Annotated[str, typer.Option(metavar="keep|strip|refuse", help="An assistant's marks of citations.")] = "strip",
    documents: Annotated[str, typer.Option(metavar="keep|strip|refuse", help="Pages an assistant wrote beside the chat.")] = "strip",
    system: Annotated[bool, typer.Option("--system", help="Keep your own instructions to the assistant.")] = False,
    private: Annotated[str, typer.Option(metavar="replace|leave", help="Private things in the texts.")] = "replace",
    pairs: Annotated[
        Path | None, typer.Option(help="Also write pairs: an answer, and others to the same question.", show_default=False)
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Also write answers that you rated up or down.", show_default=False)] = None,
    date_order: Annotated[str, typer.Option(metavar="day|month", help="Which comes first in dates, where a file does not show it.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Turn exported chats into examples."""
    from edgetune.data import chat_rows
    from edgetune.data import import_chats as importing
    from edgetune.data.placeholders import Placeholders
    from edgetune.data.sources import Source

    parts = {"thinking": thinking, "tools": tools, "citations": citations, "documents": documents}
    for flag, value in parts.items():
        _one_of(f"--{flag}", value, chat_rows.PART_CHOICES)
    _one_of("--groups", groups, chat_rows.GROUPS)
    _one_of("--private", private, ("replace", "leave"))
    _one_of("--date-order", date_order, ("", "day", "month"))
    outputs = {"example": out, "pair": pairs, "label": labels}
    for kind, path in outputs.items():
        if path:
            refuse_to_overwrite(path, [Source(file) for file in files], OUTPUTS[kind])

    line = ProgressLine()
    export = importing.survey(files, source, date_order, lambda read: line.count(f"{read:,} messages read"))
    line.clear()
    choices = chat_rows.Choices(
        me=_me(export, me),
        pause=pause,
        longest=longest,
        groups=groups,
        system=system,
        **parts,  # type: ignore[arg-type]
    )

    counts, placeholders = chat_rows.Counts(), Placeholders() if private == "replace" else None
    written = _write(export, choices, counts, placeholders, outputs, line, ask=not as_json and sys.stdin.isatty())
    replaced = dict(placeholders.replaced) if placeholders else {}
    if as_json:
        result = {
            "source": " and ".join(export.sources),
            "read": counts.read,
            "answers": counts.answers,
            "context": counts.context,
            "left_out": dict(counts.left_out),
            "people": dict(counts.people.most_common()),
            "replaced": replaced,
            "out": str(out),
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    for kind, path in outputs.items():
        if path:
            typer.echo(f"{written[kind]:,} {kind}s: {path}")


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            f"{flag} is not '{value}'", f"Known are {', '.join(word for word in known if word)}.", f"Choose one of them with {flag}."
        )


def _me(export: "Survey", asked: str) -> str:
    """Who answers; asked on a terminal where the export does not say."""
    from edgetune.data.import_chats import me_in

    if asked or export.owner or export.assistant or not sys.stdin.isatty():
        return me_in(export, asked)
    say(table([[name, f"{count:,}"] for name, count in export.people.most_common(20)], ["who wrote", "messages"]))
    return me_in(export, typer.prompt("Your name, as it stands here", err=True))


def _write(
    export: "Survey",
    choices: "Choices",
    counts: "Counts",
    placeholders: Any,
    outputs: dict[str, Path | None],
    line: ProgressLine,
    ask: bool,
) -> dict[str, int]:
    """Write the rows; the files appear once everything is there and, on a terminal, agreed to. Returns how many of each kind."""
    from edgetune.data.import_chats import rows
    from edgetune.storage.files import atomic_write

    written = dict.fromkeys(outputs, 0)
    with ExitStack() as stack:
        targets = {kind: stack.enter_context(atomic_write(path)) for kind, path in outputs.items() if path}
        for kind, row in rows(export, choices, counts, placeholders):
            written[kind] += 1
            if kind in targets:
                targets[kind].write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            if sum(written.values()) % 500 == 0:
                line.count(f"{written['example']:,} examples")
        line.clear()

        for text in _summary(export, choices, counts, placeholders, written):
            say(text)
        if not written["example"]:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.left_out.most_common(5))
            raise InputError("Nothing in these chats can be an example", f"Of {counts.read:,} messages: {reasons}.", _remedy(counts))
        if ask and not typer.confirm("Write them?", default=True, err=True):
            raise typer.Abort
    return written


def _summary(export: "Survey", choices: "Choices", counts: "Counts", placeholders: Any, written: dict[str, int]) -> list[str]:
    lines = [
        f"{export.title}: {len(export.chats):,} chats, {counts.read:,} messages",
        f"  {counts.answers:,} become answers of {choices.me or 'the assistant'}, {counts.context:,} are what they answer",
    ]
    lines += [f"  {count:,} left out: {reason}" for reason, count in counts.left_out.most_common()]
    if placeholders and placeholders.replaced:
        lines.append(f"  replaced: {', '.join(f'{count:,} {kind}' for kind, count in placeholders.replaced.most_common())}")
    others = [f"{written['pair']:,} pairs (--pairs)"] * bool(written["pair"]) + [f"{written['label']:,} rated answers (--labels)"] * bool(
        written["label"]
    )
    if others:
        lines.append(f"  also there: {', '.join(others)}")
    return lines


def _remedy(counts: "Counts") -> str:
    if counts.left_out["group chat"]:
        return "Use --groups replies to learn from answers in group chats."
    return "Check with --me who answers, or name another export."
