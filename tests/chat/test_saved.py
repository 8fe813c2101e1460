"""Conversations kept as files, and as examples that the data engine reads."""

import errno
import json
import os
from pathlib import Path

import pytest

from edgetune.chat import branches, saved
from edgetune.data import prepare
from edgetune.data.sources import sources
from edgetune.errors import EdgeTuneError, InputError

TALK = [{"role": "user", "content": "Who keeps the light?\x1b[31m"}, {"role": "assistant", "content": "Selma."}]


def test_what_is_kept_comes_back_and_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    for number in range(2):
        saved.save(saved.new_path(tmp_path), f"model-{number}.gguf", "Be short.", TALK)
    for name, text in (("a.json", "{"), ("b.json", "[]"), ("c.json", '{"messages": [{"role": 1}]}'), ("d.json", '{"messages": 3}')):
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = saved.list_conversations(tmp_path)
    assert len(found) == 2 and {talk.model for talk in found} == {"model-0.gguf", "model-1.gguf"}
    assert all(talk.messages == TALK and talk.system == "Be short." and talk.title == TALK[0]["content"] for talk in found)
    saved.save(found[0].path, "model.gguf", "", [])
    assert len(saved.list_conversations(tmp_path)) == 2
    assert saved.list_conversations(tmp_path / "nothing") == []


def test_a_conversation_becomes_an_example_that_can_be_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    for system in ("", "Be short."):
        saved.add_example(path, system, TALK)
    report = prepare.survey(sources([str(path)]), processes=1).finish(None)
    assert (report.format, report.kept, report.rejected, report.content["system_turns"]) == ("messages", 2, 0, 1)
    with pytest.raises(InputError, match="cannot take examples"):
        saved.add_example(tmp_path / "mine.csv", "", TALK)


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_the_examples_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"messages": []}', encoding="utf-8")  # without its end of line, as an editor may leave it
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgeTuneError, match="full") as error:
        saved.add_example(path, "", TALK)
    assert error.value.remedy and path.read_text(encoding="utf-8") == '{"messages": []}'
    monkeypatch.setattr(os, "fsync", real)
    saved.add_example(path, "", TALK)
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [{"messages": []}, {"messages": TALK}]


def test_two_that_go_on_with_one_talk_both_keep_what_was_said(tmp_path: Path) -> None:
    saved.save(saved.new_path(tmp_path), "model.gguf", "", TALK)
    (talk,) = saved.list_conversations(tmp_path)
    one, other = saved.ConversationFile.of(talk), saved.ConversationFile.of(talk)
    longer, different = [*TALK, *TALK], [*TALK, {"role": "user", "content": "And then?"}]
    assert not one.save(tmp_path, "model.gguf", "", branches.unbranched(longer)) and one.path == talk.path
    assert not one.save(tmp_path, "model.gguf", "", branches.unbranched(longer)) and one.path == talk.path
    assert other.save(tmp_path, "model.gguf", "", branches.unbranched(different)) and other.path != talk.path
    assert sorted(len(kept.messages) for kept in saved.list_conversations(tmp_path)) == [3, 4]
    assert one.path
    one.path.unlink()
    assert not one.save(tmp_path, "model.gguf", "", branches.unbranched(longer)) and one.path == talk.path, "deleted is not written on"


def test_a_link_to_nothing_hides_no_talk(tmp_path: Path) -> None:
    saved.save(saved.new_path(tmp_path), "model.gguf", "", TALK)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    assert len(saved.list_conversations(tmp_path)) == 1
