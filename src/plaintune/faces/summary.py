"""The last words of a run: five lines that answer what people ask first."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ..core.metrics import is_uneven
from ..model.evaluate import Evaluation
from ..model.folder import Manifest


def train_summary(manifest: Manifest, folder: Path) -> list[str]:
    """How good, against what, how long, where, and what to type next."""
    scores = manifest.scores
    low, high = scores["score_interval"]
    first = (
        f"Right {scores['score']:.1%} of the time on {scores['rows']:,} examples it had never seen "
        f"(95% sure: {low:.1%} to {high:.1%})"
    )
    if is_uneven(manifest.data["train_rows_by_class"].values()):
        first += f"; macro-F1 {scores['macro_f1']:.3f}, as the answers are uneven"
    return [
        first + ".",
        f"Always guessing '{manifest.majority_class}' would give {scores['majority_score']:.1%}; "
        f"counting words, {scores['baseline_score']:.1%}.",
        f"It took {minutes(manifest.seconds)}.",
        f"The model is in {folder}.",
        f'Next: plaintune predict {shlex.quote(str(folder))} "some text"',
    ]


def train_json(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """The machine-readable contract of `plaintune train --json`."""
    scores = manifest.scores
    names = ("metric", "score", "score_interval", "majority_score", "baseline_score", "macro_f1", "rows")
    return {
        "model": str(folder),
        "seconds": round(manifest.seconds, 2),
        **{name: scores[name] for name in names},
        "overlap_rows": scores["overlap_rows"],
        "classes": list(manifest.classes),
        "choices": list(manifest.choices),
    }


def evaluate_summary(result: Evaluation, name: str) -> list[str]:
    """How good on this file, and what of it the model had met before."""
    score = result.headline
    low, high = score.accuracy_interval
    lines = [
        f"{name} is right {score.accuracy:.1%} of the time on {score.rows:,} examples "
        f"(95% sure: {low:.1%} to {high:.1%}; macro-F1 {score.macro_f1:.3f}).",
        f"Always giving its most frequent answer would be right {score.majority_accuracy:.1%} of the time.",
    ]
    if result.without_overlap is None:
        lines.append("Careful: it has learned from every one of these texts, so this says little.")
    elif result.overlap_rows:
        lines.append(
            f"{result.overlap_rows:,} more texts were left out, as it has learned from them; "
            f"with them it would be {result.all_rows.accuracy:.1%} on {result.all_rows.rows:,}."
        )
    return lines


def minutes(seconds: float) -> str:
    """A time span as people say it."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def sureness(confidence: float) -> str:
    """A probability as people say it; nothing is ever said to be 100% sure."""
    return "over 99% sure" if confidence > 0.99 else f"{confidence:.0%} sure"
