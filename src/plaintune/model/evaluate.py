"""How good a model is on labelled texts, and how many of those it has met before."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, silent
from ..core.features import text_hashes
from ..core.metrics import Score, score_outputs
from ..core.tasks import Task
from ..data.examples import Examples
from .predict import Model


@dataclass(frozen=True)
class Evaluation:
    """The scores on all rows, and on the rows whose text was not among the training texts."""

    task: Task
    all_rows: Score
    without_overlap: Score | None  # None where every text was met in training
    seen: NDArray[np.bool_]  # (rows,) whose text was among the training texts
    outputs: NDArray[Any]  # what the model said of each row, as `Model.outputs`

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
            "task": str(self.task),
            "metric": self.headline.metric,
            "score": self.headline.value,
            "score_interval": list(self.headline.interval),
            "majority_score": self.headline.majority,
            "overlap_rows": self.overlap_rows,
            **self.all_rows.others,
        }
        if self.task is not Task.SINGLE:
            return told
        fresh = self.without_overlap
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
    model: Model, examples: Examples, *, kept: Path | None = None, listener: Listener = silent
) -> Evaluation:
    """Score ``model`` on ``examples``, whose labels are numbered as the model's classes (-1: unknown).

    With a folder ``kept`` an evaluation that was killed goes on where it was.
    """
    outputs = model.outputs(examples.texts, kept=kept, listener=listener)
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
        return Evaluation(model.task, all_rows, None, seen, outputs)
    fresh = score(everything[~seen]) if seen.any() else all_rows
    return Evaluation(model.task, all_rows, fresh, seen, outputs)
