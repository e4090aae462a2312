"""What a friend would say of a trained model: was it worth it, and can the score be trusted?"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from ..core.metrics import say_metric
from ..core.tasks import Task
from ..data.finding import DataCheck, Severity

LEAKS = ("telling_word", "label_in_text")
WIDEST = 0.2  # from end to end of the interval; wider, and little can be told from it
HARDLY_MORE = 0.004  # in the main metric
MUCH_MORE = 0.03  # that the network may add, for "about as well" to be said


class Outcome(StrEnum):
    """How a run ended, in one word."""

    LEAK = "leak"
    LEARNED_NOTHING = "learned nothing"
    TOO_FEW = "too few"
    COUNTING = "counting words is enough"
    PAID = "deep learning paid"


def outcome(
    task: Task, scores: Mapping[str, Any], gain: Mapping[str, Any], check: DataCheck, *, hurried: bool
) -> tuple[Outcome, str]:
    """The verdict on a trained model in two plain sentences; what makes all else pointless comes first.

    ``hurried`` is a run that would have learned more with more time.
    """
    low, high = scores["score_interval"]
    telling = [f for f in check.findings if f.kind in LEAKS and f.severity is Severity.HIGH]
    more, (least, most) = gain["value"], gain["interval"]
    points = f"{100 * more:+.1f} points ({100 * least:+.1f} to {100 * most:+.1f})"
    if telling:
        return Outcome.LEAK, (
            f"Do not trust this score yet: something gives the answers away. {telling[0].what}"
        )
    if low <= scores["majority_score"]:
        return Outcome.LEARNED_NOTHING, (
            "It is not clearly better than answering without reading the text. "
            "Either the answers do not follow from the texts, or there are too few examples."
        )
    if high - low > WIDEST:
        return Outcome.TOO_FEW, (
            f"The score could be anything from {say_metric(task, low)} to {say_metric(task, high)}: it was "
            "measured on too few examples. Collect more before you rely on it."
        )
    if most < 0:
        return Outcome.COUNTING, (
            f"Counting words alone does better here: the network adds {points}. "
            "The model weighs both by what they were worth on examples held back."
        )
    if least <= 0 and most > MUCH_MORE:
        return Outcome.COUNTING, (
            f"Whether the network does better than counting words cannot be told yet: it adds {points}. "
            "More examples to score on would tell."
        )
    if least <= 0 or most < HARDLY_MORE:
        next_time = (
            "It had less time than these data need, so that may not be the last word."
            if hurried
            else "A run with `--minutes 2` is enough for such data."
        )
        return Outcome.COUNTING, (
            f"Counting words alone does about as well here: the network adds {points}. {next_time}"
        )
    return Outcome.PAID, f"Deep learning paid: it adds {points} to what counting words can do."
