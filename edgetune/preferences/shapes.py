"""Votes written as the preference shapes that trainers read: TRL's as they are, and the others people use."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from edgetune.data.row import RowError
from edgetune.preferences.record import Candidate, Turns, Vote

Row = dict[str, Any]


def pair_lists(vote: Vote) -> Iterator[Row]:
    """{prompt, chosen, rejected} as message lists: TRL's conversational preference shape."""
    for good, bad in vote.pairs():
        yield _tools(vote, {"prompt": vote.prompt, "chosen": good.completion, "rejected": bad.completion})


def unpaired(vote: Vote) -> Iterator[Row]:
    """{prompt, completion, label}: TRL's unpaired shape, for KTO."""
    for candidate, label in vote.labels():
        yield _tools(vote, {"prompt": vote.prompt, "completion": candidate.completion, "label": label})


def pair_messages(vote: Vote) -> Iterator[Row]:
    """{chosen_messages, rejected_messages}: two whole conversations, LLaMA-Factory's version 1."""
    for good, bad in vote.pairs():
        yield _tools(
            vote, {"chosen_messages": _parts(vote.prompt + good.completion), "rejected_messages": _parts(vote.prompt + bad.completion)}
        )


def pair_turns(vote: Vote) -> Iterator[Row]:
    """{conversations, chosen, rejected} in from/value turns: LLaMA-Factory's and Axolotl's ShareGPT pairs."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}

    def turn(message: dict[str, Any]) -> Row:
        if message["role"] not in names or message.get("tool_calls"):
            raise RowError("tools", "turns with tool calls have no place in this shape")
        return {"from": names[message["role"]], "value": message["content"]}

    for good, bad in vote.pairs():
        sides = [turn(_only(candidate)) for candidate in (good, bad)]
        yield {"conversations": [turn(message) for message in vote.prompt], "chosen": sides[0], "rejected": sides[1]}


def pair_strings(vote: Vote) -> Iterator[Row]:
    """{prompt, chosen, rejected} as text, with `system` where there is one: single questions only."""
    for good, bad in vote.pairs():
        yield {**_question(vote), "chosen": _text(good), "rejected": _text(bad)}


def pair_whole(vote: Vote) -> Iterator[Row]:
    """{chosen, rejected} as whole dialogues in one text (HH-RLHF)."""
    names = {"user": "Human", "assistant": "Assistant"}
    for message in vote.prompt:
        if message["role"] not in names or any(f"\n\n{name}:" in str(message["content"]) for name in names.values()):
            raise RowError("turns", "only turns of user and assistant can be written as one dialogue")
    before = "".join(f"\n\n{names[m['role']]}: {m['content']}" for m in vote.prompt) + "\n\nAssistant: "
    for good, bad in vote.pairs():
        yield {"chosen": before + _text(good), "rejected": before + _text(bad)}


def ranking(vote: Vote) -> Iterator[Row]:
    """{prompt, answers: [{answer, rank}]}: a row for every vote that prefers anything, the best answer first."""
    if not vote.pairs():
        return
    ranks = vote.choice.value if vote.choice.type == "ranking" else [1, 2] if vote.choice.value == "left" else [2, 1]
    answers = [{"answer": candidate.completion, "rank": rank} for candidate, rank in zip(vote.candidates, ranks, strict=True)]
    answers.sort(key=lambda item: item["rank"])
    yield _tools(vote, {"prompt": vote.prompt, "answers": answers})


def messages(vote: Vote) -> Iterator[Row]:
    """{messages}: conversations that end in the best answer, for fine-tuning on what was liked."""
    for candidate, good in vote.labels():
        if good:
            yield _tools(vote, {"messages": vote.prompt + candidate.completion})


def prompt(vote: Vote) -> Iterator[Row]:
    """{prompt}: what was asked, still to be answered, for reinforcement learning."""
    if vote.choice.type != "skip":
        yield _tools(vote, {"prompt": vote.prompt})


SHAPES: dict[str, Callable[[Vote], Iterator[Row]]] = {
    shape.__name__: shape
    for shape in (pair_lists, unpaired, ranking, pair_messages, pair_turns, pair_strings, pair_whole, messages, prompt)
}
"""Shapes by the names that `edgetune data` gives them, TRL's own first."""


def rows(votes: Iterable[Vote], shape: str = "pair_lists") -> tuple[list[Row], list[str]]:
    """Rows of a shape, each once, and why votes have no place in it. Repeats asked to see how consistent a person is are not rows."""
    unique_rows: dict[str, Row] = {}
    refused = []
    for vote in votes:
        if "repeats" in vote.about:
            continue
        try:
            for row in SHAPES[shape](vote):
                key = json.dumps({name: value for name, value in row.items() if name != "label"}, sort_keys=True)
                unique_rows.pop(key, None)  # of two verdicts on the same answer the later one counts
                unique_rows[key] = row
        except RowError as error:
            refused.append(f"vote {vote.id}: {error}")
    return list(unique_rows.values()), refused


def _tools(vote: Vote, row: Row) -> Row:
    return {**row, "tools": vote.tools} if vote.tools else row


def _parts(turns: Turns) -> Turns:
    return [
        {**turn, "content": [{"type": "text", "value": turn["content"]}]} if isinstance(turn.get("content"), str) else turn
        for turn in turns
    ]


def _only(candidate: Candidate) -> dict[str, Any]:
    if len(candidate.completion) != 1:
        raise RowError("turns", "an answer of several turns has no place in this shape")
    return candidate.completion[0]


def _text(candidate: Candidate) -> str:
    turn = _only(candidate)
    if turn.get("tool_calls"):
        raise RowError("tools", "turns with tool calls have no place in this shape")
    return str(turn["content"])


def _question(vote: Vote) -> Row:
    roles = [message["role"] for message in vote.prompt]
    if roles not in (["user"], ["system", "user"]):
        raise RowError("turns", "a conversation of several turns has no place in this shape")
    return {"prompt": vote.prompt[-1]["content"]} | ({"system": vote.prompt[0]["content"]} if len(roles) == 2 else {})
