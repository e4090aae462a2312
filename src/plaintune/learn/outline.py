"""What a run of so many minutes would do with these data on this machine, and how long that takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.settings import Settings, free_seconds
from ..core.tasks import Task
from ..data.examples import Examples
from ..data.split import Splits, rows_to_check, split
from .baseline import MAX_FIT_ROWS
from .budget import (
    CHECKED_IN_TURNS,
    FEWEST_STEPS,
    MOST_PASSES,
    MOST_WINDOWS,
    PROBE_ROWS,
    SAFETY,
    Passes,
    Probe,
    Work,
    choose_contrast,
    choose_folds,
    choose_length,
    choose_passes,
    contrasted_tokens,
    longest_useful,
    probe,
    rows_in,
    rows_per_batch,
    steps_for,
    sweep_seconds,
    test_rows_affordable,
)
from .eight_bits import ENOUGH_ROWS
from .learner import Learner, seconds_to_count_one, standard_labels
from .network import Network
from .techniques import are_few
from .train import contrastive_steps, head_rows

COUNTING_SHARE, FEWEST_COUNTED = 0.2, 200  # of the time, at most, goes into counting words; rows
MOST_COUNTED = 150e6  # characters: counting words in them takes about 4 GB for a moment
SPARE_SECONDS, SPARE_SHARE = 6.0, 0.2  # a machine may be slow at writing; of what scoring should take
OWN_TEST_SHARE = 0.2  # of the free time is left for the user's own test rows; spare time scores more
FIRST_SHARE = 0.6  # of the time goes into the examples alone where there are texts without an answer
FEWEST_TO_TEACH = 400  # examples; with fewer, too little could be held back to judge what was learned
FEWEST_GUESSED, MOST_GUESSED, TIMES_GUESSED = 200, 20_000, 10  # texts; the last for each example
WORTH_GUESSING = 0.5  # texts for each example; fewer bring less than the time does (docs/experiments.md)


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
    task: Task
    unlabeled: int = 0  # texts without an answer that the models may learn from

    @property
    def length(self) -> tuple[int, str]:
        """The cut for texts, in tokens, and why."""
        return choose_length(
            self.measured, self.work,
            longest=self.longest, fixed=self.fixed, contrasted=self.contrasts_untried,
        )  # fmt: skip

    @property
    def contrasts_untried(self) -> bool:
        """Whether texts are contrasted, and nothing else tried: they are few, and not checked on by turns."""
        return not self.work.folds and not self.unlabeled and are_few(self.task, self.work.rows)

    @property
    def passes(self) -> Passes:
        """How often training goes through the texts."""
        choose = choose_contrast if self.contrasts_untried else choose_passes
        return choose(self.measured, self.work, self.length[0])

    @property
    def steps(self) -> int:
        """The training steps."""
        if self.contrasts_untried:
            return max(1, round(self.passes.share * self.most_steps))
        return steps_for(len(self.splits.train), self.passes.count)

    @property
    def most_steps(self) -> int:
        """The training steps that these data need, whatever the time."""
        if self.contrasts_untried:
            return contrastive_steps(self.work.rows)
        return steps_for(len(self.splits.train), self.work.wanted_passes / self.passes.cost)

    @property
    def step_seconds(self) -> float:
        """How long a plain training step should take."""
        rows = rows_per_batch(self.work.rows)
        return rows * self.measured.mean_tokens(self.length[0]) / self.measured.tokens_per_second

    @property
    def learned_tokens(self) -> float:
        """The tokens that take as long to learn as a training on all rows does, last layer included."""
        rows, tokens = self.work.rows, self.measured.mean_tokens(self.length[0])
        head = head_rows(rows, tokens) / 2 * tokens
        if self.contrasts_untried:
            return self.passes.share * contrasted_tokens(self.measured, rows, self.length[0]) + head
        return self.steps * rows_per_batch(rows) * self.passes.cost * tokens + head

    @property
    def sweep_seconds(self) -> float:
        """How long to look for the learning rate; 0: not at all."""
        if self.contrasts_untried:
            return 0.0
        training = self.work.training_seconds(self.measured, self.length[0])
        return sweep_seconds(self.work, training, self.step_seconds)

    def later(self, seconds_left: float, tokens_per_second: float) -> Outline:
        """The same split, with what is known later about time and speed."""
        faster = tokens_per_second / self.measured.tokens_per_second
        measured = replace(
            self.measured,
            tokens_per_second=tokens_per_second,
            read_per_second=faster * self.measured.read_per_second,
        )
        work = replace(self.work, seconds=(seconds_left - self.counting_seconds) * self._share)
        return replace(self, measured=measured, work=work)

    @property
    def _share(self) -> float:
        """Of the time, what goes into the examples alone."""
        return FIRST_SHARE if self.unlabeled else 1.0

    @property
    def guessed_rows(self) -> int:
        """How many texts without an answer can be answered and learned from in the time that is left.

        None where the examples would not get most of the passes that they need: these are worth more.
        """
        if not self.unlabeled or self.passes.share < MOST_PASSES:
            return 0
        first = self._training_seconds() + self.scoring_seconds
        left = SAFETY * self.work.seconds / self._share - first - self._once_more_seconds()
        rows = min(
            self.unlabeled, MOST_GUESSED, TIMES_GUESSED * self.work.rows, int(left / self._guess_seconds())
        )
        return rows if rows >= max(FEWEST_GUESSED, WORTH_GUESSING * self.work.rows) else 0

    @property
    def second_steps(self) -> int:
        """The training steps after the texts without an answer were answered: one pass over all."""
        texts = self.work.rows + self.guessed_rows
        return max(FEWEST_STEPS, math.ceil(texts / rows_per_batch(self.work.rows)))

    def _guess_seconds(self) -> float:
        """For answering a text, counting its words and learning from it once."""
        measured, length = self.measured, self.length[0]
        learned = self.passes.cost * measured.mean_tokens(length) / measured.tokens_per_second
        read = measured.mean_tokens_seen(length) / measured.answered_per_second
        return learned + read + self.counting_seconds / max(1, self.counted_rows)

    def _once_more_seconds(self) -> float:
        """For learning the examples once more beside the others, and judging twice."""
        measured, length = self.measured, self.length[0]
        tokens = self.passes.cost * self.work.rows * measured.mean_tokens(length)
        learned = tokens / measured.tokens_per_second
        judged = 2 * len(self.splits.valid) * measured.mean_tokens_seen(length) / measured.answered_per_second
        return learned + judged + self.counting_seconds

    @property
    def scoring_seconds(self) -> float:
        """For scoring, and writing the folder."""
        return self.work.scoring_seconds(self.measured, self.length[0])

    @property
    def spare_seconds(self) -> float:
        """Put by beside what scoring should take, and mostly left over."""
        return SPARE_SECONDS + SPARE_SHARE * self.scoring_seconds

    def reserve_seconds(self) -> float:
        """For what comes after training."""
        return self.scoring_seconds + self.spare_seconds

    def seconds(self) -> float:
        """How long all of it takes, from the counting to the folder, on a machine as fast as it was probed.

        Without the learning-rate sweep, and where nothing is tried by turns: `forecast.run_seconds`.
        """
        guessed = self.guessed_rows
        second = guessed * self._guess_seconds() + self._once_more_seconds() if guessed else 0.0
        training = self._training_seconds() + second
        return self.counting_seconds + training + self.scoring_seconds

    def _training_seconds(self) -> float:
        """For learning the examples, once."""
        return self.learned_tokens / self.measured.tokens_per_second


def look_at(examples: Examples, learner: Learner, settings: Settings) -> tuple[Network, Probe, int]:
    """The pre-trained network, how fast it learns these texts, and the text length one would like."""
    rng = np.random.default_rng(settings.seed)
    sample = np.sort(rng.choice(len(examples), min(len(examples), PROBE_ROWS), replace=False))
    lengths = learner.tokens(examples.texts[sample], learner.backbone.max_tokens).lengths
    wanted = longest_useful(lengths, settings.max_length_tokens, learner.backbone.max_tokens)
    network = learner.network(examples)
    tokens = learner.tokens(examples.texts[sample], wanted)
    stepper = learner.stepper(tokens, standard_labels(examples)[sample], examples.task)
    most_windows = MOST_WINDOWS if settings.max_length_tokens is None else 1
    measured = probe(network, stepper, lengths, rows=len(examples), most_windows=most_windows)
    return network, replace(measured, counted_seconds=seconds_to_count_one(examples)), wanted


def outline(
    examples: Examples,
    clusters: NDArray[np.int64],
    test: Examples | None,
    settings: Settings,
    *,
    measured: Probe,
    longest: int,
    seconds_left: float,
    scored_length: int | None = None,
) -> Outline:
    """What fits into ``seconds_left`` of a run of ``settings.minutes``.

    As many rows are scored as a text length of ``scored_length`` tokens allows, if not given ``longest``.
    """
    free, scored_length = free_seconds(settings.minutes), scored_length or longest
    checked = rows_to_check(len(examples))
    max_test_rows = test_rows_affordable(measured, checked=checked, max_length=scored_length, seconds=free)
    counted_rows, counting_seconds = _counting(examples, measured.counted_seconds, seconds_left)
    unlabeled = 0
    if examples.unlabeled is not None and not why_not_guessed(examples):
        unlabeled = len(examples.unlabeled)
    few = examples.times is None and len(examples) <= CHECKED_IN_TURNS and not unlabeled
    seconds = (seconds_left - counting_seconds) * (FIRST_SHARE if unlabeled else 1.0)
    folds = choose_folds(measured, len(examples), longest, seconds) if few else 0
    if folds * counting_seconds > COUNTING_SHARE * seconds_left:  # with hundreds of answers
        folds = 0
    splits = split(
        examples, clusters,
        seed=settings.seed, max_test_rows=max_test_rows, own_test=test is not None, no_validation=folds > 0,
    )  # fmt: skip
    test_rows = len(splits.test)
    if test is not None:
        test_rows = min(len(test), rows_in(OWN_TEST_SHARE * free, measured, scored_length))
    scored_rows, packed_rows = len(splits.valid) + test_rows, 0
    if len(splits.valid) >= ENOUGH_ROWS:  # asked in 8-bit numbers as well, which most likely are kept
        scored_rows, packed_rows = len(splits.valid), scored_rows
    work = Work(len(splits.train), scored_rows, seconds, folds, packed_rows)
    fixed = settings.max_length_tokens is not None
    found = Outline(
        measured, work, splits, max_test_rows, counted_rows, counting_seconds,
        longest, fixed, examples.task, unlabeled,
    )  # fmt: skip
    if found.unlabeled and not found.guessed_rows:  # no time for them: the examples get it all
        examples = replace(examples, unlabeled=None)
    elif found.length[0] < scored_length:  # shorter texts: more of them can be scored
        scored_length = found.length[0]
    else:
        return found
    return outline(
        examples, clusters, test, settings,
        measured=measured, longest=longest, seconds_left=seconds_left, scored_length=scored_length,
    )  # fmt: skip


def why_not_guessed(examples: Examples) -> str:
    """Why texts without an answer cannot be learned from, however long it may take; empty where they can."""
    if examples.unlabeled is None:
        return "there are none"
    if len(examples) < FEWEST_TO_TEACH:
        return f"fewer than {FEWEST_TO_TEACH} examples are too few to answer others by, and to judge by"
    if len(examples.unlabeled) < FEWEST_GUESSED:
        return f"fewer than {FEWEST_GUESSED} of them would change nothing"
    return ""


def _counting(examples: Examples, per_row: float, seconds: float) -> tuple[int, float]:
    """How many rows the n-gram baseline can learn from in its share of the time, and how long it takes."""
    characters = sum(map(len, examples.texts)) / max(1, len(examples))
    rows = min(len(examples), MAX_FIT_ROWS, max(FEWEST_COUNTED, int(MOST_COUNTED / max(1.0, characters))))
    affordable = int(max(FEWEST_COUNTED, COUNTING_SHARE * seconds / per_row))
    return min(rows, affordable), min(rows, affordable) * per_row
