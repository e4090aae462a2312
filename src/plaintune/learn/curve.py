"""Would more data help? A learning curve of cheap fits, drawn on to twice the data.

The share of wrong answers falls as a power of the examples (Hestness et al. 2017, "Deep learning scaling is
predictable, empirically"): measured at a few sizes with cheap models, it says what the next doubling brings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .baseline import fit_baseline
from .evidence import Evidence, frozen_opinion

SHARES = (0.125, 0.25, 0.5, 1.0)  # of the rows that may be learned from
REPEATS = 3
CHECKED_SHARE = 0.25
FEWEST_ROWS = 25  # in the smallest part that is learned from
SLOPES = np.linspace(0.02, 1.0, 50)
LEFT_OVER = np.linspace(0.0, 0.95, 20)  # shares of the last error that no data will remove
USUAL_SLOPE, SLOPE_SPREAD = 0.3, 0.2  # what curves of texts look like, where these points leave it open
LEAST_NOISE = 0.002


@dataclass(frozen=True)
class LearningCurve:
    """The share of wrong answers at several sizes, and what follows for more data."""

    sizes: tuple[int, ...]  # examples learned from
    errors: tuple[float, ...]  # share wrong, the mean of some repeats
    gain: float  # in accuracy, from twice the data there is
    gain_interval: tuple[float, float]  # nine of ten should lie within
    rows: int  # that there are
    draws: NDArray[np.float64]  # (draws, 3) plausible curves: scale, slope, what is left over

    def error_at(self, rows: float) -> NDArray[np.float64]:
        """The share wrong with ``rows`` examples, by each plausible curve. Shape (draws,)."""
        scale, slope, rest = self.draws.T
        return np.asarray(scale * rows**-slope + rest)

    def rows_for(self, gain: float) -> float | None:
        """The examples with which accuracy would be ``gain`` above what it is, None where it never would."""
        for factor in np.geomspace(1.0, 1000.0, 61):
            gained = self.error_at(self.rows) - self.error_at(self.rows * factor)
            if np.median(gained) >= gain:
                return float(self.rows * factor)
        return None


def learning_curve(evidence: Evidence, *, rows: int, seed: int) -> LearningCurve | None:
    """The curve of both cheap models blended; ``rows`` is how many examples there are in all.

    None where there are too few rows to measure it.
    """
    points = _measure(evidence, seed)
    if len({size for size, _, _ in points}) < 3:
        return None
    draws = _plausible_curves(points, np.random.default_rng(seed))
    sizes = sorted({size for size, _, _ in points})
    errors = tuple(float(np.mean([error for s, error, _ in points if s == size])) for size in sizes)
    curve = LearningCurve(tuple(sizes), errors, 0.0, (0.0, 0.0), rows, draws)
    gained = curve.error_at(rows) - curve.error_at(2 * rows)
    low, middle, high = (float(np.quantile(gained, q)) for q in (0.05, 0.5, 0.95))
    return replace(curve, gain=middle, gain_interval=(low, high))


def _measure(evidence: Evidence, seed: int) -> list[tuple[int, float, int]]:
    """(examples learned from, share wrong, rows checked on) for each size and repeat."""
    rng = np.random.default_rng(seed)
    groups = np.unique(evidence.clusters)
    points = []
    for _ in range(REPEATS):
        shuffled = rng.permutation(groups)
        checked_groups = shuffled[: int(CHECKED_SHARE * len(groups))]
        checked = np.flatnonzero(np.isin(evidence.clusters, checked_groups))
        rest = rng.permutation(np.flatnonzero(~np.isin(evidence.clusters, checked_groups)))
        for part in SHARES:
            learned = rest[: int(part * len(rest))]
            if len(learned) >= FEWEST_ROWS and len(np.unique(evidence.labels[learned])) > 1:
                points.append((len(learned), _share_wrong(evidence, learned, checked, seed), len(checked)))
    return points


def _share_wrong(
    evidence: Evidence, learned: NDArray[np.int64], checked: NDArray[np.int64], seed: int
) -> float:
    examples, labels = evidence.examples, evidence.labels
    classes = len(examples.classes)
    frozen = frozen_opinion(evidence.features[learned], labels[learned], evidence.features[checked], classes)
    counted = fit_baseline(examples.texts[learned], labels[learned], classes, seed=seed)
    said = evidence.blend.outputs(frozen, counted.logits(examples.texts[checked]))
    return float((said.argmax(axis=1) != labels[checked]).mean())


def _plausible_curves(
    points: list[tuple[int, float, int]], rng: np.random.Generator, draws: int = 400
) -> NDArray[np.float64]:
    """Curves drawn by how well they fit the points, over a grid of slopes and left-overs. (draws, 3)."""
    size = np.array([point[0] for point in points], dtype=np.float64)
    error = np.array([point[1] for point in points])
    rows = np.array([point[2] for point in points])
    spread = np.sqrt(np.maximum(error * (1 - error), LEAST_NOISE) / rows + LEAST_NOISE**2)
    last = float(error[size == size.max()].mean())
    grid = [(slope, part * last) for slope in SLOPES for part in LEFT_OVER]
    scales, surprise = [], []
    for slope, rest in grid:
        shape = size**-slope
        scale = max(0.0, float((shape * (error - rest) / spread**2).sum() / (shape**2 / spread**2).sum()))
        misfit = (((scale * shape + rest - error) / spread) ** 2).sum() / 2
        scales.append(scale)
        surprise.append(misfit + ((slope - USUAL_SLOPE) / SLOPE_SPREAD) ** 2 / 2)
    belief = np.exp(-(np.array(surprise) - min(surprise)))
    chosen = rng.choice(len(grid), size=draws, p=belief / belief.sum())
    return np.array([(scales[at], *grid[at]) for at in chosen])
