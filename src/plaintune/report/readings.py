"""Two sentences beside each picture: how to read it, and what it says here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.metrics import plain_number
from ..core.tasks import Task
from .figures import LEAST_LIKELY

CLEAR_SLOPE = 0.05  # between the lowest and the highest bin of lengths
FEWEST_POINTS = 8  # of a curve
GOOD_CALIBRATION, FAIR_CALIBRATION = 0.03, 0.06
CHANCE_TIMES = 1.7  # an error that is larger than this many times what chance brings is one
SAID_ALONE = "confidence"  # where there are too few answers for a picture, that is said


@dataclass(frozen=True)
class Reading:
    """What stands beside a picture."""

    title: str
    how: str
    here: str


def readings(report: Mapping[str, Any]) -> dict[str, Reading]:
    """The readings by picture, in the order in which the page shows them."""
    makers: dict[str, Callable[[Mapping[str, Any]], Reading]] = {
        "confusion": _confusion,
        "by_class": _by_class,
        "numbers": _numbers,
        "confidence": _confidence,
        "learning_curve": _learning_curve,
        "lengths": _lengths,
        "history": _history,
        "sweep": _sweep,
    }
    drawn = drawable(report)
    shown = [name for name in makers if drawn.get(name) or (name == SAID_ALONE and name in drawn)]
    return {name: makers[name](report) for name in shown}


def drawable(report: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to draw, by picture; a training or a sweep of a few steps is no picture."""
    history, sweep = report["history"], report["sweep"]
    known = {name: made for name, made in report["figures"].items() if name != "by_class" or _any_seen(made)}
    return {
        **known,
        "learning_curve": report["learning_curve"],
        "history": history if history and len(history["seen"]) >= FEWEST_POINTS else None,
        "sweep": sweep if sweep and len(sweep["rates"]) >= FEWEST_POINTS else None,
    }


def _any_seen(by_class: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["share"] is not None for row in by_class)


def _confusion(report: Mapping[str, Any]) -> Reading:
    how = (
        "Each row is a true answer, each column the answer the model gave; on the diagonal it was right. "
        "The darker a square, the more of the row's texts are in it."
    )
    largest = report["figures"]["confusion"]["largest"]
    if not largest:
        return Reading("Which answers are mixed up", how, "Nothing was mixed up.")
    first = largest[0]
    here = (
        f"The most frequent mix-up: {first['rows']} of the {first['of']} “{first['truth']}” texts were taken "
        f"for “{first['told']}”."
    )
    return Reading("Which answers are mixed up", how, here)


def _by_class(report: Mapping[str, Any]) -> Reading:
    how = (
        "The bar is the share of an answer's texts that the model found (its recall); the thin line says "
        "between which shares the truth lies, 95% sure. In brackets: how many texts it was measured on."
    )
    known = [row for row in report["figures"]["by_class"] if row["share"] is not None]
    worst, best = (pick(known, key=lambda row: row["share"]) for pick in (min, max))
    if worst["share"] == best["share"]:
        here = f"All are found equally well ({best['share']:.0%})."
    else:
        here = (
            f"Found best is “{best['name']}” ({best['share']:.0%}), "
            f"least “{worst['name']}” ({worst['share']:.0%})."
        )
    if len(known) > 24:
        here += " Only the 24 lowest are drawn; all of them stand in the table below."
    return Reading("How well each answer is found", how, here)


def _numbers(report: Mapping[str, Any]) -> Reading:
    told = report["figures"]["numbers"]
    return Reading(
        "True numbers against the ones given",
        "Each dot is a text: to the right its true number, upwards the one the model gave. On the dashed "
        "line both are the same; the band is the interval that every prediction comes with.",
        f"{told['inside']:.0%} of the truths lie within ± {plain_number(told['half_width'], 3)}; "
        "nine in ten should.",
    )


def _confidence(report: Mapping[str, Any]) -> Reading:
    several = report["task"] == Task.MULTI
    how = (
        "With each answer the model says how sure it is. Here texts are grouped by that; upwards stands how "
        "often it was right."
    )
    if several:
        how = (
            "The model says of each answer how probable it is. Here those that it finds at least "
            f"{LEAST_LIKELY:.0%} probable are grouped by that; upwards stands how often they applied."
        )
    drawn = report["figures"]["confidence"]
    if drawn:
        how += " On the dashed line, confidence and truth agree (good calibration)."
    return Reading("Can its confidence be trusted?", how, _trust(drawn))


