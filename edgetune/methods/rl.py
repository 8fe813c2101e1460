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
from typing import Any

from edgetune.errors import EdgeTuneError
from edgetune.methods._method import Answer, BatchMeasures, Method, Reward, Setup
from edgetune.text import one_line

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
ALIKE_STEPS = 5
"""Steps after which it is said that no two answers to a prompt ever got different rewards."""
LARGEST_REWARD = 1e15
"""Sizes of rewards that can be trained on: the square of a larger one is infinite in the 32 bits that advantages are computed in."""
LONGER, REPEATING = 2.0, 0.25
"""Growth of the mean length, and share of repeated word fours, from which a reward is said to be hacked."""


def split_prompt(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    """A prepared row's prompt, up to its last answer, and that answer's ids (empty where it has none)."""
    from edgetune.data.labels import IGNORE_INDEX

    ids, labels = (row["chosen_ids"], row["chosen_labels"]) if "chosen_ids" in row else (row["input_ids"], row["labels"])
    start = len(labels)
    while start and labels[start - 1] != IGNORE_INDEX:
        start -= 1
    return ids[:start], ids[start:]


def repetition_share(text: str) -> float:
    """Share of a text's runs of four words that stood in it before."""
    words = text.split()
    fours = Counter(zip(*(words[i:] for i in range(4)), strict=False))
    total = sum(fours.values())
    return (total - len(fours)) / total if total else 0.0


def find_warning(measures: dict[str, Any], before: dict[str, Any]) -> str:
    """A warning where the reward has grown together with length or repetition; else empty."""
    if measures["reward"] <= before["reward"]:
        return ""
    if measures["length"] > LONGER * max(before["length"], 1.0):
        return (
            f"The reward grows with the length: {measures['length']:.0f} tokens an answer, {before['length']:.0f} before. "
            "Look at the samples; a reward that counts length would help (--reward length:TOKENS), or a higher --beta."
        )
    if measures["repetition"] > before["repetition"] + REPEATING:
        return f"The answers repeat themselves ({measures['repetition']:.0%} of their word fours). Look at the samples; raise --beta."
    return ""


def expand_order(recipe: Any, order: list[int]) -> list[int]:
    """TRL's order: a step's prompts, each as often as it is answered, once for every batch that the answers are shared among."""
    each = recipe.batch_size * recipe.gradient_accumulation // recipe.num_generations
    result: list[int] = []
    for start in range(0, len(order), each):
        step = [number for number in order[start : start + each] for _ in range(recipe.num_generations)]
        result += step * recipe.gradient_accumulation
    return result


def measure_batch(trainer: Any, batch: dict[str, Any]) -> BatchMeasures:
    """What the held-out answers earned; the loss is the reward, turned round."""
    measured, count = trainer._metrics["eval"], len(batch["completion_ids"])
    values = {ours: (float(measured[theirs][-1]) * count, count) for theirs, ours in METRICS.items() if measured.get(theirs)}
    return -values["reward"][0], count, values


def _usable(spec: str, values: list[float], answers: list[Answer]) -> list[float]:
    """A reward's values. Raises EdgeTuneError naming the reward, and the answer, where one is no number that can be trained on."""
    for value, answer in zip(values, answers, strict=True):
        if not abs(value) <= LARGEST_REWARD:  # NaN is neither
            what = (
                f"It is {value}" if value != value or abs(value) == float("inf") else f"It is {value:g}, which is too large to compute with"
            )
            asked, text = one_line(answer.prompt, 200), one_line(answer.text)
            raise EdgeTuneError(
                f"The reward {spec} gave no number that can be trained on",
                f"{what}, for the answer {text!r} to the prompt {asked!r}.",
                f"Make it give a number between -{LARGEST_REWARD:g} and {LARGEST_REWARD:g} for every answer, also for an empty one.",
            )
    return values


def make_trainer(setup: Setup) -> Any:
    """TRL's trainer; its fields are still to be set."""
    # Imported late: TRL takes seconds, and only a worker trains.
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    recipe, tokenizer = setup.recipe, setup.tokenizer
    trainer_class, config_class = (RLOOTrainer, RLOOConfig) if recipe.algorithm == "rloo" else (GRPOTrainer, GRPOConfig)

    # JSON, because TRL insists that a prompt is a text, and ids must arrive as they were prepared.
    def entry(row: dict[str, Any]) -> dict[str, str]:
        prompt, answer = split_prompt(row)
        return {"prompt": json.dumps(prompt), "expected": tokenizer.decode(answer).strip()}

    class Sampled(trainer_class):  # type: ignore[misc,valid-type,unused-ignore]
        """Prompts are token ids in JSON: TRL wants texts, and would render and tokenize them itself."""

        rewards: list[Reward]
        differed = False
        alike = 0.0

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [json.loads(prompt) for prompt in prompts], None, {}

        def judge(self, prompts: list[str], completion_ids: list[list[int]], expected: list[str], **_: Any) -> list[float]:
            """The sum of all rewards of each answer."""
            # Rewards see whole answers: they may need the prompt, the expected answer, or the ids.
            answers = []
            for prompt, ids, reference in zip(prompts, completion_ids, expected, strict=True):
                before = json.loads(prompt)
                text = tokenizer.decode(ids).strip()
                answers.append(Answer(tokenizer.decode(before), text, reference, before + ids, len(ids)))

            # Rewards are often won by repeating oneself, which the reward alone would not show.
            mode = "train" if self.model.training else "eval"
            self._metrics[mode]["repetition"].append(sum(repetition_share(one.text) for one in answers) / len(answers))

            scores = [_usable(spec, reward(answers), answers) for spec, reward in zip(recipe.reward, self.rewards, strict=True)]
            totals = [sum(values) for values in zip(*scores, strict=True)]
            if mode == "train":
                groups = [totals[start : start + recipe.num_generations] for start in range(0, len(totals), recipe.num_generations)]
                self.differed = self.differed or any(min(group) != max(group) for group in groups)
                self.alike = totals[0]
            return totals

        def log(self, logs: dict[str, float], *args: Any) -> None:
            # An answer is held against the others to its prompt alone: where they are never unlike, every gradient is zero.
            if self.state.global_step == min(ALIKE_STEPS, self.state.max_steps) and not self.differed:
                self.differed = True  # once is enough
                self.events.append(
                    "warning",
                    step=self.state.global_step,
                    text=f"In every step so far all answers to a prompt got the same reward from {', '.join(recipe.reward)} (in the last "
                    f"{self.alike:g}): nothing can be learned from it. Look at the samples; choose a reward that tells better from worse "
                    "answers, or raise --temperature or --num-generations for answers that differ.",
                )

            # Far from the reference, the reward no longer means what it was meant to: end before the model is spoilt.
            kl = self._metrics["train"].get("kl")
            if kl and max(kl) > recipe.kl_limit:
                self.progress.kl_exceeded_at = self.state.global_step
                self.events.append(
                    "warning",
                    step=self.state.global_step,
                    text=f"The model is {max(kl):.2f} nats a token away from the one before, more than {recipe.kl_limit}: the run ends "
                    "with the last good checkpoint. Raise --beta or lower --learning-rate to go further in small steps.",
                )

                # Neither measured nor saved: this step's weights are the ones that went too far.
                self.control.should_training_stop = True
                self.control.should_evaluate = self.control.should_save = False
            super().log(logs, *args)

    # Fields of both algorithms. Order and batches come from the prepared rows, so TRL must not shuffle or pad them.
    shared = {
        **setup.arguments(),
        "num_generations": recipe.num_generations,
        "num_generations_eval": 1,
        "steps_per_generation": recipe.gradient_accumulation,
        "max_completion_length": recipe.max_completion_length,
        "temperature": recipe.temperature,
        "beta": setup.beta,
        "disable_dropout": True,
        "shuffle_dataset": False,
        "pad_to_multiple_of": None,
    }

    # A chat model may end its answers with several tokens, of which the tokenizer names only one.
    setup.model.generation_config.eos_token_id = setup.turn_ends()
    trainers: list[Any] = []

    # TRL wants the reward before there is a trainer, but ours needs the trainer for its metrics: the list fills the gap.
    def reward(prompts: list[str], completions: list[str], completion_ids: list[list[int]], expected: list[str], **_: Any) -> list[float]:
        values: list[float] = trainers[0].judge(prompts, completion_ids, expected)
        return values

    dataset = Dataset.from_list([entry(row) for row in setup.rows.whole(len(setup.rows))])
    trainer = setup.make(Sampled, config_class(**shared), dataset, reward_funcs=reward)

    # Held-out rows reach the collator as prepared, training rows as entries of the data set.
    trainer.data_collator = lambda batch: [entry(row) if "prompt" not in row else row for row in batch]
    trainers.append(trainer)
    trainer.rewards = setup.rewards()
    return trainer


def find_problem(recipe: Any) -> str:
    """A step must hold whole groups of answers."""
    if recipe.batch_size * recipe.gradient_accumulation % recipe.num_generations:
        return (
            f"batch_size times gradient_accumulation must be a multiple of num_generations ({recipe.num_generations}): "
            "the completions of a prompt belong in one update"
        )
    return ""


METHOD = Method(
    name="rl",
    row_kinds=("prompt", "conversation", "preference"),
    needs="rl needs prompts: rows with 'prompt', or conversations and pairs, whose prompts are taken and whose answers 'exact' compares "
    "with.",
    vote_format="prompt",
    options=("beta", "reward", "algorithm", "num_generations", "max_completion_length", "temperature", "kl_limit"),
    beta=0.05,
    learning_rate_factor=0.2,
    find_problem=find_problem,
    samples_answers=True,
    adapts_lm_head=False,
    make_trainer=make_trainer,
    measure_batch=measure_batch,
    metrics=METRICS,
    max_eval_rows=MAX_EVAL_ROWS,
    find_warning=find_warning,
    repeats=lambda recipe: int(recipe.num_generations),
    expand_order=expand_order,
)
