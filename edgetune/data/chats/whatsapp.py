"""WhatsApp's "Export chat", of Android and iOS, in the date forms of many languages."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from edgetune.data.chats._chat import Chat, Message
from edgetune.data.chats._files import ExportFile
from edgetune.data.readers.errors import FileError

TITLE = "WhatsApp"
HOW_TO_EXPORT = "In the chat's menu: More, Export chat."
ASSISTANT = False

MARK = "\u200e"
"""iOS puts a left-to-right mark before what the app wrote itself."""
INVISIBLE = dict.fromkeys([*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF])
SPACES = dict.fromkeys((0x00A0, 0x2009, 0x202F), " ")
DIGITS = {start + digit: str(digit) for start in (0x660, 0x6F0, 0x966) for digit in range(10)}
CLEAN = {**INVISIBLE, **SPACES, **DIGITS, ord("،"): ","}

AFTERNOON = ("pm", "p.m.", "p. m.", "p.m", "下午", "午後", "오후", "nachm.", "μ.μ.", "م", "du.", "ch", "ös", "em")
MORNING = ("am", "a.m.", "a. m.", "a.m", "上午", "午前", "오전", "vorm.", "π.μ.", "ص", "de.", "sa", "öö", "fm")
_DAY_WORDS = "|".join(re.escape(word) for word in sorted((*AFTERNOON, *MORNING), key=len, reverse=True))
LINE = re.compile(
    rf"^(?P<open>\[)?(?P<a>\d{{1,4}})[./-] ?(?P<b>\d{{1,2}})[./-] ?(?P<c>\d{{1,4}})\.?,? (?:(?P<before>{_DAY_WORDS}) ?|klo |kl\. )?"
    rf"(?P<hour>\d{{1,2}})[:.](?P<minute>\d{{2}})(?:[:.](?P<second>\d{{2}}))?(?: ?(?P<after>{_DAY_WORDS}))?"
    r"(?(open)\]:?|(?: [-\u2013]|:?))(?: (?P<rest>.*)|$)",
    re.IGNORECASE | re.DOTALL,
)
"""A line that begins a message, on its cleaned copy."""
RECOGNISED = 2
"""Lines of a file's start that must begin messages; one alone may be any text with a date."""

EDITED = (
    "message was edited",
    "nachricht wurde bearbeitet",
    "editó este mensaje",
    "mensaje fue editado",
    "message a été modifié",
    "messaggio è stato modificato",
    "mensagem editada",
    "mensagem foi editada",
    "bericht is bewerkt",
    "wiadomość została zmieniona",
    "сообщение изменено",
    "mesaj düzenlendi",
    "meddelandet redigerades",
    "pesan ini diedit",
    "已编辑",
    "編集済み",
)
DELETED = (
    "message was deleted",
    "deleted this message",
    "nachricht wurde gelöscht",
    "nachricht gelöscht",
    "se eliminó este mensaje",
    "eliminaste este mensaje",
    "message a été supprimé",
    "supprimé ce message",
    "messaggio è stato eliminato",
    "eliminato questo messaggio",
    "mensagem foi apagada",
    "apagou esta mensagem",
    "mensagem apagada",
    "bericht is verwijderd",
    "bericht verwijderd",
    "wiadomość została usunięta",
    "сообщение удалено",
    "mesaj silindi",
    "meddelandet raderades",
    "pesan ini dihapus",
    "撤回",
    "削除",
)
CALLS = (
    "call",
    "anruf",
    "llamada",
    "appel",
    "chiamata",
    "chamada",
    "ligação",
    "gesprek",
    "połączenie",
    "звонок",
    "arama",
    "samtal",
    "通话",
    "通話",
)
OMITTED = re.compile(r"^<[^<>\n]{3,60}>$")
"""Android's stand-in for media that was not exported, in any language."""
ATTACHED = re.compile(r"^(?:<[^<>\n:]{3,30}: [^<>\n]+\.\w{2,5}>|[^\n]+\.\w{2,5} (?:\([^()\n]{5,40}\)|<[^<>\n]{5,30}>))(?:\n|$)")
EDIT_MARK = re.compile(rf"[ ]?{MARK}?<(?P<words>[^<>\n]{{5,80}})>$")
QUOTES = frozenset('"“”„«»')


class MessageStart(NamedTuple):
    """The start of a message: date as three numbers, seconds of the day, and what follows, with its invisible marks."""

    date: tuple[int, int, int]
    seconds: int
    rest: str


