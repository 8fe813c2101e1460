"""Measure a finished Nano on questions it never saw, and write its model card and the files that ship beside it."""

import json
import math
import random
import re
from pathlib import Path

import torch
from corpus import LONG_SHARE, conversation, held_out, training_questions, write_answer
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from world import CATEGORIES, sums

START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
LONG_WORDS = 5
"""An answer of at least this many words counts as long."""


def prompt_ids(prompt: str, tokenizer: Tokenizer) -> list[int]:
    """The prompt as the chat template writes it."""
    return tokenizer.encode(f"{START_OF_TURN}user\n{prompt}{END_OF_TURN}\n{START_OF_TURN}assistant\n").ids


@torch.no_grad()
def generate_answers(
    model: LlamaForCausalLM, tokenizer: Tokenizer, prompts: list[str], temperature: float = 0.0, seed: int = 0, limit: int = 60
) -> list[str]:
    """An answer for each prompt, at most `limit` tokens; prompts of equal length run together, so nothing is padded."""
    was_training = model.training
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    stop = tokenizer.token_to_id(END_OF_TURN)
    encoded = [prompt_ids(p, tokenizer) for p in prompts]

    by_length: dict[int, list[int]] = {}
    for index, ids in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(index)

    result = [""] * len(prompts)
    for indices in by_length.values():
        tokens = torch.tensor([encoded[i] for i in indices])
        generated = []
        cache = None
        alive = torch.ones(len(indices), dtype=torch.bool)

        for _ in range(limit):
            out = model(input_ids=tokens, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            logits = out.logits[:, -1].float()
            if temperature:
                tokens = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)
            else:
                tokens = logits.argmax(-1, keepdim=True)
            generated.append(tokens[:, 0])
            alive &= tokens[:, 0] != stop
            if not alive.any():
                break

        for row, index in zip(torch.stack(generated, 1).tolist(), indices, strict=True):
            result[index] = tokenizer.decode(row[: row.index(stop)] if stop in row else row)
    model.train(was_training)
    return result


def contains(text: str, answer: str) -> bool:
    """Whether the text contains the answer as whole words."""
    return re.search(rf"\b{re.escape(answer.lower())}\b", text.lower()) is not None


def accuracy(model: LlamaForCausalLM, tokenizer: Tokenizer, rows: list[dict]) -> dict[str, float]:
    """Share of greedy answers that hold the expected one, by category and over all."""
    replies = generate_answers(model, tokenizer, [row["prompt"] for row in rows])
    right: dict[str, list[bool]] = {"all": []}
    for row, reply in zip(rows, replies, strict=True):
        for key in ("all", row["category"]):
            right.setdefault(key, []).append(contains(reply, row["answer"]))
    return {key: sum(values) / len(values) for key, values in right.items()}


def format_scores(scores: dict[str, float]) -> str:
    """The scores in one line."""
    return "  ".join(f"{name} {share:.0%}" for name, share in scores.items())


@torch.no_grad()
def perplexity(model: LlamaForCausalLM, tokenizer: Tokenizer, rows: list[dict]) -> float:
    """Perplexity of freshly written answers to held-out questions."""
    rng = random.Random(5)
    by_name = {category.name: category for category in CATEGORIES}
    total = 0.0
    count = 0
    for row in rows:
        head = prompt_ids(row["prompt"], tokenizer)
        body = tokenizer.encode(write_answer(by_name[row["category"]], row["fact"], rng.random() < LONG_SHARE, rng) + END_OF_TURN).ids
        logits = model(input_ids=torch.tensor([head + body])).logits[0].float()
        log_p = torch.log_softmax(logits[len(head) - 1 : -1], -1)
        total -= float(log_p.gather(1, torch.tensor(body)[:, None]).sum())
        count += len(body)
    return math.exp(total / count)


