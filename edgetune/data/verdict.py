"""The X-ray's last word: good, good with warnings, or do not train, and the one thing to fix first."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgetune.data.xray import Report

GOOD, GOOD_WITH_WARNINGS, DO_NOT_TRAIN = "good", "good with warnings", "do not train"

REJECTED_SHARE = 0.2
"""Share of rows left out (but for being too long) from which the file is rather mistaken than spoiled here and there."""
MOST_SHARE = 0.5
"""Share from which a fault is the rule."""
FEW_ROWS = 10
"""Kept rows below which nothing but these very rows is learned."""
LEAK_SHARE = 0.1
"""Share of the validation rows that are also in training from which their loss means nothing."""
LENGTH_BIAS_SHARE = 0.75
"""Share of pairs with the longer side chosen from which length is what a model learns first."""
DUPLICATE_SHARE = 0.1
"""Share of rows that repeat others from which it is worth a warning."""

WARNING_TEXTS = {
    "shortened": "are longer than the limit and were cut",
    "secret": "hold what looks like a key or a password",
    "card": "hold what looks like a card number",
    "iban": "hold what looks like a bank account number",
    "control": "hold control characters",
    "bidi": "hold characters that turn the reading direction",
    "zero_width": "hold invisible characters inside words",
    "replacement": "hold U+FFFD, which marks lost text",
    "mojibake": "were decoded with the wrong encoding (Ã© for é)",
    "html": "hold HTML tags or entities",
    "placeholder": "hold placeholders nobody filled in, such as {{name}}",
    "control_token": "hold the name of a control token",
    "personal": "hold e-mail addresses or phone numbers",
    "no_last_answer": "end in a turn that nobody answers: that turn teaches nothing",
    "two_answers": "have two turns of the assistant in a row: the first teaches to stop there",
    "unknown_flag": "have a flag on an answer that is not understood: the answer is trained on",
    "unused_choice": "hold people's judgments that are not used",
    "chat_markup": "hold blocks that a chat program wrote around tools or code",
    "tools_dropped": "offer tools that the chat template does not write: the model never sees them",
    "results_dropped": "have results of tools that the chat template does not write: the model answers without them",
    "reasoning_dropped": "have reasoning that the chat template does not write: it is not learned",
    "system_dropped": "have a system turn that the chat template does not write: the model never sees it",
    "names_dropped": "have names of tools beside their results that the chat template does not write",
    "unused_key": "have keys that are not used",
    "joined_turns": "have turns of the assistant in a row that are read as one",
    "empty_word": "have an answer that is only the word None, null or NaN, learned as text",
}
"""Warnings about texts: what the rows do, in words."""
LENGTH_REMEDY = "Raise --max-length, or cut long rows with --overlong truncate or --overlong split."
REMEDIES = {
    "too_long": LENGTH_REMEDY,
    "template_refuses": "Change these rows (a system turn, roles that do not alternate), or use another base.",
    "calls_dropped": "Use a base whose chat template writes calls of tools, or remove these rows. The first: {first}",
    "tools_dropped": "Use a base whose chat template writes tools, or remove 'tools' from the rows. The first: {first}",
    "results_dropped": "Use a base whose chat template writes results of tools. The first: {first}",
    "reasoning_dropped": "Use a base that reasons, or write the reasoning into the answer as <think>…</think>. The first: {first}",
    "system_dropped": "Write the system text in front of the first question, or use another base. The first: {first}",
    "no_last_answer": "Check the roles: perhaps an answer is marked as the user's. The first: {first}",
    "two_answers": "Put the text before the call, or join the two turns. The first: {first}",
    "unknown_flag": 'Write "loss": false on the answers that are context only. The first: {first}',
    "unused_choice": "Write the better answer as `chosen` and the other as `rejected`, or keep only good ones. The first: {first}",
}
"""What to do about a kind; {first}: where it is seen first."""
QUIET_KINDS = {"personal", "duplicate", "near_duplicate", "leak", "near_leak", "unused_key", "joined_turns", "empty_word", "names_dropped"}
"""Kinds that are counted but are no warning by themselves, or have a separate sentence."""


SINGULAR = {
    "hold": "holds",
    "are": "is",
    "offer": "offers",
    "were": "was",
    "have": "has",
    "end": "ends",
    "repeat": "repeats",
    "nearly": "nearly",
}


def rows_sentence(count: int, does: str) -> str:
    """So many rows do something: "1 row holds …", "1,200 rows hold …"."""
    verb, _, rest = does.partition(" ")
    return f"1 row {SINGULAR.get(verb, verb)} {rest}" if count == 1 else f"{count:,} rows {does}"


def judge(report: "Report") -> None:
    """Set the report's verdict, its reasons (worst first) and what to fix first."""
    stops, warnings = list(_stops(report)), list(_warnings(report))
    report.verdict = DO_NOT_TRAIN if stops else GOOD_WITH_WARNINGS if warnings else GOOD
    report.reasons = [reason for reason, _ in stops + warnings]
    report.fix_first = (stops + warnings)[0][1] if stops or warnings else ""


