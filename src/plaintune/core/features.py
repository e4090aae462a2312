"""The one n-gram featuriser that training and prediction share: texts in, hashed n-grams out.

Words and punctuation marks are hashed once each; runs of two and three are mixed from those hashes
in numpy, so that a million words a second go through without a vocabulary of strings. Hashes have
52 bits: with a million distinct n-grams the chance that any two collide is about one in ten thousand.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Texts = Sequence[str] | NDArray[Any]  # texts in Python or numpy strings
BLOCK_ROWS = 2048  # 11 bits of row + 52 bits of hash fit one non-negative int64
HASH_BITS = 52
HASH_MASK = np.uint64((1 << HASH_BITS) - 1)
SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # of Chinese and Japanese
LETTERS = rf"[^\W{SIGNS}]+"  # there each sign is a word: no spaces part them, as BERT's tokenizer has it
WORD = re.compile(rf"{LETTERS}(?:['’]{LETTERS})*|[{SIGNS}]")
WORD_OR_MARK = re.compile(rf"{WORD.pattern}|[^\w\s]")
LINE_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)
# what may differ in "the same text"; not vowel signs (from India to Cambodia), emoji, currencies and < > + =
NOT_A_WORD = re.compile(
    "[^\\w<>+=$\u0900-\u109f\u1780-\u17ff\u20a0-\u20cf\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]+"
)
# of that, what can change the answer: C#, 5%, £5, -5 and faces such as :) and ^_^
TELLING = re.compile(r"[#%¢£¥]|[-–−](?=[.,]?\d)|[:;=]['’-]?[()\[\]{}|/\\*]+|(?<!\w)[()]-?[:;=]|[-^]_+[-^]")
TELLING_OR_NOT = re.compile(f"({TELLING.pattern})|{NOT_A_WORD.pattern[:-1]}")  # sign by sign
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
MAX_WORD_CHARACTERS = 64  # longer runs (base64, keys) are cut: their middle says nothing


@dataclass(frozen=True)
class NgramShape:
    """Which runs are counted: words up to ``words`` long, and letters inside short words."""

    words: int = 3
    letters: tuple[int, ...] = ()  # e.g. (3, 4, 5): runs of letters, with the word's borders


@dataclass(frozen=True)
class HashedTexts:
    """A block of texts as sets of n-grams: row i owns ``hashes[start[i]:start[i + 1]]``, sorted."""

    start: NDArray[np.int64]  # (rows + 1,)
    hashes: NDArray[np.uint64]  # (entries,)
    counts: NDArray[np.int64]  # (entries,) how often the n-gram stands in the text


def has_half_character(text: str) -> bool:
    """Whether half of a character (a lone surrogate) stands in ``text``, so that UTF-8 cannot hold it."""
    return not text.isascii() and HALF_CHARACTER.search(text) is not None


def whole_characters(text: str) -> str:
    """``text`` that can be written as UTF-8: halves of a character, which JSON and Python let pass (a lone
    surrogate), are joined with their other half or become the mark of a lost one."""
    if not has_half_character(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def normalised(text: str) -> str:
    """``text`` without case, punctuation, accents' spelling and spacing: equal means "the same text"."""
    plain = _one_form(text)
    words = NOT_A_WORD.sub(" ", plain).strip()
    return words or plain.strip()  # a text of nothing but marks or emoji is itself


def _one_form(text: str) -> str:
    return unicodedata.normalize("NFKC", LINE_BREAK_TAG.sub(" ", text)).casefold()


def text_hash(text: str) -> int:
    """A 64-bit fingerprint of the normalised text, the same on every machine."""
    return _stable_hash(normalised(text))


def text_hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """`text_hash` of each text. Shape (texts,)."""
    return np.fromiter((text_hash(text) for text in texts), dtype=np.uint64)


