"""Minutes and the score to expect, before anything runs: here in three ways, and on rented GPUs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..core.events import Listener, note, silent
from ..core.hardware import inspect_machine
from ..core.metrics import METRICS
from ..core.settings import Settings
from ..core.tasks import Task
from ..data.examples import Examples
from ..data.repeats import find_repeats
from ..data.split import rows_that_belong_together
from ..pipeline import CHECK_SHARE, CHECKED_CHARACTERS_PER_SECOND, read
from .errand import work_of
from .prices import known_prices
from .rented import RentedQuote, rented_quotes

MINUTES = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90, 120, 150, 180, 240, 300, 360, 480)
PARTS = {"quick": 8, "standard": 3, "thorough": 1}  # of the time that the data need
START_SECONDS = 3.0  # for Python to load
RENTED_SHOWN = 3


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


@dataclass(frozen=True)
class Quote:
    """What training on some data would take and bring."""

    rows: int
    task: Task
    machine: str
    ways: tuple[Way, ...]  # the shortest first; fewer where there is nothing between them
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
    """Read the data, time this machine, train twice on a few examples: some 20 s. Raises UserError."""
    started = time.monotonic()
    examples, test_examples = read(source, labels, test, settings, listener)
    repeats = find_repeats(examples, test_examples, listener=listener)
    from ..learn.learner import prepare  # torch takes seconds to load
    from ..learn.outline import look_at, outline
    from ..learn.trial import TRIAL_SECONDS, foresee, try_out

    learner = prepare(settings, silent)
    network, measured, longest = look_at(examples, learner, settings)
    del network
    spent = time.monotonic() - started + START_SECONDS
    clusters = rows_that_belong_together(examples, repeats.clusters)
    trial = try_out(
        examples, clusters, learner, measured, seconds=TRIAL_SECONDS, seed=settings.seed, listener=listener
    )
    trial_seconds = time.monotonic() - started + START_SECONDS - spent

    def way(name: str, minutes: int) -> Way:
        wanted = replace(settings, minutes=minutes)
        before = spent + _check_seconds(examples, minutes) + trial_seconds
        outlined = outline(
            examples, clusters, test_examples, wanted,
            measured=measured, longest=longest, seconds_left=60 * minutes - before,
        )  # fmt: skip
        judged = len(outlined.splits.test) if test_examples is None else len(test_examples)
        told = foresee(outlined, trial, spent=before, judged_rows=judged)
        share = min(1.0, outlined.passes[0] / outlined.work.wanted_passes)
        return Way(
            name, minutes, min(told.seconds / 60, minutes), told.low, told.high, share,
            _command(source, settings, test, minutes),
        )  # fmt: skip

    whole = next((m for m in MINUTES if way("thorough", m).passes_share >= 1), MINUTES[-1])
    chosen = {_nearest(whole / part): name for name, part in PARTS.items()}
    ways = tuple(way(name, minutes) for minutes, name in sorted(chosen.items()))
    note(listener, "Four times of five, the score should lie within what is said.")
    prices = known_prices()
    rented = rented_quotes(work_of(examples), prices, spot=True)[:RENTED_SHOWN]
    return Quote(len(examples), examples.task, str(inspect_machine()), ways, rented, str(prices))


def _nearest(minutes: float) -> int:
    return min(MINUTES, key=lambda known: abs(known - minutes))


def _check_seconds(examples: Examples, minutes: float) -> float:
    """For the check-up inside training."""
    characters = sum(map(len, examples.texts))
    return min(CHECK_SHARE * 60 * minutes, characters / CHECKED_CHARACTERS_PER_SECOND)


def _command(source: Any, settings: Settings, test: Any, minutes: int) -> str:
    """What to type, with what was said about the data."""
    named = source if isinstance(source, str) else "DATA"
    said = [("--test", test)] if isinstance(test, str) else []
    for name in ("text", "label"):
        said += [(f"--{name}", column) for column in getattr(settings, name)]
    for name in ("group", "time", "task", "separator"):
        said += [(f"--{name}", str(getattr(settings, name)))] if getattr(settings, name) else []
    options = "".join(f" {option} {shlex.quote(str(value))}" for option, value in said)
    return f"plaintune train {shlex.quote(named)}{options} --minutes {minutes}"
