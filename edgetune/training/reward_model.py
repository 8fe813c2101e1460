"""A finished reward model, which scores answers: the log-odds that the people whose votes it learned from would prefer one."""

from pathlib import Path
from typing import Any

from edgetune import methods
from edgetune.bases import tokenizer as tokenizers
from edgetune.data.formats import Example
from edgetune.data.render import Rules
from edgetune.data.row import RowError
from edgetune.data.tokenized import tokenize
from edgetune.errors import InputError
from edgetune.runs.integrity import recipe_of, require_unchanged, result_folder
from edgetune.storage.workspace import Run

SCORING_BATCH = 8
"""Rows that are scored at once."""


def require_reward_model(run: Run) -> None:
    """Refuse a run that is no finished, undamaged reward model. Raises InputError or EdgeTuneError."""
    request = run.request()
    method = methods.of(request)
    if method.writes_answers:
        raise InputError(
            f"{run.name} is no reward model",
            f"It was trained with {method.name}.",
            "Train one: edgetune train --base DIR --method reward --data votes.jsonl",
        )
    result_folder(run, recipe_of(run))
    require_unchanged(run, request)


class Scorer:
    """A finished reward run's model, ready to score rows of token ids."""

    def __init__(self, run: Run) -> None:
        # Checked before torch is imported, so that a wrong name costs no wait.
        require_reward_model(run)
        request = run.request()
        import torch
        from peft import PeftModel

        from edgetune.bases.load import load_model, prevent_repacking

        # Loaded as it was trained, precision included: scores of another precision would not be those it was measured with.
        recipe, base = recipe_of(run), Path(request["base"])
        torch.set_num_threads(request["threads"])

        self.tokenizer = tokenizers.load_tokenizer(base, request["template_date"])
        self.length: int = request["context"]
        self.device: str = request["device"]

        # A score is read at the last token that is not padding, so the model must know the padding.
        model = load_model(base, self.device, request["dtype"], recipe.quantization, reward=True)
        model.config.get_text_config().pad_token_id = self.tokenizer.pad_id
        self.model = PeftModel.from_pretrained(model, run.adapter).eval()
        prevent_repacking(self.model)

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
                return tokenize(Example(turns), self.tokenizer, Rules(self.length, train_on="last"))[-1].ids
            except RowError as error:
                problem = str(error)
        raise InputError("The reward model cannot read this", f"{problem}.", "Start again with /reset, or ask for shorter answers.")

    def scores(self, rows: list[list[int]]) -> list[float]:
        """The score of each row of ids, a prompt with its answer through its end of turn."""
        import torch

        # In order of length, so that the rows of a batch need little padding.
        result = [0.0] * len(rows)
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        for start in range(0, len(order), SCORING_BATCH):
            numbers = order[start : start + SCORING_BATCH]
            width = len(rows[numbers[-1]])

            ids = [rows[n] + [self.tokenizer.pad_id] * (width - len(rows[n])) for n in numbers]
            mask = [[1] * len(rows[n]) + [0] * (width - len(rows[n])) for n in numbers]
            with torch.no_grad():
                rewards = self.model(
                    input_ids=torch.tensor(ids, device=self.device), attention_mask=torch.tensor(mask, device=self.device), use_cache=False
                ).logits

            # Back in the order that was asked for.
            for number, value in zip(numbers, rewards.float().flatten().tolist(), strict=True):
                result[number] = value
        return result
