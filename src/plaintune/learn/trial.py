"""How good would it get? Cheap models of a part of the examples, and what training leaves of their error.

Within seconds a frozen encoder and counted words can learn some hundred or thousand examples, fine-tuning
only a few dozen. What a whole run leaves of the cheap models' error differs from a third to all of it, and by
one thing above all: whether the encoder has to move for these answers. A few steps of contrasting tell that.
It was measured on five sets; docs/experiments.md has the figures.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, silent, stage
from ..core.metrics import main_metric, say_metric, score_outputs
from ..core.tasks import Task
from ..data.examples import Examples
from .baseline import fit_baseline
from .blend import fit_blend, losses_of
from .budget import Probe
from .crossval import counted_in_turns, folds_of
from .curve import standard_error
from .evidence import frozen_in_turns, read_with
from .forecast import run_seconds
from .learner import Learner, prior_of, standard_labels
from .outline import Outline
from .techniques import contrast

TOKENS = 64  # of a text, for the frozen encoder
READING_SHARE, COUNTING_SHARE = 0.25, 0.5  # of the seconds goes into reading with it, twice, and into words
CONTRASTED, CONTRAST_SECONDS = 15, 2.5  # steps, and how long they may take
HELD_ROWS, HELD_SHARE = 1500, 0.3
TURNS, MOST_BY_TURNS = 3, 5000  # parts, each judged when the others were learned; all rows of a small set
LESSONS = TURNS - 1  # of each row
TAUGHT = 500  # rows at most that the encoder is moved by; none of them judges it
FEWEST_ROWS = 32
WORTH_MORE = 1.5  # times as many rows for counted words alone, if they have the time
LEFT_BY_TRAINING, LEFT_SPREAD = 0.75, 0.28  # of the cheap models' error; the spread is of its logarithm
FURTHER, FURTHEST, FURTHER_SPREAD = 3.5, -0.8, 0.05  # times what a few steps change; the same, all logarithms
SLOPE, SLOPE_SPREAD = 0.2, 0.06  # the error falls as this power of how many times more examples there are
HURRY = 0.1  # the error grows as this power of how many passes are left out
TAKEN = 0.88  # of the planned seconds; the speeds they count on are the least of what was measured
REPORT_SECONDS, REPORT_SHARE = (3.0, 10.0), 0.06  # for explanations, drawings, and the learning curve
TRIAL_SHARE, TRIAL_SECONDS = 0.04, 8.0  # of the time goes into it, and at most
WORTH_A_TRIAL = 120.0  # seconds; a shorter run tells its score soon enough
SURE = 0.8  # four of five times the score is in the range


@dataclass(frozen=True)
class Moved:
    """What a few steps of training did to the blend's loss: its logarithm, and the standard error of that."""

    change: float
    doubt: float

    @classmethod
    def between(cls, before: NDArray[np.floating[Any]], after: NDArray[np.floating[Any]]) -> Moved:
        """From the losses of the same rows, (rows,)."""
        mean = max(1e-6, float(before.mean()))
        doubt = float((after - before).std()) / math.sqrt(len(before)) / mean
        return cls(math.log(max(1e-6, float(after.mean())) / mean), doubt)

    @property
    def left(self) -> tuple[float, float]:
        """What training leaves of the cheap models' error, as its logarithm, and the spread of that."""
        surely = min(0.0, self.change + self.doubt)
        return max(FURTHEST, FURTHER * surely), math.hypot(FURTHER_SPREAD, FURTHER * self.doubt)


