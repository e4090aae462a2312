"""How good would it get? Two small trainings, drawn on to all the data there are.

Two sizes say which learning curve (`curve`) it is, as far as they can; what curves of texts usually look like
says the rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, silent, stage
from ..core.metrics import main_metric, score_outputs
from ..core.tasks import Task
from ..data.examples import Examples
from .baseline import fit_baseline
from .blend import usual_blend
from .budget import Probe, rows_per_batch
from .crossval import Technique, teach
from .curve import error_at, plausible_curves, standard_error
from .learner import Learner, prior_of, standard_labels
from .network import logits_of
from .outline import Outline
from .train import Schedule

TOKENS = 128
PASSES, RATE = 4.0, 3e-4  # of the small trainings
SMALLER = 4  # times: the first of the two sizes
HELD_ROWS, HELD_SHARE = 800, 0.3
FEWEST_ROWS, FEWEST_STEPS = 48, 20
WHOLE_RECIPE, RECIPE_SPREAD = 0.9, 0.1  # of the error is left by longer texts and a rate found for them
HURRY = 0.1  # the error grows as this power of how many passes are left out
REPORT_SECONDS = 12.0  # for the learning curve, the explanations and the drawings
TRIAL_SHARE, TRIAL_SECONDS = 0.04, 8.0  # of the time goes into the two, and at most
WORTH_A_TRIAL = 120.0  # seconds; a shorter run tells its score soon enough
SURE = 0.8  # four of five times the score is in the range


@dataclass(frozen=True)
class Trial:
    """What two small trainings reached on rows held back."""

    task: Task
    sizes: tuple[float, float]  # examples learned from, the smaller first
    errors: tuple[float, float]
    held_rows: int
    guess: float  # the error of the best answer that does not read the text

    def expected(self, rows: int, *, passes_share: float, judged_rows: int) -> tuple[float, float]:
        """Between which values the metric should be, four times of five.

        After learning ``rows`` examples in ``passes_share`` of the passes they need; on ``judged_rows``.
        """
        rng = np.random.default_rng(0)
        points = [
            (size, error, standard_error(self.task, error, self.held_rows))
            for size, error in zip(self.sizes, self.errors, strict=True)
        ]
        curves = plausible_curves(points, self.guess, rng)
        hurry = max(1.0, 1 / max(passes_share, 0.05)) ** HURRY
        recipe = WHOLE_RECIPE * np.exp(RECIPE_SPREAD * rng.standard_normal(len(curves)))
        errors = error_at(self.guess, curves, max(rows, self.sizes[1])) * recipe * hurry
        errors = np.minimum(errors, self.guess)
        judged = standard_error(self.task, float(np.median(errors)), judged_rows)
        errors += judged * rng.standard_normal(len(errors))
        low, high = (float(1 - np.quantile(errors, end)) for end in ((1 + SURE) / 2, (1 - SURE) / 2))
        return low, min(1.0, high)


def try_out(
    examples: Examples,
    clusters: NDArray[np.int64],
    learner: Learner,
    measured: Probe,
    *,
    seconds: float,
    seed: int,
    listener: Listener = silent,
) -> Trial | None:
    """Train on a small part, and on a quarter of it, in about ``seconds``; None where even that is too long.

    Rows that share a number in ``clusters`` (rows,) are on one side.
    """
    learned, held = _parts(examples, clusters, measured, seconds, np.random.default_rng(seed))
    sizes = (len(learned) // SMALLER, len(learned))
    labels = examples.labels
    if sizes[0] < FEWEST_ROWS // SMALLER or not np.ptp(labels[learned[: sizes[0]]], axis=0).any():
        return None
    stage(listener, "Training twice on a few examples, to foresee the score")
    errors = [_error(examples, learned[:size], held, learner, seed=seed) for size in sizes]
    lesson, judges = examples.take(learned), examples.take(held)
    guess = np.zeros((len(held), lesson.task.outputs(len(lesson.classes))), dtype=np.float32)
    majority = score_outputs(lesson.task, judges.labels, guess, prior=prior_of(lesson)).majority
    return Trial(lesson.task, sizes, (errors[0], errors[1]), len(held), 1 - majority)


def _parts(
    examples: Examples, clusters: NDArray[np.int64], measured: Probe, seconds: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions to learn from, in random order, and others to judge by."""
    tokens = measured.mean_tokens(TOKENS)
    affordable = int(seconds * measured.tokens_per_second / (PASSES * (1 + 1 / SMALLER) * tokens))
    groups = rng.permutation(np.unique(clusters))
    aside = np.isin(clusters, groups[: int(HELD_SHARE * len(groups))])
    held = rng.permutation(np.flatnonzero(aside))[: min(HELD_ROWS, affordable)]
    return rng.permutation(np.flatnonzero(~aside))[:affordable], held


def _error(
    examples: Examples,
    learned: NDArray[np.int64],
    held: NDArray[np.int64],
    learner: Learner,
    *,
    seed: int,
) -> float:
    lesson, judges = examples.take(learned), examples.take(held)
    labels = standard_labels(lesson)
    rows = rows_per_batch(len(learned))
    schedule = Schedule(max(FEWEST_STEPS, round(PASSES * len(learned) / rows)), rows, RATE, seed)
    network, _ = teach(
        lesson, learner.tokens(lesson.texts, TOKENS), labels, learner, Technique.FINE_TUNED, schedule,
        deadline=time.monotonic() + 60,
    )  # fmt: skip
    tokens = learner.tokens(judges.texts, TOKENS)
    said = logits_of(network, learner.device, tokens, pad_id=learner.backbone.pad_id)
    counted = fit_baseline(lesson.texts, labels, len(lesson.classes), task=lesson.task, seed=seed)
    prior = prior_of(lesson)
    blend = usual_blend(lesson.task, prior)
    outputs = blend.outputs(said, counted.logits(judges.texts))
    return 1 - main_metric(lesson.task, judges.labels, outputs, prior=prior, threshold=blend.threshold)


@dataclass(frozen=True)
class Forecast:
    """What to expect of a run before it starts."""

    seconds: float  # of the whole command
    low: float | None  # the main metric lies between these four times of five; None without a trial
    high: float | None

    def say(self, task: Task) -> str:
        """In a sentence."""
        short = self.seconds < 100
        took = f"about {self.seconds:.0f} seconds" if short else f"about {self.seconds / 60:.0f} minutes"
        if self.low is None or self.high is None:
            return f"This should take {took}."
        return f"This should take {took}, and the model should {should(task, self.low, self.high)}."


def should(task: Task, low: float, high: float) -> str:
    """What a model should do, to follow "should"."""
    if task is Task.MULTI:
        return f"reach an F1 of {low:.2f} to {high:.2f}"
    if task is Task.NUMBER:
        return f"explain {max(0.0, low):.0%} to {high:.0%} of the differences"
    return f"be right {low:.0%} to {high:.0%} of the time"


def foresee(outlined: Outline, trial: Trial | None, *, spent: float, judged_rows: int) -> Forecast:
    """What a run as ``outlined`` takes, after ``spent`` seconds, and how good the model gets."""
    seconds = spent + outlined.seconds() + REPORT_SECONDS
    if trial is None:
        return Forecast(seconds, None, None)
    share = outlined.passes[0] / outlined.work.wanted_passes
    low, high = trial.expected(outlined.work.rows, passes_share=share, judged_rows=judged_rows)
    return Forecast(seconds, low, high)
