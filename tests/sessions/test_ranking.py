"""Sessions over prompts with the real engine: answers that differ, votes, undo, going on, and how consistent a person is."""

from dataclasses import replace

import pytest

from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.preferences import candidates, judges
from edgetune.preferences.authors import Author
from edgetune.preferences.candidates import alike, hotter, sample
from edgetune.preferences.consistency import consistency, worth
from edgetune.preferences.prompts import Prompt, listed, proposed
from edgetune.preferences.record import Candidate, Choice, Vote
from edgetune.preferences.store import Store
from edgetune.sessions.ranking import REPEAT_EVERY, RankingSession
from tests.preferences.conftest import pair

WARM = Sampling(temperature=1.0)
WORDS = ["hot", "big", "up", "fast", "day", "old", "open", "happy", "early", "full", "rich", "soft"]
OPPOSITES = listed([f"What is the opposite of {word}?" for word in WORDS], "opposites")


def session(store: Store, author: Author, count: int = 2, **options: object) -> RankingSession:
    return RankingSession(store, OPPOSITES, [(author, WARM)] * count, max_tokens=40, **options)  # type: ignore[arg-type]


def by_length(task_candidates: list[Candidate]) -> Choice:
    return judges.choice([-len(candidate.text) for candidate in task_candidates])


def test_a_candidate_holds_what_made_it_and_can_be_made_again(author: Author) -> None:
    prompt = OPPOSITES.prompts[0]
    heard: list[str] = ["", ""]

    def watch(number: int, text: str) -> None:
        heard[number] += text

    made = sample([(author, WARM), (author, replace(WARM, temperature=1.2))], prompt, 3, watch=watch, distinct=False, max_tokens=30)
    assert [candidate.text for candidate in made] == heard
    for candidate in made:
        settings = {name: value for name, value in candidate.sampling.items() if name != "max_tokens"}
        draft = author.draft(prompt.messages, Sampling(**settings), candidate.sampling["max_tokens"])
        assert "".join(draft) == candidate.text and draft.candidate == candidate
    assert [candidate.sampling["temperature"] for candidate in made] == [1.0, 1.2]
    assert made[0].sampling["seed"] != made[1].sampling["seed"] and made[0].model == "nano"


def test_twins_are_written_again_hotter_with_a_notice(author: Author) -> None:
    said: list[str] = []
    cold = Sampling(temperature=0)
    made = sample([(author, cold), (author, cold)], OPPOSITES.prompts[0], 0, notice=said.append, max_tokens=40)
    assert said and "nearly identical" in said[0] and "0.7" in said[0]
    assert made[0].sampling["temperature"] == 0 and made[1].sampling["temperature"] > 0
    assert candidates.differing(made) == (made[:1] if alike(made[0].text, made[1].text) else made)
    heats = [hotter(WARM, attempt).temperature for attempt in range(len(candidates.HOTTER))]
    assert heats == sorted(heats) and heats[0] > 1


def test_what_hardly_differs() -> None:
    assert alike("Cold.", "cold") and alike("It is cold in the north, they say now.", "It is cold in the north, they say, now!")
    assert not alike("Cold.", "Warm.") and not alike("Cold.", "Cold is the opposite of hot.")


def test_a_session_is_picked_up_where_it_was_left(store: Store, author: Author) -> None:
    first, asked = session(store, author), []
    for _ in range(3):
        task = first.task()
        assert task is not None and task is first.task()
        asked.append(task.prompt.key)
        first.vote(by_length(task.candidates))
    task = first.task()
    assert task is not None
    first.skip()
    again = session(Store(store.path), author)
    assert again.state().done == 4 and again.state().pairs <= 3
    following = again.task()
    assert following is not None and following.prompt.key not in [*asked, task.prompt.key]
    assert following.candidates == session(Store(store.path), author).task().candidates  # type: ignore[union-attr]


def test_undo_brings_back_the_same_answers_also_after_a_restart(store: Store, author: Author) -> None:
    before = session(store, author)
    task = before.task()
    assert task is not None
    vote = before.vote(Choice("pair", "left"))
    again = session(Store(store.path), author)
    undone = again.undo()
    assert undone == vote and again.state().votes == 0
    shown = again.task()
    assert shown is not None and (shown.prompt, shown.candidates) == (task.prompt, task.candidates)
    assert again.vote(Choice("pair", "right")).choice.value == "right" and again.state().votes == 1
    again.undo()
    assert again.undo() is None


