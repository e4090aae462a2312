"""Texts → token ids → batches of about equal length; numpy and tokenizers only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ..core.features import LINE_BREAK_TAG, Texts

ANSWERED_AT_ONCE = 512  # tokens; what a layer writes of so many stays in the cache: docs/experiments.md
ALONE_COST = 600  # tokens: in a text so long, attention costs as much as everything else
HEAD_SHARE = 0.25  # of a long text, how much of what is kept comes from its beginning
CHUNK_ROWS = 1000
WHOLE = sys.maxsize  # texts are seen whole, however long
MARKS = 2  # tokens that stand before and after each text
SHORT = 1000  # characters that any text may have after the tokenizer's rules
CHARACTERS_PER_TOKEN = 12  # more than any ordinary text has; what lies further in is never looked at


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, end to end: text i is ``ids[start[i]:start[i + 1]]``."""

    ids: NDArray[np.int32]  # (all tokens,)
    start: NDArray[np.int64]  # (texts + 1,)
    window: int = WHOLE  # the network sees so many at a time; what is longer it sees in several windows

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text. Shape (texts,)."""
        return np.diff(self.start)

    def of(self, text: int) -> NDArray[np.int32]:
        """The token ids of one text."""
        return self.ids[self.start[text] : self.start[text + 1]]

    def take(self, chosen: NDArray[np.int64]) -> Tokens:
        """The tokens of the texts ``chosen``, in that order."""
        return replace(joined([self.of(int(text)) for text in chosen]), window=self.window)

    def windows(self) -> tuple[Tokens, NDArray[np.int64]]:
        """All windows that the texts are seen in, spread evenly, and of which text each is."""
        if self.lengths.max(initial=0) <= self.window:
            return self, np.arange(len(self))
        counts = windows_of(self.lengths, self.window)
        seen = [
            self._window(text, int(first))
            for text, count in enumerate(counts)
            for first in np.linspace(0, max(0, self.lengths[text] - self.window), count)
        ]
        return joined(seen), np.repeat(np.arange(len(self)), counts)

    def drawn(self, seed: int) -> Tokens:
        """One window of each text, of a long one anywhere: so it is another text in each pass."""
        if self.lengths.max(initial=0) <= self.window:
            return self
        rng = np.random.default_rng(seed)
        firsts = rng.integers(0, np.maximum(self.lengths - self.window, 0) + 1)
        return joined([self._window(text, int(first)) for text, first in enumerate(firsts)])

    def _window(self, text: int, first: int) -> NDArray[np.int32]:
        """A stretch of a text between the marks that the tokenizer puts at its ends."""
        ids = self.of(text)
        if len(ids) <= self.window:
            return ids
        return np.concatenate([ids[:1], ids[1 + first : first + self.window - 1], ids[-1:]])

    def cut(self, max_length: int) -> Tokens:
        """The same texts, of long ones the head and the tail."""
        return joined([head_and_tail(self.of(text), max_length) for text in range(len(self))])


def windows_of(lengths: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """In how many windows texts of so many tokens are seen whole; each window has the marks at its ends."""
    return np.maximum(1, -(-(lengths - MARKS) // max(1, window - MARKS)))


def encode(
    tokenizer: Tokenizer, texts: Texts, *, max_length: int, windows: int = 1, most_growth: int | None = None
) -> Tokens:
    """Token ids with the special ones of the model, to be seen in up to ``windows`` of ``max_length`` tokens.

    Of a longer text the head and the tail are kept.

    Line breaks written as HTML are line breaks: as text they were one in twenty of IMDB's tokens. Raises
    ValueError where the tokenizer's rules make a text more than ``most_growth`` times as long.
    """
    kept: list[NDArray[np.int32]] = []
    most = most_tokens(max_length, windows)
    for first in range(0, len(texts), CHUNK_ROWS):
        chunk = [
            LINE_BREAK_TAG.sub("\n", _ends(str(text), most)) for text in texts[first : first + CHUNK_ROWS]
        ]
        if most_growth is not None and tokenizer.normalizer is not None:
            for text in chunk:
                if len(tokenizer.normalizer.normalize_str(text)) > most_growth * len(text) + SHORT:
                    raise ValueError("the tokenizer makes a text far longer than it is")
        for encoding in tokenizer.encode_batch_fast(chunk, add_special_tokens=True):
            ids = np.asarray(encoding.ids, dtype=np.int32)
            kept.append(head_and_tail(ids, most))
    return replace(joined(kept), window=max_length)


def most_tokens(max_length: int, windows: int) -> int:
    """How many tokens of a text are seen in up to ``windows`` of ``max_length``."""
    return max_length if windows == 1 else windows * (max_length - MARKS) + MARKS


def unread(tokenizer: Tokenizer, text: str, *, max_length: int, windows: int = 1) -> tuple[int, int]:
    """The characters of ``text`` between the head and the tail that `encode` keeps; all are kept: its end."""
    spaced = LINE_BREAK_TAG.sub(lambda tag: "\n".ljust(len(tag[0])), text)  # each character in its place
    places, most = tokenizer.encode(spaced).offsets, most_tokens(max_length, windows)
    if len(places) <= most:
        return len(text), len(text)
    kept = head_and_tail(np.arange(len(places), dtype=np.int32), most)
    gap = int(np.argmax(np.diff(kept))) + 1  # where the tail begins
    return places[kept[gap - 1]][1], places[kept[gap]][0]


def both(first: Tokens, second: Tokens) -> Tokens:
    """The texts of ``first``, then those of ``second``."""
    start = np.concatenate([first.start, first.start[-1] + second.start[1:]])
    return replace(first, ids=np.concatenate([first.ids, second.ids]), start=start)


def joined(parts: list[NDArray[np.int32]]) -> Tokens:
    """Texts given one by one, end to end."""
    lengths = np.fromiter((len(ids) for ids in parts), dtype=np.int64, count=len(parts))
    return Tokens(
        ids=np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32),
        start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def head_and_tail(ids: NDArray[np.int32], max_length: int) -> NDArray[np.int32]:
    """At most ``max_length`` ids: the first quarter of them from the head, the rest from the tail."""
    if len(ids) <= max_length:
        return ids
    head = max(1, int(max_length * HEAD_SHARE))
    return np.concatenate([ids[:head], ids[len(ids) - (max_length - head) :]])


def mean_by_text(seen: NDArray[np.float32], text_of: NDArray[np.int64], texts: int) -> NDArray[np.float32]:
    """What was seen in windows (windows, columns), averaged by text (texts, columns)."""
    if len(seen) == texts:
        return seen
    summed = np.zeros((texts, seen.shape[1]), dtype=np.float32)
    np.add.at(summed, text_of, seen)
    return np.asarray(summed / np.bincount(text_of, minlength=texts)[:, None], dtype=np.float32)


def batches(
    lengths: NDArray[np.int64], *, rows_per_batch: int, tokens_per_batch: int
) -> Iterator[NDArray[np.int64]]:
    """Positions of texts, batch by batch, of like length, longest first (so that memory peaks at once)."""
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        longest = max(1, int(lengths[order[first]]))
        size = max(1, min(rows_per_batch, tokens_per_batch // longest))
        yield order[first : first + size]
        first += size


def like_lengths(
    lengths: NDArray[np.int64], *, tokens_at_once: int, part_cost: int
) -> list[NDArray[np.int64]]:
    """Positions of the texts of one batch, longest first, in the parts that cost the least.

    Texts of a part are padded to its longest; each part costs as much as ``part_cost`` tokens more. No part
    of several texts is of more than ``tokens_at_once``.
    """
    order = np.argsort(-lengths, kind="stable")
    longest = [max(1, int(length)) for length in lengths[order]]
    cost, begins = [0] + [sys.maxsize] * len(order), [0] * (len(order) + 1)
    for first, tokens in enumerate(longest):
        for end in range(first + 1, min(len(order), first + max(1, tokens_at_once // tokens)) + 1):
            if (whole := cost[first] + (end - first) * tokens + part_cost) < cost[end]:
                cost[end], begins[end] = whole, first
    parts, end = [], len(order)
    while end:
        parts.append(order[begins[end] : end])
        end = begins[end]
    return parts[::-1]


def even_parts(
    lengths: NDArray[np.int64], *, tokens_at_once: int, sides: int
) -> list[list[NDArray[np.int64]]]:
    """Positions of the texts of one batch: for each of ``sides``, parts that cost about the same.

    A part is of about ``tokens_at_once`` tokens at most; none is empty. A token costs more in a long text.
    """
    rounds = -(-int(lengths.sum()) // (sides * tokens_at_once))
    parts: list[list[int]] = [[] for _ in range(min(len(lengths), sides * max(1, rounds)))]
    costs = lengths * (ALONE_COST + lengths)
    loads = [0] * len(parts)
    for text in np.argsort(-costs, kind="stable"):
        lightest = loads.index(min(loads))
        parts[lightest].append(int(text))
        loads[lightest] += int(costs[text])
    filled = [np.array(part) for part in parts if part]
    return [filled[side::sides] for side in range(min(sides, len(filled)))]


def shuffled_batches(
    lengths: NDArray[np.int64], *, rows_per_batch: int, seed: int
) -> list[NDArray[np.int64]]:
    """An epoch in random order, in batches of like length: mixed in pools, sorted within, mixed again."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lengths))
    pool_rows = rows_per_batch * 50
    epoch: list[NDArray[np.int64]] = []
    for first in range(0, len(order), pool_rows):
        pool = order[first : first + pool_rows]
        epoch += [
            pool[at]
            for at in batches(lengths[pool], rows_per_batch=rows_per_batch, tokens_per_batch=sys.maxsize)
        ]
    return [epoch[i] for i in rng.permutation(len(epoch))]


def padded(
    tokens: Tokens, chosen: NDArray[np.int64], *, pad_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask of the texts ``chosen``. Shapes (texts, longest)."""
    lengths = tokens.lengths[chosen]
    ids = np.full((len(chosen), int(lengths.max())), pad_id, dtype=np.int64)
    for row, text in enumerate(chosen):
        ids[row, : lengths[row]] = tokens.of(int(text))
    mask = (np.arange(ids.shape[1])[None, :] < lengths[:, None]).astype(np.int64)
    return ids, mask


def plain_tokenizer(tokenizer_json: str) -> Tokenizer:
    """The tokenizer without the padding and cutting it may have been saved with."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _ends(text: str, max_length: int) -> str:
    """A gigantic text without its far middle, so that tokenising costs by ``max_length``."""
    limit = max_length * CHARACTERS_PER_TOKEN
    return text if len(text) <= 2 * limit else text[:limit] + " " + text[-limit:]