def _trust(bins: Sequence[Mapping[str, Any]]) -> str:
    """Whether what it says of its confidence is true, by the bins of what it said."""
    rows = sum(part["rows"] for part in bins)
    if not rows:
        return f"It found no answer as probable as {LEAST_LIKELY:.0%}: there are too few to tell."
    error = sum(part["rows"] * abs(part["share"] - part["mean"]) for part in bins) / rows
    spread = [math.sqrt(part["rows"] * part["mean"] * (1 - part["mean"])) for part in bins]
    chance = math.sqrt(2 / math.pi) * sum(spread) / rows  # what this error is on average where all is right
    if chance > GOOD_CALIBRATION and error <= CHANCE_TIMES * chance:
        return (
            f"{rows:,} answers are too few to tell: on average it is off by {100 * error:.1f} points, "
            f"and chance alone would bring {100 * chance:.1f}."
        )
    off = f"on average it is off by {100 * error:.1f} points."
    if error <= GOOD_CALIBRATION:
        return f"It can be taken at its word: {off}"
    if error <= FAIR_CALIBRATION:
        return f"Roughly as good as its word: {off}"
    return f"Do not take its confidence literally: {off}"


def _learning_curve(report: Mapping[str, Any]) -> Reading:
    told = report["learning_curve"]
    low, high = (100 * end for end in told["interval"])
    return Reading(
        "Would more examples help?",
        "Two cheap models learned from ever larger parts of some examples: the learning curve. "
        "The dots in orange are what follows for all there are and for twice as many, with its doubt.",
        f"With twice as many examples expect {100 * told['gain']:+.1f} points ({low:+.1f} to {high:+.1f}).",
    )


def _lengths(report: Mapping[str, Any]) -> Reading:
    bins = report["figures"]["lengths"]
    right = "the true number lay within the interval" if report["task"] == Task.NUMBER else "it was right"
    how = f"Texts are grouped by their number of words; upwards stands how often {right}."
    if len(bins) < 2:
        return Reading("Short texts and long ones", how, "Too few of the texts differ in length to compare.")
    first, last = bins[0], bins[-1]
    apart = first["interval"][1] < last["interval"][0] or last["interval"][1] < first["interval"][0]
    if not apart or abs(first["share"] - last["share"]) < CLEAR_SLOPE:
        here = "Short and long texts fare about the same, as far as this can be told."
    else:
        better, worse = (last, first) if last["share"] > first["share"] else (first, last)
        here = (
            f"{'Longer' if better is last else 'Shorter'} texts fare better: {better['share']:.0%} right, "
            f"against {worse['share']:.0%}."
        )
    return Reading("Short texts and long ones", how, here)


def _history(report: Mapping[str, Any]) -> Reading:
    told = report["history"]
    passes = told["steps"] / max(1, told["steps_per_pass"])
    numbers = report["task"] == Task.NUMBER
    below = "" if numbers else "; below, how often it was right on them"
    begun = "First only the last layer was fitted; at the mark every layer starts to move (it is unfrozen)."
    if told.get("second"):  # reports of older releases do not say
        begun = (
            "It is the second training: every layer went on from what it had learned, now with the texts "
            "without an answer as well."
        )
    how = (
        "The loss says how surprised the network was by the right answers of the texts it was about to learn "
        f"from{below}. {begun}"
    )
    losses = [one[1] for one in told["seen"] if one[1] is not None]
    here = f"In {told['steps']:,} steps, {passes:.1f} passes over the texts"
    here += f", the loss went from {losses[0]:.2f} to {losses[-1]:.2f}." if losses else "."
    if passes > 1:
        less = "further off" if numbers else "right less often"
        here += f" After the first pass it meets texts it knows, so on unseen texts it is {less}."
    return Reading("How it learned", how, here)


def _sweep(report: Mapping[str, Any]) -> Reading:
    told = report["sweep"]
    return Reading(
        "Choosing the learning rate",
        "Before training, a learning-rate finder raises the rate a little each step: too low and nothing is "
        "learned, too high and the loss jumps up.",
        f"Taken is {told['pick']:.1e}: {told['reason']}.",
    )