@dataclass(frozen=True)
class Trial:
    """What cheap models reached on rows held back, having learned from ``rows`` examples."""

    task: Task
    rows: int
    error: float
    held_rows: int
    guess: float  # the error of the best answer that does not read the text, above 0
    moved: Moved | None = None  # where answers are classes

    def expected(self, rows: int, *, passes_share: float, judged_rows: int) -> tuple[float, float]:
        """Between which values the metric should be, four times of five.

        After learning ``rows`` examples in ``passes_share`` of the passes they need; on ``judged_rows``.
        """
        rng = np.random.default_rng(0)
        measured = max(self.error, 0.5 / self.held_rows)
        further = math.log(max(1.0, rows / self.rows))
        hurry = max(1.0, 1 / max(passes_share, 0.05)) ** HURRY
        doubt = standard_error(self.task, measured, self.held_rows) / measured
        left, unsure = math.log(LEFT_BY_TRAINING), LEFT_SPREAD
        if self.moved is not None:
            left, unsure = self.moved.left
        spread = math.hypot(unsure, SLOPE_SPREAD * further, doubt)
        learned = min(1.0, max(0.0, 2 * (1 - measured / self.guess)))  # of nothing learned nothing grows
        middle = math.log(measured) + learned * (left + math.log(hurry) - SLOPE * further)
        errors = np.minimum(np.exp(middle + spread * rng.standard_normal(1000)), self.guess)
        judged = standard_error(self.task, float(np.median(errors)), judged_rows)
        errors += judged * rng.standard_normal(len(errors))
        low, high = (float(1 - np.quantile(errors, end)) for end in ((1 + SURE) / 2, (1 - SURE) / 2))
        return low, min(1.0, high)


