"""As many examples as can be looked through in the time there is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener
from ..core.settings import Choice, choose, free_seconds
from .examples import Examples
from .split import strata

LOOKING_SHARE = 0.08  # of the free time, at most, goes into comparing all texts and cutting them into tokens
ROW_SECONDS, CHARACTER_SECONDS = 25e-6, 0.45e-6  # what that takes: measured, docs/experiments.md
FEWEST_OF_A_KIND = 50  # examples that a rare answer keeps, where it has them


def drawn_for(examples: Examples, minutes: float, *, seed: int) -> Examples:
    """The examples at `positions_for`."""
    chosen = positions_for(examples, minutes, seed=seed)
    return examples if len(chosen) == len(examples) else examples.take(chosen)


def positions_for(examples: Examples, minutes: float, *, seed: int) -> NDArray[np.int64]:
    """All positions in the examples, or some at random where time is short; rare answers keep theirs.

    How many depends on nothing but the data and ``minutes``, so that a run that was killed draws the same.
    """
    seconds = ROW_SECONDS + CHARACTER_SECONDS * sum(map(len, examples.texts)) / max(1, len(examples))
    rows = int(LOOKING_SHARE * free_seconds(minutes) / seconds)
    if rows >= len(examples):
        return np.arange(len(examples))
    drawn = np.random.default_rng(seed).permutation(len(examples))
    kinds = strata(examples)[drawn]
    by_kind = np.argsort(kinds, kind="stable")
    each_kind = np.split(drawn[by_kind], np.flatnonzero(np.diff(kinds[by_kind])) + 1)
    kept = min(FEWEST_OF_A_KIND, max(2, rows // len(each_kind)))
    return np.unique(np.concatenate([drawn[:rows], *(kind[:kept] for kind in each_kind)]))


def say_drawn(name: str, drawn: Examples, of: Examples, listener: Listener) -> list[Choice]:
    """The choice, where not all examples were drawn."""
    if drawn is of:
        return []
    why = "drawn at random, as many as the time allows to look through; --minutes gives more"
    return [choose(listener, name, f"{len(drawn):,} of {len(of):,}", why)]
