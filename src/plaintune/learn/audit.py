"""The part of the check-up that needs models: likely wrong labels, what more data would bring, a verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, note, stage
from ..core.metrics import METRICS
from ..core.settings import Settings
from ..core.tasks import Task
from ..data.examples import Examples
from ..data.finding import DataCheck, Finding, Severity, found, share, worst_first
from .curve import LearningCurve, learning_curve
from .evidence import AUDIT_ROWS, Evidence, gather
from .learner import prepare
from .suspects import Suspects, find_suspects
from .verdict import Measured, judge, measure

MANY_WRONG = 0.02  # of the labels


def audit(
    check: DataCheck,
    examples: Examples,
    clusters: NDArray[np.int64],
    settings: Settings,
    *,
    goal: float | None = None,
    listener: Listener,
) -> DataCheck:
    """``check`` with what models see beyond it; rows of nearly the same text share a number in ``clusters``.

    Works on a sample of rows, which it says: what two minutes allow, at most `AUDIT_ROWS`.
    """
    if len(np.unique(clusters)) < 2:
        note(listener, "All texts are nearly the same or of one group: models could not be judged on others.")
        return check
    learner = prepare(settings, listener)
    evidence = gather(examples, clusters, learner, seed=settings.seed, listener=listener)
    if len(evidence.labels) < len(examples):
        seen = f"{len(evidence.labels):,} of {len(examples):,} rows"
        note(
            listener,
            f"Models looked at a sample of {seen}: what about two minutes allow, at most {AUDIT_ROWS:,}.",
        )
    suspects = find_suspects(examples.task, evidence.outputs, evidence.labels)
    stage(listener, "Drawing the learning curve")
    curve = learning_curve(evidence, rows=len(examples), seed=settings.seed)
    measured = measure(evidence)
    kind, sentences = judge(measured, check, curve, ceiling=suspects.ceiling, goal=goal)
    wrong = _wrong_labels(evidence, suspects)
    findings = [*check.findings, *([] if wrong is None else [wrong])]
    told = [sentences, *([] if goal is None else [_about_goal(goal, measured, suspects.ceiling, curve)])]
    return replace(
        check,
        findings=worst_first(findings),
        verdict=str(kind),
        verdict_words=" ".join(told),
        measured={
            "rows": measured.rows,
            "metric": METRICS[examples.task],
            "majority": measured.majority,
            "counting_words": measured.ngrams,
            "frozen_encoder": measured.frozen,
            "both": measured.both,
            "interval": list(measured.interval),
            "label_noise": suspects.noise,
            **_curve_json(curve),
        },
    )


def _wrong_labels(evidence: Evidence, suspects: Suspects) -> Finding | None:
    shown = suspects.shown
    if not len(shown):
        return None
    examples = evidence.examples
    pairs = [
        f"`{examples.say(examples.labels[at])}` → `{examples.say(suspects.proposed[at])}`" for at in shown
    ]
    return found(
        "wrong_label", Severity.HIGH if suspects.noise > MANY_WRONG else Severity.MEDIUM, shown, examples,
        what=f"{share(len(shown), len(examples))} probably have the wrong answer; the first: "
        f"{', '.join(pairs[:3])}.",
        why="A model learns mistakes as well, and a test that holds some cannot show a better score.",
        done="They are kept: look at these lines, and mend those that are wrong.",
        values={
            "noise": round(suspects.noise, 4),
            "rows": [
                {
                    "line": int(examples.rows[at]),
                    "given": examples.say(examples.labels[at]),
                    "proposed": examples.say(suspects.proposed[at]),
                    "chance": round(float(suspects.chance[at]), 3),
                }
                for at in shown
            ],
        },
    )  # fmt: skip


def _about_goal(goal: float, measured: Measured, ceiling: float, curve: LearningCurve | None) -> str:
    """Whether ``goal`` can be reached, and with how many examples; by what cheap models reach."""
    wanted, reached = f"{goal:.4g}" if measured.task is Task.MULTI else f"{goal:.0%}", measured.both
    if goal > ceiling:
        return f"The goal of {wanted} is beyond what these answers allow ({measured.say(ceiling)})."
    if goal <= reached:
        return f"The goal of {wanted} is within reach: cheap models get {measured.say(reached)} already."
    needed = None if curve is None else curve.rows_for(goal - reached)
    if needed is None or curve is None:
        return f"More examples like these would hardly bring {wanted}; training may bring part of it."
    more = max(10, round(needed - curve.rows, -1 if needed < curve.rows + 1000 else -2))
    return (
        f"For the goal of {wanted}, cheap models, which reach {measured.say(reached)}, would need about "
        f"{more:,.0f} more examples; full training needs fewer."
    )


def _curve_json(curve: LearningCurve | None) -> dict[str, object]:
    if curve is None:
        return {}
    return {
        "learning_curve": {
            "sizes": list(curve.sizes),
            "errors": [round(error, 4) for error in curve.errors],
            "gain_of_twice_the_data": round(curve.gain, 4),
            "interval": [round(end, 4) for end in curve.gain_interval],
        }
    }