def trial_time(planned_seconds: float) -> float:
    """How long training lets cheap models try in a run of so many seconds."""
    return min(TRIAL_SECONDS, TRIAL_SHARE * planned_seconds) if planned_seconds > WORTH_A_TRIAL else 0.0


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
    """Let cheap models learn a part, in about ``seconds``; None where even that is too long.

    Rows that share a number in ``clusters`` (rows,) are on one side.
    """
    readable = int(READING_SHARE * seconds * measured.answered_per_second / measured.mean_tokens(TOKENS))
    countable = int(COUNTING_SHARE * seconds / measured.counted_seconds)
    learned, held = _parts(examples, clusters, np.random.default_rng(seed))
    read, taught = held[: min(readable, countable // LESSONS)], learned[:TAUGHT]
    if len(read) < FEWEST_ROWS or not np.ptp(clusters[read]):  # of one cluster: it cannot be parted
        return None
    if not all(np.ptp(examples.labels[rows], axis=0).any() for rows in (read, taught)):
        return None
    stage(listener, "Letting cheap models learn some examples, to foresee the score")
    first = _read(examples.take(read), clusters[read], examples.take(taught), learner, seed=seed)
    countable -= LESSONS * len(read)
    more = learned[:countable]
    if len(more) < WORTH_MORE * first.rows:
        return Trial(examples.task, first.rows, first.error, len(read), first.guess, first.moved)
    if len(examples) <= min(MOST_BY_TURNS, countable // LESSONS):
        parts = folds_of(examples, clusters, TURNS, seed)
        lesson, judges, rows = examples, examples, len(examples) * LESSONS // TURNS
        counted = counted_in_turns(examples, parts, seed=seed)
    else:
        lesson, judges, rows = examples.take(more), examples.take(held), len(more)
        model = fit_baseline(
            lesson.texts, standard_labels(lesson), len(lesson.classes), task=lesson.task, seed=seed
        )
        counted = model.logits(judges.texts)
    further, _ = _lacking(judges, np.zeros_like(counted), counted, prior_of(lesson))
    return Trial(examples.task, rows, further * first.helped, len(judges), first.guess, first.moved)


def _parts(
    examples: Examples, clusters: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions to learn from, in random order, and others to judge by."""
    groups = rng.permutation(np.unique(clusters))
    aside = np.isin(clusters, groups[: int(HELD_SHARE * len(groups))])
    held = rng.permutation(np.flatnonzero(aside))[:HELD_ROWS]
    return rng.permutation(np.flatnonzero(~aside)), held


@dataclass(frozen=True)
class _Read:
    """What a frozen encoder and counted words made of a few rows, asked of each before it was learned."""

    rows: int  # learned from each time
    error: float  # what their blend lacks to 1
    guess: float  # what the best guess lacks, above 0
    helped: float  # the blend's loss as a share of that of counted words alone, at most 1
    moved: Moved | None  # as in `Trial`


def _read(
    sample: Examples, clusters: NDArray[np.int64], taught: Examples, learner: Learner, *, seed: int
) -> _Read:
    """The encoder as it is, and where answers are classes once more when ``taught`` has moved it a little."""
    parts = folds_of(sample, clusters, TURNS, seed)
    counted = counted_in_turns(sample, parts, seed=seed)
    prior, nothing = prior_of(sample), np.zeros_like(counted)
    network = learner.network(sample, sentence=True)

    def lacking() -> tuple[float, NDArray[np.floating[Any]]]:
        features = read_with(learner, network, sample, max_length=TOKENS)
        return _lacking(sample, frozen_in_turns(sample, parts, features), counted, prior)

    error, losses = lacking()
    _, alone = _lacking(sample, nothing, counted, prior)
    majority = score_outputs(sample.task, sample.labels, nothing, prior=prior).majority
    moved = None
    if sample.task is Task.SINGLE:
        stepper = learner.stepper(learner.tokens(taught.texts, TOKENS), standard_labels(taught))
        until = time.monotonic() + CONTRAST_SECONDS
        contrast(network, stepper, steps=CONTRASTED, seed=seed, deadline=until)
        moved = Moved.between(losses, lacking()[1])
    helped = min(1.0, float(losses.sum()) / max(1e-6, float(alone.sum())))
    rows = len(sample) * LESSONS // TURNS
    return _Read(rows, error, max(1e-6, 1 - majority), helped, moved)


def _lacking(
    judges: Examples, frozen: NDArray[np.float32], counted: NDArray[np.float32], prior: NDArray[np.float64]
) -> tuple[float, NDArray[np.floating[Any]]]:
    """What both opinions blended lack to 1 on ``judges``, and their loss row by row, (rows,).

    Of counted words alone where ``frozen`` is 0.
    """
    task, labels = judges.task, judges.labels
    blend = fit_blend(task, frozen, counted, labels, prior=prior)
    said = blend.outputs(frozen, counted)
    score = main_metric(task, labels, said, prior=prior, threshold=blend.threshold)
    return 1 - score, losses_of(task, labels, said, blend.spread)


@dataclass(frozen=True)
class Forecast:
    """What to expect of a run before it starts."""

    seconds: float  # of the whole command
    low: float | None  # the main metric lies between these four times of five; None without a trial
    high: float | None

    def say(self, task: Task) -> str:
        """In a sentence."""
        took = f"about {self.seconds:.0f} seconds"
        if self.seconds >= 100:
            took = f"about {in_minutes(self.seconds / 60)} minutes"
        if self.low is None or self.high is None:
            return f"This should take {took}."
        return f"This should take {took}, and the model should {should(task, self.low, self.high)}."


def in_minutes(minutes: float) -> str:
    """A number of minutes; below ten to a tenth, as a whole one may be off by a third."""
    return f"{minutes:.0f}" if minutes >= 9.95 else f"{minutes:.1f}"


def should(task: Task, low: float, high: float) -> str:
    """What a model should do, to follow "should"."""
    low = max(0.0, low)
    said = f"{say_metric(task, low)} to {say_metric(task, high)}"
    if task is Task.MULTI:
        return f"reach an F1 of {said}"
    if task is Task.NUMBER:
        return f"explain {said} of the differences"
    return f"be right {said} of the time"


def foresee(
    outlined: Outline, trial: Trial | None, *, spent: float, minutes: float, judged_rows: int
) -> Forecast:
    """What a run as ``outlined`` takes, after ``spent`` seconds, and how good the model gets.

    It ends within ``minutes``, with some to spare: where it is thought to take longer, less is done.
    """
    seconds = spent + TAKEN * run_seconds(outlined)
    fewest, most = REPORT_SECONDS
    seconds = min(60 * minutes - outlined.spare_seconds, seconds + min(most, fewest + REPORT_SHARE * seconds))
    if trial is None:
        return Forecast(seconds, None, None)
    low, high = trial.expected(
        outlined.work.rows, passes_share=outlined.passes.share, judged_rows=judged_rows
    )
    return Forecast(seconds, low, high)
