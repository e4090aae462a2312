"""Texts that stand more than once: within the data, and in both the data and a test part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, silent, stage
from ..core.features import text_hashes
from .duplicates import text_clusters
from .examples import TEXT_DTYPE, Examples
from .finding import MEND, Finding, Severity, found, share

MANY = 0.02  # of all texts


@dataclass(frozen=True)
class Repeats:
    """Which texts are the same, and which nearly: equal numbers, row by row."""

    hashes: NDArray[np.uint64]  # (rows,) of the normalised texts
    clusters: NDArray[np.int64]  # (rows,) shared by near copies as well
    test_hashes: NDArray[np.uint64]  # (test rows,)
    test_clusters: NDArray[np.int64]  # (test rows,) numbered as ``clusters``

    @property
    def met(self) -> NDArray[np.bool_]:
        """Whether the text of each test row is also among the examples. Shape (test rows,)."""
        return np.isin(self.test_hashes, self.hashes)

    def take(self, chosen: NDArray[np.int64]) -> Repeats:
        """Of the examples at ``chosen`` only; the test part stays whole."""
        return replace(self, hashes=self.hashes[chosen], clusters=self.clusters[chosen])


def find_repeats(examples: Examples, test: Examples | None = None, *, listener: Listener = silent) -> Repeats:
    """Compare all texts with one another, those of ``test`` too."""
    stage(listener, "Looking for repeated texts")
    hashes = text_hashes(examples.texts)
    if test is None:
        none: NDArray[Any] = np.zeros(0, dtype=np.uint64)
        return Repeats(hashes, text_clusters(examples.texts, hashes), none, none.astype(np.int64))
    test_hashes = text_hashes(test.texts)
    both = np.concatenate([examples.texts, test.texts]).astype(TEXT_DTYPE)
    clusters = text_clusters(both, np.concatenate([hashes, test_hashes]))
    return Repeats(hashes, clusters[: len(examples)], test_hashes, clusters[len(examples) :])


def repeat_findings(examples: Examples, repeats: Repeats) -> list[Finding]:
    """Copies and near copies among ``examples``."""
    copies = later_copies(repeats.hashes)
    near = np.setdiff1d(later_copies(repeats.clusters), copies)
    findings = []
    if len(copies):
        exact = len(later_copies(examples.texts))
        findings.append(
            found(
                "duplicate", Severity.MEDIUM if len(copies) > MANY * len(examples) else Severity.LOW,
                copies, examples, like=first_ones(repeats.hashes)[copies],
                what=f"{share(len(copies), len(examples))} repeat an earlier one: {exact:,} letter by "
                f"letter, {len(copies) - exact:,} but for case, marks or spaces.",
                why="A text that is both learned and tested makes the score better than the model is.",
                done="Copies stay on one side of every split, so the score is honest; "
                f"{MEND} leaves out those with the same answer, if no #, % or :) tells them apart.",
                values={"exact": exact, "normalised": len(copies) - exact},
            )
        )  # fmt: skip
    if len(near):
        findings.append(
            found(
                "near_duplicate", Severity.LOW, near, examples, like=first_ones(repeats.clusters)[near],
                what=f"{share(len(near), len(examples))} nearly repeat an earlier one "
                "(four fifths of their word pairs are shared).",
                why="They are not new evidence, and would flatter the score if they stood on both sides.",
                done="They stay on one side of every split; none is removed: a word can change the answer.",
            )
        )  # fmt: skip
    return findings


def overlap_finding(test: Examples, repeats: Repeats) -> Finding | None:
    """Texts of ``test`` that are also among the examples."""
    same = repeats.met
    near = np.isin(repeats.test_clusters, repeats.clusters) & ~same
    exact, alike = int(same.sum()), int(near.sum())
    if not exact + alike:
        return None
    positions = np.concatenate([np.flatnonzero(same), np.flatnonzero(near)])
    what = f"{share(alike, len(test))} of the test data are nearly the same as one in the training data."
    if exact:
        what = (
            f"{share(exact, len(test))} of the test data are also in the training data; "
            f"{alike:,} more are nearly the same as one there."
        )
    return found(
        "overlap", Severity.HIGH if len(positions) / len(test) > 0.005 else Severity.MEDIUM, positions, test,
        rows=exact or alike,
        what=what,
        why="A model can know these answers by heart, so they say nothing about new texts.",
        done="`train --test` leaves the same ones out of the score. The lines shown are the test's.",
        values={"same": exact, "near": alike},
    )  # fmt: skip


def later_copies(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Positions whose value stood before."""
    return np.flatnonzero(first_ones(codes) < np.arange(len(codes)))


def first_ones(codes: NDArray[Any]) -> NDArray[np.int64]:
    """For each value the position where it stood first. Shape (codes,)."""
    _, first, of_code = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(first[of_code])
