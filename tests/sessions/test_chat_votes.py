"""Votes in the middle of a chat: the conversation goes on with what was chosen."""

import io

import pytest

from edgetune.chat.conversation import Conversation
from edgetune.chat.sampling import Sampling
from edgetune.cli.chat_terminal import Terminal
from edgetune.errors import InputError
from edgetune.preferences.authors import Author
from edgetune.preferences.store import Store
from edgetune.sessions import vote_commands
from edgetune.sessions.chat_votes import ChatVotes

COLD = Sampling(temperature=0, seed=1)


@pytest.fixture
def votes(author: Author, store: Store) -> ChatVotes:
    """A chat in which one question was answered."""
    made = ChatVotes(store, Conversation(author.engine), "nano")
    answer = made.conversation.ask("What is the opposite of hot?", sampling=COLD, max_tokens=40)
    assert "".join(answer)
    made.record_answer(answer, COLD)
    return made


def vote(votes: ChatVotes, key: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Types /vote, and then a key; what was said."""
    said: list[str] = []
    terminal = Terminal()
    monkeypatch.setattr(terminal, "say", said.append)
    monkeypatch.setattr("sys.stdin", io.StringIO(key + "\n"))
    vote_commands.run_vote_command("/vote", "", votes, COLD, 40, terminal)
    return said


@pytest.mark.parametrize(("key", "value", "stands"), [("1", "left", 0), ("2", "right", 1), ("t", "tie", 0), ("b", "bad", 0)])
def test_a_second_answer_that_differs_is_written_and_chosen(
    votes: ChatVotes, monkeypatch: pytest.MonkeyPatch, key: str, value: str, stands: int
) -> None:
    first = votes.text()
    said = vote(votes, key, monkeypatch)
    assert any("nearly identical" in text and "0.7" in text for text in said), "at temperature 0 the same answer comes first"
    [taken] = votes.store.votes()
    assert taken.choice.value == value and taken.candidates[0].text == first != taken.candidates[1].text
    assert votes.conversation.messages == [*taken.prompt, {"role": "assistant", "content": taken.candidates[stands].text}]
    assert votes.text() == taken.candidates[stands].text
    votes.thumbs(True)
    assert votes.store.votes()[1].candidates == [taken.candidates[stands]]


def test_leaving_a_vote_out_leaves_the_chat_as_it_was(votes: ChatVotes, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(votes.conversation.messages)
    assert "no vote saved" in vote(votes, "x", monkeypatch)[-1]
    assert votes.conversation.messages == before and not votes.store.votes()
    with pytest.raises(InputError, match="no second answer"):
        votes.choose("left")


def test_there_must_be_an_answer(votes: ChatVotes) -> None:
    votes.conversation.reset()
    for word in vote_commands.COMMANDS:
        with pytest.raises(InputError, match="no answer"):
            vote_commands.run_vote_command(word, "x", votes, COLD, 40, Terminal())
    with pytest.raises(InputError, match="conversation"):
        vote_commands.run_vote_command("/up", "", None, COLD, 40, Terminal())
    assert not votes.store.path.exists()
