"""Is deep learning the right tool for these data? Two plain sentences, from measurements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np

from ..core.metrics import gain_over, main_metric, say_metric, score_outputs
from ..core.tasks import Task
from ..data.finding import DataCheck, Severity
from .blend import loss_of, threshold_alone
from .curve import LearningCurve
from .evidence import Evidence

LEAKS = ("telling_word", "label_in_text")
TOO_PERFECT = 0.995
FEWEST_ROWS = 60
WIDEST = 0.2  # from end to end of the interval; wider, and nothing can be told from it
HARDLY_MORE = 0.004  # accuracy; less is not worth minutes of training
KNOWS_NOTHING = 0.25  # of what counted words gain over guessing, the pre-trained model reaches less
CLEARLY_LEARNED = 0.05  # by counting words, beyond the guess: with less, nothing follows from such a share
FOREIGN_SHARE = 0.5
PIECES_OF_CODES = 2.0  # tokens per word; English has 1.0 to 1.2, exchanged letters and codes 2 to 4
HEADROOM = 0.015  # share wrong beyond what wrong labels explain, from which training may find more


class Verdict(StrEnum):
    """What one would tell a friend."""

    RANDOM = "random labels"
    LEAK = "leak"
    TOO_FEW = "too few"
    COUNTING = "counting words is enough"
    PAYS = "deep learning pays"
    MAY_PAY = "deep learning may pay"
    FORBIDDEN_GOAL = "goal out of reach"
    FOREIGN = "nothing to transfer"


@dataclass(frozen=True)
class Measured:
    """The main metric on rows not learned from, with 95% intervals."""

    task: Task
    rows: int
    majority: float
    frozen: float
    ngrams: float
    both: float
    interval: tuple[float, float]  # of both
    gain: tuple[float, float]  # of both over counted words, by rows on which they differ
    pieces_per_word: float  # tokens of the pre-trained model
    surprise: float  # the loss of both as a share of the guess's: 1 is no better than guessing

    def say(self, value: float) -> str:
        """A value of the metric, as people write it."""
        return say_metric(self.task, value)

    def does(self, value: float) -> str:
        """The same as what a model does, to follow the model's name."""
        if self.task is Task.NUMBER:
            return f"explains {self.say(value)} of the differences"
        return (
            f"reaches an F1 of {self.say(value)}"
            if self.task is Task.MULTI
            else f"is right {self.say(value)} of the time"
        )


def measure(evidence: Evidence) -> Measured:
    """Summarise what the two cheap models say."""
    task, labels, prior, blend = evidence.task, evidence.labels, evidence.prior, evidence.blend
    outputs, counted = evidence.outputs, evidence.ngram_outputs
    known = prior[:1] if task is Task.NUMBER else prior
    guess = np.tile(known, (len(labels), 1)).astype(outputs.dtype)
    metric = partial(main_metric, task, labels, prior=prior, threshold=blend.threshold)
    both = score_outputs(task, labels, outputs, prior=prior, threshold=blend.threshold)
    alone = threshold_alone(blend, evidence.ngram_logits, labels, prior)
    paired = gain_over(
        task, labels, outputs, counted, prior=prior, threshold=blend.threshold, other_threshold=alone
    )
    return Measured(
        task=task,
        rows=len(labels),
        majority=both.majority,
        frozen=metric(evidence.frozen_outputs),
        ngrams=metric(counted, threshold=alone),
        both=both.value,
        interval=both.interval,
        gain=paired[1],
        pieces_per_word=evidence.pieces_per_word,
        surprise=loss_of(task, labels, outputs, blend.spread)
        / max(1e-9, loss_of(task, labels, guess, blend.spread)),
    )


