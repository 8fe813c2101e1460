"""Blind comparison: sides drawn, equal texts tied, results that can be made again, and no 'better' without grounds."""

from pathlib import Path

import pytest

from edgetune.chat.sampling import Sampling
from edgetune.preferences.authors import Author
from edgetune.preferences.judges import shortest
from edgetune.preferences.prompts import PromptList, read
from edgetune.preferences.record import Choice, Vote, assistant_answer
from edgetune.preferences.store import Store
from edgetune.sessions.arena import EQUAL, Arena, result

WARM = Sampling(temperature=1.0)


@pytest.fixture(scope="module")
def questions(nano: Path) -> PromptList:
    """Twelve questions with what an answer should contain."""
    found = read(nano / "questions.jsonl")
    return PromptList(found.prompts[:12], found.name)


def arena(store: Store, files: dict[str, Path], author: Author, questions: PromptList, write: bool = True, **options: object) -> Arena:
    """Three models, all of them the bundled one's file under names of their own, answers written."""
    made = Arena(store, dict.fromkeys("abc", files["F32"]), questions, WARM, max_tokens=40, **options)  # type: ignore[arg-type]
    for name in "abc" if write else "":
        made.write(Author(name, author.engine))
    return made


def test_every_two_models_meet_once_a_prompt_with_sides_drawn(
    store: Store, files: dict[str, Path], author: Author, questions: PromptList
) -> None:
    game = arena(store, files, author, questions, write=False)
    duels = game.unvoted()
    assert len(duels) == 36 and len({(p.key, frozenset(pair)) for p, *pair in duels}) == 36
    assert 8 <= sum(one < other for _, one, other in duels) <= 28
    assert duels == arena(store, files, author, questions, write=False).unvoted()
    assert duels != arena(store, files, author, questions, write=False, seed=1).unvoted()


def test_the_same_model_thrice_is_all_ties_and_never_better(
    store: Store, files: dict[str, Path], author: Author, questions: PromptList
) -> None:
    game = arena(store, files, author, questions)
    assert game.next() is None and {vote.judge for vote in game.votes()} == {EQUAL}
    outcome = game.result()
    assert [(duel.ties, duel.share.value) for duel in outcome.duels] == [(12, 0.5)] * 3
    assert not any("better" in duel.verdict for duel in outcome.duels)
    assert [rating.value for rating in outcome.ratings.by_model.values()] == pytest.approx([0, 0, 0], abs=1e-6)


def test_it_goes_on_where_it_was_left_and_undo_takes_back_one(
    store: Store, files: dict[str, Path], author: Author, questions: PromptList
) -> None:
    def two(into: Store) -> Arena:
        return Arena(into, {"exact": files["F32"], "small": files["Q4_0"]}, questions, WARM, max_tokens=40)

    game = two(store)
    game.write(Author("exact", author.engine))
    from edgetune.chat.engine import Engine

    with Engine(files["Q4_0"], threads=1) as engine:
        game.write(Author("small", engine))
        first = game.next()
        assert first is not None and {c.model for c in first.candidates} == {"exact", "small"}
        assert [c.model for c in first.candidates] == list(first.models)
        game.vote(first, Choice("pair", "left"))
        again, progress = two(Store(store.path)), []
        left = len(again.unvoted())
        for author_now in (Author("exact", author.engine), Author("small", engine)):
            again.write(author_now, lambda done, total: progress.append(total))
        assert left < 12 and set(progress) == {left}, "only what is still needed is written"
    undone = again.undo()
    assert undone is not None and undone.candidates == first.candidates
    assert again.next() == first
    while (match := again.next()) is not None:
        again.vote(match, shortest(match.prompt, match.candidates))
    assert not again.unvoted() and len(again.votes()) == 12 == sum((d.wins + d.losses + d.ties) for d in again.result().duels)
    assert two(Store(store.path)).result() == again.result()


def test_a_win_counts_for_the_model_whatever_side_it_was_on() -> None:
    def vote(left: str, right: str, value: str) -> Vote:
        about = {"arena": "x", "prompt": "p", "models": [left, right]}
        return Vote(
            [{"role": "user", "content": "q"}], [assistant_answer("1"), assistant_answer("2")], Choice("pair", value), "arena", about=about
        )

    votes = [vote("a", "b", "left"), vote("b", "a", "right")] * 10 + [vote("a", "b", "right"), vote("b", "a", "tie"), vote("a", "b", "bad")]
    skipped = Vote([], [], Choice("skip"), "arena", about={"models": ["a", "b"]})
    [duel] = result([*votes, skipped], ["a", "b"]).duels
    assert (duel.one, duel.wins, duel.losses, duel.ties, duel.share.total) == ("a", 20, 1, 2, 23)
    assert duel.share.value == pytest.approx(21 / 23) and duel.verdict == "a is better than b"
