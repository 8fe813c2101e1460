"""What a ranking or an arena was last asked to do, saved in the workspace, so that one key resumes it."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.models import Model
from edgetune.storage.files import write_json
from edgetune.storage.workspace import Workspace
from edgetune.text import one_line

if TYPE_CHECKING:
    from edgetune.preferences.authors import Author
    from edgetune.preferences.prompts import PromptList
    from edgetune.preferences.store import Store

SOURCES = {
    "file": "a file: .txt with one a line, or examples",
    "talks": "what I asked in saved chats",
    "votes": "what was voted on so far",
    "proposed": "let the model propose some",
}
"""Where prompts come from."""


@dataclass
class VotePlan:
    """models: who answers. prompts: one of SOURCES, with the file or the number it needs. count: answers a prompt.

    into: the preference file. max_tokens: longest answer, None for 512 or half the context. limit: use only the first prompts.
    """

    models: list[Model] = field(default_factory=list)
    prompts: str = ""
    file: str = ""
    proposed: int = 50
    count: int = 3
    temperature: float = 1.0
    max_tokens: int | None = None
    into: str = "prefs"
    limit: int | None = None

    @property
    def prompts_label(self) -> str:
        """Where the prompts come from, in words."""
        if self.prompts == "file":
            return one_line(Path(self.file).name, 40)
        return {"": "", "proposed": f"{self.proposed} proposed by the model"}.get(self.prompts, SOURCES.get(self.prompts, ""))

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        return Sampling(self.temperature, seed=0)

    def read_prompts(self, workspace: Workspace, votes: "Store") -> "PromptList | None":
        """The prompts, read now; None where the model is to propose them. InputError where there are none."""
        from edgetune.preferences import prompts

        if self.prompts == "file":
            return prompts.read(Path(self.file))
        if self.prompts == "talks":
            return prompts.from_conversations(workspace.conversations)
        if self.prompts == "votes":
            return prompts.from_votes(votes.votes(), f"{self.into}-voted")
        return None

    def propose_prompts(self, author: "Author") -> "PromptList":
        """The prompts that a model proposes."""
        from edgetune.preferences import prompts

        return prompts.proposed(author, self.proposed, 0)

    def check_complete(self, least: int) -> None:
        """InputError naming the first thing that is missing for `least` models."""
        if len(self.models) < least:
            few = "No model was chosen." if not self.models else "One model was chosen."
            raise InputError(f"{'Two models are' if least > 1 else 'A model is'} needed", few, "Enter on 'models' chooses.")
        if self.prompts not in SOURCES:
            raise InputError("Prompts are needed", "Nothing says what to ask.", "Enter on 'prompts' chooses where they come from.")

    def save(self, path: Path) -> None:
        """Write it."""
        write_json(path, asdict(self))


def load_plan(path: Path, defaults: VotePlan) -> VotePlan:
    """The plan of a file; what is missing or makes no sense is as in `defaults`."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        models = [Model(str(model["kind"]), str(model["place"])) for model in row.pop("models")]
        sound = {f.name: row[f.name] for f in fields(VotePlan) if isinstance(row.get(f.name), type(getattr(defaults, f.name)))}
        limits = {name: row[name] for name in ("max_tokens", "limit") if isinstance(row.get(name), int)}
        return replace(defaults, **{**sound, **limits, "models": models})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return defaults
