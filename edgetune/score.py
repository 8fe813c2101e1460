"""Scores from a reward model: how much a person who voted as its pairs say would like an answer. The unit is the log-odds of winning."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.bases import tokenizer as tokenizers
from edgetune.data import scan
from edgetune.data.examine import Job, conversations, examine
from edgetune.data.formats import Example
from edgetune.data.render import Rules, tokenize
from edgetune.data.row import RowError
from edgetune.data.sources import sources
from edgetune.errors import EdgeTuneError, InputError
from edgetune.workspace import Run

BATCH = 8


@dataclass
class Scored:
    """An answer with the prompt it belongs to, where it stands in its file, and its score."""

    line: int
    prompt: list[dict[str, Any]]
    answer: str
    ids: list[int]
    score: float = 0.0


def sound(run: Run) -> None:
    """Refuse a run that is no finished, undamaged reward model. Raises InputError or EdgeTuneError."""
    from edgetune.training import checkpoints
    from edgetune.training.run import unchanged

    request = run.request()
    if request.get("method") != "reward":
        raise InputError(
            f"{run.name} is no reward model",
            f"It was trained with {request.get('method', 'sft')}.",
            "Train one: edgetune train --method reward --data votes.jsonl",
        )
    if not run.adapter.is_dir():
        raise InputError(f"The run {run.name} has no result yet", "It has not finished.", f"Let it finish: edgetune resume {run.name}")
    if reason := checkpoints.problem(run.adapter):
        raise EdgeTuneError(f"The result of {run.name} is damaged", reason, f"Make it again: edgetune resume {run.name}")
    unchanged(run, request)


class Scorer:
    """A finished reward run's model, ready to score rows of token ids."""

    def __init__(self, run: Run) -> None:
        sound(run)
        request = run.request()
        import torch
        from peft import PeftModel

        from edgetune.bases.load import keep_packed_weights, load
        from edgetune.training.run import recipe_of

        recipe, base = recipe_of(run), Path(request["base"])
        torch.set_num_threads(request["threads"])
        self.tokenizer = tokenizers.load(base, request["template_date"])
        self.length: int = request["context"]
        self.device: str = request["device"]
        model = load(base, self.device, request["dtype"], recipe.quantization, reward=True)
        model.config.get_text_config().pad_token_id = self.tokenizer.pad_id
        self.model = PeftModel.from_pretrained(model, run.adapter).eval()
        keep_packed_weights(self.model)

    def rate(self, prompt: list[dict[str, Any]], texts: list[str]) -> list[float]:
        """The scores of answers to a prompt's turns. Raises InputError for one that is too long even without the oldest turns."""
        return self.scores([self._row(prompt, text) for text in texts])

    def _row(self, prompt: list[dict[str, Any]], text: str) -> list[int]:
        """A prompt with an answer as training rendered it, the oldest turns left out where all are too many."""
        system = [turn for turn in prompt[:1] if turn["role"] == "system"]
        starts = [at for at, turn in enumerate(prompt) if turn["role"] == "user"]
        problem = "there is no question"
        for start in starts:
            turns = [*system, *prompt[start:], {"role": "assistant", "content": text}]
            try:
                return tokenize(Example(turns), self.tokenizer, Rules(self.length, answers="last"))[-1].ids
            except RowError as error:
                problem = str(error)
        raise InputError("The reward model cannot read this", f"{problem}.", "Begin anew with /reset, or ask for shorter answers.")

    def scores(self, rows: list[list[int]]) -> list[float]:
        """The score of each row of ids, a prompt with its answer through its end of turn."""
        import torch

        result = [0.0] * len(rows)
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        for start in range(0, len(order), BATCH):
            numbers = order[start : start + BATCH]
            width = len(rows[numbers[-1]])
            ids = [rows[n] + [self.tokenizer.pad_id] * (width - len(rows[n])) for n in numbers]
            mask = [[1] * len(rows[n]) + [0] * (width - len(rows[n])) for n in numbers]
            with torch.no_grad():
                given = self.model(
                    input_ids=torch.tensor(ids, device=self.device), attention_mask=torch.tensor(mask, device=self.device), use_cache=False
                ).logits
            for number, value in zip(numbers, given.float().flatten().tolist(), strict=True):
                result[number] = value
        return result


def answers(path: Path, scorer: Scorer) -> tuple[list[Scored], list[tuple[int, str]]]:
    """The answers in a file of any shape that has some, and the rows that were left out: line and reason."""
    files = sources([str(path)])
    found = scan.recognise(files, "auto", {})
    job = Job(tuple(one.format for one in found), rules=Rules(scorer.length, answers="last"), look=False)
    kept: list[Scored] = []
    rejected: list[tuple[int, str]] = []
    for piece in scan.raw_pieces(files):
        batch = examine(piece.source, piece.file, piece.raws, job, scorer.tokenizer)
        rejected += [(row.line, row.reason) for row in batch.rejected]
        for unit in batch.units:
            if unit.example.kind not in ("conversation", "preference", "unpaired"):
                raise InputError(f"{path.name} holds no answers", f"Its rows are of kind {unit.example.kind}.", "Name a file of answers.")
            for part, row in zip(conversations(unit.example), unit.rows, strict=True):
                kept.append(Scored(unit.line, part.messages[:-1], str(part.messages[-1].get("content") or ""), row.ids))
    if not kept:
        first = f" The first: line {rejected[0][0]}, {rejected[0][1]}." if rejected else ""
        raise InputError(f"No answer in {path.name} can be scored", f"All {len(rejected)} rows were left out.{first}", "Check the file.")
    return kept, rejected


def rank(run: Run, path: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Every prompt of a file with its answers, the best first: what `edgetune score` prints."""
    scorer = Scorer(run)
    kept, rejected = answers(path, scorer)
    for start in range(0, len(kept), 10 * BATCH):
        part = kept[start : start + 10 * BATCH]
        for one, score in zip(part, scorer.scores([one.ids for one in part]), strict=True):
            one.score = score
        if progress:
            progress(min(start + len(part), len(kept)), len(kept))
    return {
        "run": run.name,
        "scored": len(kept),
        "rejected": [{"line": line, "reason": reason} for line, reason in rejected],
        "prompts": [
            {
                "prompt": plain(group[0].prompt),
                "answers": [{"line": one.line, "score": one.score, "answer": one.answer} for one in group],
            }
            for group in _groups(kept)
        ],
    }


def plain(prompt: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A prompt's messages without our marks on them."""
    return [{key: value for key, value in message.items() if key != "train"} for message in prompt]


def _groups(kept: list[Scored]) -> Iterator[list[Scored]]:
    """Answers of one prompt together, in the prompts' order of appearance, the best first."""
    groups: dict[str, list[Scored]] = {}
    for one in kept:
        groups.setdefault(json.dumps(plain(one.prompt), sort_keys=True), []).append(one)
    for group in groups.values():
        yield sorted(group, key=lambda one: -one.score)
