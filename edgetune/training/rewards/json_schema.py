"""1 where the answer is JSON that a schema allows, a tenth where it is JSON that it does not, else 0: a first step to be found."""

import json
from pathlib import Path
from typing import Any

from edgetune.errors import InputError
from edgetune.storage.paths import expand_home
from edgetune.training.rewards import Answer, Context, Reward

PARSED = 0.1
LARGEST = 2**20
"""Bytes a schema's file may have."""


def _schema(argument: str) -> Any:
    import jsonschema

    # Everything that can be wrong with the file shows before training, not at its first answer.
    path = expand_home(argument)
    try:
        if not argument or not path.is_file():
            raise InputError(f"There is no schema {argument}", "The file does not exist.", "Write --reward json_schema:FILE.")
        if path.stat().st_size > LARGEST:
            raise InputError(f"The schema {argument} is too large", f"It has more than {LARGEST} bytes.", "Name a smaller one.")
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except (ValueError, OSError, RecursionError, jsonschema.SchemaError) as error:
        raise InputError(
            f"The schema {argument} cannot be used", str(error).splitlines()[0], "Fix the JSON Schema at the place named above."
        ) from error

    if any(not str(ref).startswith("#") for ref in _refs(schema)):  # nothing is fetched
        raise InputError(
            f"The schema {argument} refers to another file", "Only references inside it (#/…) work.", "Put it all in one file."
        )

    return schema


def _refs(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return [value for key, value in part.items() if key == "$ref"] + [r for value in part.values() for r in _refs(value)]
    return [r for value in part for r in _refs(value)] if isinstance(part, list) else []


def check(argument: str, context: Context) -> None:
    """The file must hold a schema without references to others. Raises InputError."""
    _schema(argument)


def make(argument: str, context: Context) -> Reward:
    """The reward."""
    import jsonschema

    # Built once: a validator is used for every answer of a run.
    schema = _schema(argument)
    validator = jsonschema.validators.validator_for(schema)(schema)

    # A model may write anything, brackets nested too deep for the parser among it.
    def one(text: str) -> float:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return 0.0
        return 1.0 if validator.is_valid(value) else PARSED

    def reward(answers: list[Answer]) -> list[float]:
        return [one(answer.text) for answer in answers]

    return reward
