"""Scores with their uncertainty, for the three kinds of answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tasks import Task

UNEVEN_RATIO = 3.0  # a largest class this many times the smallest makes macro-F1 worth a look
INTERVAL_RESAMPLES = 1000
CALIBRATION_BINS = 15
METRICS = {Task.SINGLE: "accuracy", Task.MULTI: "micro_f1", Task.NUMBER: "r2"}

Statistics = NDArray[np.float64]  # (rows, sums): what a metric is computed from, added up over rows


@dataclass(frozen=True)
class Score:
    """How good answers are on ``rows`` examples, with a 95% interval."""

    rows: int
    metric: str  # "accuracy", "micro_f1" or "r2"
    value: float
    interval: tuple[float, float]
    majority: float  # the same metric of the best answer that does not read the text
    others: dict[str, float] = field(default_factory=dict)  # further metrics by name


def score_outputs(
    task: Task,
    truth: NDArray[Any],
    outputs: NDArray[Any],
    *,
    prior: NDArray[np.float64],
    threshold: float = 0.5,
    groups: NDArray[np.int64] | None = None,
) -> Score:
    """Compare ``outputs`` (rows, answers) with ``truth``, shaped as in `Task`.

    ``prior`` (answers,) is what is known without reading: each class's share of the training rows, or the
    mean and spread of the target. With ``groups`` the interval resamples whole groups, since their rows
    are not independent.
    """
    if task is Task.MULTI:
        return _score_sets(truth, outputs, prior, threshold, groups)
    if task is Task.NUMBER:
        return _score_numbers(truth, outputs[:, 0], prior, groups)
    return _score_classes(truth, outputs, most_frequent(prior), groups)


def say_metric(task: Task, value: float) -> str:
    """A value of the main metric as people write it: a percentage, F1 with three digits."""
    return f"{value:.3f}" if task is Task.MULTI else f"{value:.1%}"


def sureness(confidence: float) -> str:
    """A probability as people say it; nothing is ever said to be 100% sure."""
    return "over 99% sure" if confidence > 0.99 else f"{confidence:.0%} sure"


def plain_number(value: float, digits: int = 4) -> str:
    """A number to ``digits`` places that count, as people write it: 12,500 and not 1.25e+04."""
    rounded = float(f"{value:.{digits}g}")
    if 1e4 <= abs(rounded) < 1e15:
        return f"{rounded:,.0f}"
    return f"{rounded:.{digits}g}"


def main_metric(
    task: Task,
    truth: NDArray[Any],
    outputs: NDArray[Any],
    *,
    prior: NDArray[np.float64],
    threshold: float = 0.5,
) -> float:
    """The value of `score_outputs` alone, without its interval."""
    if task is Task.MULTI:
        return _f1(_set_sums(truth, outputs >= threshold).sum(axis=0))
    if task is Task.NUMBER:
        return _r2(_number_sums(truth, outputs[:, 0], prior).sum(axis=0))
    return float((truth == outputs.argmax(axis=1)).mean())


def gain_over(
    task: Task,
    truth: NDArray[Any],
    outputs: NDArray[Any],
    other: NDArray[Any],
    *,
    prior: NDArray[np.float64],
    threshold: float = 0.5,
    other_threshold: float | None = None,
    groups: NDArray[np.int64] | None = None,
) -> tuple[float, tuple[float, float]]:
    """How much better ``outputs`` are than ``other`` in the main metric, with a 95% interval.

    Both are (rows, answers) on the same rows, which are drawn together: a paired bootstrap. Of several
    answers those apply that reach the ``threshold``, which is the other's too where it has none of its own.
    """
    if task is Task.MULTI:
        least = (threshold, threshold if other_threshold is None else other_threshold)
        sums = [_set_sums(truth, told >= cut) for told, cut in zip((outputs, other), least, strict=True)]
        metric = _f1
    elif task is Task.NUMBER:
        sums = [_number_sums(truth, told[:, 0], prior) for told in (outputs, other)]
        metric = _r2
    else:
        ones = np.ones(len(truth))
        sums = [np.stack([truth == told.argmax(axis=1), ones], axis=1) for told in (outputs, other)]
        metric = _share
    width = sums[0].shape[1]

    def difference(total: NDArray[np.float64]) -> float:
        return metric(total[:width]) - metric(total[width:])

    both = np.concatenate(sums, axis=1).astype(np.float64)
    if task is not Task.NUMBER and (sums[0] == sums[1]).all() and not np.array_equal(outputs, other):
        most = wilson_interval(0, len(truth))[1]  # they are not the same: the next row may differ
        return 0.0, (-most, most)
    return difference(both.sum(axis=0)), bootstrap_interval(both, difference, groups)


def most_frequent(prior: NDArray[np.float64]) -> NDArray[np.int64]:
    """The answers that none is more frequent than in ``prior`` (answers,): one, or several."""
    return np.flatnonzero(prior == prior.max())


def _score_classes(
    truth: NDArray[np.int64],
    outputs: NDArray[np.float32],
    frequent: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> Score:
    answers = outputs.argmax(axis=1)
    right = truth == answers
    low, high = wilson_interval(int(right.sum()), len(right))
    if groups is not None and len(np.unique(groups)) > 1:
        sums = np.stack([right.astype(np.float64), np.ones(len(right))], axis=1)
        clustered = bootstrap_interval(sums, _share, groups)
        low, high = min(low, clustered[0]), max(high, clustered[1])
    others = {"macro_f1": macro_f1(truth, answers)}
    if len(truth) and (truth >= 0).all():
        others["log_loss"] = log_loss(truth, outputs)
        others["calibration_error"] = calibration_error(outputs.max(axis=1), right)
        others["brier"] = brier_score(truth, outputs)
    share = float(right.mean()) if len(right) else math.nan
    guess = max(float((truth == answer).mean()) for answer in frequent) if len(right) else math.nan
    return Score(len(truth), METRICS[Task.SINGLE], share, (low, high), guess, others)


def _score_sets(
    truth: NDArray[np.int64],
    outputs: NDArray[np.float32],
    prior: NDArray[np.float64],
    threshold: float,
    groups: NDArray[np.int64] | None,
) -> Score:
    chosen = outputs >= threshold
    sums = _set_sums(truth, chosen)
    guess = best_set(prior)
    hits, wanted = (chosen & (truth == 1)).sum(axis=0), truth.sum(axis=0)
    per_class = 2 * hits / np.maximum(1, chosen.sum(axis=0) + wanted)
    value, interval = _f1(sums.sum(axis=0)), bootstrap_interval(sums, _f1, groups)
    if value in (0.0, 1.0):  # every draw is like the other; the next row need not be
        exact = wilson_interval(int(value) * len(truth), len(truth))
        interval = min(interval[0], exact[0]), max(interval[1], exact[1])
    return Score(
        rows=len(truth),
        metric=METRICS[Task.MULTI],
        value=value,
        interval=interval,
        majority=_f1(_set_sums(truth, np.tile(guess, (len(truth), 1))).sum(axis=0)),
        others={
            "macro_f1": float(per_class[wanted > 0].mean()) if wanted.any() else 0.0,
            "exact_match": float((chosen == (truth == 1)).all(axis=1).mean()),
        },
    )


def best_set(prior: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of answers that apply as often as ``prior`` (answers,) says, the set with the best F1 in every row."""
    order = np.argsort(-prior, kind="stable")
    given = np.arange(1, len(prior) + 1)
    most = int(np.argmax(2 * np.cumsum(prior[order]) / (given + prior.sum())))
    chosen = np.zeros(len(prior), dtype=bool)
    chosen[order[: most + 1]] = True
    return chosen


