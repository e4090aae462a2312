"""Is deep learning the right tool for these data? Two plain sentences, from measurements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..core.metrics import log_loss, wilson_interval
from ..data.finding import DataCheck, Severity
from .curve import LearningCurve
from .evidence import Evidence

LEAKS = ("telling_word", "label_in_text")
TOO_PERFECT = 0.995
FEWEST_ROWS = 60
WIDEST = 0.2  # from end to end of the interval; wider, and nothing can be told from it
HARDLY_MORE = 0.004  # accuracy; less is not worth minutes of training
KNOWS_NOTHING = 0.25  # of what counted words gain over guessing, the pre-trained model reaches less
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
    """Accuracies on rows not learned from, with their 95% intervals."""

    rows: int
    majority: float
    frozen: float
    ngrams: float
    both: float
    interval: tuple[float, float]  # of both
    gain: tuple[float, float]  # of both over counted words, by rows on which they differ
    pieces_per_word: float  # tokens of the pre-trained model
    worst_surprise: float  # log loss of both as a share of the guess's: 1 is no better than guessing


def measure(evidence: Evidence) -> Measured:
    """Summarise what the two cheap models say."""
    labels, rows = evidence.labels, len(evidence.labels)
    shares = np.bincount(labels, minlength=len(evidence.examples.classes)) / rows
    both, counted = evidence.right("both"), evidence.right("ngrams")
    guess = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return Measured(
        rows=rows,
        majority=float(shares.max()),
        frozen=float(evidence.right("frozen").mean()),
        ngrams=float(counted.mean()),
        both=float(both.mean()),
        interval=wilson_interval(int(both.sum()), rows),
        gain=_paired(both, counted),
        pieces_per_word=evidence.pieces_per_word,
        worst_surprise=log_loss(labels, evidence.probabilities) / max(guess, 1e-9),
    )


def _paired(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95% interval of the difference of two shares on the same rows."""
    difference = one.astype(np.float64) - other
    half = 1.96 * float(difference.std()) / np.sqrt(len(difference))
    middle = float(difference.mean())
    return middle - half, middle + half


def judge(
    measured: Measured,
    check: DataCheck,
    curve: LearningCurve | None,
    *,
    noise: float,
    goal: float | None,
) -> tuple[Verdict, str]:
    """The verdict and the sentences for it; what makes all else pointless comes first."""
    m = measured
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
            f"{m.rows:,} examples are too few to tell: the score could be anything from {low:.0%} to "
            f"{high:.0%}. Collect some hundred before you trust any figure."
        )
    if low <= m.majority + 0.01 and m.worst_surprise > 0.98:
        return Verdict.RANDOM, (
            f"The answers look random: after learning from most of the texts, the others are guessed right "
            f"{m.both:.0%} of the time, and always saying the most frequent answer gives {m.majority:.0%}. "
            "Either they do not follow from the text, or rows were mixed up."
        )
    silent = m.frozen - m.majority < KNOWS_NOTHING * (m.ngrams - m.majority)
    if foreign or silent or m.pieces_per_word > PIECES_OF_CODES:
        return Verdict.FOREIGN, (
            f"The pre-trained model has nothing to say about these texts: on its own it is right "
            f"{m.frozen:.0%} of the time, counting words {m.ngrams:.0%}, guessing {m.majority:.0%}. "
            "They may be codes or another language; there is nothing to transfer from."
        )
    if goal is not None and goal > 1 - noise:
        return Verdict.FORBIDDEN_GOAL, (
            f"{goal:.0%} cannot be reached with these answers: about {noise:.1%} of them look wrong or "
            f"inconsistent, so no model can be right more than {1 - noise:.1%} of the time on them. "
            "Mend the answers first."
        )
    if m.both >= TOO_PERFECT and m.ngrams >= TOO_PERFECT and m.majority < 0.9:
        return Verdict.LEAK, (
            f"Counting words alone is right {m.ngrams:.1%} of the time, which is too good to be true. "
            "Look for something in the texts that was written after the answer was known."
        )
    no_gain = m.gain[0] <= 0 or m.gain[1] < HARDLY_MORE
    if no_gain and 1 - m.ngrams > noise + HEADROOM:
        return Verdict.MAY_PAY, (
            f"Deep learning may pay: counting words is right {m.ngrams:.1%} of the time, and a pre-trained "
            "model that has not learned your texts does not clearly add to that; but only about "
            f"{noise:.1%} of the answers look wrong, so there is room. Training will tell: it prints both."
        )
    if no_gain:
        return Verdict.COUNTING, (
            f"Counting words is as good here: {m.ngrams:.1%}, and {m.both:.1%} with a pre-trained model "
            "beside it. Do not bother with more; train --minutes 2 is enough."
        )
    more = "" if curve is None else f" Twice as many examples should bring {_points(curve)}."
    return Verdict.PAYS, (
        f"Deep learning pays: even a cheap pre-trained model lifts counting words from {m.ngrams:.1%} to "
        f"{m.both:.1%}, and training goes further.{more}"
    )


def _points(curve: LearningCurve) -> str:
    low, high = curve.gain_interval
    if high < HARDLY_MORE / 4:
        return "hardly anything"
    return f"about {100 * curve.gain:.1f} points more ({100 * low:.1f} to {100 * high:.1f})"
