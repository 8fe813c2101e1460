"""Things in a text that look like keys, passwords, card or account numbers, which a model would learn to recite.

Every kind is looked for only where its mark is in the text, so that ordinary text costs a few substring searches. Where a
checksum exists it decides (Luhn for cards, mod 97 for IBANs, decodable JSON for a JWT's head); assigned passwords must look random and
must not look like an example. E-mail addresses and phone numbers are the milder kind `personal`, for counting.

Token shapes: the issuers' own documentation of their prefixes, as secret scanners use them.
"""

import base64
import json
import math
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator

Hit = tuple[str, int, int]


def _random(value: str) -> bool:
    """Whether a token is more than a word or an example: letters and digits mixed, few of them repeated."""
    lower = value.lower()
    if any(word in lower for word in _EXAMPLES) or not any(c.isdigit() for c in value) or not any(c.isalpha() for c in value):
        return False
    return entropy(value) >= 2.75


def entropy(value: str) -> float:
    """Shannon's entropy of a string's characters, in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


_EXAMPLES = (
    *("example", "your", "xxx", "***", "...", "changeme", "placeholder"),
    *("password1", "password123", "secret123", "12345678", "abcdef"),
)


def _jwt(value: str) -> bool:
    """Whether the head is a JOSE header (RFC 7519, section 5)."""
    head = value.split(".", 1)[0]
    try:
        return "alg" in json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except ValueError:
        return False


def _no_check(_value: str) -> bool:
    return True


_EDGE = r"(?<![A-Za-z0-9_-])"
_PASSWORD = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|pwd|secret(?:[_-]?key)?|token|api[_ -]?key|access[_-]?key(?:[_-]?id)?|account[_-]?key)"
    r"[\"'`]?[ \t]{0,4}(?:=>?|:=?)[ \t]{0,4}[\"'`]?((?!\$)[^\s\"'`,;<>(){}\[\]|]{8,128})(?![^\s\"'`,;<>{}\]|)])"
)
_SHAPES: tuple[tuple[str, str, re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (kind, mark, re.compile(pattern), check)
    for kind, mark, pattern, check in (
        (
            "private_key",
            "PRIVATE KEY",
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\n|\s)+(?:[\w-]+: [^\n]*\n)*(?:[A-Za-z0-9+/=\s]|\\n){40,}"
            r"(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?",
            _no_check,
        ),
        ("aws", "AKIA", _EDGE + r"AKIA[A-Z2-7]{16}(?![A-Za-z0-9])", lambda v: not v.endswith("EXAMPLE")),
        ("aws", "ASIA", _EDGE + r"ASIA[A-Z2-7]{16}(?![A-Za-z0-9])", lambda v: not v.endswith("EXAMPLE")),
        ("github", "_", _EDGE + r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})", _random),
        ("hugging_face", "_", _EDGE + r"(?:hf|api_org)_[A-Za-z0-9]{34,}(?![A-Za-z0-9_])", lambda v: entropy(v) > 3.5),
        ("stripe", "_", _EDGE + r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9+/]{16,}", _random),
        ("gitlab", "glpat-", _EDGE + r"glpat-[A-Za-z0-9_-]{20,}", _random),
        ("slack", "xox", _EDGE + r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}", _random),
        ("slack", "hooks.slack.com", r"hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{16,}", _random),
        ("google", "AIza", _EDGE + r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])", _random),
        ("anthropic", "sk-ant-", _EDGE + r"sk-ant-[A-Za-z0-9]+-[A-Za-z0-9_-]{24,}", _random),
        ("openai", "sk-", _EDGE + r"sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{24,}|[A-Za-z0-9]{32,}(?![A-Za-z0-9_-]))", _random),
        ("jwt", "eyJ", _EDGE + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", _jwt),
        ("password", "://", r"://[^\s/:@]{1,64}:([^\s/:@]{6,64})@[\w.-]", lambda v: not any(w in v.lower() for w in ("pass", "pwd"))),
    )
)
_NAMES = ("passw", "passphrase", "pwd", "secret", "token", "api", "access", "account")
_MAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?!example\.|your)(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_NUMBER = re.compile(r"[+(0-9][0-9 ().-]{6,400}[0-9]")
"""The only text in which a card or phone number can be. It begins with a set of characters, which the regex engine skips to."""
_PHONE = re.compile(
    r"(?<![\w.+/-])(?:\+\d{9,13}|\+\d{1,3}(?:[ .-]\(?\d{1,8}\)?){1,5}|"
    r"(?:1[ .-])?\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}|(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4})(?![\w-])"
)
_DIGITS = bytes(c for c in range(256) if not 48 <= c <= 57)

# Groups as they are printed on cards: 4-4-4-4 and longer, American Express 4-6-5, Diners Club 4-6-4; or no separator at all.
_CARD = re.compile(
    r"(?<![\w.+/-])(?<!\d,)"
    r"(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5})(?![\w=/-]|\.\d)"
)
_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = (  # ISO/IEC 7812-1 prefixes and lengths in use
    (re.compile("4"), frozenset({13, 16, 19})),  # Visa
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), frozenset({16})),  # Mastercard
    (re.compile("3[47]"), frozenset({15})),  # American Express
    (re.compile("6011|64[4-9]|65"), frozenset({16, 19})),  # Discover
    (re.compile("30[0-5]|3[689]"), frozenset({14})),  # Diners Club
    (re.compile("352[89]|35[3-8]"), frozenset({16})),  # JCB
    (re.compile("62"), frozenset({16, 17, 18, 19})),  # UnionPay
)
_IBAN = re.compile(r"([A-Z][A-Z])[0-9][0-9](?<![\w-]....)(?: ?[A-Z0-9]){11,30}")
_COUNTRIES = (
    "NO15 BE16 DK18 FI18 FO18 GL18 NL18 MK19 SI19 AT20 BA20 EE20 KZ20 LT20 LU20 XK20 CH21 HR21 LI21 LV21 BG22 BH22 CR22 DE22 "
    "GB22 GE22 IE22 ME22 RS22 AE23 GI23 IL23 IQ23 AD24 CZ24 ES24 MD24 PK24 RO24 SA24 SE24 SK24 TN24 VG24 AO25 LY25 PT25 ST25 "
    "IS26 TR26 FR27 GR27 IT27 MC27 MR27 SM27 AL28 AZ28 BY28 CY28 DO28 GT28 HU28 LB28 PL28 SV28 BR29 EG29 PS29 QA29 UA29 JO30 "
    "KW30 MU30 MT31 SC31 "
)
_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _COUNTRIES.split()}  # ISO 13616, SWIFT's IBAN registry


def find_secrets(text: str) -> list[Hit]:
    """(kind, start, end) of everything that looks like a secret, by position; overlapping finds count once, as the more specific kind."""
    digits = len(text.encode("utf-8", "replace").translate(None, _DIGITS))
    hits: list[Hit] = []
    for kind, mark, pattern, check in _SHAPES:
        if mark in text:
            hits.extend((kind, *m.span(m.lastindex or 0)) for m in pattern.finditer(text) if check(m[m.lastindex or 0]))

    # The cheap counts decide whether a costly search is worth while.
    if digits >= 12:
        hits.extend(_ibans(text))
    if digits and ("=" in text or ":" in text):
        hits.extend(_passwords(text))
    if "@" in text:
        hits.extend(("personal", *m.span()) for m in _MAIL.finditer(text))
    if digits >= 8:
        hits.extend(_numbers(text))

    return _apart(hits) if hits else hits


def masked(text: str, start: int, end: int) -> str:
    """How a find may be shown: at most its first four characters, and never more than a quarter."""
    return text[start : start + min(4, (end - start) // 4)] + "…"


def luhn(number: str) -> bool:
    """Whether a number's check digit is right (Luhn; ISO/IEC 7812-1, annex B)."""
    doubled = [sum(divmod(2 * int(d), 10)) for d in number[-2::-2]]
    return (sum(doubled) + sum(int(d) for d in number[::-2])) % 10 == 0


