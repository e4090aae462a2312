"""The last words of a run: five lines that answer what people ask first."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.metrics import is_uneven, plain_number, say_metric, sureness
from ..core.settings import REPORT_PAGE
from ..core.tasks import Task
from ..model.card import compared, how_good
from ..model.evaluate import Evaluation
from ..model.folder import Manifest
from ..model.predict import Prediction


def train_summary(manifest: Manifest, folder: Path) -> list[str]:
    """How good, against what, how long, where, and what to type next."""
    first = how_good(manifest)
    if manifest.task == Task.SINGLE and is_uneven(manifest.data["train_rows_by_class"].values()):
        first += f" Macro-F1 {manifest.scores['macro_f1']:.3f}: the answers are uneven."
    return [
        first,
        compared(manifest),
        f"It took {minutes(manifest.seconds)}.",
        f"The model is in {folder}; the report, with pictures: {folder / REPORT_PAGE}",
        f'Next: plaintune predict {shlex.quote(str(folder))} "some text"',
    ]


def train_json(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """The machine-readable contract of `plaintune train --json`."""
    scores = manifest.scores
    told = {name: value for name, value in scores.items() if not isinstance(value, dict)}
    return {
        "model": str(folder),
        "seconds": round(manifest.seconds, 2),
        "task": manifest.task,
        **{name: value for name, value in told.items() if value is not None},
        "classes": list(manifest.classes),
        "choices": list(manifest.choices),
    }


def evaluate_summary(result: Evaluation, name: str) -> list[str]:
    """How good on this file, and what of it the model had met before."""
    score = result.headline
    low, high = score.interval
    if result.task is Task.SINGLE:
        lines = [
            f"{name} is right {score.value:.1%} of the time on {score.rows:,} examples "
            f"(95% sure: {low:.1%} to {high:.1%}; macro-F1 {score.others['macro_f1']:.3f}).",
            f"Always giving its most frequent answer would be right {score.majority:.1%} of the time.",
        ]
    else:
        told = {"micro_f1": "micro-F1", "r2": "R²"}[score.metric]
        lines = [
            f"{name} reaches {told} {score.value:.3f} on {score.rows:,} examples "
            f"(95% sure: {low:.3f} to {high:.3f}); answering without reading, {score.majority:.3f}.",
            ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in score.others.items()) + ".",
        ]
    if result.without_overlap is None:
        lines.append("Careful: it has learned from every one of these texts, so this says little.")
    elif result.overlap_rows:
        among = say_metric(result.task, result.all_rows.value)
        left_out = "text was" if result.overlap_rows == 1 else "texts were"
        lines.append(
            f"{result.overlap_rows:,} more {left_out} left out, already met in training; "
            f"on all {result.all_rows.rows:,} it would be {among}."
        )
    return lines


def minutes(seconds: float) -> str:
    """A time span as people say it."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def answer_in_words(prediction: dict[str, Any]) -> str:
    """One line for a terminal: the answer and how sure it is."""
    answer, confidence = prediction["answer"], prediction["confidence"]
    if prediction["interval"] is not None:
        low, high = prediction["interval"]
        return f"{plain_number(answer)}  ({confidence:.0%} sure: {plain_number(low)} to {plain_number(high)})"
    shown = (", ".join(answer) or "none of them") if isinstance(answer, list) else answer
    if prediction.get("unsure"):
        return f"not sure  (perhaps {shown}: {sureness(confidence)})"
    return f"{shown}  ({sureness(confidence)})"


def told(prediction: Prediction, unsure: float | None) -> dict[str, Any]:
    """A prediction as `predict --json` prints it."""
    plain = asdict(prediction)
    if unsure is not None:
        plain["unsure"] = prediction.confidence < unsure
    return plain
