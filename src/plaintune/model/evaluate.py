"""How good a model is on labelled texts, and how many of those it has met before."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, progress, silent, warn
from ..core.features import text_hashes
from ..core.metrics import Score, score_outputs
from ..core.tasks import Task
from ..data.examples import Examples
from .predict import Model

PART_ROWS = 500  # are answered at a time
FEWEST_SCORED = 200  # whatever the time


@dataclass(frozen=True)
class Evaluation:
    """The scores on all rows, and on the rows whose text was not among the training texts."""

    task: Task
    all_rows: Score
    without_overlap: Score | None  # None where every text was met in training
    scored: NDArray[np.int64]  # positions of the rows in the examples: all of them, unless time was up
    seen: NDArray[np.bool_]  # (rows,) whose text was among the training texts
    outputs: NDArray[Any]  # (rows, answers) as `Model.outputs` gives them
    told_apart: bool = True  # False of an export, which does not say what it has learned from

    @property
    def overlap_rows(self) -> int:
        """How many texts the model had met before."""
        return int(self.seen.sum())

    @property
    def headline_rows(self) -> NDArray[np.int64]:
        """The rows that `headline` is about."""
        return np.arange(len(self.seen)) if self.without_overlap is None else np.flatnonzero(~self.seen)

    @property
    def headline(self) -> Score:
        """The score to quote: on texts never seen in training, where there are any."""
        return self.without_overlap or self.all_rows

    def as_json(self) -> dict[str, Any]:
        """The machine-readable contract of `plaintune evaluate --json`."""
        told = {
            "rows": self.all_rows.rows,
            "scored_rows": self.headline.rows,
            "task": str(self.task),
            "metric": self.headline.metric,
            "score": self.headline.value,
            "score_interval": list(self.headline.interval),
            "majority_score": self.headline.majority,
            "overlap_rows": self.overlap_rows if self.told_apart else None,
            **self.headline.others,
        }
        if self.task is not Task.SINGLE:
            return told
        fresh = self.without_overlap if self.told_apart else None
        return told | {
            "accuracy": self.all_rows.value,
            "accuracy_interval": list(self.all_rows.interval),
            "accuracy_without_overlap": None if fresh is None else fresh.value,
            "majority_accuracy": self.all_rows.majority,
        }

    def details(self) -> dict[str, Any]:
        """Both scores whole, for the manifest."""
        return {
            "all_rows": asdict(self.all_rows),
            "without_overlap": None if self.without_overlap is None else asdict(self.without_overlap),
            "overlap_rows": self.overlap_rows,
        }


def evaluate(
    model: Model,
    examples: Examples,
    *,
    kept: Path | None = None,
    until: float = math.inf,
    listener: Listener = silent,
) -> Evaluation:
    """Score ``model`` on ``examples``, whose labels are numbered as the model's classes (-1: unknown).

    With a folder ``kept`` an evaluation that was killed goes on where it was. Where it would take longer than
    ``until``, in `time.monotonic` seconds, fewer rows are scored, drawn at random.
    """
    told_apart = bool(model.manifest.training_hashes)
    if not told_apart:
        warn(listener, "An export does not say what it has learned from: texts that it has met count, too.")
    scored, outputs = _answered(model, examples, kept, until, listener)
    examples = examples.take(scored)
    seen = np.isin(text_hashes(examples.texts), model.manifest.training_text_hashes)

    def score(rows: NDArray[np.int64]) -> Score:
        return score_outputs(
            model.task,
            examples.labels[rows],
            outputs[rows],
            prior=model.prior,
            threshold=model.blend.threshold,
            groups=None if examples.groups is None else examples.groups[rows],
        )

    everything = np.arange(len(examples))
    all_rows = score(everything)
    if seen.all():
        return Evaluation(model.task, all_rows, None, scored, seen, outputs)
    fresh = score(everything[~seen]) if seen.any() else all_rows
    return Evaluation(model.task, all_rows, fresh, scored, seen, outputs, told_apart)


def _answered(
    model: Model, examples: Examples, kept: Path | None, until: float, listener: Listener
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Which rows were answered in time, in their order, and what was said of them."""
    order = np.random.default_rng(0).permutation(len(examples))
    parts: list[NDArray[Any]] = []
    slowest, done = 0.0, 0  # seconds for a row
    while done < len(order) and (done < FEWEST_SCORED or time.monotonic() + PART_ROWS * slowest < until):
        started = time.monotonic()
        part = order[done : done + (PART_ROWS if done else FEWEST_SCORED)]
        parts.append(model.outputs(examples.texts[part], kept=kept))
        slowest = max(slowest, (time.monotonic() - started) / len(part))
        done += len(part)
        progress(listener, done, len(order))
    back = np.argsort(order[:done])
    return order[:done][back], np.concatenate(parts)[back]
