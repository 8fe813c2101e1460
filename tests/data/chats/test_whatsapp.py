"""WhatsApp's exports: dates of many languages, what the app writes itself, names, groups, and what the file cannot say."""

import pytest

from edgetune.data.readers.errors import FileError
from tests.data.chats.conftest import Import

QUESTION, ANSWER = "are you home?", "since six"

FORMS = {
    "Android, day first": ("14/3/2024, 21:12 - {}: {}", "14/3/2024, 21:13 - {}: {}"),
    "Android, US": ("3/14/24, 9:12\u202fPM - {}: {}", "3/14/24, 9:13\u202fPM - {}: {}"),
    "Android, German": ("14.03.24, 21:12 - {}: {}", "14.03.24, 21:13 - {}: {}"),
    "Android, Spanish": ("14/3/2024, 9:12 p.\u00a0m. - {}: {}", "14/3/2024, 9:13 p.\u00a0m. - {}: {}"),
    "year first": ("2024/03/14, 21:12 - {}: {}", "2024/03/14, 21:13 - {}: {}"),
    "ISO date": ("2024-03-14, 21:12 - {}: {}", "2024-03-14, 21:13 - {}: {}"),
    "Android, Chinese": ("2024/3/14 21:12 - {}: {}", "2024/3/14 21:13 - {}: {}"),
    "Chinese day word": ("2024/3/14 下午9:12 - {}: {}", "2024/3/14 下午9:13 - {}: {}"),
    "dashes": ("14-03-2024 21:12 - {}: {}", "14-03-2024 21:13 - {}: {}"),
    "dots in the time": ("14-03-2024, 09.12 PM - {}: {}", "14-03-2024, 09.13 PM - {}: {}"),
    "Finnish": ("14.3.2024 klo 21.12 - {}: {}", "14.3.2024 klo 21.13 - {}: {}"),
    "South Slavic": ("14. 3. 2024. 21:12:01 {}: {}", "14. 3. 2024. 21:13:01 {}: {}"),
    "iOS": ("[14/03/24, 21:12:01] {}: {}", "[14/03/24, 21:13:01] {}: {}"),
    "iOS, US": ("[3/14/24, 9:12:01\u202fPM] {}: {}", "[3/14/24, 9:13:01\u202fPM] {}: {}"),
    "iOS, Chinese": ("[2024/3/14 21:12:01] {}:{}", "[2024/3/14 21:13:01] {}:{}"),
    "iOS, old": ("[14-03-24, 21:12:01] {}: {}", "[14-03-24, 21:13:01] {}: {}"),
    "very old": ("14.03.24 21.12.01: {}: {}", "14.03.24 21.13.01: {}: {}"),
    "Arabic digits": ("١٤/٣/٢٠٢٤، ٩:١٢ م - {}: {}", "١٤/٣/٢٠٢٤، ٩:١٣ م - {}: {}"),
    "Korean day word": ("2024. 3. 14. 오후 9:12 - {}: {}", "2024. 3. 14. 오후 9:13 - {}: {}"),
}


@pytest.mark.parametrize("form", FORMS)
def test_dates_of_many_languages(imported: Import, form: str) -> None:
    first, second = FORMS[form]
    text = "\n".join((first.format("Ann", QUESTION), second.format("Ben", ANSWER)))
    result = imported({"any name.txt": text}, me="Ben")
    assert result.sources == ["whatsapp"]
    assert result.dialogs() == [[("user", QUESTION), ("assistant", ANSWER)]]


def test_what_the_app_wrote_is_left_out_and_counted(imported: Import) -> None:
    text = """3/14/24, 9:10 PM - Messages and calls are end-to-end encrypted.
3/14/24, 9:11 PM - Ann created group "a: b"
3/14/24, 9:12 PM - Ann: are you home?
3/14/24, 9:12 PM - Ann: <Media omitted>
3/14/24, 9:13 PM - Ben: IMG-20240314-WA0001.jpg (file attached)
look at this
3/14/24, 9:13 PM - Ben: You deleted this message
3/14/24, 9:14 PM - Ann: nice <This message was edited>
3/14/24, 9:14 PM - Ann: POLL:
tea?
OPTION: yes (1 vote)
3/14/24, 9:15 PM - Ben: location: https://maps.google.com/?q=1.5,2.5
3/14/24, 9:16 PM - Ben: it is

a kettle
"""
    result = imported({"WhatsApp Chat with Ann.txt": text}, me="Ben")
    expected = [("user", "are you home?"), ("assistant", "look at this"), ("user", "nice"), ("assistant", "it is\n\na kettle")]
    assert result.dialogs() == [expected]
    assert result.counts.left_out == {"notice": 2, "media": 1, "deleted": 1, "poll": 1, "place": 1}
    assert (result.counts.answers, result.counts.context) == (2, 2)


