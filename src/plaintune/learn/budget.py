"""How much training fits into the time: a short probe of this machine, then length, passes and steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.settings import Choice
from .network import Network
from .steps import Stepper

LONGEST_TOKENS = 256  # the last 256 tokens of IMDB gave 92.2%, 512 gave 92.4% in half as much time again
SHORTER_TOKENS = (192, 128, 96, 64)
SCORING_SPEEDUP = 1.4  # the float32 graph scores about this much faster than a training step learns
FIXED_SECONDS = 12.0  # the graph written, checked, and the folder closed
SAFETY = 0.85  # of the time left is planned; shared machines slow down
PROBE_ROWS = 400
SWEEP_SHARE, SWEEP_SECONDS = 0.05, 10.0
PASSES_BY_ROWS = ((600, 10.0), (3_000, 6.0), (8_000, 5.0), (30_000, 3.0))  # measured: docs/experiments.md
FEWEST_PASSES = 2.0


@dataclass(frozen=True)
class Probe:
    """What a few texts and two training steps told about this data on this machine."""

    lengths: NDArray[np.int64]  # (sample,) tokens of whole texts
    tokens_per_second: float  # while training

    def mean_tokens(self, max_length: int) -> float:
        """The tokens of a text, on average, when cut to ``max_length``."""
        return float(np.minimum(self.lengths, max_length).mean())


@dataclass(frozen=True)
class Budget:
    """What the time is spent on."""

    max_length: int
    passes: float
    rows_per_batch: int
    sweep_seconds: float
    reserve_seconds: float  # for writing and scoring
    choices: tuple[Choice, ...]


def probe(network: Network, stepper: Stepper, lengths: NDArray[np.int64]) -> Probe:
    """Time two training steps that leave the weights as they are; ``lengths`` are of whole texts."""
    optimizer = stepper.optimizer(network)
    batch = max(stepper.epoch(rows_per_batch=16, seed=0), key=lambda b: int(stepper.tokens.lengths[b].sum()))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        stepper.step(network, optimizer, batch, rate=0.0)
        seconds.append(time.perf_counter() - started)
    return Probe(lengths, float(stepper.tokens.lengths[batch].sum()) / min(seconds[1:]))


def rows_per_batch(rows: int) -> int:
    """Small batches for little data, so that there are enough steps to learn from."""
    return 16 if rows < 3000 else 32


def test_rows_affordable(measured: Probe, *, max_length: int, seconds: float) -> int:
    """How many rows can be scored in an eighth of the time, at most 5,000 (± 0.7 points at 93%)."""
    per_row = measured.mean_tokens(max_length) / (measured.tokens_per_second * SCORING_SPEEDUP)
    return int(min(5000, max(200, seconds / 8 / per_row)))


def longest_useful(lengths: NDArray[np.int64], asked: int | None, backbone_limit: int) -> int:
    """The cut for texts: what was asked for, or whole texts up to `LONGEST_TOKENS`."""
    wanted = asked if asked is not None else min(LONGEST_TOKENS, max(16, int(lengths.max(initial=16)) + 8))
    return min(wanted, backbone_limit)


def spend(
    measured: Probe, *, rows: int, scored_rows: int, max_length: int, length_asked: bool, seconds: float
) -> Budget:
    """Choose length and passes so that training, scoring and writing end within ``seconds``."""
    wanted = next((passes for most, passes in PASSES_BY_ROWS if rows <= most), FEWEST_PASSES)
    lengths = [max_length]
    if not length_asked:
        lengths += [shorter for shorter in SHORTER_TOKENS if shorter < max_length]
    for length in lengths:
        passes, sweep_seconds = _passes(measured, length, rows, scored_rows, seconds)
        if passes >= min(1.0, wanted):
            break
    enough = passes >= wanted
    passes = min(wanted, passes)
    return Budget(
        length,
        passes,
        rows_per_batch(rows),
        sweep_seconds,
        1.3 * (FIXED_SECONDS + _scoring_seconds(measured, length, scored_rows)),
        (_length_choice(measured, length, max_length), _passes_choice(passes, rows, enough)),
    )


def _passes(measured: Probe, length: int, rows: int, scored_rows: int, seconds: float) -> tuple[float, float]:
    tokens = measured.mean_tokens(length)
    head = min(rows, 3000) * tokens / (measured.tokens_per_second * 2)
    left = SAFETY * (seconds - FIXED_SECONDS) - _scoring_seconds(measured, length, scored_rows) - head
    sweep = min(max(SWEEP_SECONDS, SWEEP_SHARE * left), max(0.0, 0.2 * left))
    return max(0.0, (left - sweep) * measured.tokens_per_second / (rows * tokens)), sweep


def _scoring_seconds(measured: Probe, length: int, rows: int) -> float:
    return rows * measured.mean_tokens(length) / (measured.tokens_per_second * SCORING_SPEEDUP)


def _length_choice(measured: Probe, length: int, wanted: int) -> Choice:
    whole = float((measured.lengths <= length).mean())
    if whole >= 0.995:
        reason = "every text is seen whole"
    else:
        cut = "of the others the network sees the first quarter and the end"
        reason = f"{whole:.0%} of the texts fit; {cut}, the n-gram model sees all"
    if length < wanted:
        reason += f"; {wanted} would not fit into the time"
    return Choice("text length", f"{length} tokens", reason)


def _passes_choice(passes: float, rows: int, enough: bool) -> Choice:
    reason = (
        f"what {rows:,} examples need; more would learn them by heart"
        if enough
        else "as many as the time allows; --minutes gives more"
    )
    return Choice("passes over the data", f"{passes:.1f}", reason)