def _score_numbers(
    truth: NDArray[np.float64],
    outputs: NDArray[Any],
    prior: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
) -> Score:
    sums = _number_sums(truth, outputs, prior)
    guess = sums.copy()
    guess[:, 0] = guess[:, 3]
    return Score(
        rows=len(truth),
        metric=METRICS[Task.NUMBER],
        value=_r2(sums.sum(axis=0)),
        interval=bootstrap_interval(sums, _r2, groups),
        majority=_r2(guess.sum(axis=0)),
        others={
            "mean_absolute_error": float(np.abs(truth - outputs).mean()),
            "majority_mean_absolute_error": float(np.abs(truth - prior[0]).mean()),
        },
    )


def _set_sums(truth: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Statistics:
    hits = ((truth == 1) & chosen).sum(axis=1)
    return np.stack([hits, chosen.sum(axis=1), truth.sum(axis=1)], axis=1).astype(np.float64)


def _number_sums(truth: NDArray[np.float64], outputs: NDArray[Any], prior: NDArray[np.float64]) -> Statistics:
    mean, spread = prior
    away = (truth - mean) / spread
    return np.stack([((truth - outputs) / spread) ** 2, np.ones(len(truth)), away, away**2], axis=1)


def _share(sums: NDArray[np.float64]) -> float:
    return float(sums[0] / sums[1])


def _f1(sums: NDArray[np.float64]) -> float:
    hits, chosen, wanted = sums
    return float(2 * hits / max(1.0, chosen + wanted))


def _r2(sums: NDArray[np.float64]) -> float:
    squared_error, rows, total, squares = sums
    differences = squares - total**2 / max(1.0, rows)
    if differences < 1e-9 * rows:  # all the same: there is nothing to explain
        return 0.0
    return float(1.0 - squared_error / differences)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927); honest near 0 and 1 and for few trials."""
    if trials == 0:
        return (0.0, 1.0)
    z = 1.959964
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    spread = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return (min(share, max(0.0, middle - spread)), max(share, min(1.0, middle + spread)))  # despite rounding


def bootstrap_interval(
    sums: Statistics, metric: Callable[[NDArray[np.float64]], float], groups: NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """The 95% bootstrap interval of a metric of sums over rows.

    With ``groups`` whole groups are drawn; it is never narrower than if rows were.
    """
    if groups is not None:
        by_row = bootstrap_interval(sums, metric)
        _, group = np.unique(groups, return_inverse=True)
        if len(sums) == 0 or group.max() == 0:
            return by_row
        by_group = bootstrap_interval(
            np.stack([np.bincount(group, weights=column) for column in sums.T], axis=1), metric
        )
        return min(by_row[0], by_group[0]), max(by_row[1], by_group[1])
    if not len(sums):
        return (math.nan, math.nan)
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(sums), len(sums)) for _ in range(INTERVAL_RESAMPLES))
    values = [metric(sums[rows].sum(axis=0)) for rows in drawn]
    return (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))


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


def brier_score(truth: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """The mean squared distance of the probabilities from the truth, summed over classes (Brier 1950)."""
    given = probabilities[np.arange(len(truth)), truth]
    return float(((probabilities**2).sum(axis=1) - 2 * given + 1).mean())


def calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over `CALIBRATION_BINS` bins of equal mass: |confidence - accuracy|."""
    order = np.argsort(confidence, kind="stable")
    bins = [part for part in np.array_split(order, min(CALIBRATION_BINS, len(order))) if len(part)]
    return float(sum(len(b) * abs(confidence[b].mean() - right[b].mean()) for b in bins) / len(order))


def is_uneven(counts: Iterable[int], ratio: float = UNEVEN_RATIO) -> bool:
    """Whether the largest class (examples of each: ``counts``) is so much larger that accuracy flatters."""
    present = [count for count in counts if count]
    return bool(present) and max(present) >= ratio * min(present)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of shape (rows, classes) from logits of the same shape."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """A probability for each log-odds, shape unchanged."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)