def recognise(file: ExportFile) -> bool:
    """Whether a text's lines begin as WhatsApp's do."""
    if file.head[:1] in (b"{", b"<"):
        return False
    lines = file.head.decode("utf-8", "replace").split("\n")
    begun = [line for line in map(_line, lines) if line is not None]
    return len(begun) >= RECOGNISED and any(_author(line.rest) for line in begun) and not _is_signal(lines[0])


def read(files: list[ExportFile]) -> Iterator[Chat]:
    """A chat of every file. Raises FileError: encoding, damaged (no message in it), dates (both orders fit, and it matters)."""
    for file in files:
        messages = list(_messages(file))
        yield Chat(_title(file), messages)


def _is_signal(line: str) -> bool:
    """signal-export writes `[2024-01-31 10:00:00] Me: …` with a full ISO date, which WhatsApp has without brackets alone."""
    return re.match(r"^\[\d{4}-\d{2}-\d{2},? \d{2}:\d{2}", line) is not None


def _title(file: ExportFile) -> str:
    """The chat's name, from the file's or the archive's ("WhatsApp Chat with Ann.txt", "WhatsApp Chat - Ann.zip")."""
    name = file.name.stem if file.name.stem != "_chat" else file.path.stem
    return re.sub(r"^WhatsApp[^-]*?(?: - | with | mit | con | avec | com | met | z )", "", name).strip() or name


def _line(text: str) -> MessageStart | None:
    """What a line of the file begins; None for one that continues the message before."""
    if not (match := LINE.match(text.translate(CLEAN).strip("\r"))):
        return None
    a, b, c = int(match["a"]), int(match["b"]), int(match["c"])
    hour, minute = int(match["hour"]), int(match["minute"])
    word = (match["before"] or match["after"] or "").lower()
    if word and hour <= 12:
        hour = hour % 12 + (12 if word in AFTERNOON else 0)
    if max(a, b, c) > 9999 or hour > 23 or minute > 59 or not (min(a, b) > 0 or a > 31):
        return None

    # The rest is taken from the line itself: people's texts keep their invisible signs.
    rest = match["rest"] or ""
    return MessageStart((a, b, c), hour * 3600 + minute * 60 + int(match["second"] or 0), _last_part(text.strip("\r"), rest))


def _last_part(text: str, cleaned: str) -> str:
    """The end of a text whose cleaned copy is given, with the mark that stands before it."""
    at = len(text)
    left = len(cleaned)
    while at > 0 and left > 0:
        at -= 1
        left -= len(text[at].translate(CLEAN))
    while at > 0 and ord(text[at - 1]) in INVISIBLE:
        at -= 1
    return text[at:]


def _author(rest: str) -> tuple[str, str] | None:
    """The author and the text of what follows the date; None for a notice, which has no author."""
    head, colon, text = rest.partition(":")
    name = head.translate(CLEAN).strip().lstrip("~").strip()
    if not colon or not name or len(name) > 80 or QUOTES & set(name):
        return None
    return name, text.removeprefix(" ")


def _messages(file: ExportFile) -> Iterator[Message]:
    lines: list[MessageStart] = []
    with file.text() as text:
        for number, content in enumerate(text, 1):
            content = content.rstrip("\n").rstrip("\r")
            if begun := _line(content):
                lines.append(begun)
            elif lines:
                lines[-1] = lines[-1]._replace(rest=f"{lines[-1].rest}\n{content}")
            elif content.strip() and number > 50:
                break
    if not lines:
        raise FileError(
            Path(str(file)),
            "damaged",
            "holds no WhatsApp message",
            "No line begins with a date and a name.",
            f"Export the chat again. {HOW_TO_EXPORT}",
        )

    place = _date_places(lines, file)
    long_names = _names_with_colons(lines)
    title = _title(file)
    for line in lines:
        yield _message(line, place, long_names, title)


def _message(line: MessageStart, place: tuple[int, int, int], long_names: dict[str, str], title: str) -> Message:
    time = _time(line, place)
    parted = _author(line.rest)
    if not parted:
        return Message("", line.rest, time, left_out="notice")
    name, text = parted
    if (longer := long_names.get(name)) and text.startswith(longer):
        name, text = f"{name}: {longer.rstrip(': ')}", text[len(longer) :].lstrip()

    reason, text = _kind(text.rstrip())
    if not reason and name == title and text.startswith(MARK):
        reason = "notice"
    return Message(name, text.translate(INVISIBLE).strip(), time, left_out=reason)


