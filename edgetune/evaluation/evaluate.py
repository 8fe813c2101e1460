"""Held-out loss and answers, before and after: in torch for a run, in llama.cpp for a GGUF."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.data.labels import IGNORE_INDEX, last_answer_start
from edgetune.data.render import TokenizedRow
from edgetune.data.template import PLAIN_TEMPLATE, ChatTemplate, today
from edgetune.errors import EdgeTuneError, InputError
from edgetune.runs.integrity import recipe_of, require_unchanged, require_writer, result_folder
from edgetune.text import contains, normalized_words

if TYPE_CHECKING:
    from edgetune.chat.engine import Engine
    from edgetune.storage.workspace import Run, Workspace

MAX_ANSWERS, ANSWER_TOKENS = 50, 64
"""Held-out prompts that are answered, and the tokens an answer may have."""


@dataclass(frozen=True)
class EvaluationRow:
    """One held-out row: ids, labels, and for a conversation its last prompt with the expected answer."""

    ids: list[int]
    labels: list[int]
    prompt: list[int]
    expected: str


RowScorer = Callable[[list[EvaluationRow]], tuple[float, int]]
Answerer = Callable[[list[int]], str]


def evaluation_rows(tokens: list[TokenizedRow]) -> list[EvaluationRow]:
    """Rows to measure on; the prompt of a conversation's last answer ends where its last trained stretch begins."""
    result = []
    for row in tokens:
        messages = row.example.messages
        start = last_answer_start(row.labels)
        expected = next((m["content"] for m in reversed(messages) if m["role"] == "assistant"), "") if messages else ""
        result.append(EvaluationRow(row.ids, row.labels, row.ids[:start] if expected else [], expected))
    return result


