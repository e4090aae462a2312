"""What one text alone can have: damage from files and web pages, odd forms, other languages, private data."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..core.events import Listener, progress
from ..core.features import LINE_BREAK_TAG
from .examples import Examples
from .finding import MEND, Finding, Severity, found, share
from .names import word_set
from .private import private_parts

SEEN_WORDS = 800  # of a text, at most: about four windows of 256 tokens
CAPITALS_SHARE, LOOKED_AT_CHARACTERS = 0.7, 400
LANGUAGE_WORDS, LANGUAGE_SURE = 6, 0.9
ENGLISH_SHARE = 0.12  # of the words of an English text, at least, are these
REPORT_EVERY = 2000
MOST_LAYERS = 8  # of damage upon damage, such as &amp;amp;lt;

_TAG_NAMES = (
    "a|abbr|b|big|blockquote|body|br|button|center|code|dd|div|dl|dt|em|font|form|h[1-6]|head|hr|html|i|iframe"
    "|img|input|label|li|link|meta|ol|option|p|pre|s|script|select|small|span|strike|strong|style|sub|sup"
    "|table|tbody|td|th|thead|title|tr|tt|u|ul"
)
_ATTRIBUTE = r"""\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s<>"']+)"""
_TAG = re.compile(rf"<!--[^>]*-->|</?(?:{_TAG_NAMES})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)
_BARE_TAG = re.compile(rf"<(?!br>)(?:{_TAG_NAMES})>", re.IGNORECASE)  # as people write who speak of one
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,5});", re.IGNORECASE)
_PARTING = re.compile("[\x0b\x0c\x1c-\x1f]+")  # lines and pages of office programs
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_LOST = "\ufffd"  # what a program writes for a character that it could not read
_WORD = re.compile(r"\w+(?:['’]\w+)?")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{3}"
)  # scripts that do not part words by spaces
_FOREIGN_SCRIPT = "\u0370"  # from Greek on, letters are not of English
_CAPITAL, _LETTER = re.compile(r"[A-ZÀ-ÞА-Я]"), re.compile(r"[^\W\d_]")


ENGLISH = word_set("""
    the a an and or but if of to in on at for with from by is are was were be been am it its this that
    i you he she we they my your his her our their not no do does did have has had what how who when
    where which why can could will would should there as so me him them all out up about just get
    can't don't i'm it's
""")


@dataclass(frozen=True)
class Symptom:
    """Something a text has or not, and what to say of it."""

    kind: str
    severity: Severity
    present: Callable[[str], bool | frozenset[str]]  # whether; or which of several kinds, to be counted
    what: str  # after "1,234 of 5,000 texts (25%)"
    why: str
    done: str
    where_most: Severity | None = None  # where more than half of the texts have it


def has_mojibake(text: str) -> bool:
    """Whether accents were read in the wrong encoding (“itâ€™s”), as ftfy sees it."""
    if text.isascii():
        return False
    from ftfy import badness, fix_encoding

    return bool(badness.is_bad(text)) and fix_encoding(text) != text


def has_markup(text: str) -> bool:
    """Whether tags or entities of a web page were left in, other than breaks between lines.

    Tags that are spoken of are none: an escaped one, or <div> where no tag is closed or has an attribute.
    """
    return ("<" in text and _has_tags(text)) or ("&" in text and _without_entities(text) != text)


def _has_tags(text: str) -> bool:
    tags = _TAG.findall(text)
    return not all(map(LINE_BREAK_TAG.fullmatch, tags)) and not all(map(_BARE_TAG.fullmatch, tags))


def _without_entities(text: str) -> str:
    """``text`` with its entities decoded, but for the brackets where that would make them tags."""
    plain = _ENTITY.sub(_decoded, text)
    if _TAG.findall(plain) == _TAG.findall(text):
        return plain
    return _ENTITY.sub(lambda part: part[0] if {"<", ">"} & set(_decoded(part)) else _decoded(part), text)


def _decoded(entity: re.Match[str]) -> str:
    return html.unescape(entity[0])


def has_control(text: str) -> bool:
    """Whether invisible control characters, or marks of lost ones, are in the text (not as mojibake)."""
    damaged = _LOST in text or (not text.isprintable() and _CONTROL.search(text) is not None)
    return damaged and not has_mojibake(text)


def mended(text: str) -> str:
    """``text`` in its right encoding, without markup and control characters; as it was, where it has none."""
    for _ in range(MOST_LAYERS):
        before = text
        if has_mojibake(text):
            from ftfy import fix_encoding

            text = fix_encoding(text)
        if has_markup(text):
            plain = _TAG.sub(" ", LINE_BREAK_TAG.sub("\n", text)) if _has_tags(text) else text
            text = _without_entities(plain).strip()
        if has_control(text):
            text = _CONTROL.sub("", _PARTING.sub(" ", text)).replace(_LOST, "").strip()
        if text == before:
            break
    return text


def _is_short(text: str) -> bool:
    return len(text) < 60 and len(_WORD.findall(text)) < 2 and not _UNSPACED.search(text)


def _is_long(text: str) -> bool:
    return len(text) > 2 * SEEN_WORDS and len(text.split()) > SEEN_WORDS