def _passwords(text: str) -> Iterator[Hit]:
    """Values assigned to names like `password` that look random. Names are found as substrings, far faster than by a pattern."""
    lower = text.lower()
    lower = lower if len(lower) == len(text) else text
    for name in _NAMES:
        at = lower.find(name)
        while at >= 0:
            match = _PASSWORD.match(text, at)
            if match and _random(match[1]):
                yield "password", *match.span(1)
            at = lower.find(name, at + 1)


def _numbers(text: str) -> Iterator[Hit]:
    """Card numbers (printed groups or none, a known issuer, its length, the check digit), and telephone numbers."""
    for candidate in _NUMBER.finditer(text):
        start, end = candidate.start(), candidate.end() + 2
        for match in _CARD.finditer(text, start, end):
            if _card(match[0].replace(" ", "").replace("-", ""), text[max(0, match.start() - 60) : match.start()]):
                yield "card", *match.span()
        for match in _PHONE.finditer(text, start, end):
            if 8 <= sum(c.isdigit() for c in match[0]) <= 15:
                yield "personal", *match.span()


def _card(number: str, before: str) -> bool:
    """Whether digits are a card's. Thirteen, which only old Visa cards have and many other numbers, need the word before them."""
    issued = any(prefix.match(number) and len(number) in lengths for prefix, lengths in _ISSUERS)
    plausible = len(number) > 13 or "card" in before.lower() or "visa" in before.lower()
    return issued and plausible and number.isascii() and len(set(number)) > 1 and luhn(number)


def _ibans(text: str) -> Iterator[Hit]:
    """International bank account numbers: a country's length and the remainder 1 (ISO 13616, ISO 7064 MOD 97-10)."""
    for match in _IBAN.finditer(text):
        length = _LENGTHS.get(match[1], 0)
        end = match.start()
        characters = ""
        while end < match.end() and len(characters) < length:
            characters += text[end].strip()
            end += 1
        whole = length and len(characters) == length and not text[end : end + 1].isalnum()
        if whole and int("".join(str(int(c, 36)) for c in characters[4:] + characters[:4])) % 97 == 1:
            yield "iban", match.start(), end


def _apart(hits: list[Hit]) -> list[Hit]:
    """The hits in order of position, without those that overlap one found earlier."""
    result: list[Hit] = []
    for hit in hits:
        at = bisect(result, hit[1], key=lambda other: other[1])
        if (at == 0 or result[at - 1][2] <= hit[1]) and (at == len(result) or hit[2] <= result[at][1]):
            result.insert(at, hit)
    return result
