"""Languages and scripts of known sentences."""

import subprocess
import sys

import pytest

from edgetune.data.language import language, languages, scripts

SENTENCES = {
    "en": "The weather is lovely today, and we are going for a walk in the park.",
    "de": "Das Wetter ist heute sehr schön, und wir gehen im Park spazieren.",
    "fr": "Il fait très beau aujourd'hui et nous allons nous promener dans le parc.",
    "es": "Hoy hace muy buen tiempo y vamos a dar un paseo por el parque.",
    "ru": "Сегодня прекрасная погода, и мы идём гулять в парк.",
    "ar": "الطقس جميل اليوم وسنذهب في نزهة في الحديقة.",
    "zh": "今天天气很好，我们要去公园散步。",  # noqa: RUF001
    "ja": "今日は天気がとてもいいので、公園を散歩します。",
    "ko": "오늘은 날씨가 아주 좋아서 공원에 산책하러 갑니다.",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences(name: str) -> None:
    assert language(SENTENCES[name]) == name


@pytest.mark.parametrize("text", ["", "ok", "Hello", "1 + 2", "😀😀😀", "xkq zzv wpl fjd qqp mmn"])
def test_unknown(text: str) -> None:
    assert language(text) == "unknown"


def test_code_is_not_what_a_text_is_written_in() -> None:
    comment = "```python\n" + f"# {SENTENCES['en']}\n" * 5 + "```"
    assert language(f"Schreibe ein Programm.\n{comment}\nDas ist alles, was wir hier brauchen.") == "de"
    assert language(comment) == "unknown"


def test_shares() -> None:
    shares = languages([SENTENCES["de"], SENTENCES["en"], SENTENCES["en"], "ok"])
    assert shares == {"en": 0.5, "de": 0.25, "unknown": 0.25}
    assert next(iter(shares)) == "en"
    assert languages([]) == {}


def test_scripts() -> None:
    assert scripts("Hello, мир! 日本") == {"Latin": 5, "Cyrillic": 3, "Han": 2}
    assert scripts("abc 123") == {"Latin": 3}
    assert scripts("123 ½") == {}


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys; from edgetune.data import duplicates, language, secrets, text_checks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "rensa", "py3langid", "torch"} & set(loaded)