def test_a_ranking_expands_to_pairs(store: Store, author: Author) -> None:
    ranking = session(store, author, 3)
    while (task := ranking.task()) is not None and len(task.candidates) < 3:
        ranking.skip()
    assert task is not None
    a, b, c = task.candidates
    vote = ranking.vote(Choice("ranking", [2, 1, 2]))
    assert vote.pairs() == [(b, a), (b, c)]
    vote = store.amend(vote.id, Choice("ranking", [3, 1, 2]))
    assert vote.pairs() == [(b, c), (b, a), (c, a)]
    assert vote.labels() == [(a, False), (b, True)]


def test_an_edit_is_chosen_over_its_original(store: Store, author: Author) -> None:
    editing = session(store, author)
    task = editing.task()
    assert task is not None
    for text in ("", task.candidates[1].text + " "):
        with pytest.raises(InputError):
            editing.edit(1, text)
    thumb = editing.thumbs(0, False)
    vote = editing.edit(1, "My own words.")
    [(good, bad)] = vote.pairs()
    assert (good.text, good.model, bad) == ("My own words.", "person", task.candidates[1])
    assert thumb.labels() == [(task.candidates[0], False)] and editing.state().votes == 2 and editing.waiting is None


def test_pairs_are_repeated_swapped_and_a_consistent_person_is_seen(store: Store, author: Author) -> None:
    voting, repeats = session(store, author), 0
    while (task := voting.task()) is not None:
        if task.repeats is not None:
            repeats += 1
            assert task.candidates == task.repeats.candidates[::-1]
        voting.vote(by_length(task.candidates))
    state = voting.state()
    strict = sum(len(vote.pairs()) for vote in store.votes() if "repeats" not in vote.about)
    assert repeats == strict // REPEAT_EVERY >= 1
    assert (state.consistency.same, state.consistency.compared) == (repeats, repeats)
    assert state.pairs == strict and state.done == state.total == len(WORDS)


def test_an_inconsistent_person_is_seen_too() -> None:
    first = pair("Which?", "one", "two")
    side = Vote(first.prompt, first.candidates[::-1], Choice("pair", "left"), about={"repeats": first.id})
    taste = replace(side, id="taste", choice=Choice("pair", "right"))
    assert (consistency([first, side]).same, consistency([first, side]).compared) == (0, 1)
    assert (consistency([first, side, taste]).same, consistency([first, side, taste]).compared) == (1, 2)


def test_what_votes_are_worth() -> None:
    assert "too few" in worth(29) and "50 more" not in worth(29) and "21 more to 50" in worth(29)
    assert "150 more to 200" in worth(50) and "800 more to 1,000" in worth(200) and "more to" not in worth(1000)


def test_a_prompt_that_does_not_fit_is_passed_over(store: Store, author: Author) -> None:
    prompts = listed(["word " * 3000, "What is the opposite of hot?"], "long")
    said: list[str] = []
    task = RankingSession(store, prompts, [(author, WARM)] * 2, max_tokens=40).task(notice=said.append)
    assert task is not None and task.prompt == prompts.prompts[1] and "too long" in said[0]


def test_the_model_proposes_prompts(author: Author) -> None:
    found = proposed(author, 3, seed=1)
    assert len({prompt.messages[0]["content"] for prompt in found.prompts}) == 3
    assert proposed(author, 3, seed=1) == found != proposed(author, 3, seed=50)
    assert all(prompt.messages[0]["role"] == "user" and "<" not in prompt.messages[0]["content"] for prompt in found.prompts)


@pytest.mark.parametrize(
    ("rule", "texts", "value"),
    [
        ("shortest", ["Cold is the opposite.", "cold"], "right"),
        ("shortest", ["Cold.", "Warm"], "left"),
        ("shortest", ["scolded", "Warm"], "bad"),
        ("shortest", ["Cold.", "cold!"], "tie"),
        ("exact", ["It is cold", "COLD."], "right"),
        ("regex:^[A-Z]", ["cold", "Cold"], "right"),
        ("shortest", ["Cold, I say", "Warm", "Cold", "Hot"], [2, 3, 1, 3]),
    ],
)
def test_rules(rule: str, texts: list[str], value: object) -> None:
    answers = [Candidate([{"role": "assistant", "content": text}]) for text in texts]
    assert judges.rule(rule)(Prompt([{"role": "user", "content": "q"}], "cold"), answers).value == value
