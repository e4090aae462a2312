"""How good a model is on labelled texts, and how many of those it has met before."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, silent
from ..core.features import text_hashes
from ..core.metrics import Score, score_answers
from ..data.examples import Examples
from .predict import Model


@dataclass(frozen=True)
class Evaluation:
    """The scores on all rows, and on the rows whose text was not among the training texts."""

    all_rows: Score
    without_overlap: Score | None  # None where every text was met in training
    seen: NDArray[np.bool_]  # (rows,) whose text was among the training texts

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
        fresh = self.without_overlap
        return {
            "rows": self.all_rows.rows,
            "metric": "accuracy",
            "score": self.headline.accuracy,
            "score_interval": list(self.headline.accuracy_interval),
            "accuracy": self.all_rows.accuracy,
            "accuracy_interval": list(self.all_rows.accuracy_interval),
            "accuracy_without_overlap": None if fresh is None else fresh.accuracy,
            "macro_f1": self.all_rows.macro_f1,
            "majority_accuracy": self.all_rows.majority_accuracy,
            "overlap_rows": self.overlap_rows,
            "log_loss": self.all_rows.log_loss,
        }

    def details(self) -> dict[str, Any]:
        """Both scores whole, for the manifest."""
        return {
            "all_rows": asdict(self.all_rows),
            "without_overlap": None if self.without_overlap is None else asdict(self.without_overlap),
            "overlap_rows": self.overlap_rows,
        }


def evaluate(model: Model, examples: Examples, *, listener: Listener = silent) -> Evaluation:
    """Score ``model`` on ``examples``, whose labels are numbered as the model's classes (-1: unknown)."""
    probabilities = model.probabilities(examples.texts, listener=listener)
    seen = np.isin(text_hashes(examples.texts), model.manifest.training_text_hashes)
    majority = model.classes.index(model.manifest.majority_class)

    def score(rows: np.ndarray) -> Score:
        return score_answers(
            examples.labels[rows],
            probabilities[rows].argmax(axis=1),
            majority=majority,
            groups=None if examples.groups is None else examples.groups[rows],
            probabilities=probabilities[rows],
        )

    everything = np.arange(len(examples))
    all_rows = score(everything)
    if seen.all():
        return Evaluation(all_rows, None, seen)
    return Evaluation(all_rows, score(everything[~seen]) if seen.any() else all_rows, seen)
