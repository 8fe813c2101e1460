"""Models that write the answers people choose between: an engine with a chat template, at given adapter scales."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError
from edgetune.preferences.record import Candidate, Turns, assistant_answer

MARK = "edgetune-question"
LONGEST_QUESTION = 64
"""Tokens that a proposed prompt may have."""


class Draft:
    """An answer being written: iterate to get its text; `candidate` is there at the end. Leaving the loop, or `cancel`, stops it."""

    def __init__(self, author: "Author", prompt: Turns, sampling: Sampling, max_tokens: int | None) -> None:
        self._author, self._sampling = author, sampling.checked()
        self._answer = author.begin(prompt, self._sampling, max_tokens)

    def cancel(self) -> None:
        """Ask to stop; the loop then ends by itself."""
        self._answer.cancel()

    def __iter__(self) -> Iterator[str]:
        return iter(self._answer)

    @property
    def candidate(self) -> Candidate:
        """The answer with all that made it."""
        stats = self._answer.stats
        settings = replace(self._sampling, seed=stats.seed if stats else self._sampling.seed).as_dict()
        return assistant_answer(
            self._answer.text,
            model=self._author.name,
            path=str(self._author.path),
            adapters={name: scale for name, scale in self._author.scales.items() if scale},
            sampling={**settings, "max_tokens": self._author.most},
            stop_reason=stats.reason if stats else "cancelled",
        )


class Author:
    """A model that answers. Several may share an engine and differ in the adapters' scales.

    name: what people call it. engine: the loaded model. scales: of the engine's adapters, 0 for those left out.
    """

    def __init__(self, name: str, engine: Engine, scales: dict[str, float] | None = None) -> None:
        self.name, self.engine, self.path = name, engine, Path(engine.path).absolute()
        self.scales = dict(scales or {})
        self.most: int | None = None
        self._conversation = Conversation(engine)

    def draft(self, prompt: Turns, sampling: Sampling, max_tokens: int | None = None) -> Draft:
        """Begin an answer to turns that end with the user's. InputError when they do not fit the context or the template refuses them."""
        return Draft(self, prompt, sampling, max_tokens)

    def begin(self, prompt: Turns, sampling: Sampling, max_tokens: int | None) -> Answer:
        """The stream of an answer; the adapters are at this author's scales first."""
        self.most = max_tokens
        for name, adapter in self.engine.adapters.items():
            wanted = self.scales.get(name, 0.0)
            if adapter.scale != wanted:
                self.engine.set_scale(name, wanted)
        conversation = self._conversation
        conversation.system = str(prompt[0]["content"]) if prompt[0]["role"] == "system" else None
        conversation.messages = [turn for turn in prompt[:-1] if turn["role"] != "system"]
        return conversation.ask(str(prompt[-1]["content"]), sampling=sampling, max_tokens=max_tokens)

    def question(self, seed: int) -> str:
        """What the model writes where a user's turn begins; empty where its template does not say where that is."""
        try:
            whole = self._conversation.template.render([{"role": "user", "content": MARK}], add_generation_prompt=False)
        except EdgeTuneError:
            return ""

        before, mark, behind = whole.partition(MARK)
        if not mark:
            return ""

        # The model continues where the template begins a user's turn, until a line or the turn ends.
        marks, stop = self._conversation.marks, behind.strip().splitlines()[:1]
        generation = self.engine.generate(
            self.engine.prompt_tokens(before),
            max_tokens=LONGEST_QUESTION,
            sampling=Sampling(temperature=1.0, top_k=0, top_p=0.95, seed=seed % 2**32),
            stops=(*marks.stops, "\n", *stop),
            stop_ids=marks.stop_ids,
        ).finished()

        # A question that was cut short is none.
        cut = generation.stats is not None and generation.stats.reason in ("length", "context")
        return "" if cut else generation.text.strip()
