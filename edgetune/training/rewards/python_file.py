"""What a function in a file of the user's gives: `reward(prompt, answer, expected) -> float`, called in a limited child process.

The child has no network (a network namespace of its own where the system allows it, and no sockets in Python), little memory and little
time, and gets nothing but the texts.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError, InputError
from edgetune.storage.paths import expand_home
from edgetune.training.rewards import Answer, Context, Reward

MEMORY, SECONDS = 512 * 2**20, 20
"""Bytes the child may have, and seconds of processor and of waiting for one batch of answers."""
CHILD = Path(__file__).with_name("_child.py")


def check(argument: str, context: Context) -> None:
    """The file must be there and be Python. Raises InputError. It is compiled, not run."""
    path = expand_home(argument)
    if not argument or not path.is_file():
        raise InputError(f"There is no file {argument}", "It was named as a reward.", "Write --reward python_file:FILE.py.")
    try:
        compile(path.read_bytes(), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{argument} is not Python", str(error), "Fix the syntax error on the line named above.") from error


def make(argument: str, context: Context) -> Reward:
    """The reward; a child of its own for every batch."""
    path = expand_home(argument).resolve()
    return lambda answers: run(path, answers)


def run(path: Path, answers: list[Answer]) -> list[float]:
    """The file's rewards for these answers. Raises EdgeTuneError where its code fails, takes too long or gives something else."""
    asked = json.dumps([[one.prompt, one.text, one.expected] for one in answers])

    # A bare environment, because tokens and keys in the user's are none of the code's business.
    with tempfile.TemporaryDirectory(prefix="edgetune-reward-") as empty:
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **({"SYSTEMROOT": os.environ["SYSTEMROOT"]} if os.name == "nt" else {})}
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(CHILD), str(path), str(MEMORY), str(SECONDS)],
                input=asked,
                capture_output=True,
                text=True,
                timeout=SECONDS + 5,
                cwd=empty,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(path, f"it took longer than {SECONDS} seconds for {len(answers)} answers") from error
    try:
        # Only the last line counts: what libraries print by themselves comes before it.
        values: Any = json.loads(done.stdout.splitlines()[-1]) if done.stdout else None
    except ValueError:
        values = None

    # Whether they are numbers to train on is looked at for every kind of reward alike.
    sound = isinstance(values, list) and len(values) == len(answers) and all(isinstance(v, int | float) for v in values)
    if done.returncode or not sound:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode} before it gave its rewards"]
        raise _failed(path, last[0])

    return [float(value) for value in values]


def _failed(path: Path, cause: str) -> EdgeTuneError:
    return EdgeTuneError(
        f"The reward in {path.name} failed",
        f"{cause}.",
        f"Fix reward() in {path}, then run: edgetune resume RUN. Reward code has no network access.",
    )
