"""Held-out loss and answers, before and after: in torch for a run, in llama.cpp for a GGUF."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.chat.turns import answer_end_ids
from edgetune.data.labels import IGNORE_INDEX, last_answer_start
from edgetune.data.render import TokenizedRow
from edgetune.data.template import today
from edgetune.errors import EdgeTuneError, InputError
from edgetune.runs.integrity import recipe_of, require_unchanged, require_writer, result_folder
from edgetune.text import contains, normalized_words

if TYPE_CHECKING:
    from edgetune.chat.engine import Engine
    from edgetune.storage.workspace import Run, Workspace

MAX_ANSWERS = 50
"""Held-out prompts that are answered."""
ANSWER_TOKENS = 64
"""The most tokens an answer may have."""


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
    log_probability, tokens = score(rows)
    loss = -log_probability / max(tokens, 1)

    # Answering is slow, so that only some prompts are answered.
    questions = [row for row in rows if row.expected][:limit]
    replies = []
    for number, row in enumerate(questions, 1):
        replies.append(answer(row.prompt))
        if progress:
            progress(number, len(questions))

    answered = list(zip(replies, questions, strict=True))
    exact = [normalized_words(reply) == normalized_words(row.expected) for reply, row in answered]
    contained = [contains(reply, row.expected) for reply, row in answered]
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 50)),
        "tokens": tokens,
        "rows": len(rows),
        "answered": len(answered),
        "exact": sum(exact) / len(exact) if exact else None,
        "contained": sum(contained) / len(contained) if contained else None,
    }


class GgufTokenizer:
    """A loaded GGUF's tokenizer and template, as preparing data needs them."""

    def __init__(self, engine: "Engine") -> None:
        info = engine.info
        self.engine = engine
        self.template = info.chat_template(info.metadata.get("edgetune.template_date", "") or today())
        self.bos_id = info.bos
        self.eos_id = info.eos if info.eos is not None else info.eog[0]
        self.specials = {text: mark.id for text, mark in info.marks.items() if text}

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
        return b"".join(token.data for token in self.engine.describe(ids) if not token.control).decode("utf-8", "replace")

    def newlines(self, ids: list[int]) -> list[int]:
        """How many line breaks each token writes."""
        return [token.data.count(b"\n") for token in self.engine.describe(ids)]


def gguf_functions(engine: "Engine") -> tuple[RowScorer, Answerer]:
    """Scoring and greedy answering through llama.cpp."""
    from edgetune.chat.sampling import Sampling

    def score(rows: list[EvaluationRow]) -> tuple[float, int]:
        scores = engine.score([stretch for row in rows for stretch in _stretches(row)])
        return sum(stretch.logprob for stretch in scores), sum(stretch.count for stretch in scores)

    def answer(prompt: list[int]) -> str:
        return engine.generate(prompt, max_tokens=ANSWER_TOKENS, sampling=Sampling(temperature=0.0, seed=0)).finished().text

    return score, answer


def _stretches(row: EvaluationRow) -> list[tuple[list[int], list[int]]]:
    """A row's trained stretches as (tokens before, target tokens); the very first token has nothing before it and is not scored."""
    result = []
    start = None
    for position, label in enumerate([*row.labels, IGNORE_INDEX]):
        if label != IGNORE_INDEX and start is None:
            start = max(position, 1)
        elif label == IGNORE_INDEX and start is not None:
            if position > start:
                result.append((row.ids[:start], row.ids[start:position]))
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
        log_probability = 0.0
        tokens = 0
        with torch.no_grad():
            for row in rows:
                logits = model(input_ids=torch.tensor([row.ids], device=device), use_cache=False).logits[0, :-1].float()
                labels = torch.tensor(row.labels[1:], device=device)
                trained = labels != IGNORE_INDEX
                log_probability -= float(torch.nn.functional.cross_entropy(logits[trained], labels[trained], reduction="sum"))
                tokens += int(trained.sum())
        return log_probability, tokens

    return score, lambda prompt: decode(generate(model, prompt, stops, ANSWER_TOKENS, pad))


def evaluate_run(run: "Run", data: Path | None, limit: int, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """A run's base beside its result, on its held-out rows or a file's."""
    from edgetune.bases import tokenizer as tokenizers
    from edgetune.data import prepare

    request = run.request()
    recipe = recipe_of(run)

    # What is measured must be what was trained.
    require_unchanged(run, request)
    require_writer(run, recipe)
    result_path = result_folder(run, recipe)
    base = Path(request["base"])

    tokenizer = tokenizers.load_tokenizer(base, request["template_date"])
    if data is None and not request["held_out"]:
        raise InputError(f"{run.name} has no held-out rows", "Its validation_split is 0.", "Name a file with --data.")
    held_out = prepare.evaluation_set(data or run.held_out, tokenizer, request["context"])
    rows = evaluation_rows(held_out.rows)
    stops = answer_end_ids([(row.ids, row.labels) for row in rows], tokenizer)
    result: dict[str, Any] = {
        "data": str(data) if data else "held-out rows of the run",
        "read": held_out.read,
        "rejected": held_out.rejected,
    }

    def evaluate(model: Any) -> dict[str, Any]:
        score, answer = torch_functions(model, stops, tokenizer.pad_id, tokenizer.decode)
        return evaluate_rows(rows, score, answer, limit, progress)

    # An adapter is switched off to measure the base, so that one model is loaded; full fine-tuning leaves two.
    with torch_model(base, result_path if recipe.lora else None, request["threads"]) as model:
        if recipe.lora:
            with model.disable_adapter():
                result["base"] = evaluate(model)
            result["tuned"] = evaluate(model)
        else:
            result["base"] = evaluate(model)
    if not recipe.lora:
        with torch_model(result_path, None, request["threads"]) as model:
            result["tuned"] = evaluate(model)
    return result


def run_of_gguf(path: Path, metadata: dict[str, str], workspace: "Workspace") -> "Run":
    """The run that a GGUF was exported from: by the folder it lies in, else by the name in the file.

    Raises InputError where it names none, or one that is not in the workspace.
    """
    from edgetune.storage.workspace import Run

    # A run that was renamed has another name than its files say, so that the folder counts more.
    folder_run = Run(path.resolve().parent.parent)
    if folder_run.exports == path.resolve().parent and folder_run.request_file.is_file():
        return folder_run

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
                raise InputError(f"{run.name} has no held-out rows", f"{data} is missing.", "Name a file with --data.")

        # The file's own tokenizer and template: what llama.cpp will be asked is what is measured.
        held_out = prepare.evaluation_set(data, GgufTokenizer(engine), engine.info.n_ctx)
        score, answer = gguf_functions(engine)
        figures = evaluate_rows(evaluation_rows(held_out.rows), score, answer, limit, progress)
        if not math.isfinite(figures["loss"]):
            raise EdgeTuneError(f"{path.name} gives no finite loss", "Its weights or its conversion are broken.", "Export it again.")
        return {"data": str(data), "read": held_out.read, "rejected": held_out.rejected, "gguf": figures}