def test_marks_of_ios(imported: Import) -> None:
    text = (
        "\u200e[14/03/24, 21:10:00] Ann: \u200eMessages and calls are end-to-end encrypted.\n"
        "[14/03/24, 21:11:00] ~\u202fAnn: are you home?\n"
        "\u200e[14/03/24, 21:11:10] ~\u202fAnn: \u200eimage omitted\n"
        "\u200e[14/03/24, 21:11:20] ~\u202fAnn: \u200eMissed voice call\n"
        "\u200e[14/03/24, 21:11:30] Ben: \u200e<attached: 00000012-PHOTO-2024-03-14-10-00-00.jpg>\n"
        "\u200e[14/03/24, 21:11:40] Ben: \u200eThis message was deleted.\n"
        "[14/03/24, 21:12:00] Ben: since \u2068six\u2069 \u200e<This message was edited.>\n"
    )
    result = imported({"_chat.txt": text}, me="Ben")
    assert result.dialogs() == [[("user", "are you home?"), ("assistant", "since six")]]
    assert result.counts.left_out == {"notice": 1, "media": 2, "call": 1, "deleted": 1}


def test_a_name_may_have_a_colon(imported: Import) -> None:
    lines = ("Dr: Ann: hello", "Ben: hi: you", "Dr: Ann: well?", "Ben: yes")
    text = "".join(f"14/3/2024, 21:1{at} - {line}\n" for at, line in enumerate(lines))
    result = imported({"a.txt": text}, me="Ben")
    assert result.counts.people == {"Dr: Ann": 2, "Ben": 2}
    assert result.dialogs()[0][1] == ("assistant", "hi: you")


def test_a_pause_begins_a_conversation(imported: Import) -> None:
    text = "14/3/2024, 21:12 - Ann: one?\n14/3/2024, 21:13 - Ben: two\n15/3/2024, 21:12 - Ann: three?\n15/3/2024, 21:13 - Ben: four\n"
    assert len(imported({"a.txt": text}, me="Ben").examples) == 2
    assert len(imported({"a.txt": text}, me="Ben", pause=2000).examples) == 1


def test_a_long_conversation_becomes_several_with_context(imported: Import) -> None:
    text = "".join(f"14/3/2024, 21:{n:02} - {'Ben' if n % 2 else 'Ann'}: {'x' * 90} {n}\n" for n in range(12))
    result = imported({"a.txt": text}, me="Ben", longest=400)
    assert result.counts.answers == result.counts.context == 6
    trained = [turn for row in result.examples for turn in row["messages"] if turn["role"] == "assistant" and turn.get("weight") != 0]
    assert [turn["content"].split()[1] for turn in trained] == ["1", "3", "5", "7", "9", "11"]
    assert any(turn.get("weight") == 0 for turn in result.examples[1]["messages"])


def test_two_orders_of_dates_are_told_apart_or_asked_for(imported: Import) -> None:
    def chat(*dates: str) -> dict[str, str]:
        return {"a.txt": "".join(f"{date}, 21:12 - {'Ben' if n % 2 else 'Ann'}: text {n}\n" for n, date in enumerate(dates))}

    # Days run on: 1, 2, 3 February by the day first; by the month first the years would stand still as well, but months jump.
    assert len(imported(chat("1/2/24", "1/2/24", "2/2/24", "2/2/24", "3/2/24", "3/2/24"), me="Ben").examples) == 3
    with pytest.raises(FileError, match="whether the day or the month"):
        imported(chat("1/2/24", "2/3/24"), me="Ben")
    assert imported(chat("1/2/24", "2/3/24"), me="Ben", date_order="day", pause=10**7).dialogs()


def test_groups_are_left_out(imported: Import) -> None:
    text = "14/3/2024, 21:12 - Ann: one?\n14/3/2024, 21:13 - Ben: two\n14/3/2024, 21:13 - Cleo: three\n"
    result = imported({"a.txt": text}, me="Ben")
    assert not result.examples and result.counts.left_out == {"group chat": 3}
    text += "14/3/2024, 21:14 - Ann: @Ben where?\n14/3/2024, 21:15 - Ben: here\n"
    result = imported({"a.txt": text}, me="Ben", groups="replies")
    assert result.dialogs() == [[("user", "@Ben where?"), ("assistant", "here")]]


def test_a_text_that_only_begins_like_a_date_is_none(imported: Import) -> None:
    with pytest.raises(Exception, match="No chats were found"):
        imported({"a.txt": "14/3/2024 was a Thursday.\nNothing: else.\n"})