def strict_hashes(texts: Texts, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The ``hashes`` of ``texts`` (`text_hashes`), changed where a `TELLING` mark tells two apart. (texts,)

    For what removes or accuses rows; what keeps texts on one side of a split goes by ``hashes``.
    """
    strict = hashes.copy()
    _, which, often = np.unique(hashes, return_inverse=True, return_counts=True)
    for at in np.flatnonzero(often[which] > 1):
        plain = _one_form(texts[int(at)])
        if TELLING.search(plain):
            marked = TELLING_OR_NOT.sub(lambda part: f" {part[1] or ''} ", plain)
            strict[at] ^= np.uint64(_stable_hash(" ".join(marked.split())))
    return strict


def split_words(text: str) -> list[str]:
    """The words and marks of ``text`` in lower case."""
    return WORD_OR_MARK.findall(LINE_BREAK_TAG.sub(" ", text).lower())


class NgramHasher:
    """Texts → hashed n-grams. Remembers the hash of each word it has met (bounded)."""

    def __init__(self, shape: NgramShape, *, remembered_words: int = 500_000) -> None:
        self.shape = shape
        self.remembered_words = remembered_words
        self._forget()

    def _forget(self) -> None:
        self._word_ids: dict[str, int] = {}
        self._word_hashes: list[int] = []
        self._letter_runs: list[NDArray[np.uint64]] = []

    def blocks(self, texts: Texts) -> Iterator[HashedTexts]:
        """The texts in order, `BLOCK_ROWS` at a time."""
        for first in range(0, len(texts), BLOCK_ROWS):
            yield self.hash_block(texts[first : first + BLOCK_ROWS])

    def hash_block(self, texts: Texts) -> HashedTexts:
        """At most `BLOCK_ROWS` texts as sets of n-grams."""
        if len(self._word_ids) > self.remembered_words:
            self._forget()
        word_ids = [self._ids(split_words(text)) for text in texts]
        lengths = np.fromiter((len(ids) for ids in word_ids), dtype=np.int64, count=len(word_ids))
        ids = np.fromiter((i for row in word_ids for i in row), dtype=np.int64, count=int(lengths.sum()))
        rows = np.repeat(np.arange(len(word_ids), dtype=np.uint64), lengths)
        keys = [_keyed(rows[at], hashes) for at, hashes in self._word_runs(ids, rows)]
        if self.shape.letters:
            keys.append(self._letter_keys(ids, rows))
        merged, counts = np.unique(np.concatenate(keys), return_counts=True)
        per_row = np.bincount((merged >> np.uint64(HASH_BITS)).astype(np.int64), minlength=len(word_ids))
        return HashedTexts(
            start=np.concatenate([[0], np.cumsum(per_row)]).astype(np.int64),
            hashes=merged & HASH_MASK,
            counts=counts.astype(np.int64),
        )

    def _ids(self, words: list[str]) -> list[int]:
        known = self._word_ids
        return [known[word] if word in known else self._learn(word) for word in words]

    def _learn(self, word: str) -> int:
        short = word[:MAX_WORD_CHARACTERS]
        self._word_ids[word] = number = len(self._word_hashes)
        self._word_hashes.append(_stable_hash(short))
        if self.shape.letters:
            bordered = f"<{short}>"
            runs = {bordered[i : i + n] for n in self.shape.letters for i in range(len(bordered) - n + 1)}
            self._letter_runs.append(
                np.array(sorted(_stable_hash("#" + run) for run in runs), dtype=np.uint64)
            )
        return number

    def _word_runs(
        self, ids: NDArray[np.int64], rows: NDArray[np.uint64]
    ) -> Iterator[tuple[slice, NDArray[np.uint64]]]:
        single = np.array(self._word_hashes, dtype=np.uint64)[ids]
        run = single
        yield slice(None), run
        for length in range(2, self.shape.words + 1):
            if len(run) < 2:
                return
            run = _mix(run[:-1] * np.uint64(0x9E3779B97F4A7C15) + single[length - 1 :])
            same_row = rows[: len(run)] == rows[length - 1 :]
            yield np.flatnonzero(same_row), run[same_row]  # type: ignore[misc]

    def _letter_keys(self, ids: NDArray[np.int64], rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
        runs = [self._letter_runs[i] for i in ids]
        if not runs:
            return np.zeros(0, dtype=np.uint64)
        lengths = np.fromiter((len(r) for r in runs), dtype=np.int64, count=len(runs))
        return _keyed(np.repeat(rows, lengths), np.concatenate(runs))


def _stable_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele et al. 2014, the finaliser of SplitMix64: spreads every input bit over the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _keyed(rows: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (rows << np.uint64(HASH_BITS)) | (hashes & HASH_MASK)
