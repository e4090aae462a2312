"""Likely wrong answers: rows whose given answer the models, not having seen it, find hard to believe.

Ranked by the probability of the given answer, the "self-confidence" of confident learning (Northcutt et al.
2021): on TREC its average precision was 0.87, that of the margin to the best rival 0.77. How many are shown
follows from an estimate of how many answers are wrong at all, so that at least every other one is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.tasks import Task

SURE_SHARE = 1 / 3  # of the rows, the models are surest of: where they disagree there, labels are wrong
SHOWN_FROM = 0.5  # the chance of being wrong from which a row is shown
FEWEST_SURE = 30
FIRST_NOISE, MOST_NOISE, ROUNDS = 0.05, 0.5, 60  # of the numbers that are wrong: where the estimate begins


@dataclass(frozen=True)
class Suspects:
    """Rows by how likely their answer is wrong."""

    doubt: NDArray[np.float64]  # (rows,) higher is more suspicious; the ranking
    chance: NDArray[np.float64]  # (rows,) that the answer is wrong
    proposed: NDArray[Any]  # what the models would answer, shaped like the labels
    noise: float  # share of answers that are wrong, estimated
    ceiling: float = 1.0  # the main metric that answers like these allow at most

    @property
    def shown(self) -> NDArray[np.int64]:
        """Positions of the rows worth looking at, the most suspicious first."""
        listed = np.flatnonzero(self.chance >= SHOWN_FROM)
        return listed[np.argsort(-self.doubt[listed], kind="stable")]


def find_suspects(task: Task, outputs: NDArray[Any], labels: NDArray[Any]) -> Suspects:
    """Compare out-of-fold ``outputs`` (rows, answers) with the ``labels`` given, shaped as in `Task`."""
    if task is Task.MULTI:
        return _of_sets(outputs, labels)
    if task is Task.NUMBER:
        return _of_numbers(outputs[:, 0], labels)
    return _of_classes(outputs, labels)


def _of_classes(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Suspects:
    rows = np.arange(len(labels))
    given = probabilities[rows, labels].astype(np.float64)
    others = probabilities.astype(np.float64).copy()
    others[rows, labels] = -1.0
    proposed = others.argmax(axis=1)
    noise = _noise_at_surest(probabilities.max(axis=1), probabilities.argmax(axis=1) != labels)
    chance = _chance_wrong(given, others[rows, proposed], noise, probabilities.shape[1])
    return Suspects(1.0 - given, chance, proposed, noise, 1.0 - noise)


def _of_sets(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> Suspects:
    """Each class of each row is a yes or no of its own; answers are left out, or given in excess."""
    said, marked = probabilities.astype(np.float64), labels == 1
    left_out = _noise_where_confident(said, marked)  # of the true answers
    excess = _noise_where_confident(1 - said, ~marked)  # of all that do not apply
    truly = np.clip((said - excess) / max(1e-6, 1 - excess - left_out), 0.0, 1.0)
    given = np.where(marked, said, 1 - said)
    slipped = np.where(marked, excess * (1 - truly), left_out * truly)
    wrong = np.where(given < 0.5, np.clip(slipped / np.maximum(given, 1e-9), 0.0, 1.0), 0.0)
    true_marks, others = float(truly.sum()), float((1 - truly).sum())
    kept = true_marks * (1 - left_out)
    ceiling = 2 * kept / max(1e-9, true_marks + kept + others * excess)
    return Suspects(
        doubt=1.0 - given.min(axis=1),
        chance=wrong.max(axis=1),
        proposed=np.where(wrong >= SHOWN_FROM, 1 - labels, labels),
        noise=1.0 - ceiling,
        ceiling=ceiling,
    )


def _of_numbers(said: NDArray[np.float64], labels: NDArray[np.float64]) -> Suspects:
    """Distances are a mixture: most fall off around what was said, a few wrong numbers are anywhere.

    How many, and how fast the others fall off, by expectation maximisation (Dempster et al. 1977).
    """
    away = np.abs(labels - said)
    reach = max(1e-9, float(np.ptp(labels)))
    noise, scale = FIRST_NOISE, max(1e-6 * reach, float(np.median(away)))
    wrong = np.zeros(len(away))
    for _ in range(ROUNDS):
        stray = noise / reach
        wrong = stray / (stray + (1 - noise) * np.exp(-away / scale) / (2 * scale))
        noise = min(MOST_NOISE, float(wrong.mean()))
        scale = max(1e-6 * reach, float(((1 - wrong) * away).sum() / max(1e-9, (1 - wrong).sum())))
    return Suspects(away, wrong, np.round(said, _decimals(labels)), noise)


def _decimals(numbers: NDArray[np.float64]) -> int:
    """The places after the point that all ``numbers`` need; at most six."""
    return next((places for places in range(6) if np.allclose(numbers, np.round(numbers, places))), 6)


def _noise_where_confident(said: NDArray[np.float64], given: NDArray[np.bool_]) -> float:
    """The share that is not ``given`` among what is said with at least the usual confidence.

    That is the mean confidence where it is given (the confident joint of Northcutt et al. 2021). The surest
    third, as for classes, misses a few slips among many sure decisions.
    """
    confident = said >= (said[given].mean() if given.any() else 1.0)
    return max(float((~given[confident]).sum()), 0.5) / max(1, int(confident.sum()))


def _noise_at_surest(sureness: NDArray[Any], differs: NDArray[np.bool_]) -> float:
    """The share of wrong answers: how often they differ from what is said where that is surest.

    Never nothing: that none of some hundred is wrong does not make a wrong one impossible.
    """
    surest = np.argsort(-sureness, kind="stable")[: max(FEWEST_SURE, int(SURE_SHARE * len(sureness)))]
    return max(float(differs[surest].sum()), 0.5) / max(1, len(surest))


def _chance_wrong(
    given: NDArray[np.float64], rival: NDArray[np.float64], noise: float, classes: int
) -> NDArray[np.float64]:
    """Bayes' rule, for probabilities that were learned from labels of which ``noise`` are wrong at random."""
    slip = noise / max(1, classes - 1)
    truly = np.clip((given - slip) / max(1e-6, 1 - noise - slip), 0.0, 1.0)
    right = (1 - noise) * truly / np.maximum(given, 1e-9)
    return np.where(rival > given, np.clip(1 - right, 0.0, 1.0), 0.0)
