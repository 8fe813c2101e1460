"""What the command line says of its flags and commands, in the words of the app: there is a key or a step for it here."""

import re
from functools import cache

from tui.keys import with_keys

FLAGS = {
    "--column-map": "Columns ({data.map})",
    "--format": "Shape ({data.format})",
    "--anyway": "Anyway ({data.anyway})",
    "--data": "the step 'Data'",
    "--base": "the step 'Model'",
    "--replay": "Replay file ({goal.replay})",
}
"""Flags that are more than an option of the step 'Recipe'."""
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_RESUME = re.compile(r"'edgetune resume[^']*'|edgetune resume(?: [\w.-]*\w)?")


def in_app(text: str) -> str:
    """A message of the engine for who reads it in the app. Flags that the app does not have stay as they are."""

    def named(flag: re.Match[str]) -> str:
        return with_keys(FLAGS[flag[0]]) if flag[0] in FLAGS else _options().get(flag[0], flag[0])

    return _FLAG.sub(named, _RESUME.sub(with_keys("{run.resume} on its screen"), text))


@cache
def _options() -> dict[str, str]:
    """The recipe's options as the step 'Recipe' shows them, by their flags."""
    from edgetune.config.recipe import Recipe, flag_of

    return {flag_of(name): f"'{name.replace('_', ' ')}'" for name in Recipe.model_fields}