def evaluate_rows(
    rows: list[EvaluationRow],
    score: RowScorer,
    answer: Answerer,
    limit: int = MAX_ANSWERS,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Loss and perplexity over all rows; share of the first `limit` prompts answered exactly, and with the expected answer contained."""
    total, count = score(rows)
    loss = -total / max(count, 1)
    asked = [row for row in rows if row.expected][:limit]
    replies = []
    for number, row in enumerate(asked, 1):
        replies.append(answer(row.prompt))
        if progress:
            progress(number, len(asked))
    exact = [normalized_words(a) == normalized_words(r.expected) for a, r in zip(replies, asked, strict=True)]
    holds = [contains(a, r.expected) for a, r in zip(replies, asked, strict=True)]
    share = (lambda hits: sum(hits) / len(hits)) if asked else (lambda _hits: None)
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 50)),
        "tokens": count,
        "rows": len(rows),
        "answered": len(asked),
        "exact": share(exact),
        "contained": share(holds),
    }


class GgufTokenizer:
    """A loaded GGUF's tokenizer and template, as preparing data needs them."""

    def __init__(self, engine: "Engine") -> None:
        info = engine.info
        self.engine = engine
        self.template = ChatTemplate(
            info.template or PLAIN_TEMPLATE, info.bos_text, info.eos_text, info.metadata.get("edgetune.template_date", "") or today()
        )
        self.bos_id = info.bos
        self.eos_id = info.eos if info.eos is not None else info.eog[0]
        self.specials = {
            t.data.decode("utf-8", "replace"): t.id for t in engine.describe(list(range(info.n_vocab))) if t.control and t.data
        }

    def encode(self, text: str) -> list[int]:
        """Ids as a prompt has them."""
        return self.engine.prompt_tokens(text)

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`encode` for many texts."""
        return [self.encode(text) for text in texts]

    def plain(self, text: str) -> list[int]:
        """Ids with nothing in front."""
        return self.engine.tokenize(text)

    def decode(self, ids: list[int]) -> str:
        """Text of ids, control tokens left out."""
        return b"".join(t.data for t in self.engine.describe(ids) if not t.control).decode("utf-8", "replace")

    def newlines(self, ids: list[int]) -> list[int]:
        """How many line breaks each token writes."""
        return [t.data.count(b"\n") for t in self.engine.describe(ids)]


def gguf_functions(engine: "Engine") -> tuple[RowScorer, Answerer]:
    """Scoring and greedy answering through llama.cpp."""
    from edgetune.chat.sampling import Sampling

    def score(rows: list[EvaluationRow]) -> tuple[float, int]:
        pairs = [pair for row in rows for pair in _stretches(row)]
        scored = engine.score(pairs)
        return sum(s.logprob for s in scored), sum(s.count for s in scored)

    def answer(prompt: list[int]) -> str:
        return engine.generate(prompt, max_tokens=ANSWER_TOKENS, sampling=Sampling(temperature=0.0, seed=0)).finished().text

    return score, answer


def _stretches(row: EvaluationRow) -> list[tuple[list[int], list[int]]]:
    """A row's trained stretches as (tokens before, target tokens); the very first token has nothing before it and is not scored."""
    result, start = [], None
    for i, label in enumerate([*row.labels, IGNORE_INDEX]):
        if label != IGNORE_INDEX and start is None:
            start = max(i, 1)
        elif label == IGNORE_INDEX and start is not None:
            if i > start:
                result.append((row.ids[:start], row.ids[start:i]))
            start = None
    return result


@contextmanager
def torch_model(folder: Path, adapter: Path | None, threads: int) -> Iterator[Any]:
    """A base in full precision, with an adapter or without, on the best device."""
    import torch

    from edgetune.bases.load import load_model
    from edgetune.machine import hardware

    device = hardware.choose_device().value
    torch.set_num_threads(threads)
    model = load_model(folder, device, "float32" if device == "cpu" else hardware.choose_dtype(device).value)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    yield model


def torch_functions(model: Any, stops: list[int], pad: int, decode: Callable[[list[int]], str]) -> tuple[RowScorer, Answerer]:
    """Scoring and greedy answering in torch."""
    import torch

    from edgetune.training.samples import generate_answer as generate

    device = next(model.parameters()).device

    def score(rows: list[EvaluationRow]) -> tuple[float, int]:
        total, count = 0.0, 0
        with torch.no_grad():
            for row in rows:
                logits = model(input_ids=torch.tensor([row.ids], device=device), use_cache=False).logits[0, :-1].float()
                labels = torch.tensor(row.labels[1:], device=device)
                kept = labels != IGNORE_INDEX
                total -= float(torch.nn.functional.cross_entropy(logits[kept], labels[kept], reduction="sum"))
                count += int(kept.sum())
        return total, count

    return score, lambda prompt: decode(generate(model, prompt, stops, ANSWER_TOKENS, pad))


def evaluate_run(run: "Run", data: Path | None, limit: int, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """A run's base beside its result, on its held-out rows or a file's."""
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.data import prepare

    request, recipe = run.request(), recipe_of(run)
    require_unchanged(run, request)
    require_writer(run, recipe)
    result_path, base = result_folder(run, recipe), Path(request["base"])
    tokenizer = tokenizers.load_tokenizer(base, request["template_date"])
    found = prepare.evaluation_set(data or run.held_out, tokenizer, request["context"]) if data or request["held_out"] else None
    if found is None:
        raise InputError(f"{run.name} held nothing out", "Its validation_split is 0.", "Name a file with --data.")
    rows = evaluation_rows(found.rows)
    stops = sorted({tokenizer.eos_id, *(r.ids[-1] for r in rows if r.ids[-1] in tokenizer.specials.values())})
    result: dict[str, Any] = {
        "data": str(data) if data else "held-out rows of the run",
        "read": found.read,
        "rejected": found.rejected,
    }

    def both(model: Any) -> dict[str, Any]:
        score, answer = torch_functions(model, stops, tokenizer.pad_id, tokenizer.decode)
        return evaluate_rows(rows, score, answer, limit, progress)

    with torch_model(base, result_path if recipe.lora else None, request["threads"]) as model:
        if recipe.lora:
            with model.disable_adapter():
                result["base"] = both(model)
            result["tuned"] = both(model)
        else:
            result["base"] = both(model)
    if not recipe.lora:
        with torch_model(result_path, None, request["threads"]) as model:
            result["tuned"] = both(model)
    return result


def run_of_gguf(path: Path, metadata: dict[str, str], workspace: "Workspace") -> "Run":
    """The run that a GGUF was exported from: the one whose exports it lies among, else the one that the file itself names.

    Raises InputError where it names none, or one that is not in the workspace.
    """
    from edgetune.storage.workspace import Run

    home = Run(path.resolve().parent.parent)
    if home.exports == path.resolve().parent and home.request_file.is_file():
        return home  # by its place, as a run that was renamed has another name than its files say
    name = metadata.get("edgetune.run", "")
    if not name:
        raise InputError("No data to measure on", f"{path} does not say which run it was exported from.", "Name a file with --data.")
    try:
        return workspace.run(name)
    except InputError as error:
        cause = f"{path} was exported from the run {name}, which is not in {workspace.path}."
        raise InputError("No data to measure on", cause, "Name a file with --data, or the run's workspace with --workspace.") from error


def evaluate_gguf(
    path: Path, data: Path | None, limit: int, progress: Callable[[int, int], None], workspace: "Workspace"
) -> dict[str, Any]:
    """A GGUF on a file's rows, or on the held-out rows of the run it was exported from. Raises InputError where there are none."""
    from edgetune.chat.engine import Engine
    from edgetune.data import prepare

    with Engine(path) as engine:
        if data is None:
            run = run_of_gguf(path, engine.info.metadata, workspace)
            data = run.held_out
            if not data.is_file():
                raise InputError(f"{run.name} held nothing out", f"{data} is not there.", "Name a file with --data.")
        tokenizer = GgufTokenizer(engine)
        found = prepare.evaluation_set(data, tokenizer, engine.info.n_ctx)
        score, answer = gguf_functions(engine)
        measured = evaluate_rows(evaluation_rows(found.rows), score, answer, limit, progress)
        if not math.isfinite(measured["loss"]):
            raise EdgeTuneError(f"{path.name} gives no finite loss", "Its weights or its conversion are broken.", "Export it again.")
        return {"data": str(data), "read": found.read, "rejected": found.rejected, "gguf": measured}
