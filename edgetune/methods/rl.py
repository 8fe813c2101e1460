"""Reinforcement learning from a reward: RLOO (Ahmadian et al. 2024, arXiv:2402.14740) or GRPO (Shao et al. 2024, arXiv:2402.03300), by TRL.

The model samples answers, rewards judge them, and what is better than its siblings becomes likelier. The distance to the model before is
kept small by beta, shown, and ends the run beyond a limit: the last good adapter is the result.

The model that is trained samples, a step's answers in one batch. llama.cpp, with the adapter written anew each step, was measured beside it
(tests/benchmarks/rl_sampling.py, 16 answers a step, two busy cores): 2.2 times as fast on the bundled model of 5M parameters in nf4, 1.5
times unquantized, where a whole step takes about a second; but 0.9 and 0.6 times as fast at 296M parameters, where the time goes. It would
also answer from the base in F16, not from the nf4 one that is trained, so that the gradient belonged to other answers.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from edgetune.data.render import IGNORED
from edgetune.methods._pairs import Measured
from edgetune.training.rewards import Answer, Context, Reward, make
from edgetune.training.samples import turn_ends
from edgetune.training.trainer_setup import Setup

KINDS = ("prompt", "conversation", "preference")
NEEDS = "rl needs prompts: rows with 'prompt', or conversations and pairs, whose prompts are taken and whose answers 'exact' compares with."
RATE = 0.2
BETA = 0.05
MAX_EVAL_ROWS = 32
"""Held-out prompts that are answered at every evaluation."""
METRICS = {
    "reward": "reward",
    "reward_std": "reward_spread",
    "kl": "kl",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "cut_off",
    "repetition": "repetition",
}
LONGER, REPEATING = 2.0, 0.25
"""Growth of the mean length, and share of repeated word fours, from which a reward is said to be hacked."""


def split(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """A prepared row's prompt, up to its last answer, and that answer's ids (empty where it has none)."""
    ids, labels = (row["chosen_ids"], row["chosen_labels"]) if "chosen_ids" in row else (row["input_ids"], row["labels"])
    start = len(labels)
    while start and labels[start - 1] != IGNORED:
        start -= 1
    return ids[:start], ids[start:]


def repetition(text: str) -> float:
    """Share of a text's runs of four words that stood in it before."""
    found = text.split()
    fours = Counter(zip(*(found[i:] for i in range(4)), strict=False))
    total = sum(fours.values())
    return (total - len(fours)) / total if total else 0.0


def warning(now: dict[str, Any], first: dict[str, Any]) -> str:
    """A warning where the reward has grown together with length or repetition; else empty."""
    if now["reward"] <= first["reward"]:
        return ""
    if now["length"] > LONGER * max(first["length"], 1.0):
        return (
            f"The reward grows with the length: {now['length']:.0f} tokens an answer, {first['length']:.0f} before. "
            "Look at the samples; a reward that counts length would help (--reward length:TOKENS), or a higher --beta."
        )
    if now["repetition"] > first["repetition"] + REPEATING:
        return f"The answers repeat themselves ({now['repetition']:.0%} of their word fours). Look at the samples; raise --beta."
    return ""


def trainer(setup: Setup) -> Any:
    """TRL's trainer with our life; its fields are still to be set."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    recipe, tokenizer = setup.recipe, setup.tokenizer
    trainer_class, config_class = (RLOOTrainer, RLOOConfig) if recipe.algorithm == "rloo" else (GRPOTrainer, GRPOConfig)

    def entry(row: dict[str, Any]) -> dict[str, str]:
        prompt, answer = split(row)
        return {"prompt": json.dumps(prompt), "expected": tokenizer.decode(answer).strip()}

    class Sampled(trainer_class):  # type: ignore[misc,valid-type,unused-ignore]
        """Prompts are token ids in JSON: TRL wants texts, and would render and tokenize them itself."""

        metrics = METRICS
        max_eval_rows = MAX_EVAL_ROWS
        rewards: list[Reward]

        def begin(self, request: dict[str, Any]) -> None:
            """Load what judges the answers."""
            self.rewards = make(recipe.reward, Context(Path(request["runs"]), Path(request["base"])))

        def expand(self, order: list[int]) -> list[int]:
            """TRL's order: a step's prompts, each as often as it is answered, once for every batch that the answers are shared among."""
            each = recipe.batch_size * recipe.gradient_accumulation // recipe.num_generations
            result: list[int] = []
            for start in range(0, len(order), each):
                step = [number for number in order[start : start + each] for _ in range(recipe.num_generations)]
                result += step * recipe.gradient_accumulation
            return result

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [json.loads(prompt) for prompt in prompts], None, {}

        def judge(self, prompts: list[str], completion_ids: list[list[int]], expected: list[str], **_: Any) -> list[float]:
            """The sum of all rewards of each answer."""
            answers = []
            for prompt, ids, wanted in zip(prompts, completion_ids, expected, strict=True):
                before = json.loads(prompt)
                text = tokenizer.decode(ids).strip()
                answers.append(Answer(tokenizer.decode(before), text, wanted, before + ids, len(ids)))
            mode = "train" if self.model.training else "eval"
            self._metrics[mode]["repetition"].append(sum(repetition(one.text) for one in answers) / len(answers))
            given = [reward(answers) for reward in self.rewards]
            return [sum(values) for values in zip(*given, strict=True)]

        def measure(self, batch: dict[str, Any]) -> Measured:
            """What the held-out answers earned; the loss is the reward, turned round."""
            kept, count = self._metrics["eval"], len(batch["completion_ids"])
            values = {ours: (float(kept[theirs][-1]) * count, count) for theirs, ours in METRICS.items() if kept.get(theirs)}
            return -values["reward"][0], count, values

        def log(self, logs: dict[str, float], *args: Any) -> None:
            kl = self._metrics["train"].get("kl")
            if kl and max(kl) > recipe.kl_limit:
                self.progress.beyond = self.state.global_step
                self.events.append(
                    "warning",
                    step=self.state.global_step,
                    text=f"The model is {max(kl):.2f} nats a token away from the one before, more than {recipe.kl_limit}: the run ends "
                    "with the last good checkpoint. Raise --beta or lower --learning-rate to go further in small steps.",
                )
                self.control.should_training_stop = True
                self.control.should_evaluate = self.control.should_save = False
            super().log(logs, *args)

    shared = {
        **setup.arguments(),
        "num_generations": recipe.num_generations,
        "num_generations_eval": 1,
        "steps_per_generation": recipe.gradient_accumulation,
        "max_completion_length": recipe.max_completion_length,
        "temperature": recipe.temperature,
        "beta": BETA if recipe.beta is None else recipe.beta,
        "disable_dropout": True,
        "shuffle_dataset": False,
        "pad_to_multiple_of": None,
    }
    setup.model.generation_config.eos_token_id = turn_ends(tokenizer)
    found: list[Any] = []

    def reward(prompts: list[str], completions: list[str], completion_ids: list[list[int]], expected: list[str], **_: Any) -> list[float]:
        values: list[float] = found[0].judge(prompts, completion_ids, expected)
        return values

    asked = Dataset.from_list([entry(row) for row in setup.rows.whole(len(setup.rows))])
    made = setup.make(Sampled, config_class(**shared), asked, reward_funcs=reward)
    made.data_collator = lambda batch: [entry(row) if "prompt" not in row else row for row in batch]
    found.append(made)
    return made
