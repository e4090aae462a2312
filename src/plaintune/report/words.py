"""The glossary: what each term of art means, in plain words."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from ..core.errors import UserError, nearest

_GAP = r"[\s\-\u2010-\u2013]?"  # "warm-up", "warm up" and "warmup" are one term


@dataclass(frozen=True)
class Entry:
    """One term: its other names, its meaning in two sentences, and related terms."""

    term: str
    meaning: str
    also: tuple[str, ...] = ()
    see: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.term, *self.also)


@functools.cache
def glossary() -> tuple[Entry, ...]:
    """All entries, from A to Z."""
    raw = tomllib.loads(resources.files("plaintune").joinpath("report", "glossary.toml").read_text("utf-8"))
    entries = (
        Entry(e["term"], e["meaning"], also=tuple(e.get("also", ())), see=tuple(e.get("see", ())))
        for e in raw["entry"]
    )
    return tuple(sorted(entries, key=lambda entry: entry.term.lower()))


def look_up(term: str) -> Entry:
    """The entry for ``term``, whatever its case, hyphens and number; raises UserError if there is none."""
    entries = _entries_by_key()
    for key in _singulars(_key(term)):
        if key in entries:
            return entries[key]
    names = [name for entry in glossary() for name in entry.names]
    raise UserError(
        f"The glossary has no entry '{term}'.{nearest(term, names)}",
        "See all entries with: plaintune glossary",
    )


def parted_by_terms(text: str) -> Iterator[tuple[str, Entry | None]]:
    """``text`` in pieces, each with the entry it is the name of, if any: what a page makes links of."""
    at = 0
    for found in _any_name().finditer(text):
        yield text[at : found.start()], None
        yield found[0], look_up(found[0])
        at = found.end()
    yield text[at:], None


@functools.cache
def _entries_by_key() -> dict[str, Entry]:
    return {_key(name): entry for entry in glossary() for name in entry.names}


@functools.cache
def _any_name() -> re.Pattern[str]:
    names = sorted((name for entry in glossary() for name in entry.names), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(_pattern, names))})(?!\w)", re.IGNORECASE)


def _pattern(name: str) -> str:
    """``name`` in the singular or plural, however its words are joined."""
    words = _GAP.join(re.escape(word) for word in re.split(r"[\s-]+", name))
    return rf"{words[:-1]}(?:y|ies)" if words.endswith("y") else rf"{words}(?:s|es)?"


def _key(name: str) -> str:
    return "".join(c for c in name.casefold().replace("ı", "i") if c.isalnum())  # as patterns ignore case


def _singulars(key: str) -> Iterator[str]:
    """``key`` itself, then what it may be the plural of."""
    yield key
    for ending, singular in (("s", ""), ("es", ""), ("ies", "y")):
        if key.endswith(ending):
            yield key.removesuffix(ending) + singular
