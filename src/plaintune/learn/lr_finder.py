"""The learning rate, from a short sweep (Smith 2015, "Cyclical learning rates", section 3.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from ..core.events import Listener, progress
from .network import Network, restore, weights_of
from .steps import Stepper

LOWEST_RATE, HIGHEST_RATE = 1e-6, 1e-2
SWEEP_STEPS, FEWEST_SWEPT = 60, 30
TIMED_STEPS = 3  # tell how many fit into the time
SMOOTHING = 0.9
DIVERGED_FACTOR = 2.5  # the sweep ends once the smoothed loss is this much above its best
BROKEN_FACTOR, UNTOUCHED = 1.05, 10  # so much above the first losses, at which nothing is learned yet
SAFE_RATES = (2e-5, 8e-4)
FEW_ROWS, HIGHEST_FOR_FEW = 1000, 1.5e-4  # 3e-4 broke training on 64 messages (docs/experiments.md)
USUAL_RATE, USUAL_FOR_FEW = 2e-4, 1e-4  # where no sweep tells better (docs/experiments.md)
BELOW_DIVERGENCE = 4.0  # the best point of the sweep divided by this is safe


@dataclass(frozen=True)
class LearningRateCurve:
    """The rates tried, the smoothed loss at each, and the pick."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    pick: float
    reason: str
    tokens_per_second: float  # of half of the steps or more: a second look at this machine's speed


def find_learning_rate(
    network: Network, stepper: Stepper, *, rows_per_batch: int, seconds: float, seed: int, listener: Listener
) -> LearningRateCurve:
    """Raise the rate a little each step until the loss turns up; restores the weights.

    Where ``seconds`` do not allow all steps, the lowest rates are left out, at which nothing is learned;
    with too few points the pick is the usual rate.
    """
    kept = weights_of(network)
    nn.init.zeros_(network.head.weight)  # a fitted head has no loss left to lose: the sweep starts without
    nn.init.zeros_(network.head.bias)
    optimizer = stepper.optimizer(network)
    rates = np.geomspace(LOWEST_RATE, HIGHEST_RATE, SWEEP_STEPS)
    smoothed: list[float] = []
    average, best, started = 0.0, math.inf, time.monotonic()
    todo = stepper.endless_batches(rows_per_batch=rows_per_batch, seed=seed)
    speeds: list[float] = []
    tried: list[float] = []
    at, broken = 0, False
    for step, batch in enumerate(todo, start=1):
        rate = rates[at]
        step_started = time.monotonic()
        seen = stepper.step(network, optimizer, batch, rate=float(rate))
        loss = seen.loss / stepper.loss_of_silence(batch)
        speeds.append(len(batch.tokens.ids) / max(1e-6, time.monotonic() - step_started))
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**step))
        tried.append(float(rate))
        best = min(best, smoothed[-1])
        progress(listener, step, SWEEP_STEPS, loss=smoothed[-1], rate=float(rate))
        diverged = smoothed[-1] > DIVERGED_FACTOR * best + 0.1 or not math.isfinite(loss)
        broken = diverged or whole(smoothed) < len(smoothed)
        if broken:
            break
        took = time.monotonic() - started
        at += 1
        if step == TIMED_STEPS:
            at = max(at, SWEEP_STEPS - int((seconds - took) * step / max(1e-6, took)))
        if took > seconds or at >= SWEEP_STEPS:
            break
    restore(network, kept)
    pick, reason = pick_rate(tuple(tried), tuple(smoothed), rows=len(stepper.labels), broken=broken)
    return LearningRateCurve(tuple(tried), tuple(smoothed), pick, reason, float(np.median(speeds)))


def whole(losses: Sequence[float]) -> int:
    """How many of the ``losses`` come before training broke: one rose clearly above where they began.

    What comes after is another training: a network that has lost what it knew, and its last layer.
    """
    begun = max(losses[:UNTOUCHED], default=math.inf)
    return next((at for at, loss in enumerate(losses) if not loss <= BROKEN_FACTOR * begun), len(losses))


def usual_rate(rows: int) -> float:
    """What most data do well at, with so many ``rows`` to learn from."""
    return USUAL_RATE if rows >= FEW_ROWS else USUAL_FOR_FEW


def pick_rate(
    rates: tuple[float, ...], losses: tuple[float, ...], *, rows: int = FEW_ROWS, broken: bool = False
) -> tuple[float, str]:
    """A rate below where the loss is lowest (beyond it training breaks), within a safe range.

    It is the geometric mean of a quarter of that one and the usual rate: a single sweep is off by up to four
    times, and the best rates of five data sets are not so far from one another (docs/experiments.md).
    ``broken``: no lack of time ended the sweep.
    """
    usual = usual_rate(rows)
    low, high = SAFE_RATES[0], SAFE_RATES[1] if rows >= FEW_ROWS else HIGHEST_FOR_FEW
    sound = whole(losses)
    lowest = int(np.argmin(losses[: max(1, sound)]))
    ended = sound == len(rates) and rates[-1] < HIGHEST_RATE / 2  # by the time, not by the loss
    if len(rates) < FEWEST_SWEPT and broken:
        return usual, f"a sweep broke after {len(rates)} steps, too few to tell, so the usual rate is taken"
    if len(rates) < FEWEST_SWEPT or (ended and lowest >= len(rates) - 3):
        return usual, f"the sweep had time for {len(rates)} steps only, so the usual rate is taken"
    if lowest < UNTOUCHED:
        return usual, "in a sweep nothing was learned before it broke, so the usual rate is taken"
    turn = rates[lowest]
    raw = math.sqrt(turn / BELOW_DIVERGENCE * usual)
    pick = min(high, max(low, raw))
    seen = f"was lowest at {turn:.1e} and then rose"
    if lowest == len(rates) - 1:
        seen = f"still fell at {turn:.1e}, the highest one tried"
    held = "" if pick == raw else f", kept within {low:.1e} to {high:.1e}"
    return pick, (
        f"in a sweep of {len(rates)} steps the loss {seen}; "
        f"this is the middle between a quarter of that, which is safe, and the usual {usual:.1e}{held}"
    )
