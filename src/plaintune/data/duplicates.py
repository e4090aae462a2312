"""Which texts are the same, or nearly: the rows that must not sit on both sides of a split.

Near-identical means that at least 80% of the pairs of neighbouring words are shared (Jaccard), found
by MinHash signatures in bands (Broder 1997). Texts of fewer than eight words are compared whole only:
in a short question one changed word may change the answer. Messages that share a long signature or
heading, and have other words of their own, are not near-identical.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.features import BLOCK_ROWS, HashedTexts, NgramHasher, NgramShape, Texts, split_words, text_hashes

NEAR_JACCARD = 0.8
MIN_SHINGLES = 7
BANDS, ROWS_PER_BAND = 12, 5
GREETING_WORDS = 3  # that messages with a common signature may begin with
OWN_WORDS, OWN_OVERLAP = 5, 0.3  # so many other words, so little shared, make another message


def text_clusters(texts: NDArray[Any], hashes: NDArray[np.uint64] | None = None) -> NDArray[np.int64]:
    """A number per text, shared by identical (normalised) and near-identical texts. Shape (texts,).

    ``hashes`` are the `text_hashes` where they are known already.
    """
    _, exact = np.unique(text_hashes(texts) if hashes is None else hashes, return_inverse=True)
    _, first_of = np.unique(exact, return_index=True)
    near = _near_pairs(texts[first_of])
    return _connected(len(first_of), near)[exact]


def merge_clusters(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters in which any two rows that share a number in either are together. Shape (rows,)."""
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    pairs = np.unique(np.stack([a, b + a.max(initial=0) + 1], axis=1), axis=0)
    return _connected(int(pairs.max(initial=-1)) + 1, [(int(x), int(y)) for x, y in pairs])[a]


def _near_pairs(texts: Texts) -> list[tuple[int, int]]:
    hasher = NgramHasher(NgramShape(words=2))
    signatures, sizes, shingles = [], [], []
    for block in hasher.blocks(texts):
        signatures.append(_signatures(block))
        sizes.append(np.diff(block.start))
        shingles.append(block)
    if not signatures:
        return []
    signature, size = np.concatenate(signatures), np.concatenate(sizes)
    long_enough = np.flatnonzero(size >= 2 * MIN_SHINGLES)  # single words and pairs are both counted
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        keys = signature[long_enough, band]
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        for at in same:  # neighbours in a bucket; a chain links the whole bucket
            a, b = sorted((int(long_enough[order[at]]), int(long_enough[order[at + 1]])))
            pairs.add((a, b))
    alike = ((a, b) for a, b in sorted(pairs) if _jaccard(shingles, a, b) >= NEAR_JACCARD)
    return [(a, b) for a, b in alike if not _only_boilerplate_shared(texts[a], texts[b])]


def _signatures(block: HashedTexts) -> NDArray[np.uint64]:
    """One key per band: the smallest hashes under several mixings, folded. Shape (rows, BANDS)."""
    rng = np.random.default_rng(20260101)
    factors = rng.integers(1, 2**63, size=(BANDS, ROWS_PER_BAND), dtype=np.uint64) | np.uint64(1)
    rows = len(block.start) - 1
    keys = np.zeros((rows, BANDS), dtype=np.uint64)
    filled = np.flatnonzero(np.diff(block.start) > 0)
    if not len(filled):
        return keys
    at = block.start[:-1][filled]
    for band in range(BANDS):
        folded = np.zeros(len(filled), dtype=np.uint64)
        for factor in factors[band]:
            smallest = np.minimum.reduceat(block.hashes * factor >> np.uint64(8), at)
            folded = folded * np.uint64(0x9E3779B97F4A7C15) + smallest
        keys[filled, band] = folded
    return keys


def _jaccard(blocks: list[HashedTexts], a: int, b: int) -> float:
    def entries(row: int) -> NDArray[np.uint64]:
        block, at = blocks[row // BLOCK_ROWS], row % BLOCK_ROWS
        return block.hashes[block.start[at] : block.start[at + 1]]

    shared = len(np.intersect1d(entries(a), entries(b), assume_unique=True))
    return shared / max(1, len(entries(a)) + len(entries(b)) - shared)


def _only_boilerplate_shared(one: str, other: str) -> bool:
    """Whether each text is a message of its own above the same signature, or below the same heading."""
    a, b = split_words(one), split_words(other)
    most = min(len(a), len(b))
    before = next((i for i in range(most) if a[i] != b[i]), most)
    after = next((i for i in range(most - before) if a[-1 - i] != b[-1 - i]), most - before)
    own_a, own_b = set(a[before : len(a) - after]), set(b[before : len(b) - after])
    if min(before, after) > GREETING_WORDS or min(len(own_a), len(own_b)) < OWN_WORDS:
        return False
    return len(own_a & own_b) < OWN_OVERLAP * len(own_a | own_b)


def _connected(nodes: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    """The component each node belongs to (union-find with path halving). Shape (nodes,)."""
    parent = list(range(nodes))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in pairs:
        parent[root(b)] = root(a)
    return np.fromiter((root(node) for node in range(nodes)), dtype=np.int64, count=nodes)
