"""Answers to the same few prompts at every evaluation, so that people can watch the model learn."""

from collections.abc import Sequence
from typing import Any

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.chat.turns import answer_end_ids
from edgetune.data.labels import IGNORE_INDEX, first_answer_start
from edgetune.data.store import LabelledIds
from edgetune.runs.events import EventLog

PROMPTS, ANSWER = 3, 48
"""Prompts that are answered, and the tokens an answer may have."""


def generate_answer(model: Any, ids: list[int], stops: list[int], limit: int, pad: int) -> list[int]:
    """Greedy continuation of a prompt, at most `limit` tokens, stop tokens left out."""
    import torch

    device = next(model.parameters()).device
    with torch.no_grad():
        out = model.generate(
            input_ids=torch.tensor([ids], device=device),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long, device=device),
            do_sample=False,
            max_new_tokens=limit,
            eos_token_id=stops,
            pad_token_id=pad,
            use_cache=True,
        )

    # The end of turn is no part of an answer's text.
    generated = out[0, len(ids) :].tolist()
    return [t for t in generated if t not in stops]


class Sampler:
    """Answers a run's fixed prompts and writes them as events."""

    def __init__(self, rows: Sequence[LabelledIds], tokenizer: BaseTokenizer, events: EventLog, context: int) -> None:
        self.tokenizer, self.events = tokenizer, events
        self.stops = answer_end_ids(rows, tokenizer)
        self.prompts = []
        for ids, labels in rows:
            start = first_answer_start(labels) or 0
            whole = labels[-1] == IGNORE_INDEX and not start  # a prompt that nothing answers
            prompt = ids if whole else ids[:start] if start else ids[: max(1, len(ids) // 4)]
            if len(prompt) + ANSWER <= context:
                self.prompts.append(prompt)
            if len(self.prompts) == PROMPTS:
                break

    def sample(self, model: Any, step: int) -> None:
        """Answer every prompt greedily."""
        was = model.training
        model.eval()
        for prompt in self.prompts:
            answer_ids = generate_answer(model, prompt, self.stops, ANSWER, self.tokenizer.pad_id)
            self.events.append("sample", step=step, prompt=self.tokenizer.decode(prompt), answer=self.tokenizer.decode(answer_ids).strip())
        model.train(was)
