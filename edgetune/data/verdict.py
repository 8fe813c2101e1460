"""The X-ray's last word: good, good with warnings, or do not train, and the one thing to fix first."""

from collections.abc import Iterator

from edgetune.data.xray import Report

GOOD, WARNINGS, STOP = "good", "good with warnings", "do not train"

MANY_REJECTED = 0.2
"""Share of rows left out from which the file is rather mistaken than spoiled here and there."""
MOST = 0.5
"""Share from which a fault is the rule."""
FEW = 10
"""Kept rows below which nothing but these very rows is learned."""
LEAK = 0.1
"""Share of the validation rows that also stand in training from which their loss says nothing."""
LENGTH_BIAS = 0.75
"""Share of pairs with the longer side chosen from which length is what a model learns first."""
COPIES = 0.1
"""Share of rows that repeat others from which it is worth a warning."""

PLAIN = {
    "shortened": "rows are longer than the limit and were cut",
    "secret": "rows hold what looks like a key or a password",
    "card": "rows hold what looks like a card number",
    "iban": "rows hold what looks like a bank account number",
    "control": "rows hold control characters",
    "bidi": "rows hold characters that turn the reading direction",
    "zero_width": "rows hold invisible characters inside words",
    "replacement": "rows hold U+FFFD, which stands where text was lost",
    "mojibake": "rows were decoded with the wrong encoding (Ã© for é)",
    "html": "rows hold HTML tags or entities",
    "placeholder": "rows hold placeholders nobody filled in, such as {{name}}",
    "control_token": "rows hold text that the model takes for a mark of its own",
    "personal": "rows hold e-mail addresses or phone numbers",
}
"""Warnings about texts, in words; a kind that is not listed is told by its name."""
QUIET = {"personal", "duplicate", "near_duplicate", "leak", "near_leak"}
"""Kinds that are counted but are no warning by themselves, or have a sentence of their own."""


def judge(report: Report) -> None:
    """Set the report's verdict, its reasons (worst first) and what to fix first."""
    stops, warnings = list(_stops(report)), list(_warnings(report))
    report.verdict = STOP if stops else WARNINGS if warnings else GOOD
    report.reasons = [reason for reason, _ in stops + warnings]
    report.fix_first = (stops + warnings)[0][1] if stops or warnings else ""


def _worst(report: Report) -> tuple[str, int]:
    """The kind for which most rows were left out."""
    count, kind = max(((count, kind) for kind, count in report.rejected_counts.items()), default=(0, ""))
    return kind, count


def _first(report: Report, kind: str) -> str:
    """Where a kind is seen first, and what is said of it."""
    found = next((p for p in report.problems if p.kind == kind), None)
    return f"{found.file}:{found.line}: {found.message}" if found else kind


def _stops(report: Report) -> Iterator[tuple[str, str]]:
    read, left = report.read, report.rejected
    usable = report.kept + report.truncated
    kind, count = _worst(report)
    fixes = {
        "too_long": "Raise --length, or cut long rows with --long truncate or --long split.",
        "template_refuses": "Change these rows (a system turn, roles that do not alternate), or use another base.",
    }
    fix = fixes.get(kind, f"Correct the rows that are left out as '{kind}' first: {_first(report, kind)}")
    if not usable:
        yield f"no row can be used: all {read} are left out", fix
    elif left > MANY_REJECTED * read:
        yield f"{left} of {read} rows are left out, {count} of them as '{kind}'", fix
    tokens = report.tokens
    rows = tokens.get("rows", 0)
    if rows and report.kind != "text" and tokens["trained_tokens"] == 0 and report.kind != "prompt":
        yield "no token would be trained on: every label is masked", "Check that the rows hold answers of the role 'assistant'."
    if rows and report.kind in ("conversation", "unpaired") and tokens["ends_trained"] < MOST * rows:
        ends = tokens["ends_trained"]
        yield (
            f"the end of the answer is trained in {ends} of {rows} rows only: the model would never stop",
            "Use a base with a chat template.",
        )
    if rows and tokens["bos_doubled"] > MOST * rows:
        yield "BOS stands twice at the start of the rows", "The template writes BOS and the tokenizer adds it: set add_bos_token to false."
    split = report.split
    if split and split["shared"] > MOST * split["held_out"]:
        yield (
            f"{split['shared']} of {split['held_out']} validation rows are also training rows: the held-out loss would say nothing",
            "Take these rows out of one of the two: edgetune data split makes a clean split.",
        )


def _warnings(report: Report) -> Iterator[tuple[str, str]]:
    usable = report.kept + report.truncated
    if 0 < report.rejected <= MANY_REJECTED * report.read and usable:
        kind, count = _worst(report)
        yield f"{report.rejected} of {report.read} rows are left out, {count} of them as '{kind}'", f"Correct {_first(report, kind)}"
    for kind in ("secret", "card", "iban"):
        if count := report.problem_counts.get(kind, 0):
            yield f"{count} {PLAIN[kind]}: the model may repeat it", f"Take it out: {_first(report, kind)}"
    split = report.split
    if split and 0 < split["shared"] <= MOST * split["held_out"]:
        yield (
            f"{split['shared']} of {split['held_out']} validation rows are also training rows",
            f"Take them out of one of the two; the first: {_first(report, 'leak')}",
        )
    if split and split["nearly_shared"] > LEAK * split["held_out"]:
        yield f"{split['nearly_shared']} of {split['held_out']} validation rows nearly repeat training rows", _first(report, "near_leak")
    for kind, count in report.problem_counts.items():
        if kind in PLAIN and kind not in (*QUIET, "secret", "card", "iban") and (count > MOST * usable or kind not in ("html",)):
            yield f"{count} {PLAIN[kind]}", f"Look at {_first(report, kind)}"
    copies = report.duplicates.get("train", {})
    for part, words in (("exact", "repeat another row"), ("near", "nearly repeat another row")):
        if copies.get(part, 0) > COPIES * usable:
            kind = "duplicate" if part == "exact" else "near_duplicate"
            first = _first(report, kind)
            yield f"{copies[part]} of {usable} rows {words}: they count more than once", f"Keep one of each; the first: {first}"
    pair = report.preference
    for side in ("chosen", "rejected"):
        if pair and pair[f"{side}_longer"] > LENGTH_BIAS:
            yield (
                f"the {side} answer is the longer one in {pair[f'{side}_longer']:.0%} of the pairs: length is what a model learns first",
                "Add pairs in which length says nothing, or use a length-normalised loss.",
            )
    if 0 < usable < FEW:
        yield f"only {usable} rows: nothing but these is learned", "Add examples; a hundred is a start for a style, more for facts."
    lost = report.tokens.get("lost_answers", 0)
    if lost:
        yield f"{lost} answers do not fit and are not trained on", "Raise --length, or use --long split."
