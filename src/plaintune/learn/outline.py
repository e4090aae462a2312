"""What a run of so many minutes would do with these data on this machine, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.settings import Settings
from ..data.examples import Examples
from ..data.split import Splits, split
from .baseline import MAX_FIT_ROWS
from .budget import (
    CHECKED_IN_TURNS,
    PROBE_ROWS,
    Probe,
    Work,
    choose_folds,
    choose_length,
    choose_passes,
    longest_useful,
    probe,
    rows_per_batch,
    steps_for,
    sweep_seconds,
    test_rows_affordable,
    turn_seconds,
)
from .learner import Learner, standard_labels
from .network import Network
from .train import HEAD_ROWS

COUNTING_SECONDS_PER_MEGABYTE = 0.7
COUNTING_SECONDS_PER_ANSWER = 4e-5  # for each row and each answer, beyond two answers
COUNTING_SHARE = 0.2  # of the time, at most, goes into counting words


@dataclass(frozen=True)
class Outline:
    """The decisions that follow from the time there is. ``work.seconds`` is without counting words."""

    measured: Probe
    work: Work
    splits: Splits
    max_test_rows: int
    counted_rows: int  # that the n-gram baseline learns from, at most
    counting_seconds: float
    longest: int  # the text length one would like, in tokens
    fixed: bool  # the user named it

    @property
    def length(self) -> tuple[int, str]:
        """The cut for texts, in tokens, and why."""
        return choose_length(self.measured, self.work, longest=self.longest, fixed=self.fixed)

    @property
    def passes(self) -> tuple[float, str]:
        """How often training goes through the texts, and why."""
        return choose_passes(self.measured, self.work, self.length[0])

    @property
    def steps(self) -> int:
        """The training steps."""
        return steps_for(len(self.splits.train), self.passes[0])

    def later(self, seconds_left: float, tokens_per_second: float) -> Outline:
        """The same split, with what is known later about time and speed."""
        measured = replace(self.measured, tokens_per_second=tokens_per_second)
        work = replace(self.work, seconds=seconds_left - self.counting_seconds)
        return replace(self, measured=measured, work=work)

    def reserve_seconds(self) -> float:
        """For what comes after training."""
        return 1.2 * self.work.scoring_seconds(self.measured, self.length[0])

    def seconds(self) -> float:
        """How long all of it takes, from the sweep to the folder, on a machine as fast as it was probed."""
        measured, work, length = self.measured, self.work, self.length[0]
        tokens, folds = measured.mean_tokens(length), work.folds
        runs = folds if folds else 1  # on all but one part each, and one on all: about as much in sum
        head = min(work.rows, HEAD_ROWS) / 2
        learned = self.steps * rows_per_batch(work.rows) + head
        training = runs * learned * tokens / measured.tokens_per_second
        counting = self.counting_seconds * max(1, folds)
        turns = folds * turn_seconds(measured, length)
        return sweep_seconds(work) + counting + turns + training + work.scoring_seconds(measured, length)


def look_at(examples: Examples, learner: Learner, settings: Settings) -> tuple[Network, Probe, int]:
    """The pre-trained network, how fast it learns these texts, and the text length one would like."""
    rng = np.random.default_rng(settings.seed)
    sample = np.sort(rng.choice(len(examples), min(len(examples), PROBE_ROWS), replace=False))
    lengths = learner.tokens(examples.texts[sample], learner.backbone.max_tokens).lengths
    wanted = longest_useful(lengths, settings.max_length_tokens, learner.backbone.max_tokens)
    network = learner.network(examples)
    tokens = learner.tokens(examples.texts[sample], wanted)
    stepper = learner.stepper(tokens, standard_labels(examples)[sample], examples.task)
    return network, probe(network, stepper, lengths), wanted


def outline(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    settings: Settings,
    *,
    measured: Probe,
    longest: int,
    seconds_left: float,
) -> Outline:
    """What fits into ``seconds_left`` of a run of ``settings.minutes``."""
    max_test_rows = test_rows_affordable(measured, max_length=longest, seconds=60 * settings.minutes)
    counted_rows, counting_seconds = _counting(examples, seconds_left)
    few = examples.times is None and len(examples) <= CHECKED_IN_TURNS
    seconds = seconds_left - counting_seconds
    folds = choose_folds(measured, len(examples), longest, seconds) if few else 0
    splits = divide(examples, clusters, test, seed=settings.seed, max_test_rows=max_test_rows, folds=folds)
    scored_rows = len(splits.valid) + (len(splits.test) if test is None else len(test))
    work = Work(len(splits.train), scored_rows, seconds, folds)
    fixed = settings.max_length_tokens is not None
    return Outline(measured, work, splits, max_test_rows, counted_rows, counting_seconds, longest, fixed)


def divide(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    *,
    seed: int,
    max_test_rows: int,
    folds: int,
) -> Splits:
    """Training, validation and (unless there is ``test``) test parts, the same for the same seed.

    With ``folds`` there is no validation part: the training rows are checked on by turns.
    """
    return split(
        examples,
        clusters,
        seed=seed,
        max_test_rows=max_test_rows,
        own_test=test is not None,
        no_validation=folds > 0,
        by_time=examples.times is not None,
    )


def _counting(examples: Examples, seconds: float) -> tuple[int, float]:
    """How many rows the n-gram baseline can learn from in its share of the time, and how long it takes."""
    rows = min(len(examples), MAX_FIT_ROWS)
    step = max(1, len(examples) // 1000)
    sample = examples.texts[::step]
    megabytes_per_row = sum(map(len, sample)) / len(sample) / 1e6
    answers = len(examples.classes) if len(examples.classes) > 2 else 0
    per_row = COUNTING_SECONDS_PER_MEGABYTE * megabytes_per_row + COUNTING_SECONDS_PER_ANSWER * answers
    affordable = int(max(1000, COUNTING_SHARE * seconds / max(per_row, 1e-9)))
    return min(rows, affordable), min(rows, affordable) * per_row
