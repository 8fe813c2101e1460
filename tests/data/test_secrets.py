"""Secrets: one of every kind, made with valid checksums, and much that only looks like one."""

import base64
import json
import random
import string
import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetune.data import secrets
from tests.fixtures.datasets import datasets

CHANCE = random.Random(11)


def letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random characters, a digit and both cases surely among them."""
    return "A7" + "".join(CHANCE.choices(alphabet, k=count - 3)) + "b"


def part(value: dict[str, Any]) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


TOKENS = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(letters(64) for _ in range(4)) + "\n-----END RSA PRIVATE KEY-----",
    "aws": "AKIA" + "".join(CHANCE.choices(string.ascii_uppercase + "234567", k=16)),
    "github": "ghp_" + letters(36),
    "gitlab": "glpat-" + letters(20),
    "slack": f"xoxb-{CHANCE.randrange(10**11, 10**12)}-{letters(24)}",
    "google": "AIza" + letters(35),
    "openai": "sk-proj-" + letters(60),
    "anthropic": "sk-ant-api03-" + letters(95),
    "hugging_face": "hf_" + letters(34, string.ascii_letters),
    "stripe": "sk_live_" + letters(24),
    "jwt": f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': '1234567890'})}.{letters(43)}",
    "iban": "DE89 3704 0044 0532 0130 00",
}


@pytest.mark.parametrize("kind", TOKENS)
def test_every_kind_is_found_where_it_stands(kind: str) -> None:
    token = TOKENS[kind]
    for text in (token, f"My key is {token}, keep it.", f'export X="{token}"\n', f"日本 {token}."):
        assert [(kind, token)] == [(k, text[a:b]) for k, a, b in secrets.find_secrets(text) if k != "personal"]


def check_digit(body: str) -> str:
    """A number with its check digit, by trying all ten against the rule written the other way round."""
    for last in "0123456789":
        number = body + last
        total = 0
        for position, digit in enumerate(reversed(number)):
            value = int(digit) * (1 + position % 2)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return number
    raise AssertionError


@pytest.mark.parametrize(
    "prefix, length, sizes",
    [("4", 16, (4, 4, 4, 4)), ("51", 16, (4, 4, 4, 4)), ("2221", 16, (4, 4, 4, 4)), ("37", 15, (4, 6, 5)), ("6011", 16, (4, 4, 4, 4)),
     ("36", 14, (4, 6, 4)), ("3530", 16, (4, 4, 4, 4)), ("62", 19, (4, 4, 4, 4, 3))],
)  # fmt: skip
def test_cards(prefix: str, length: int, sizes: tuple[int, ...]) -> None:
    number = check_digit(prefix + "".join(CHANCE.choices("0123456789", k=length - len(prefix) - 1)))
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    for separator in ("", " ", "-"):
        at = 0
        groups = []
        for size in sizes:
            groups.append((number[at : at + size], wrong[at : at + size]))
            at += size
        right, bad = (f"Pay with {separator.join(pair[side] for pair in groups)}, please." for side in (0, 1))
        assert [(k, right[a:b]) for k, a, b in secrets.find_secrets(right)] == [("card", separator.join(pair[0] for pair in groups))]
        assert secrets.find_secrets(bad) == []


def test_cards_in_a_row() -> None:
    number = "4111 1111 1111 1111"
    for text in ("card=4111111111111111", "name,4111111111111111,12/29,123", '{"n": "4111111111111111"}', "4111111111111111."):
        assert [(k, text[a:b]) for k, a, b in secrets.find_secrets(text)] == [("card", "4111111111111111")]
    assert [k for k, _, _ in secrets.find_secrets(" ".join([number] * 5))] == ["card"] * 5


def test_few_long_numbers_are_cards() -> None:
    numbers = [str(CHANCE.randrange(10**15, 10**16)) for _ in range(5000)]
    assert sum(bool(secrets.find_secrets(f"Order {n} has left.")) for n in numbers) < 200
    assert secrets.find_secrets("4222222222222") == [], "thirteen digits need the word"
    assert [k for k, _, _ in secrets.find_secrets("VISA 4222222222222")] == ["card"]


@pytest.mark.parametrize(
    "text, value",
    [
        ("password=hK8sPq2x9L", "hK8sPq2x9L"),
        ("DB_PASSWORD: 'tr0ub4dor&3x'", "tr0ub4dor&3x"),
        ('{"api_key": "9f8e7d6c5b4a39281706f5e4"}', "9f8e7d6c5b4a39281706f5e4"),
        ("client_secret = Zx81-qLw92-Mm", "Zx81-qLw92-Mm"),
        ("postgres://admin:pQ9zz71kd@db.local/x", "pQ9zz71kd"),
    ],
)
def test_assigned_passwords(text: str, value: str) -> None:
    assert [(k, text[a:b]) for k, a, b in secrets.find_secrets(text)] == [("password", value)]


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['DB_PASSWORD']",
        "password: must be at least 8 characters",
        "password=your_password_1",
        "api_key = get_api_key(user1)",
        "token = tokens[i + 1]",
        "max_tokens: 4096, token_count: 123456789",
        "password = ${DB_PASSWORD_1}",
        "The secret: practise 10,000 hours.",
        "AKIAIOSFODNN7EXAMPLE",
        "-----BEGIN PRIVATE KEY----- is how it starts",
        "task-force desk-research risk-averse sk-learn",
        "eyJub3QiOiJhIn0.eyJub3QiOiJhIn0.abcdefghij",
        str(uuid.UUID(int=0x4111111111111111_4111111111111111)),
        sha256(b"x").hexdigest(),
        "2024-01-15 10:30:00, 20240115103000, 1700000000000, 1700000000000000",
        "0.4111111111111111 and 3.141592653589793238",
        "1234567890123456 0000000000000000 4111-1111-1111-1112",
        "DE89 3704 0044 0532 0130 01",
        "ISBN 978-3-16-148410-0, 192.168.100.200",
        "v4111111111111111 4111111111111111a 4111111111111111.5 4111111111111111-0",
        "password=aaaa1111 token: 1a1a1a1a1a",
        "def f(x):\n    return {'a_b': x[0], 'c-d': x['e']} # see http://a.b/c?d=e&f=1",
    ],
)
def test_what_only_looks_like_a_secret(text: str) -> None:
    assert secrets.find_secrets(text) == []


def test_personal_is_a_kind_of_its_own() -> None:
    values = ["jane.doe+x@mail.example.org", "(212) 555-0188", "+49 30 1234567", "213-484-0480"]
    text = f"Write to {values[0]} or call {values[1]}, {values[2]} or {values[3]}."
    assert [(k, text[a:b]) for k, a, b in secrets.find_secrets(text)] == [("personal", value) for value in values]
    assert secrets.find_secrets("you@example.com, a @ b, @user, 1990-2000, 10-20-30") == []


def test_masked_never_shows_the_secret() -> None:
    for token in [*TOKENS.values(), "hK8sPq2x", "x"]:
        masked = secrets.masked(f"a {token} b", 2, 2 + len(token))
        assert len(masked) <= 5 and len(masked) - 1 <= len(token) // 4 and token.startswith(masked[:-1])


@settings(max_examples=150, deadline=None)
@given(st.text() | st.text(alphabet="0123456789 -+().AKIb_=:'\"@/"))
def test_any_text_gives_spans_in_order(text: str) -> None:
    end = 0
    for _, start, stop in secrets.find_secrets(text):
        assert end <= start < stop <= len(text)
        end = stop


def strings(value: object) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part_ in value.values() if isinstance(value, dict) else value:
            yield from strings(part_)


def texts(file: Path) -> list[str]:
    """All texts of a dataset's file."""
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        return list(strings(json.loads(content)))
    return list(strings([json.loads(line) for line in content.splitlines() if line])) if file.suffix == ".jsonl" else content.splitlines()


def test_real_datasets_hold_what_they_hold() -> None:
    counts = {}
    for file in datasets():
        hits = [(k, t[a:b]) for t in texts(file) for k, a, b in secrets.find_secrets(t) if k != "personal"]
        counts[file.name] = {(k, value.rstrip(".")) for k, value in hits}
    made_up = {("password", p) for p in ("aB3#fG7!kL9@", "A1b2C3d4E5f6", "aBcD1234EfGh", "a9B7$#fG3&Z1")}
    assert counts.pop("glaive_toolcall_en_demo.json") == made_up, "answers of a tool that makes passwords"
    generated = {("password", "rT8$jLpZ")}
    assert {name: hits for name, hits in counts.items() if hits} == {"alpaca_en_demo.json": generated, "v1_sft_demo.jsonl": generated}
