"""Telegram's JSON: a chat, an account, texts in parts, what no person wrote, and a control character that JSON does not know."""

from typing import Any

import pytest

from edgetune.data.readers.errors import FileError
from tests.data.chats.conftest import Import


def message(key: int, sender: str | None, text: Any, **more: Any) -> dict[str, Any]:
    """A message, a minute after the one before it."""
    return {
        "id": key,
        "type": "message",
        "date_unixtime": str(1_704_103_200 + 60 * key),
        "from": sender,
        "from_id": "user1",
        "text": text,
        **more,
    }


def test_one_chat(imported: Import) -> None:
    chat = {
        "name": "Cleo",
        "type": "personal_chat",
        "id": 12,
        "messages": [
            message(
                1, "Cleo", ["see ", {"type": "link", "text": "x.example"}, "!"], text_entities=[{"type": "plain", "text": "see x.example!"}]
            ),
            message(2, "Ben", "nice"),
            message(3, "Ben", "", media_type="sticker", file="a.webp"),
            message(4, "Cleo", "", photo="b.jpg"),
            message(5, "Cleo", "not mine", forwarded_from="Dora"),
            message(6, "Cleo", "a result", via_bot="@gif"),
            {"id": 7, "type": "service", "actor": "Ben", "action": "phone_call", "text": ""},
            {"id": 8, "type": "unsupported"},
            message(9, None, "from nobody"),
            message(10, "Ben", "who?"),
        ],
    }
    result = imported({"anything.json": chat}, me="Ben")
    assert result.sources == ["telegram"]
    assert result.counts.left_out == {"sticker": 1, "media": 1, "forwarded": 1, "by a bot": 1, "call": 1, "notice": 1}
    assert result.dialogs() == [[("user", "see x.example!"), ("assistant", "nice"), ("user", "from nobody"), ("assistant", "who?")]]


def test_an_account_says_who_made_it(imported: Import) -> None:
    chats = [
        {"name": name, "type": "personal_chat", "id": at, "messages": [message(1, name, "hi?"), message(2, "Ben Stone", "hello")]}
        for at, name in enumerate(("Cleo", "Dora"))
    ]
    group = {
        "name": "Garden",
        "type": "private_group",
        "id": 9,
        "messages": [message(1, "Cleo", "rain?"), message(2, "Dora", "sun"), message(3, "Ben Stone", "rain", reply_to_message_id=1)],
    }
    account = {
        "about": "…",
        "personal_information": {"user_id": 2, "first_name": "Ben", "last_name": "Stone"},
        "chats": {"about": "…", "list": [*chats, group]},
        "left_chats": {"about": "…", "list": []},
    }
    assert imported({"result.json": account}).dialogs() == [[("user", "hi?"), ("assistant", "hello")]] * 2
    assert imported({"result.json": account}, groups="replies").dialogs()[2] == [("user", "rain?"), ("assistant", "rain")]


def test_older_files_have_local_time_alone(imported: Import) -> None:
    entries = [
        {**message(n, "Ben" if n % 2 else "Cleo", str(n)), "date": f"2024-01-0{1 + n // 2}T10:00:00", "from_id": 5} for n in range(4)
    ]
    for entry in entries:
        del entry["date_unixtime"]
    assert len(imported({"a.json": {"name": "Cleo", "type": "personal_chat", "id": 1, "messages": entries}}, me="Ben").examples) == 2


def test_control_characters_are_mended(imported: Import) -> None:
    entries = r'{"id":1,"type":"message","from":"C","text":"a\x0Bb"},{"id":2,"type":"message","from":"B","text":"c"}'
    text = f'{{"name":"C","type":"personal_chat","id":1,"messages":[{entries}]}}'
    assert imported({"a.json": text}, me="B").dialogs() == [[("user", "a\x0bb"), ("assistant", "c")]]


def test_a_cut_file_is_refused_with_its_line(imported: Import) -> None:
    text = '{"name":"C","type":"personal_chat","id":1,\n"messages":[{"id":1,"type":"message","from":"C","text":"a"},\n{"id":2,'
    with pytest.raises(FileError, match="cut off") as failure:
        imported({"a.json": text}, me="C")
    assert "Line 3" in failure.value.cause