def measure_model(folder: Path) -> dict:
    """The figures of the model card, measured on the shipped files."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = held_out(random.Random(1))

    sampled = [reply for seed in range(2) for reply in generate_answers(model, tokenizer, [r["prompt"] for r in rows], 1.0, seed)]
    brief = generate_answers(model, tokenizer, [r["prompt"] for r in held_out(random.Random(2), brief=True)], 1.0, 3)

    unseen = [
        {"category": "unseen", "prompt": f"Please work out the sum {s['a']} + {s['b']}.", "answer": s["answer"]} for s in sums(held=True)
    ]

    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "prompts": len(rows),
        "accuracy": accuracy(model, tokenizer, rows),
        "perplexity": perplexity(model, tokenizer, rows),
        "unseen_sums": accuracy(model, tokenizer, unseen)["all"],
        "sampled_accuracy": sum(contains(a, r["answer"]) for a, r in zip(sampled, rows * 2, strict=True)) / len(sampled),
        "long_share": sum(len(a.split()) >= LONG_WORDS for a in sampled) / len(sampled),
        "brief_short_share": sum(len(a.split()) < LONG_WORDS for a in brief) / len(brief),
    }


CARD = """---
license: apache-2.0
language: en
---
# EdgeTune Nano

A tiny chat model that ships with EdgeTune, so that its first run needs no download. It was trained from scratch by
`packaging/nano/build.py` (seed {seed}, {steps} steps, {minutes:.0f} minutes on two processor cores): a Llama architecture with
{parameters:,} parameters, a byte-level BPE tokenizer of 2,048 tokens and a context of 1,024 tokens. Its whole corpus was written by
the templates in `packaging/nano/`; it contains no text from elsewhere.

It knows a small world: {facts} facts in {kinds} kinds (opposites, colours, animals, times of day, tools, places, capitals,
origins, the calendar) and {sums} sums, beside greetings, lists and polite refusals. It is a toy to learn and test with: outside that
world it is wrong with confidence.

## Measured

On {prompts} held-out prompts (phrasings that training never used, about facts and sums that it did), greedy answers of at most 60
tokens, right if they contain the expected answer as whole words:

| questions | right |
|---|---|
{rows}

| also | |
|---|---|
| perplexity of answers to the held-out prompts | {perplexity:.2f} |
| right when sampled at temperature 1 (two seeds) | {sampled_accuracy:.1%} |
| long answers ({long_words} words or more) when sampled at temperature 1 | {long_share:.1%} |
| short answers when asked to be brief, at temperature 1 | {brief_short_share:.1%} |
| right on the {unseen} sums of numbers up to 10 that it was never taught | {unseen_sums:.0%} |

Nobody should use it for anything but trying EdgeTune.
"""


def write_model_card(folder: Path, seconds: float, steps: int, seed: int) -> None:
    """Measure, and write the model card, the held-out questions, questions to vote on, and a replay file beside the weights."""
    figures = measure_model(folder)
    rows = "\n".join(f"| {'all' if name == 'all' else name} | {share:.1%} |" for name, share in figures["accuracy"].items())
    facts = sum(len(c.facts) for c in CATEGORIES if c.name != "sums")
    taught = len(sums(held=False))

    text = CARD.format(
        **figures,
        rows=rows,
        seed=seed,
        steps=steps,
        minutes=seconds / 60,
        facts=facts,
        sums=taught,
        kinds=len(CATEGORIES) - 1,
        unseen=len(sums(held=True)),
        long_words=LONG_WORDS,
    )

    (folder / "README.md").write_text(text, encoding="utf-8")
    questions = [{key: row[key] for key in ("category", "prompt", "answer")} for row in held_out(random.Random(1))]
    _write_jsonl(folder / "questions.jsonl", questions)
    _write_jsonl(folder / "asked.jsonl", training_questions(random.Random(0), 400))

    rng = random.Random(11)
    drawn = (conversation(rng) for _ in range(6000))
    single = [messages for messages in drawn if len(messages) <= 3]  # a long conversation would pad its whole batch
    _write_jsonl(folder / "replay.jsonl", [{"messages": messages} for messages in single[:1500]])
    print(json.dumps(figures, indent=2))


def _write_jsonl(path: Path, values: list[dict]) -> None:
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")


if __name__ == "__main__":
    import sys

    write_model_card(Path(sys.argv[1]), float(sys.argv[2]) * 60, int(sys.argv[3]), int(sys.argv[4]))
