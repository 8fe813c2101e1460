"""Several answers to one prompt that differ enough for a vote to teach something."""

import re
from collections.abc import Callable
from dataclasses import replace
from difflib import SequenceMatcher

from edgetune.chat.sampling import LARGEST_SEED, Sampling
from edgetune.preferences.authors import Author
from edgetune.preferences.prompts import Prompt
from edgetune.preferences.record import Candidate

ALIKE = 0.9
"""Two answers of which this share of the words, in order, is the same hardly differ."""
HOTTER = (1.4, 2.0, 2.8)
"""What the temperature is multiplied with, try by try, where answers hardly differ."""
HOTTEST = 2.0
COLD = 0.5
"""From here on a temperature is heated: that of greedy decoding, 0, stays 0 however much it is multiplied."""
Watch = Callable[[int, str], None]
"""Told the number of the candidate that is being written, and the text that came."""


def alike(one: str, other: str) -> bool:
    """Whether two answers hardly differ: a vote between them would teach nothing."""
    words, others = (re.findall(r"\w+", text.lower()) for text in (one, other))
    return words == others or SequenceMatcher(None, words, others, autojunk=False).ratio() >= ALIKE


def hotter(sampling: Sampling, attempt: int) -> Sampling:
    """The settings of a further try, beginning with 0."""
    heat = min(HOTTEST, max(sampling.temperature, COLD) * HOTTER[attempt])
    return replace(sampling, temperature=round(max(heat, sampling.temperature), 2))


def seeded(seed: int, prompt: Prompt, number: int, attempt: int = 0) -> int:
    """A seed for one candidate of one prompt, the same every time a session is started."""
    return (seed * 1_000_003 + int(prompt.key, 16) + 7919 * number + 104_729 * attempt) % LARGEST_SEED


def in_turn(authors: list[Author], sampling: Sampling, count: int) -> list[tuple[Author, Sampling]]:
    """Who writes each of `count` candidates, or of as many as there are authors: one after the other. Each gets a seed of its own."""
    return [(authors[number % len(authors)], replace(sampling, seed=None)) for number in range(max(count, len(authors)))]


def sample(
    authors: list[tuple[Author, Sampling]],
    prompt: Prompt,
    seed: int,
    *,
    max_tokens: int | None = None,
    watch: Watch = lambda _number, _text: None,
    notice: Callable[[str], None] = lambda _text: None,
    distinct: bool = True,
) -> list[Candidate]:
    """An answer of each author, streamed to `watch`. One that hardly differs from an earlier one is written again, hotter, with a `notice`.

    authors: who writes each candidate, with the sampling settings (their seed is not used). What still hardly differs after all tries
    is kept: the caller may leave it out. Seeds follow from `seed`, the prompt and the candidate's number.
    """
    written: list[Candidate] = []
    for number, (author, sampling) in enumerate(authors):
        settings = replace(sampling, seed=seeded(seed, prompt, number))
        written.append(_written(author, prompt, settings, max_tokens, number, watch))
        for attempt in range(len(HOTTER) if distinct else 0):
            twin = next((other for other, earlier in enumerate(written[:-1]) if alike(earlier.text, written[-1].text)), None)
            if twin is None:
                break
            settings = replace(hotter(sampling, attempt), seed=seeded(seed, prompt, number, attempt + 1))
            notice(f"Answer {number + 1} is nearly identical to answer {twin + 1}: written again at temperature {settings.temperature:g}.")
            written[-1] = _written(author, prompt, settings, max_tokens, number, watch)
    return written


def differing(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates without those that hardly differ from an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not any(alike(candidate.text, other.text) for other in kept):
            kept.append(candidate)
    return kept


def _written(author: Author, prompt: Prompt, settings: Sampling, most: int | None, number: int, watch: Watch) -> Candidate:
    draft = author.draft(prompt.messages, settings, most)
    for chunk in draft:
        watch(number, chunk)
    return draft.candidate
