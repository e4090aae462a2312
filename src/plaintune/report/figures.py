"""The numbers behind the report's pictures: how the model did on texts that it had never seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.blending import Blend
from ..core.metrics import gain_over, plain_number, wilson_interval
from ..core.tasks import Task

CONFIDENCE_BINS, LENGTH_BINS = 10, 6
FEWEST_IN_A_BIN = 20
MOST_POINTS = 400  # drawn of numbers, true against told
LARGEST_CONFUSIONS = 8
LEAST_LIKELY = 0.1  # of several answers, those that the model surely leaves out tell nothing of the others


@dataclass(frozen=True)
class HeldBack:
    """Rows the score was measured on, with what the model and counted words say of them."""

    task: Task
    classes: tuple[str, ...]
    texts: NDArray[Any]  # (rows,)
    lines: NDArray[np.int64]  # (rows,) where they stand in their source
    truth: NDArray[Any]  # as in `Task`
    outputs: NDArray[Any]  # (rows, answers)
    baseline: NDArray[Any]  # (rows, answers)
    prior: NDArray[np.float64]
    blend: Blend
    groups: NDArray[np.int64] | None = None  # (rows,)
    baseline_threshold: float = 0.5  # of several answers

    @property
    def chosen(self) -> NDArray[Any]:
        """The answers given: class numbers (rows,), 0 and 1 (rows, classes), or numbers (rows,)."""
        if self.task is Task.SINGLE:
            return np.asarray(self.outputs.argmax(axis=1))
        if self.task is Task.MULTI:
            return np.asarray(self.outputs >= self.blend.threshold, dtype=np.int64)
        return np.asarray(self.outputs[:, 0])

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the answer, or the whole set of answers, is right; a number: lies within the interval."""
        if self.task is Task.NUMBER:
            return np.asarray(np.abs(self.truth - self.chosen) <= self.blend.half_width)
        same = self.truth == self.chosen
        return np.asarray(same.all(axis=1) if self.task is Task.MULTI else same)


def figures(held: HeldBack) -> dict[str, Any]:
    """Everything the report draws from the rows held back, by picture."""
    gain, interval = gain_over(
        held.task, held.truth, held.outputs, held.baseline,
        prior=held.prior, threshold=held.blend.threshold, other_threshold=held.baseline_threshold,
        groups=held.groups,
    )  # fmt: skip
    found: dict[str, Any] = {
        "gain_over_counting": {"value": gain, "interval": list(interval)},
        "lengths": by_length(held),
    }
    if held.task is Task.NUMBER:
        found["numbers"] = _numbers(held)
        return found
    found["by_class"] = by_class(held)
    found["confidence"] = by_confidence(held)
    if held.task is Task.SINGLE:
        found["confusion"] = confusion(held)
    return found


def by_class(held: HeldBack) -> list[dict[str, Any]]:
    """For each answer, how many of its texts were found (recall, with its interval), and how pure it is."""
    codes = np.arange(len(held.classes))
    truth, chosen = held.truth, held.chosen
    if held.task is Task.SINGLE:
        truth, chosen = truth[:, None] == codes, chosen[:, None] == codes
    rows = []
    for code, name in enumerate(held.classes):
        wanted, given = truth[:, code] == 1, chosen[:, code] == 1
        hits = int((wanted & given).sum())
        rows.append(
            {
                "name": name,
                "rows": int(wanted.sum()),
                "found": hits,
                "given": int(given.sum()),
                "share": hits / int(wanted.sum()) if wanted.any() else None,
                "interval": list(wilson_interval(hits, int(wanted.sum()))),
            }
        )
    return rows


