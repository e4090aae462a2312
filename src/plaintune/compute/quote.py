"""Minutes and the score to expect, before anything runs: here in three ways, and on rented GPUs."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.events import Listener, note, silent
from ..core.hardware import inspect_machine
from ..core.metrics import METRICS
from ..core.settings import Settings, about_test, command_line, python_call
from ..core.tasks import Task
from ..data.repeats import find_repeats
from ..data.sample import positions_for
from ..data.split import rows_that_belong_together
from ..pipeline import CHECK_SHARE, CHECKED_CHARACTERS_PER_SECOND, read
from .errand import work_of
from .prices import known_prices
from .rented import RentedQuote, rented_quotes

if TYPE_CHECKING:
    from ..learn.outline import Outline

MINUTES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90, 120, 150, 180, 240, 300, 360, 480)
PARTS = {"quick": 8, "standard": 3, "thorough": 1}  # of the time that the data need
START_SECONDS = 3.0  # for Python to load
RENTED_SHOWN = 3
LOOKED_AT_MINUTES = 1.0  # as many examples are compared with one another as in a run of so many
TRIAL_SECONDS = 12.0  # more than training gives it: all of a quote should take some 20


@dataclass(frozen=True)
class Way:
    """A run that one may choose."""

    name: str  # "quick", "standard" or "thorough"
    minutes: int  # to be given with --minutes
    expected_minutes: float
    low: float | None  # the main metric should lie between these four times of five
    high: float | None
    passes_share: float  # of the passes that the data need
    command: str

    @property
    def promise(self) -> tuple[float | None, ...]:
        """How long it takes and how good it gets, as far as is told: nobody chooses by seconds."""
        score = (None if end is None else round(end, 3) for end in (self.low, self.high))
        return (round(self.expected_minutes, 1) if self.expected_minutes >= 1 else None, *score)


@dataclass(frozen=True)
class Quote:
    """What training on some data would take and bring."""

    rows: int
    task: Task
    machine: str
    ways: tuple[Way, ...]  # the shortest first; fewer where two would promise the same
    rented: tuple[RentedQuote, ...]  # what the thorough way would take and cost elsewhere, cheapest first
    prices: str  # where the prices are from, and their date

    def as_json(self) -> dict[str, Any]:
        """The machine-readable contract of `plaintune quote --json`."""
        return {**asdict(self), "task": str(self.task), "metric": METRICS[self.task]}


def quote(
    source: Any,
    labels: Iterable[Any] | None = None,
    *,
    settings: Settings,
    test: Any = None,
    listener: Listener = silent,
) -> Quote:
    """Read the data, time this machine, let cheap models learn a part: some 20 s. Raises UserError."""
    started = time.monotonic()
    examples, test_examples = read(source, labels, test, settings, listener)
    looked_at = positions_for(examples, LOOKED_AT_MINUTES, seed=settings.seed)
    compared = examples.take(looked_at)
    clusters = len(examples) + np.arange(len(examples))  # the others are taken to be one of a kind
    clusters[looked_at] = find_repeats(compared, listener=listener).clusters
    clusters = rows_that_belong_together(examples, clusters)
    from ..learn.learner import prepare  # torch takes seconds to load
    from ..learn.outline import look_at, outline
    from ..learn.trial import foresee, trial_time, try_out

    learner = prepare(settings, silent)
    network, measured, longest = look_at(examples, learner, settings)
    del network
    spent = time.monotonic() - started + START_SECONDS
    trial = try_out(
        compared, clusters[looked_at], learner, measured,
        seconds=TRIAL_SECONDS, seed=settings.seed, listener=listener,
    )  # fmt: skip
    characters = sum(map(len, examples.texts))

    @cache
    def outlined(minutes: int) -> tuple[Outline, float]:
        """A run of so many minutes, and what is over of them before it is planned."""
        checking = min(CHECK_SHARE * 60 * minutes, characters / CHECKED_CHARACTERS_PER_SECOND)
        before = spent + trial_time(60 * minutes) + checking
        wanted = replace(settings, minutes=minutes)
        found = outline(
            examples, clusters, test_examples, wanted,
            measured=measured, longest=longest, seconds_left=60 * minutes - before,
        )  # fmt: skip
        return found, before

    def share_of_passes(minutes: int) -> float:
        return outlined(minutes)[0].passes.share

    def way(name: str, minutes: int) -> Way:
        found, before = outlined(minutes)
        judged = len(found.splits.test) if test_examples is None else len(test_examples)
        told = foresee(found, trial, spent=before, minutes=minutes, judged_rows=judged)
        return Way(
            name, minutes, told.seconds / 60, told.low, told.high, share_of_passes(minutes),
            _command(source, settings, test, minutes),
        )  # fmt: skip

    def is_enough(minutes: int) -> bool:
        folds = outlined(minutes)[0].work.folds  # checking few rows by turns is part of what they need
        return share_of_passes(minutes) >= 1 and folds == outlined(MINUTES[-1])[0].work.folds

    whole = MINUTES[bisect_left(MINUTES[:-1], True, key=is_enough)]
    chosen = {_nearest(whole / part): name for name, part in PARTS.items()}
    ways = _different([way(name, minutes) for minutes, name in sorted(chosen.items())])
    if trial is None:
        note(listener, "Even cheap models take too long here to be tried, so no score is foretold.")
    else:
        note(listener, "Four times of five, the score should lie within what is said.")
    prices = known_prices()
    rented = rented_quotes(work_of(examples), prices, spot=True)[:RENTED_SHOWN]
    machine = learner.device.within(inspect_machine())
    return Quote(len(examples), examples.task, machine, ways, rented, str(prices))


def _different(ways: list[Way]) -> tuple[Way, ...]:
    """The ``ways``, the shortest first, without those that the next one promises as well."""
    return (*(way for way, longer in pairwise(ways) if way.promise != longer.promise), ways[-1])


def _nearest(minutes: float) -> int:
    return min(MINUTES, key=lambda known: abs(known - minutes))


def _command(source: Any, settings: Settings, test: Any, minutes: int) -> str:
    """What to type, with what was said about the data."""
    options = {**about_test(test), **settings.about_training(), "minutes": minutes}
    if isinstance(source, str | Path):
        return command_line("train", str(source), options)
    return python_call("train", options)