def _worst(report: "Report") -> tuple[str, int]:
    """The kind for which most rows were left out."""
    return max(report.rejected_counts.items(), key=lambda item: item[1], default=("", 0))


def _first(report: "Report", kind: str) -> str:
    """Where a kind is seen first, and what is said of it."""
    problem = next((p for p in report.problems if p.kind == kind), None)
    return f"{problem.file}:{problem.line}: {problem.message}" if problem else kind


def _remedy(report: "Report", kind: str, otherwise: str) -> str:
    """What to do about a kind."""
    return REMEDIES.get(kind, otherwise).replace("{first}", _first(report, kind))


def _rejected_remedy(report: "Report", kind: str) -> str:
    return _remedy(report, kind, f"Fix the rows rejected as '{kind}'. The first is {_first(report, kind)}")


def _stops(report: "Report") -> Iterator[tuple[str, str]]:
    read = report.read
    left = report.rejected
    usable = report.kept + report.truncated

    kind, count = _worst(report)
    fix = _rejected_remedy(report, kind)

    # Rows that are too long can be cut, so they do not speak against the file.
    wrong = left - report.rejected_counts.get("too_long", 0)
    if not usable:
        yield f"no row can be used: all {read:,} are left out", fix
    elif wrong > REJECTED_SHARE * read:
        yield f"{left:,} of {read:,} rows are left out, {count:,} of them as '{kind}'", fix

    # What the tokens show: nothing to learn, no end to learn, or a doubled start.
    tokens = report.tokens
    rows = tokens.get("rows", 0)
    if rows and report.kind != "text" and tokens["trained_tokens"] == 0 and report.kind != "prompt":
        yield "no token would be trained on: every label is masked", "Check that the rows hold answers of the role 'assistant'."
    if rows and report.kind in ("conversation", "unpaired") and tokens["ends_trained"] < MOST_SHARE * rows:
        ends = tokens["ends_trained"]
        yield (
            f"the end of the answer is trained in {ends:,} of {rows:,} rows only: the model would never stop",
            "Use a base with a chat template.",
        )
    if rows and tokens["bos_doubled"] > MOST_SHARE * rows:
        yield (
            "BOS appears twice at the start of the rows",
            "The template writes BOS and the tokenizer adds it: set add_bos_token to false in the base's tokenizer_config.json.",
        )

    # Of answers that are all good, or all bad, nothing tells the two apart.
    good, bad = report.content.get("good", 0), report.content.get("bad", 0)
    if report.kind == "unpaired" and (good or bad) and not (good and bad):
        yield (
            f"all {good + bad:,} answers are labeled {'good' if good else 'bad'}: nothing shows the difference",
            f"Add answers labeled {'bad' if good else 'good'}"
            + (
                ", or learn these as they are: 'edgetune data convert FILE --to messages --out OUT.jsonl' makes conversations."
                if good
                else "."
            ),
        )

    split = report.split
    if split and split["shared"] > MOST_SHARE * split["held_out"]:
        yield (
            f"{split['shared']:,} of {split['held_out']:,} validation rows are also training rows: the held-out loss would mean nothing",
            "Remove these rows from training or validation; 'edgetune data split' makes a clean split.",
        )


