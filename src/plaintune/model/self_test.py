"""Known texts of ours and what a model said of them: a deployment that says otherwise ends at its start."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.tasks import Task
from .folder import SELF_TEST, broken
from .parts import opened_source

if TYPE_CHECKING:
    from .predict import Model

TEXTS = (
    "I loved it and would come again.",
    "It never arrived, and nobody answered my letters.",
    "What time do you open on Sunday?",
    "the the the 42 ünïcode 🎈",
    "A long one. " * 60,
)
ALLOWED = 0.02  # in probability: other processors round otherwise; of numbers in units of their spread


def recorded_answers(model: Model) -> bytes:
    """What ``model`` says of the known texts, for `check_answers` on another machine."""
    outputs = [[round(float(number), 6) for number in row] for row in model.outputs(TEXTS)]
    return json.dumps({"texts": TEXTS, "outputs": outputs}, indent=1, ensure_ascii=False).encode()


def check_answers(model: Model) -> None:
    """Raise BrokenModel where ``model`` carries known answers and gives others now."""
    with opened_source(model.folder) as source:
        if not source.has(SELF_TEST):
            return
        content = source.read(SELF_TEST)
    wanted: Any = None
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        told = json.loads(content)
        texts, wanted = [str(text) for text in told["texts"]], np.array(told["outputs"], dtype=np.float64)
    if wanted is None or wanted.shape != (len(texts), model.task.outputs(len(model.classes))):
        raise broken(model.folder, f"{SELF_TEST} is not one of this model")
    unit = model.blend.spread if model.task is Task.NUMBER else 1.0
    away = float(np.abs(model.outputs(texts) - wanted).max()) / max(unit, 1e-12)
    if not away <= ALLOWED:
        raise broken(model.folder, f"it answers otherwise than when it was exported (by {away:.2f})")
