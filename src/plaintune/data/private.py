"""Private data in texts: where it stands, and the text without it.

Patterns, not proof: names and street addresses are not looked for, and a long number may be an order's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_DIGITS = re.compile(r"\d")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_PHONE = re.compile(
    r"(?:(?<![\w.,/#:-])|(?<=[Tt]el[.:])|(?<=[Pp]hone:)|(?<=[Mm]obile:)|(?<=[Ff]ax[.:]))"
    r"(?:\+\d{1,3}[ ./-]?)?(?:\(\d{1,5}\)[ ./-]?)?\d(?:[ ./-]?\d){6,13}(?![\w/-])"
    r"|(?<![\w.,/#:-])0\d{8,11}(?=-[A-Za-z])"
)
_MOBILE = re.compile(r"447\d{9}|91[6-9]\d{9}")  # of Britain and India, as dialled from abroad, without a +
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_KEY = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"  # a cloud's access key
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{30,}\b|\bglpat-[\w-]{20,}"
    r"|\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{35}\b|\b[rs]k_live_\w{16,}\b"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"  # a JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]{0,20000}-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?i:(?<![A-Za-z])(?:password|passwd|api[_-]?key|secret|token)[\"']?\s?[:=]\s?[\"']?)[^\s,;\"']{6,}"
)
_DATE = re.compile(r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")


def _is_card(found: str) -> bool:
    """Whether the digits pass the check of ISO/IEC 7812 (Luhn) and begin as cards do."""
    digits = [int(digit) for digit in _DIGITS.findall(found)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return digits[0] in (2, 3, 4, 5, 6) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(found: str) -> bool:
    """A number one could dial: not a date, not a book's, and long enough."""
    number = "".join(_DIGITS.findall(found))
    digits = len(number)
    if _DATE.fullmatch(found.strip()) or (digits == 13 and number.startswith(("978", "979"))):  # an ISBN
        return False
    dialled = found[0] in "+(0" or any(mark in found for mark in " -")
    return (9 <= digits <= 15 and dialled) or digits in (10, 11) or bool(_MOBILE.fullmatch(number))


def _is_iban(found: str) -> bool:
    """Whether the check digits of ISO 13616 are right."""
    plain = found.replace(" ", "")
    number = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(number) % 97 == 1


# name, marks it cannot be without, pattern, second look (`bool`: none); the first that fits a place wins
_KEY_MARKS = (
    "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-", "sk-", "xox", "AIza",
    "k_live_", "eyJ", "PRIVATE KEY", "assword", "PASSWORD", "asswd", "PASSWD", "ecret", "SECRET", "oken",
    "TOKEN", "pi_key", "pi-key", "PI_KEY", "pikey", "piKey", "pi key",
)  # fmt: skip
_KINDS: tuple[tuple[str, tuple[str, ...], re.Pattern[str], Callable[[str], bool]], ...] = (
    ("key", _KEY_MARKS, _KEY, bool),
    ("e-mail", ("@",), _EMAIL, bool),
    ("IBAN", (), _IBAN, _is_iban),
    ("card number", (), _CARD, _is_card),
    ("phone number", (), _PHONE, _is_phone),
)
_LONG_NUMBER = re.compile(r"\d[\d .()/-]{5,}\d")  # a quick look: without it there is none of the last three


def private_parts(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of what looks private in ``text``; parts do not overlap."""
    taken: list[tuple[int, int]] = []
    numbers = _LONG_NUMBER.search(text) is not None
    for kind, marks, pattern, is_one in _KINDS:
        if not (any(mark in text for mark in marks) if marks else numbers):
            continue
        for found in pattern.finditer(text):
            start, end = found.span()
            if is_one(found.group()) and not any(start < b and a < end for a, b in taken):
                taken.append((start, end))
                yield kind, start, end


def masked(text: str) -> str:
    """``text`` with "[e-mail]", "[phone number]" and so on where something private stood."""
    for kind, start, end in sorted(private_parts(text), key=lambda part: -part[1]):
        text = f"{text[:start]}[{kind}]{text[end:]}"
    return text
