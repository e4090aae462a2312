"""The score of the deployed files on examples held back, beside what it should be compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import UserError
from .core.events import Listener, note, warn
from .core.linear import NgramModel
from .core.metrics import score_outputs
from .data.examples import Examples
from .data.repeats import Repeats
from .model.evaluate import Evaluation
from .model.predict import Model
from .report.figures import HeldBack


def require_new_texts(repeats: Repeats) -> None:
    """Raise UserError where a score on the user's own test data would be one on learned texts only."""
    if len(repeats.test_hashes) and repeats.met.all():
        raise UserError(
            "Every text of the test data is also in the training data: the score would say nothing.",
            "Leave --test out (some examples are held back then), or give other texts.",
        )


def scored_of(held_back: Examples, result: Evaluation, listener: Listener) -> Examples:
    """The rows that were scored; says so where they are not all, or where you corrected some."""
    if len(result.scored) < len(held_back):
        warn(
            listener,
            f"Time was up: the score is of {len(result.scored):,} of the {len(held_back):,} examples held "
            "back, drawn at random.",
        )
    scored = held_back.take(result.scored)
    fresh = scored.take(result.headline_rows)
    if mended := fresh.corrected_rows:
        note(
            listener,
            f"You corrected the answers of {mended:,} of the {len(fresh):,} examples that it is scored on. "
            "Where a model proposed them, part of a better score than before may be that.",
        )
    return scored


def score(
    model: Model, held_back: Examples, result: Evaluation, words: NgramModel, words_threshold: float
) -> tuple[dict[str, Any], HeldBack]:
    """The deployed files on examples held back, beside the majority guess and ``words``, counted alone."""
    headline, fresh = result.headline, held_back.take(result.headline_rows)
    counted = model.blend.ngram_outputs(words.logits(fresh.texts))
    baseline = score_outputs(
        model.task, fresh.labels, counted,
        prior=model.prior, threshold=words_threshold, groups=fresh.groups,
    )  # fmt: skip
    held = HeldBack(
        model.task, model.classes, fresh.texts, fresh.rows, fresh.labels,
        result.outputs[result.headline_rows], counted, model.prior, model.blend, fresh.groups,
        baseline_threshold=words_threshold,
    )  # fmt: skip
    scores = {
        "metric": headline.metric,
        "score": headline.value,
        "score_interval": list(headline.interval),
        "rows": headline.rows,
        "corrected_rows": fresh.corrected_rows,
        "majority_score": headline.majority,
        "baseline_score": baseline.value,
        "baseline_interval": list(baseline.interval),
        **headline.others,
        **result.details(),
    }
    return scores, held


def say_overlap(
    scores: dict[str, Any], repeats: Repeats, scored_rows: NDArray[np.int64], listener: Listener
) -> dict[str, int]:
    """Point out test texts that are also in the training data: the same ones, and nearly the same ones."""
    same, scored = scores["overlap_rows"], scores["all_rows"]["rows"]
    if same:
        among = f" of the {scored:,} scored" if scored < len(repeats.met) else ""
        left_out = f"they are left out of the score. With them: {scores['all_rows']['value']:.3f}."
        if scores["without_overlap"] is None:
            left_out = "there are no others, so the score says little about new texts."
        note(listener, f"{same:,} test texts{among} are also in the training data; {left_out}")
    known = np.isin(repeats.test_clusters, repeats.clusters) & ~repeats.met
    near = int(known[scored_rows].sum())
    if near:
        note(listener, f"{near:,} more test texts are nearly the same as a training text; they count.")
    return {"near_overlap_rows": near}
