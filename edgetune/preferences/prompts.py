"""What is asked while preferences are collected: prompts from a file, votes or conversations, or proposed by the model."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetune.chat.saved import list_conversations
from edgetune.data.row import RowError
from edgetune.errors import InputError
from edgetune.preferences.record import Turns, Vote

if TYPE_CHECKING:
    from edgetune.preferences.authors import Author

EXPECTED = ("answer", "expected", "completion", "response", "output")
"""Columns that hold what an answer should contain, next to a `prompt` or `question`."""


@dataclass(frozen=True)
class Prompt:
    """Turns to answer, the last the user's. expected: what a rule wants in the answer, where the file says it."""

    messages: Turns
    expected: str = ""

    @property
    def key(self) -> str:
        """What identifies the prompt when a session resumes."""
        return hashlib.sha256(json.dumps(self.messages, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:16]


@dataclass
class PromptList:
    """Prompts, each once, and the rows that hold none. name: what identifies the list when a session resumes."""

    prompts: list[Prompt]
    name: str
    left_out: list[str] = field(default_factory=list)


def listed(texts: Iterable[str], name: str) -> PromptList:
    """Single questions as prompts, blank ones left out."""
    return _once([Prompt([{"role": "user", "content": text.strip()}]) for text in texts if text.strip()], name, [])


def read(file: Path) -> PromptList:
    """The prompts of a file: a .txt with one a line, or examples in any shape, of which the last answer is what is expected.

    Raises InputError when it holds none.
    """
    if file.suffix.lower() == ".txt" and file.is_file():
        prompt_list = listed(file.read_text(encoding="utf-8-sig").splitlines(), file.stem)
    else:
        prompts, left_out = _of_examples(str(file))
        prompt_list = _once(prompts, file.stem, left_out)
    if not prompt_list.prompts:
        first = f" The first row: {prompt_list.left_out[0]}." if prompt_list.left_out else ""
        raise InputError(
            f"{file} holds no prompts", f"No row has a question.{first}", "Write one prompt a line in a .txt file, or rows with `prompt`."
        )
    return prompt_list


def from_votes(votes: Iterable[Vote], name: str) -> PromptList:
    """The prompts of votes given so far, in chat or elsewhere: what this person really asks. InputError when there is none."""
    prompt_list = _once([Prompt(vote.prompt) for vote in votes if vote.prompt and vote.prompt[-1]["role"] == "user"], name, [])
    if not prompt_list.prompts:
        raise InputError("No vote was given yet", f"{name} would hold no prompts.", "Name a file of prompts, or propose some.")
    return prompt_list


def from_conversations(folder: Path) -> PromptList:
    """Every question of the conversations saved in a folder, with the turns before it. InputError when there is none."""
    questions = []
    for conversation in list_conversations(folder):
        system = [{"role": "system", "content": conversation.system}] if conversation.system else []
        for number, message in enumerate(conversation.messages):
            if message["role"] == "user" and message["content"].strip():
                questions.append(Prompt([*system, *conversation.messages[: number + 1]]))
    if not questions:
        raise InputError(
            "No conversation is saved yet", f"{folder} holds none.", "Chat in the app or with --save, or name a file of prompts."
        )
    return _once(questions, "talks", [])


def proposed(author: "Author", count: int, seed: int) -> PromptList:
    """Prompts that the model itself writes when its template opens a user's turn (Magpie: Xu et al. 2024, arXiv:2406.08464)."""
    texts: list[str] = []
    for number in range(4 * count):
        text = author.question(seed + number)
        if text and text not in texts:
            texts.append(text)
        if len(texts) == count:
            break
    if not texts:
        raise InputError("The model proposes no prompts", "It wrote nothing where a person's turn begins.", "Give a file with --prompts.")
    return listed(texts, f"proposed-{author.name}-{seed}")


def _of_examples(file: str) -> tuple[list[Prompt], list[str]]:
    from edgetune.data import formats, scan
    from edgetune.data.detect import detect_format
    from edgetune.data.sources import sources

    rows = list(scan.all_rows(sources([file])))
    prompts, left_out = [], []
    plain = [row for row in rows if not row.problem and _question(row.value) is not None]
    form = None if len(plain) >= 0.8 * max(len(rows), 1) else formats.module(detect_format(rows).format)
    for row in rows:
        try:
            if row.problem:
                raise RowError(row.kind, row.problem)
            prompt = _question(row.value) if form is None else _example(form.convert(row.value))
            if prompt is None:
                raise RowError("no_prompt", "there is no question")
            prompts.append(prompt)
        except RowError as error:
            left_out.append(f"{row.file}:{row.line}: {error}")
    return prompts, left_out


def _question(row: dict[str, Any]) -> Prompt | None:
    """The prompt of a flat row of text."""
    key = next((name for name in ("prompt", "question") if isinstance(row.get(name), str) and row[name].strip()), None)
    if key is None or row.get("chosen") is not None or str(row[key]).startswith("\n\nHuman:") or row.get("system") or row.get("context"):
        return None
    expected = next((row[name] for name in EXPECTED if isinstance(row.get(name), str)), "")
    return Prompt([{"role": "user", "content": row[key]}], expected)


def _example(example: Any) -> Prompt:
    """The prompt of an example: its turns up to the last answer."""
    if example.tools or example.kind == "text":
        raise RowError("no_prompt", "rows with tools, and raw text, cannot be asked here")
    turns, expected = list(example.messages), ""
    if example.kind == "preference":
        expected = str(example.pairs[0][0][-1]["content"])
    while turns and turns[-1]["role"] != "user":
        expected = str(turns[-1].get("content") or "")
        turns.pop()
    if not turns or any(turn["role"] not in ("system", "user", "assistant") for turn in turns):
        raise RowError("no_prompt", "there is no question of a user to answer")
    return Prompt(turns, expected)


def _once(prompts: list[Prompt], name: str, left_out: list[str]) -> PromptList:
    return PromptList(list({prompt.key: prompt for prompt in reversed(prompts)}.values())[::-1], name, left_out)