def _kind(text: str) -> tuple[str, str]:
    """(why a text cannot be used or "", the text that a person wrote)."""
    lower = text.lower()
    if attached := ATTACHED.match(text.lstrip(MARK)):
        caption = text.lstrip(MARK)[attached.end() :].strip()
        return ("", caption) if caption else ("media", "")
    if (edited := EDIT_MARK.search(text)) and any(words in edited["words"].lower() for words in EDITED):
        text = text[: edited.start()]
        return ("", text) if text.strip() else ("empty", "")
    if (
        len(text) < 120
        and any(words in lower for words in DELETED)
        and (text.startswith(MARK) or lower.strip(" .") in _WHOLE_DELETED or OMITTED.match(text))
    ):
        return "deleted", ""
    if OMITTED.match(text):
        return "media", ""
    if text.startswith(MARK):
        return (
            "call"
            if len(text) < 40 and any(word in lower for word in CALLS)
            else "media"
            if len(text) < 60 and _is_omission(lower)
            else "notice"
        ), ""
    if re.match(r"^(?:POLL|UMFRAGE|ENCUESTA|SONDAGE|ENQUETE):", text):
        return "poll", ""
    if re.match(r"^\w+: https://maps\.google\.com/\?q=", text):
        return "place", ""
    return ("", text) if text.translate(INVISIBLE).strip() not in ("", ".", "null") else ("empty", "")


_WHOLE_DELETED = frozenset(
    (
        "this message was deleted", "you deleted this message", "diese nachricht wurde gelöscht", "du hast diese nachricht gelöscht",
        "se eliminó este mensaje", "eliminaste este mensaje", "ce message a été supprimé", "vous avez supprimé ce message",
        "questo messaggio è stato eliminato", "hai eliminato questo messaggio", "esta mensagem foi apagada", "você apagou esta mensagem",
        "dit bericht is verwijderd", "je hebt dit bericht verwijderd", "ta wiadomość została usunięta", "это сообщение удалено",
    )
)  # fmt: skip
_OMISSION = (
    "omitted",
    "weggelassen",
    "ausgeschlossen",
    "omitid",
    "omis",
    "omess",
    "ocult",
    "weggelaten",
    "pominięt",
    "опущен",
    "dahil edilmedi",
    "utelämna",
    "略",
)


def _is_omission(lower: str) -> bool:
    return any(word in lower for word in _OMISSION)


def _names_with_colons(lines: list[MessageStart]) -> dict[str, str]:
    """Names that have a colon in them: the part before it, and the part behind it that all messages of that name begin with."""
    second: dict[str, Counter[str]] = {}
    for line in lines:
        if parted := _author(line.rest):
            name, text = parted
            more, colon, _ = text.partition(": ")
            second.setdefault(name, Counter())[f"{more}: " if colon and len(more) < 40 and "\n" not in more else ""] += 1
    return {name: next(iter(parts)) for name, parts in second.items() if len(parts) == 1 and "" not in parts and parts.total() > 1}


def _date_places(lines: list[MessageStart], file: ExportFile) -> tuple[int, int, int]:
    """Where year, month and day stand among the three numbers of a date."""
    dates = [line.date for line in lines]
    if dates[0][0] > 31:
        return 0, 1, 2
    day_first, month_first = (2, 1, 0), (2, 0, 1)
    if file.date_order:
        return day_first if file.date_order == "day" else month_first
    if any(date[0] > 12 for date in dates):
        return day_first
    if any(date[1] > 12 for date in dates):
        return month_first

    # Nothing above 12: time does not run backwards, and days change more often than months.
    falls = [
        sum(b < a for a, b in itertools.pairwise(keys))
        for keys in ([_key(date, place) for date in dates] for place in (day_first, month_first))
    ]
    if falls[0] != falls[1]:
        return day_first if falls[0] < falls[1] else month_first
    changes = [sum(a[at] != b[at] for a, b in itertools.pairwise(dates)) for at in (0, 1)]
    if changes[0] != changes[1] or not any(changes):
        return day_first if changes[0] >= changes[1] else month_first
    first = ".".join(map(str, dates[0]))
    raise FileError(
        Path(str(file)),
        "dates",
        "does not show whether the day or the month comes first",
        f"Its dates, such as {first}, can be read both ways.",
        "Say which with --date-order day or --date-order month.",
    )


def _key(date: tuple[int, int, int], place: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(date[at] for at in place)


def _time(line: MessageStart, place: tuple[int, int, int]) -> float | None:
    year, month, day = (line.date[at] for at in place)
    try:
        return datetime(year + 2000 if year < 100 else year, month, day, tzinfo=UTC).timestamp() + line.seconds
    except ValueError:
        return None
