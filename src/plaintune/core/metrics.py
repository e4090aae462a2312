"""Scores with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNEVEN_RATIO = 3.0  # a largest class this many times the smallest makes macro-F1 worth a look
INTERVAL_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """How good answers are on ``rows`` examples, with 95% intervals."""

    rows: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    majority_accuracy: float  # of always giving the answer most frequent in training
    log_loss: float | None = None

    @property
    def half_width(self) -> float:
        """Half the width of the interval of the accuracy."""
        low, high = self.accuracy_interval
        return (high - low) / 2


def score_answers(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    *,
    majority: int,
    groups: NDArray[np.int64] | None = None,
    probabilities: NDArray[np.float32] | None = None,
) -> Score:
    """Compare ``answers`` with ``truth``, both class numbers of shape (rows,); truth -1 is always wrong.

    With ``groups`` the interval resamples whole groups, since the rows of a group are not independent.
    """
    right = truth == answers
    low_high = wilson_interval(int(right.sum()), len(right))
    if groups is not None and len(np.unique(groups)) > 1:
        clustered = group_interval(right, groups)
        low_high = (min(low_high[0], clustered[0]), max(low_high[1], clustered[1]))
    return Score(
        rows=len(truth),
        accuracy=float(right.mean()) if len(right) else math.nan,
        accuracy_interval=low_high,
        macro_f1=macro_f1(truth, answers),
        majority_accuracy=float((truth == majority).mean()) if len(right) else math.nan,
        log_loss=None if probabilities is None or (truth < 0).any() else log_loss(truth, probabilities),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); honest near 0 and 1 and for few trials."""
    if trials == 0:
        return (0.0, 1.0)
    z = 1.959964
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    spread = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return (max(0.0, middle - spread), min(1.0, middle + spread))


def group_interval(right: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[float, float]:
    """The 95% bootstrap interval of a share when whole groups are drawn, not rows."""
    _, group = np.unique(groups, return_inverse=True)
    hits = np.bincount(group, weights=right)
    sizes = np.bincount(group).astype(np.float64)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(sizes), size=(INTERVAL_RESAMPLES, len(sizes)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return (float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975)))


def macro_f1(truth: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    """The mean over the classes seen in ``truth`` or ``answers`` of precision and recall's harmonic mean."""
    classes = np.union1d(truth, answers)
    classes = classes[classes >= 0]
    if not len(classes):
        return 0.0
    f1 = []
    for c in classes:
        hit = int(((truth == c) & (answers == c)).sum())
        f1.append(2 * hit / max(1, int((truth == c).sum()) + int((answers == c).sum())))
    return float(np.mean(f1))


def log_loss(truth: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """The mean surprise, in nats, at the true answers."""
    given = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(given, 1e-9, 1.0)).mean())


def is_uneven(counts: Iterable[int]) -> bool:
    """Whether the largest class (examples of each: ``counts``) is so much larger that accuracy flatters."""
    present = [count for count in counts if count]
    return bool(present) and max(present) >= UNEVEN_RATIO * min(present)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of shape (rows, classes) from logits of the same shape."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