def _split_warnings(report: "Report") -> Iterator[tuple[str, str]]:
    """Validation rows that are, or are nearly, training rows."""
    split = report.split
    if split and 0 < split["shared"] <= MOST_SHARE * split["held_out"]:
        yield (
            f"{split['shared']:,} of {split['held_out']:,} validation rows are also training rows",
            f"Remove them from training or validation; the first: {_first(report, 'leak')}",
        )
    if split and split["nearly_shared"] > LEAK_SHARE * split["held_out"]:
        near = f"{split['nearly_shared']:,} of {split['held_out']:,} validation rows nearly repeat training rows"
        yield near, f"Look at {_first(report, 'near_leak')}"


def _repeated_or_lopsided(report: "Report", usable: int) -> Iterator[tuple[str, str]]:
    """Rows that repeat others, and pairs in which the length alone tells the better answer."""
    copies = report.duplicates.get("train", {})
    for part, phrase in (("exact", "repeat another row"), ("near", "nearly repeat another row")):
        if copies.get(part, 0) > DUPLICATE_SHARE * usable:
            kind = "duplicate" if part == "exact" else "near_duplicate"
            first = _first(report, kind)
            yield f"{copies[part]:,} of {usable:,} rows {phrase}: they count more than once", f"Keep one of each; the first: {first}"

    pair = report.preference
    for side in ("chosen", "rejected"):
        if pair and pair[f"{side}_longer"] > LENGTH_BIAS_SHARE:
            yield (
                f"the {side} answer is the longer one in {pair[f'{side}_longer']:.0%} of the pairs: a model learns length first",
                "Add pairs whose answers are about equally long, or use --method simpo or --loss-type sigmoid_norm.",
            )


def _warnings(report: "Report") -> Iterator[tuple[str, str]]:
    usable = report.kept + report.truncated
    wrong = report.rejected - report.rejected_counts.get("too_long", 0)
    if report.rejected and wrong <= REJECTED_SHARE * report.read and usable:
        kind, count = _worst(report)
        yield f"{report.rejected:,} of {report.read:,} rows are left out, {count:,} of them as '{kind}'", _rejected_remedy(report, kind)

    for kind in ("secret", "card", "iban"):
        if count := report.problem_counts.get(kind, 0):
            yield f"{rows_sentence(count, WARNING_TEXTS[kind])}: the model may repeat it", f"Remove it: {_first(report, kind)}"

    yield from _split_warnings(report)
    for kind, count in report.problem_counts.items():
        if (
            kind in WARNING_TEXTS
            and kind not in (*QUIET_KINDS, "secret", "card", "iban")
            and (count > MOST_SHARE * usable or kind != "html")
        ):
            yield rows_sentence(count, WARNING_TEXTS[kind]), _remedy(report, kind, f"Look at {_first(report, kind)}")
    yield from _repeated_or_lopsided(report, usable)

    if 0 < usable < FEW_ROWS:
        few = "only 1 row: nothing else" if usable == 1 else f"only {usable} rows: nothing else"
        yield f"{few} would be learned", "Add examples; a hundred is a start for a style, more for facts."

    lost = report.tokens.get("lost_answers", 0)
    if lost:
        some = "1 answer does not fit and is" if lost == 1 else f"{lost:,} answers do not fit and are"
        yield f"{some} not trained on", "Raise --max-length, or use --overlong split."
