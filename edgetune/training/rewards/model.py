"""The score of a reward run: what the people whose votes it learned would like."""

from edgetune.errors import InputError
from edgetune.storage.files import sha256
from edgetune.training.rewards import Answer, Context, Reward


def check(argument: str, context: Context) -> None:
    """The run must be a finished reward model whose base has the same tokenizer. Raises InputError."""
    from edgetune.runs.integrity import base_of
    from edgetune.storage.workspace import Workspace
    from edgetune.training.reward_model import require_reward_model

    run = Workspace(context.runs.parent).run(argument)
    require_reward_model(run)
    if sha256(base_of(run, run.request()) / "tokenizer.json") != sha256(context.base / "tokenizer.json"):
        raise InputError(
            f"{argument} uses a different tokenizer from the base",
            f"It was trained on {run.request()['base_name']}.",
            "Train a reward model on this base, or one with the same tokenizer.",
        )


def make(argument: str, context: Context) -> Reward:
    """The reward. Prompt and answer go to it as tokens, so it must have been trained on the same base's tokenizer."""
    from edgetune.storage.workspace import Workspace
    from edgetune.training.reward_model import Scorer

    scorer = Scorer(Workspace(context.runs.parent).run(argument))

    def reward(answers: list[Answer]) -> list[float]:
        return scorer.scores([answer.ids[: scorer.length] for answer in answers])

    return reward
