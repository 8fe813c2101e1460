"""A chat as a program exported it is no file of examples, and is named with the way to make it one."""

import json
from pathlib import Path

import pytest

from edgetune.data.readers.errors import FileError
from edgetune.data.scan import detect_file_format
from edgetune.data.sources import Source
from edgetune.errors import InputError

WHATSAPP = "".join(f"{day}/3/2024, 21:{day} - {name}: Message {day}\nand more of it\n" for day in range(10, 28) for name in ("Ann", "Ben"))
TELEGRAM = {
    "name": "Cleo",
    "type": "personal_chat",
    "id": 12,
    "messages": [
        {"id": 1, "type": "service", "date_unixtime": "1704103200", "actor": "Cleo", "action": "phone_call", "text": ""},
        *({"id": i, "type": "message", "date_unixtime": f"{1704103200 + i}", "from": "Ben", "text": f"hi {i}"} for i in range(2, 30)),
    ],
}


@pytest.mark.parametrize(
    ("name", "content", "program"),
    [
        ("chat.txt", WHATSAPP, "WhatsApp"),
        ("result.json", json.dumps(TELEGRAM), "Telegram"),
        ("a.json", json.dumps(TELEGRAM, indent=1), "Telegram"),
    ],
)
def test_an_exported_chat_is_named_and_not_read_as_examples(name: str, content: str, program: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FileError, match=f"is an export of {program}") as caught:
        detect_file_format(Source(path), "auto", {})
    assert caught.value.kind == "chat_export" and f"edgetune data import-chats {path} --me YOUR-NAME" in caught.value.remedy

    # Who asks for plain text gets it.
    if name.endswith(".txt"):
        assert detect_file_format(Source(path), "text", {}).format == "text"


@pytest.mark.parametrize(
    "text",
    [
        "A letter.\n\n12/3/2024, 21:10 - Ann: came home\n12/3/2024, 21:11 - Ben: left\n\n" + "It goes on, line by line.\n" * 40,
        "12/3/2024 was a cold day.\n13/3/2024 was colder.\n",
        "Nothing of the kind.\n",
    ],
)
def test_a_text_with_dates_is_no_chat(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    assert detect_file_format(Source(path), "auto", {}).format == "text"


def test_the_check_ends_with_the_way_out(tmp_path: Path) -> None:
    from edgetune.data import prepare

    path = tmp_path / "chat.txt"
    path.write_text(WHATSAPP, encoding="utf-8")
    with pytest.raises(InputError, match="export of WhatsApp"):
        prepare.survey([Source(path)])
