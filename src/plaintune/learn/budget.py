"""How much training fits into the time: a short probe of this machine, then length, passes and steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.encode import ANSWERED_AT_ONCE, padded, windows_of
from .lr_finder import FEWEST_SWEPT
from .network import Network
from .steps import CONTRASTED_ROWS, CONTRASTED_TOKENS, HANDFUL, TOKENS_AT_ONCE, Batch, Stepper
from .train import FEWEST_TIMED, contrastive_steps, head_rows

LONGEST_TOKENS = 256  # the last 256 tokens of IMDB gave 92.2%, 512 gave 92.4% in half as much time again
SHORTER_TOKENS = (192, 128, 96, 64)
MOST_WINDOWS, NEARLY_ALL = 4, 0.95  # a text is seen in so many windows at most; so many texts are seen whole
FIXED_SECONDS = 10.0  # the graph written, checked, written in 8-bit numbers, and the folder closed
FIXED_BY_TURNS = 5.0  # the same without 8-bit numbers, which rows checked on by turns cannot judge
SAFETY = 0.93  # of the time left is planned; where the machine slows down, training is cut short
SCORING_SHARE = 0.4  # of the time that is free, at most, for rows to check and to score on
PROBE_ROWS = 400
PROBE_SECONDS, READINGS = 2.0, 4
READ_AS_FAST = 2.5  # times as fast as it learns a network answers, at least
GRAPH_AS_FAST, PACKED_AS_FAST = 1.3, 1.6  # the finished graph, beside torch; in 8-bit numbers, beside float32
SWEEP_SHARE, SWEEP_SECONDS = 0.05, 10.0
FEWEST_STEPS = 60
CHECKED_IN_TURNS = 3_000  # rows; with more, a tenth of them to check on is enough
FOLDS_SHARE = 0.25
OVERHEAD_SECONDS = 1.0  # for opening the pre-trained model and fitting the last layer once more
PASSES_BY_ROWS = ((600, 10.0), (3_000, 6.0), (8_000, 5.0), (30_000, 3.0))  # measured: docs/experiments.md
FEWEST_PASSES = 2.0
ADVERSARIAL_COST = 2.0  # an adversarial step learns each text twice, and half as many passes are enough
ADVERSARIAL_ROWS = (600, 8_000)
MADE_HARDER = "each text as it is and once a little harder leaves fewer errors than twice as many passes"
TOO_FEW_TO_HARDEN = "so few examples learn more from twice as many steps"
CONTRAST_ALONE = "contrasting does without it"
ENOUGH_CONTRAST = "what contrasting {rows:,} examples takes"
TOO_MANY_TO_HARDEN = "it takes twice as long, and with so many examples it brought nothing"
NO_TIME_TO_HARDEN = "it takes twice as long; in so little time seeing more texts teaches more"
MOST_PASSES = 0.6  # of the wanted ones
AS_MANY = "as many as the time allows; --minutes gives more"
ENOUGH_PASSES = 1.5  # below, texts are cut shorter


@dataclass(frozen=True)
class Passes:
    """How often training goes through the texts, in which way, and why."""

    count: float
    reason: str
    share: float  # of what the examples need
    adversarial: bool  # as in `Stepper.step`
    hard_reason: str

    @property
    def cost(self) -> float:
        """How many times as long as a plain step one of these takes."""
        return ADVERSARIAL_COST if self.adversarial else 1.0


@dataclass(frozen=True)
class Probe:
    """What a few texts and training steps told about this data on this machine."""

    lengths: NDArray[np.int64]  # (sample,) tokens of whole texts
    tokens_per_second: float  # while training
    read_per_second: float  # tokens, while answering: float32 on the processor, wherever training runs
    most_windows: int = MOST_WINDOWS
    counted_seconds: float = 1e-4  # for learning the words of a text

    @property
    def answered_per_second(self) -> float:
        """Tokens, while the network that is trained answers, in the number format of training."""
        return max(self.read_per_second, READ_AS_FAST * self.tokens_per_second)

    @property
    def graph_per_second(self) -> float:
        """Tokens, while the finished graph answers in float32; the least of what was measured."""
        return GRAPH_AS_FAST * self.read_per_second

    def mean_tokens(self, max_length: int) -> float:
        """The tokens of a text, on average, when cut to ``max_length``."""
        return float(np.minimum(self.lengths, max_length).mean())

    def windows(self, max_length: int) -> int:
        """In how many windows of ``max_length`` tokens nearly all texts are seen whole, within bounds."""
        counts = windows_of(self.lengths, max_length)
        return min(self.most_windows, int(np.quantile(counts, NEARLY_ALL, method="higher")))

    def mean_tokens_seen(self, max_length: int) -> float:
        """The tokens of a text, on average, in all its windows."""
        counts = np.minimum(windows_of(self.lengths, max_length), self.windows(max_length))
        return float(np.where(counts > 1, counts * max_length, np.minimum(self.lengths, max_length)).mean())


def probe(
    network: Network, stepper: Stepper, lengths: NDArray[np.int64], *, rows: int, most_windows: int
) -> Probe:
    """Time a few training steps that leave the weights as they are; ``lengths`` are of whole texts.

    They are of a batch as long as most that training on ``rows`` examples has, as the longest are more
    efficient; of long texts half of one is as fast.
    """
    optimizer = stepper.optimizer(network)
    batch_rows = rows_per_batch(rows)
    if batch_rows * stepper.tokens.lengths.mean() > TOKENS_AT_ONCE:
        batch_rows //= 2
    found = list(stepper.epoch(rows_per_batch=batch_rows, seed=0))
    usual = np.mean([len(batch.tokens.ids) for batch in found])
    batch = min(found, key=lambda batch: abs(len(batch.tokens.ids) - usual))
    seconds: list[float] = []
    begun = time.perf_counter()
    while len(seconds) < 3 or (len(seconds) < 12 and time.perf_counter() - begun < PROBE_SECONDS):
        started = time.perf_counter()
        stepper.step(network, optimizer, batch, rate=0.0)
        seconds.append(time.perf_counter() - started)
    learned_per_second = len(batch.tokens.ids) / min(seconds[1:])
    return Probe(lengths, learned_per_second, _read_per_second(network, stepper, batch), most_windows)


def _read_per_second(network: Network, stepper: Stepper, batch: Batch) -> float:
    """The tokens of a part of ``batch`` that are answered in a second, as many at once as the graph takes."""
    plain = network.plain()
    longest = np.argsort(-batch.tokens.lengths, kind="stable")
    rows = longest[: max(1, int((batch.tokens.lengths[longest].cumsum() <= ANSWERED_AT_ONCE).sum()))]
    ids, mask = (torch.from_numpy(part) for part in padded(batch.tokens, rows, pad_id=stepper.pad_id))
    seconds = []
    with torch.inference_mode():
        for _ in range(READINGS):
            started = time.perf_counter()
            plain(ids, mask)
            seconds.append(time.perf_counter() - started)
    return int(batch.tokens.lengths[rows].sum()) / min(seconds)


def steps_for(rows: int, passes: float) -> int:
    """Training steps of ``passes`` over ``rows``; a handful of rows is seen more often."""
    return max(FEWEST_STEPS if passes >= 1 else 1, round(passes * rows / rows_per_batch(rows)))


def planned_steps(steps: int, most: int) -> int:
    """At least as many as tell how fast the machine is, so that it may take more of the ``most`` useful."""
    return max(steps, min(most, FEWEST_TIMED + 1))


def choose_folds(measured: Probe, rows: int, length: int, seconds: float) -> int:
    """In how many parts rows can be checked on by turns, in a quarter of the time; 0: in none."""
    work = Work(rows, 0, seconds)
    batch_rows = steps_for(rows, work.wanted_passes) * rows_per_batch(rows)
    one = batch_rows * measured.mean_tokens(length) / measured.tokens_per_second
    one += turn_seconds(measured, rows, length)
    return next((folds for folds in (4, 3, 2) if folds * one <= FOLDS_SHARE * seconds), 0)


def turn_seconds(measured: Probe, rows: int, length: int) -> float:
    """For trying one part of the examples, beside fine-tuning on the others."""
    return 2 * OVERHEAD_SECONDS + contrasted_tokens(measured, rows, length) / measured.tokens_per_second


def contrasted_tokens(measured: Probe, rows: int, length: int) -> float:
    """The tokens of all texts that are contrasted in one training on ``rows``."""
    return contrastive_steps(rows) * CONTRASTED_ROWS * measured.mean_tokens(min(length, CONTRASTED_TOKENS))


def rows_per_batch(rows: int) -> int:
    """Small batches for little data, so that there are enough steps to learn from, and these are quick."""
    return 8 if rows < HANDFUL else 16 if rows < 3000 else 32


def test_rows_affordable(measured: Probe, *, checked: int, max_length: int, seconds: float) -> int:
    """How many rows there can be to score on, at most 5,000 (± 0.7 points at 93%).

    Asking about them and the rows ``checked`` on takes two fifths of ``seconds``; where these do not allow
    all of both, there are as many of each.
    """
    both = rows_in(SCORING_SHARE * seconds, measured, max_length)
    return min(5000, max(200, both - min(checked, both // 2)))


def rows_in(seconds: float, measured: Probe, max_length: int) -> int:
    """How many rows can be scored in ``seconds``."""
    return int(seconds * measured.graph_per_second / measured.mean_tokens_seen(max_length))


def longest_useful(lengths: NDArray[np.int64], asked: int | None, backbone_limit: int) -> int:
    """The cut for texts: what was asked for, or whole texts up to `LONGEST_TOKENS`."""
    wanted = asked if asked is not None else min(LONGEST_TOKENS, max(16, int(lengths.max(initial=16)) + 8))
    return min(wanted, backbone_limit)


@dataclass(frozen=True)
class Work:
    """What has to be done: how many texts to learn from and to score, in how much time."""

    rows: int
    scored_rows: int
    seconds: float
    folds: int = 0  # how often all but one part is learned, before all is
    packed_rows: int = 0  # that are scored in 8-bit numbers, beside the others

    def scoring_seconds(self, measured: Probe, length: int) -> float:
        """For scoring at a text length of ``length`` tokens, and writing the folder."""
        tokens = (self.scored_rows + self.packed_rows / PACKED_AS_FAST) * measured.mean_tokens_seen(length)
        return (FIXED_BY_TURNS if self.folds else FIXED_SECONDS) + tokens / measured.graph_per_second

    def training_seconds(self, measured: Probe, length: int) -> float:
        """For training steps: what scoring and fitting last layers leave of the time."""
        tokens = measured.mean_tokens(length)
        head_seconds = head_rows(self.rows, tokens) * tokens / (measured.tokens_per_second * 2)
        left = SAFETY * self.seconds - self.scoring_seconds(measured, length) - self._runs * head_seconds
        return max(0.0, left - self.folds * turn_seconds(measured, self.rows, length))

    def passes(self, measured: Probe, length: int) -> float:
        """How often plain training can go through the texts in the time that is left beside scoring."""
        one = self._runs * self.rows * measured.mean_tokens(length) / measured.tokens_per_second
        return self.training_seconds(measured, length) / one

    @property
    def _runs(self) -> int:
        """On all but one part each, and one on all: they cost about so many on all."""
        return max(1, self.folds)

    @property
    def wanted_passes(self) -> float:
        """Plain ones that so many examples need; more would learn them by heart."""
        return next((passes for most, passes in PASSES_BY_ROWS if self.rows <= most), FEWEST_PASSES)


def sweep_seconds(work: Work, training_seconds: float, step_seconds: float) -> float:
    """The time for the learning-rate sweep: 10 s or a twentieth of training's, but never a fifth of that.

    There is none where it would be too short to tell anything, its steps being half as long as those of
    training, and for a handful of rows: it would only tell how fast they are learned by heart.
    """
    seconds = min(max(SWEEP_SECONDS, SWEEP_SHARE * training_seconds), 0.2 * training_seconds)
    too_short = seconds < FEWEST_SWEPT * step_seconds / 2
    return 0.0 if work.rows < HANDFUL or too_short else seconds


def choose_length(
    measured: Probe, work: Work, *, longest: int, fixed: bool, contrasted: bool = False
) -> tuple[int, str]:
    """The cut for texts: ``longest`` tokens, or less where too few passes would fit into the time.

    Twice as many windows of half the length teach more: each step sees more texts (docs/experiments.md).
    Where texts are ``contrasted``, which sees but their beginnings, all of that has to fit.
    """
    lengths = [longest] + [shorter for shorter in SHORTER_TOKENS if shorter < longest and not fixed]
    enough = min(ENOUGH_PASSES, work.wanted_passes)

    def fits(length: int) -> bool:
        if contrasted:
            return choose_contrast(measured, work, length).share >= 1
        return work.passes(measured, length) >= enough

    chosen = next(filter(fits, lengths), lengths[-1])
    whole, windows = float((measured.lengths <= chosen).mean()), measured.windows(chosen)
    if whole >= 0.995:
        reason = "every text is seen whole"
    else:
        cut = "of the others the network sees the first quarter and the end"
        if windows > 1:
            cut = f"others are read in up to {windows} parts whose answers are averaged"
        reason = f"{whole:.0%} of the texts fit; {cut}, the n-gram model sees all"
    if chosen < longest:
        reason += f"; {longest} would not fit into the time"
    return chosen, reason


def choose_passes(measured: Probe, work: Work, length: int) -> Passes:
    """How often to go through the texts: what they need, or what the time allows."""
    wanted, possible = work.wanted_passes, work.passes(measured, length)
    reason = AS_MANY
    if possible >= wanted:
        possible, reason = wanted, f"what {work.rows:,} examples need; more would learn them by heart"
    fewest, most = ADVERSARIAL_ROWS
    hard_reason = MADE_HARDER
    if work.rows <= fewest:
        hard_reason = TOO_FEW_TO_HARDEN
    elif work.rows > most:
        hard_reason = TOO_MANY_TO_HARDEN
    elif possible < MOST_PASSES * wanted:
        hard_reason = NO_TIME_TO_HARDEN
    adversarial = hard_reason == MADE_HARDER
    count = possible / ADVERSARIAL_COST if adversarial else possible
    return Passes(count, reason, possible / wanted, adversarial, hard_reason)


def choose_contrast(measured: Probe, work: Work, length: int) -> Passes:
    """How often to go through the texts where they are contrasted: all steps of it, or what time allows."""
    needed = contrasted_tokens(measured, work.rows, length) / measured.tokens_per_second
    share = min(1.0, work.training_seconds(measured, length) / needed)
    count = share * contrastive_steps(work.rows) * CONTRASTED_ROWS / work.rows
    reason = AS_MANY if share < 1 else ENOUGH_CONTRAST.format(rows=work.rows)
    return Passes(count, reason, share, False, CONTRAST_ALONE)
