"""Would more data help? A learning curve of cheap fits, drawn on to twice the data.

The error, which is what the main metric lacks to 1, falls as a power of the examples in the end (Hestness et
al. 2017, "Deep learning scaling is predictable, empirically") and begins at that of a guess: with hardly a
row of each answer a doubling brings little yet, and the steepest part is still to come. So

    error(n) = rest + (guess - rest) / (1 + (n / bend) ** slope)

is fitted to the errors of cheap models at a few sizes. How well that foretells: benchmarks/learning_curve.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..core.metrics import main_metric, score_outputs
from ..core.tasks import Task
from .baseline import fit_baseline
from .evidence import Evidence, frozen_opinion
from .learner import standard_labels

SHARES = (0.125, 0.25, 0.5, 1.0)  # of the rows that may be learned from
REPEATS = 3
CHECKED_SHARE = 0.25
FEWEST_ROWS = 25  # in the smallest part that is learned from
FEWEST_GROUPS = 8  # of rows that belong together
SLOPES = np.linspace(0.1, 2.0, 39)
LEFT_OVER = np.linspace(0.0, 0.95, 20)  # shares of the last error that no data will remove
BENDS = np.geomspace(3, 30_000, 33)  # examples at which half of what can be learned is
USUAL_SLOPE, SLOPE_SPREAD = 0.5, 0.25  # what curves of texts look like, where these points leave it open
LUCK = 0.02  # of an error is chance: other rows of the same kind would have taught more, or less
LEAST_NOISE = 0.002
SQUARES_SPREAD = 4.0  # variance of squared distances by their mean squared: 2 of a bell curve, 5 of Laplace's


@dataclass(frozen=True)
class LearningCurve:
    """The error at several sizes, and what follows for more data."""

    sizes: tuple[int, ...]  # examples learned from
    errors: tuple[float, ...]  # the mean of some repeats
    gain: float  # in the main metric, from twice the data there is
    gain_interval: tuple[float, float]  # nine of ten should lie within
    rows: int  # that there are
    guess: float  # the error of the best answer that does not read the text
    draws: NDArray[np.float64]  # (draws, 3) plausible curves: bend, slope, rest

    def error_at(self, rows: float) -> NDArray[np.float64]:
        """The error with ``rows`` examples, by each plausible curve. Shape (draws,)."""
        return error_at(self.guess, self.draws, rows)

    def rows_for(self, gain: float) -> float | None:
        """The examples with which the metric would be higher by ``gain``, None where it never would."""
        for factor in np.geomspace(1.0, 1000.0, 61):
            gained = self.error_at(self.rows) - self.error_at(self.rows * factor)
            if np.median(gained) >= gain:
                return float(self.rows * factor)
        return None


def learning_curve(evidence: Evidence, *, rows: int, seed: int) -> LearningCurve | None:
    """The curve of both cheap models blended; ``rows`` is how many examples there are in all.

    None where there are too few rows to measure it.
    """
    by_share = _measure(evidence, seed)
    if len(by_share) < 3:
        return None
    rng = np.random.default_rng(seed)
    guess = 1 - score_outputs(
        evidence.task, evidence.labels, evidence.outputs, prior=evidence.prior,
        threshold=evidence.blend.threshold,
    ).majority  # fmt: skip
    draws = plausible_curves(list(chain.from_iterable(by_share)), guess, rng)
    means = [np.mean(points, axis=0) for points in by_share]
    sizes, errors = tuple(int(mean[0]) for mean in means), tuple(float(mean[1]) for mean in means)
    curve = LearningCurve(sizes, errors, 0.0, (0.0, 0.0), rows, guess, draws)
    gained = _gains(curve, evidence, rng)
    low, middle, high = (float(np.quantile(gained, q)) for q in (0.05, 0.5, 0.95))
    return replace(curve, gain=middle, gain_interval=(low, high))


def _gains(curve: LearningCurve, evidence: Evidence, rng: np.random.Generator) -> NDArray[np.float64]:
    """What twice the data may bring by each plausible curve. Shape (draws,).

    Beside the curve two things are left to chance: all points were judged by the same rows, which may be
    easier or harder than most; and which rows one has, and gets, to learn from.
    """
    before, after = curve.error_at(curve.rows), curve.error_at(2 * curve.rows)
    middle = max(1e-6, float(np.median(before)))
    doubt = standard_error(evidence.task, middle, len(evidence.labels)) / middle
    judged = np.exp(doubt * rng.standard_normal(len(before)))
    luck = LUCK * rng.standard_normal((2, len(before)))  # of twice as many rows it is less
    return np.asarray(judged * (before * (1 + luck[0]) - after * (1 + luck[1] / np.sqrt(2))))


def _measure(evidence: Evidence, seed: int) -> list[list[tuple[int, float, float]]]:
    """(examples learned from, error, its standard error) of each repeat, by the share learned from."""
    rng = np.random.default_rng(seed)
    groups = np.unique(evidence.clusters)
    if len(groups) < FEWEST_GROUPS:
        return []
    points: dict[float, list[tuple[int, float, float]]] = {share: [] for share in SHARES}
    for _ in range(REPEATS):
        shuffled = rng.permutation(groups)
        checked_groups = shuffled[: max(1, int(CHECKED_SHARE * len(groups)))]
        checked = np.flatnonzero(np.isin(evidence.clusters, checked_groups))
        rest = rng.permutation(np.flatnonzero(~np.isin(evidence.clusters, checked_groups)))
        for part in SHARES:
            learned = rest[: int(part * len(rest))]
            if len(learned) >= FEWEST_ROWS and np.ptp(evidence.labels[learned], axis=0).any():
                error = error_of(evidence, learned, checked, seed)
                doubt = standard_error(evidence.task, error, len(checked))
                points[part].append((len(learned), error, doubt))
    return [of_share for of_share in points.values() if of_share]


def error_of(evidence: Evidence, learned: NDArray[np.int64], checked: NDArray[np.int64], seed: int) -> float:
    """What the main metric of the blend lacks to 1 on ``checked`` when it has learned from ``learned``."""
    examples, task, labels = evidence.examples, evidence.task, standard_labels(evidence.examples)
    features, answers = evidence.features, evidence.frozen_logits.shape[1]
    frozen = frozen_opinion(task, features[learned], labels[learned], features[checked], answers=answers)
    counted = fit_baseline(
        examples.texts[learned], labels[learned], len(examples.classes), task=task, seed=seed
    )
    said = evidence.blend.outputs(frozen, counted.logits(examples.texts[checked]))
    return 1.0 - main_metric(
        task, evidence.labels[checked], said, prior=evidence.prior, threshold=evidence.blend.threshold
    )


def standard_error(task: Task, error: float, rows: int) -> float:
    """How far an error measured on ``rows`` rows may be off: of a share, or of a mean square."""
    if task is Task.NUMBER:
        return float(error * np.sqrt(SQUARES_SPREAD / rows))
    return float(np.sqrt(max(error * (1 - error), LEAST_NOISE) / rows + LEAST_NOISE**2))


def plausible_curves(
    points: Sequence[tuple[float, float, float]], guess: float, rng: np.random.Generator, draws: int = 1000
) -> NDArray[np.float64]:
    """Curves drawn by how well they fit the points, over a grid of bends, slopes and rests. (draws, 3)."""
    size, error, spread = np.array(points).T
    last = min(guess, float(error[size == size.max()].mean()))
    bend, slope, part = (one.ravel() for one in np.meshgrid(BENDS, SLOPES, LEFT_OVER, indexing="ij"))
    grid = np.stack([bend, slope, part * last], axis=1)
    surprise = ((slope - USUAL_SLOPE) / SLOPE_SPREAD) ** 2 / 2
    for one_size, one_error, one_spread in zip(size, error, spread, strict=True):
        surprise += ((error_at(guess, grid, one_size) - one_error) / one_spread) ** 2 / 2
    belief = np.exp(surprise.min() - surprise)
    return grid[rng.choice(len(belief), size=draws, p=belief / belief.sum())]


def error_at(guess: float, curves: NDArray[np.float64], rows: float) -> NDArray[np.float64]:
    """The error with ``rows`` examples by each of ``curves`` (curves, 3): bend, slope, rest."""
    bend, slope, rest = curves.T
    return np.asarray(rest + (guess - rest) / (1 + (rows / bend) ** slope))