def judge(
    measured: Measured,
    check: DataCheck,
    curve: LearningCurve | None,
    *,
    ceiling: float,
    goal: float | None,
) -> tuple[Verdict, str]:
    """The verdict and the sentences for it; what makes all else pointless comes first.

    ``ceiling`` is what answers as inconsistent as these allow; ``goal`` what one would like.
    """
    m, noise = measured, 1 - ceiling
    telling = [f for f in check.findings if f.kind in LEAKS and f.severity is Severity.HIGH]
    language = check.of("language")
    foreign = language is not None and language.rows > FOREIGN_SHARE * check.rows
    low, high = m.interval
    if telling:
        return Verdict.LEAK, (
            f"Something gives the answers away: {telling[0].what} A score this good says little about new "
            "texts; look at that first."
        )
    if m.rows < FEWEST_ROWS or high - low > WIDEST:
        return Verdict.TOO_FEW, (
            f"{m.rows:,} examples are too few to tell: the score could be anything from {m.say(low)} to "
            f"{m.say(high)}. Collect some hundred before you trust any figure."
        )
    if low <= m.majority + 0.01 and m.surprise > 0.98:
        return Verdict.RANDOM, (
            f"The answers look random: after learning from most of the texts, a model {m.does(m.both)} on "
            f"the others; answering without reading {m.does(m.majority)}. Either they do not follow from "
            "the text, or rows were mixed up."
        )
    learned = m.ngrams - m.majority
    silent = learned > CLEARLY_LEARNED and m.frozen - m.majority < KNOWS_NOTHING * learned
    strange = foreign or m.pieces_per_word > PIECES_OF_CODES
    if silent or (strange and m.frozen < m.ngrams):
        return Verdict.FOREIGN, (
            f"The pre-trained model has nothing to say about these texts: on its own it {m.does(m.frozen)}; "
            f"counting words reaches {m.say(m.ngrams)}, guessing {m.say(m.majority)}. They may be codes or "
            "another language; there is nothing to transfer from."
        )
    if goal is not None and goal > ceiling:
        return Verdict.FORBIDDEN_GOAL, (
            f"{m.say(goal)} cannot be reached with these answers: about {noise:.1%} of them look wrong or "
            f"inconsistent, so no model can reach more than {m.say(ceiling)} on them. Mend the answers first."
        )
    if m.both >= TOO_PERFECT and m.ngrams >= TOO_PERFECT and m.majority < 0.9:
        return Verdict.LEAK, (
            f"Counting words alone {m.does(m.ngrams)}, which is too good to be true. "
            "Look for something in the texts that was written after the answer was known."
        )
    no_gain = m.gain[0] <= 0 or m.gain[1] < HARDLY_MORE
    if no_gain and 1 - m.ngrams > noise + HEADROOM:
        return Verdict.MAY_PAY, (
            f"Deep learning may pay: counting words {m.does(m.ngrams)}, and a pre-trained model that has not "
            f"learned your texts does not clearly add to that; but {_room(m, noise)}, so there is room. "
            "Training will tell: it prints both."
        )
    if no_gain:
        return Verdict.COUNTING, (
            f"Counting words is as good here: it {m.does(m.ngrams)}, and with a pre-trained model beside it "
            f"{m.say(m.both)}. Do not bother with more; train --minutes 2 is enough."
        )
    more = "" if curve is None else f" Twice as many examples should bring {_points(curve)}."
    return Verdict.PAYS, (
        f"Deep learning pays: counting words {m.does(m.ngrams)}, with even a cheap pre-trained model beside "
        f"it {m.say(m.both)}, and training goes further.{more}"
    )


def _room(measured: Measured, noise: float) -> str:
    """Why there may be more to find than cheap models found."""
    if measured.task is Task.NUMBER:
        return f"{1 - measured.both:.0%} of the differences are unexplained"
    return f"only about {noise:.1%} of the answers look wrong"


def _points(curve: LearningCurve) -> str:
    low, high = curve.gain_interval
    if high < HARDLY_MORE / 4:
        return "hardly anything"
    return f"about {100 * curve.gain:.1f} points more ({100 * low:.1f} to {100 * high:.1f})"
