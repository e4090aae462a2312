"""Likely wrong labels: rows whose given answer the models, not having seen it, find hard to believe.

Ranked by the probability of the given answer, the "self-confidence" of confident learning (Northcutt et al.
2021): on TREC its average precision was 0.87, that of the margin to the best rival 0.77. How many are shown
follows from an estimate of how many labels are wrong at all, so that at least every other one is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SURE_SHARE = 1 / 3  # of the rows, the models are surest of: where they disagree there, labels are wrong
SHOWN_FROM = 0.5  # the chance of being wrong from which a row is shown
FEWEST_SURE = 30


@dataclass(frozen=True)
class Suspects:
    """Rows by how likely their label is wrong."""

    doubt: NDArray[np.float64]  # (rows,) higher is more suspicious; the ranking
    chance: NDArray[np.float64]  # (rows,) that the label is wrong
    proposed: NDArray[np.int64]  # (rows,) what the models would answer
    noise: float  # share of labels that are wrong, estimated

    @property
    def shown(self) -> NDArray[np.int64]:
        """Positions of the rows worth looking at, the most suspicious first."""
        listed = np.flatnonzero(self.chance >= SHOWN_FROM)
        return listed[np.argsort(-self.doubt[listed], kind="stable")]


def find_suspects(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Suspects:
    """Compare out-of-fold ``probabilities`` (rows, classes) with the ``labels`` given (rows,)."""
    rows = np.arange(len(labels))
    given = probabilities[rows, labels].astype(np.float64)
    others = probabilities.astype(np.float64).copy()
    others[rows, labels] = -1.0
    proposed = others.argmax(axis=1)
    noise = label_noise(probabilities, labels)
    return Suspects(
        doubt=1.0 - given,
        chance=_chance_wrong(given, others[rows, proposed], noise, probabilities.shape[1]),
        proposed=proposed,
        noise=noise,
    )


def label_noise(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of wrong labels: how often labels differ from the answer where the models are surest."""
    confidence = probabilities.max(axis=1)
    surest = np.argsort(-confidence, kind="stable")[: max(FEWEST_SURE, int(SURE_SHARE * len(labels)))]
    return float((probabilities[surest].argmax(axis=1) != labels[surest]).mean())


def _chance_wrong(
    given: NDArray[np.float64], rival: NDArray[np.float64], noise: float, classes: int
) -> NDArray[np.float64]:
    """Bayes' rule, for probabilities that were learned from labels of which ``noise`` are wrong at random."""
    slip = noise / max(1, classes - 1)
    truly = np.clip((given - slip) / max(1e-6, 1 - noise - slip), 0.0, 1.0)
    right = (1 - noise) * truly / np.maximum(given, 1e-9)
    return np.where(rival > given, np.clip(1 - right, 0.0, 1.0), 0.0)