def confusion(held: HeldBack) -> dict[str, Any]:
    """How often each answer was given for each true one, and the largest mix-ups."""
    chosen, truth = held.chosen, held.truth
    pairs, counts = np.unique(np.stack([truth, chosen], axis=1), axis=0, return_counts=True)
    of_class = np.bincount(truth[truth >= 0], minlength=len(held.classes))
    cells = [[int(t), int(c), int(n)] for (t, c), n in zip(pairs, counts, strict=True) if t >= 0]
    wrong = sorted((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: -cell[2])
    largest = [
        {"truth": held.classes[t], "told": held.classes[c], "rows": n, "of": int(of_class[t])}
        for t, c, n in wrong[:LARGEST_CONFUSIONS]
    ]
    return {"cells": cells, "largest": largest}


def by_confidence(held: HeldBack) -> list[dict[str, Any]]:
    """How often answers were right, in bins of how sure the model was.

    Of several answers: how often each applied, in bins of how probable it was, from `LEAST_LIKELY` on.
    """
    if held.task is Task.MULTI:
        likely = held.outputs >= LEAST_LIKELY  # else rare answers fill every bin with what is left out
        chance = held.outputs[likely].astype(np.float64)
        right = (held.truth[likely] == 1).astype(np.float64)
    else:
        chance, right = held.outputs.max(axis=1).astype(np.float64), held.right.astype(np.float64)
    return _binned(chance, right, CONFIDENCE_BINS)


def by_length(held: HeldBack) -> list[dict[str, Any]]:
    """How often answers were right, in bins of the words of the text."""
    words = np.array([len(str(text).split()) for text in held.texts], dtype=np.float64)
    return _binned(words, held.right.astype(np.float64), LENGTH_BINS)


def _binned(by: NDArray[np.float64], right: NDArray[np.float64], bins: int) -> list[dict[str, Any]]:
    """Bins with about as many rows each; equal values stay together."""
    wanted = max(1, min(bins, len(by) // FEWEST_IN_A_BIN))
    edges = np.unique(np.quantile(by, np.linspace(0, 1, wanted + 1)[1:-1])) if len(by) else np.zeros(0)
    place = np.searchsorted(edges, by, side="left")
    rows = []
    for number in np.unique(place):
        inside = place == number
        hits, count = int(right[inside].sum()), int(inside.sum())
        rows.append(
            {
                "low": float(by[inside].min()),
                "mean": float(by[inside].mean()),
                "high": float(by[inside].max()),
                "rows": count,
                "share": hits / count,
                "interval": list(wilson_interval(hits, count)),
            }
        )
    return rows


def _numbers(held: HeldBack) -> dict[str, Any]:
    """True against told numbers, of some rows, and how many lie within the interval that was promised."""
    step = max(1, len(held.truth) // MOST_POINTS)
    return {
        "truth": held.truth[::step].tolist(),
        "told": held.chosen[::step].tolist(),
        "half_width": held.blend.half_width,
        "inside": float(held.right.mean()),
    }


def worst_mistakes(held: HeldBack, most: int) -> list[int]:
    """Positions of the wrong answers the model was surest of, or of the numbers farthest off."""
    if held.task is Task.NUMBER:
        surprise = np.abs(held.truth - held.chosen)
        return [int(at) for at in np.argsort(-surprise, kind="stable")[:most]]
    wrong = np.flatnonzero(~held.right)
    if held.task is Task.MULTI:
        surprise = wrong_by(held)[wrong].max(axis=1)
    else:
        surprise = held.outputs[wrong].max(axis=1)
    return [int(at) for at in wrong[np.argsort(-surprise, kind="stable")[:most]]]


def wrong_by(held: HeldBack) -> NDArray[np.float64]:
    """Of several answers that may apply, how sure it was of each that it got wrong; 0 where it is right."""
    sure = np.where(held.chosen == 1, held.outputs, 1 - held.outputs)
    return np.where(held.chosen == held.truth, 0.0, sure)


def in_words(held: HeldBack, answer: Any) -> str:
    """An answer as it stands in ``truth`` or ``chosen``, as people read it."""
    if held.task is Task.NUMBER:
        return plain_number(float(answer))
    if held.task is Task.SINGLE:
        return held.classes[int(answer)] if answer >= 0 else "an answer it does not know"
    return ", ".join(held.classes[code] for code in np.flatnonzero(answer)) or "none of them"
