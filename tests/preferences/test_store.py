"""The preference file: nothing is ever lost, torn ends are kept aside, and writers do not mix."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgetune.errors import InputError
from edgetune.preferences.record import Choice, Vote, assistant_answer
from edgetune.preferences.store import Store
from tests.preferences.conftest import pair

WRITER = """
import sys
import threading
from pathlib import Path
from edgetune.preferences.record import Choice, Vote, assistant_answer
from edgetune.preferences.store import Store
store, name = Store(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    answers = [assistant_answer("a" * 2000), assistant_answer("b")]
    vote = Vote([{"role": "user", "content": f"{name} {number}"}], answers, Choice("pair", "left"))
    print(store.add(vote).id, flush=True)
"""


def test_changes_and_deletions_are_lines_too(store: Store) -> None:
    first, second, third = (store.add(pair("Which?", "one", text)) for text in ("two", "three", "four"))
    store.amend(first.id[:8], Choice("pair", "right"))
    store.delete(second.id)
    assert [(vote.id, vote.choice.value) for vote in store.votes()] == [(first.id, "right"), (third.id, "left")]
    store.restore(second.id)
    assert Store(store.path).votes() == store.votes() and {vote.id for vote in store.votes()} == {first.id, second.id, third.id}
    kinds = [json.loads(line)["kind"] for line in store.path.read_text(encoding="utf-8").splitlines()]
    assert kinds == ["vote", "vote", "vote", "amend", "delete", "restore"]
    with pytest.raises(InputError, match="no vote"):
        store.delete("nobody")


def test_a_vote_comes_back_as_it_was(store: Store) -> None:
    made = assistant_answer(
        "Ja ä \u2028 \U0001f600\n“x”", model="m", path="/m.gguf", adapters={"a": 0.5}, sampling={"seed": 7}, stop_reason="end"
    )
    vote = store.add(
        Vote([{"role": "user", "content": "q\r\n"}], [made, assistant_answer("b")], Choice("ranking", [2, 1]), about={"list": "l"})
    )
    assert Store(store.path).votes() == [vote]


@pytest.mark.parametrize(
    ("choice", "answers"),
    [("pair", "up"), ("ranking", [1]), ("ranking", [0, 1]), ("ranking", [True, 2]), ("thumbs", True), ("edit", "x"), ("love", None)],
)
def test_a_choice_that_does_not_fit_is_refused_and_leaves_nothing(store: Store, choice: str, answers: object) -> None:
    with pytest.raises(InputError, match="does not fit"):
        store.add(Vote([{"role": "user", "content": "q"}], [assistant_answer("a"), assistant_answer("b")], Choice(choice, answers)))
    assert not store.path.exists()


def test_a_torn_end_is_kept_aside_and_never_mixed_with_the_next_vote(store: Store) -> None:
    kept = store.add(pair("Which?", "one", "two"))
    whole = store.path.read_bytes()
    torn = whole[: len(whole) // 2]
    store.path.write_bytes(whole + torn)
    assert store.votes() == [kept] and not store.fold().problems
    new = store.add(pair("And?", "one", "two"))
    assert Store(store.path).votes() == [kept, new] and not Store(store.path).fold().problems
    assert store.torn.read_bytes() == torn + b"\n"


def test_a_whole_record_that_lacks_its_newline_stays(store: Store) -> None:
    kept = [store.add(pair("Which?", "one", "two")), store.add(pair("Which?", "one", "three"))]
    store.path.write_bytes(store.path.read_bytes()[:-1])
    assert store.votes() == kept == Store(store.path).votes()
    new = store.add(pair("And?", "one", "two"))
    assert Store(store.path).votes() == [*kept, new] == store.votes() and not store.torn.exists()


def test_a_damaged_line_is_named_and_the_others_are_read(store: Store) -> None:
    first = store.add(pair("Which?", "one", "two"))
    with open(store.path, "ab") as file:
        file.write(b'{"kind": "vote"}\n\xff\xfe\n[1]\n')
    second = store.add(pair("And?", "one", "two"))
    assert store.votes() == [first, second]
    assert [problem.split(" of")[0] for problem in store.fold().problems] == ["line 2", "line 3", "line 4"]


def test_another_writer_is_seen(store: Store) -> None:
    reader = Store(store.path)
    for number in range(3):
        store.add(pair("Which?", "one", str(number)))
        assert len(reader.votes()) == number + 1
    other = Store(store.path.with_name("other.jsonl"))
    new = other.add(pair("Which?", "one", "two"))
    other.path.replace(store.path)
    assert reader.votes() == [new]


def test_writers_at_the_same_time_lose_and_mix_nothing(store: Store) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, store.path, name, "60"], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    shown = {line for writer in writers for line in writer.communicate()[0].split()}
    assert len(shown) == 180 and {vote.id for vote in store.votes()} == shown
    assert not store.fold().problems and not store.torn.exists()


def test_a_vote_that_cannot_be_written_whole_is_not_taken(store: Store, tmp_path: Path) -> None:
    """The limit on a file's size stops a write in its middle, as a full disk does."""
    code = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n" + WRITER
    done = subprocess.run([sys.executable, "-c", code, store.path, "x", "9"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "File too large" in done.stderr
    shown = done.stdout.split()
    assert len(shown) == 2 and [vote.id for vote in store.votes()] == shown
    assert store.path.read_bytes().endswith(b"\n") and not store.torn.exists()


def test_a_writer_waits_while_another_deals_with_a_torn_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between seeing a torn end and cutting it off, another's vote would be cut off with it."""
    from edgetune.preferences import store as module

    first = store.add(pair("Which?", "one", "two"))
    with open(store.path, "ab") as file:
        file.write(b'{"kind": "vo')
    look, seen, done = module.torn_end, threading.Event(), threading.Event()

    def slowly(path: Path) -> bytes:
        end = look(path)
        if not seen.is_set():
            seen.set()
            done.wait(0.5)
        return end

    monkeypatch.setattr(module, "torn_end", slowly)
    mine, theirs = pair("Which?", "one", "three"), pair("Which?", "one", "four")
    other = threading.Thread(target=store.add, args=(mine,))
    other.start()
    seen.wait()
    Store(store.path).add(theirs)
    done.set()
    other.join()
    assert {vote.id for vote in Store(store.path).votes()} == {first.id, mine.id, theirs.id}
    assert store.torn.read_bytes() == b'{"kind": "vo\n'


def test_many_votes_at_once_are_there_all_or_none(store: Store) -> None:
    """However much of the line a reader finds, or a killed writer leaves."""
    store.add(pair("Which?", "This.", "That."))
    first = len(store.path.read_bytes())
    many = [pair(f"Which {number}?", "This.", "That.") for number in range(3)]
    store.add_all(many)
    whole = store.path.read_bytes()
    assert whole.count(b"\n") == 2 and store.votes()[1:] == many
    for cut in range(first, len(whole) + 1):
        store.path.write_bytes(whole[:cut])
        assert len(Store(store.path).votes()) == (1 if cut < len(whole) - 1 else 4), cut
    store.delete(many[1].id)
    assert [vote.id for vote in Store(store.path).votes()[1:]] == [many[0].id, many[2].id]