def _shouts(text: str) -> bool:
    if text[:LOOKED_AT_CHARACTERS].islower():
        return False
    capitals = len(_CAPITAL.findall(text[:LOOKED_AT_CHARACTERS]))
    if capitals < 15:
        return False
    return capitals >= CAPITALS_SHARE * len(_LETTER.findall(text[:LOOKED_AT_CHARACTERS]))


def foreign_language(text: str) -> str | None:
    """The code of the language (ISO 639-1) where the text is surely not English, else None."""
    words = text[:LOOKED_AT_CHARACTERS].lower().split()
    if len(words) < LANGUAGE_WORDS and text.isascii():
        return None
    if sum(word.strip(".,!?\"'()") in ENGLISH for word in words) >= ENGLISH_SHARE * len(words):
        return None
    return _identified(text[:LOOKED_AT_CHARACTERS])


def _identified(text: str) -> str | None:
    letters = _LETTER.findall(text)
    foreign = sum(letter >= _FOREIGN_SCRIPT for letter in letters) > len(letters) / 2
    if len(letters) < (4 if foreign else 12):
        return None
    language, sure = _identifier().classify(text.lower())
    return str(language) if language != "en" and (foreign or sure >= LANGUAGE_SURE) else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _foreign_languages(text: str) -> frozenset[str]:
    language = foreign_language(text)
    return frozenset() if language is None else frozenset({language})


def _private_kinds(text: str) -> frozenset[str]:
    return frozenset(kind for kind, _, _ in private_parts(text))


WRITES_A_COPY = f"{MEND} writes a mended copy"
SYMPTOMS = (
    Symptom(
        "mojibake", Severity.MEDIUM, has_mojibake,
        "hold characters that were read in the wrong encoding (“itâ€™s” for “it’s”)",
        "The model meets signs that no new text will have.",
        WRITES_A_COPY,
    ),
    Symptom(
        "markup", Severity.LOW, has_markup,
        "hold left-overs of a web page, such as <b> or &amp;",
        "They say nothing, and take the place of words.",
        WRITES_A_COPY,
    ),
    Symptom(
        "control", Severity.LOW, has_control,
        "hold control characters, or marks of characters that were lost",
        "They are damage from an earlier program; the model reads past them.",
        WRITES_A_COPY,
    ),
    Symptom(
        "language", Severity.MEDIUM, _foreign_languages,
        "are not in English",
        "The bundled model was pre-trained on English, and has little to start from in other languages.",
        "With many of them, name a multilingual model: --backbone DIR (a model of the BERT family)",
        where_most=Severity.HIGH,
    ),
    Symptom(
        "very_short", Severity.LOW, _is_short,
        "are one word or less",
        "There is little in them to go by; nobody could be sure of their answer.",
        "They are kept: new texts may look like that too",
    ),
    Symptom(
        "very_long", Severity.LOW, _is_long,
        f"are longer than {SEEN_WORDS} words",
        "The network reads a long text in up to four windows, spread over it; the counted words are of all.",
        "Nothing need be done; where only a part of the text decides, keep that part alone",
    ),
    Symptom(
        "capitals", Severity.LOW, _shouts,
        "are written in capitals",
        "The bundled model does not see capitals: where shouting tells answers apart, that is lost to it.",
        "They are kept as they are",
    ),
    Symptom(
        "private", Severity.MEDIUM, _private_kinds,
        "hold what looks like private data",
        "Who gets the file, or a report with examples, gets these as well.",
        "They are masked in whatever plaintune shows; look before you share the data or rent a machine",
    ),
)  # fmt: skip


def text_findings(examples: Examples, listener: Listener) -> list[Finding]:
    """A finding for each symptom that any text has."""
    met: dict[str, list[int]] = {symptom.kind: [] for symptom in SYMPTOMS}
    kinds: dict[str, Counter[str]] = {symptom.kind: Counter() for symptom in SYMPTOMS}
    for position, text in enumerate(examples.texts):
        for symptom in SYMPTOMS:
            if seen := symptom.present(text):
                met[symptom.kind].append(position)
                kinds[symptom.kind].update(() if seen is True else seen)
        if position % REPORT_EVERY == 0:
            progress(listener, position, len(examples))
    return [
        _finding(symptom, met[symptom.kind], dict(kinds[symptom.kind].most_common()), examples)
        for symptom in SYMPTOMS
        if met[symptom.kind]
    ]


def _finding(symptom: Symptom, positions: list[int], kinds: dict[str, int], examples: Examples) -> Finding:
    values: dict[str, Any] = dict(kinds)
    what = f"{share(len(positions), len(examples))} {symptom.what}"
    if kinds:
        what += f": {', '.join(f'{name} {count:,}' for name, count in kinds.items())}"
    if symptom.kind == "very_long":
        words = [len(examples.texts[at].split()) for at in positions]
        values["seen_share"] = round(len(words) * SEEN_WORDS / sum(words), 3)
        what += f"; of these the model sees about {values['seen_share']:.0%}"
    most = len(positions) > len(examples) / 2
    severity = symptom.where_most if most and symptom.where_most else symptom.severity
    return found(
        symptom.kind, severity, positions, examples,
        what=f"{what}.", why=symptom.why, done=f"{symptom.done}.", values=values,
    )  # fmt: skip
