"""From a finished run to its report: what the rooms found, gathered for `report/`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compute.clouds import CLOUDS
from .compute.errand import work_of
from .compute.prices import known_prices
from .compute.rented import rented_quotes
from .core.blending import Blend
from .core.events import Listener
from .core.hardware import inspect_machine
from .core.settings import Settings, about_test
from .core.tasks import Task
from .data.corrections import correction_key
from .data.examples import Examples
from .data.finding import DataCheck
from .data.split import rows_that_belong_together
from .learn.crossval import Checked
from .learn.curve import learning_curve
from .learn.evidence import LESSONS, gather
from .learn.learn import Learned
from .learn.learner import seconds_to_count_one
from .learn.self_training import KEPT, NAME
from .learn.suspects import find_suspects
from .model.card import compared, how_good
from .model.explain import explain
from .model.folder import Manifest
from .model.predict import Model
from .report.actions import short_of_time
from .report.contents import Doubt, Told
from .report.figures import HeldBack

CURVE_ROWS, FEWEST_CURVE_ROWS = 2000, 134  # with fewer, a curve has fewer than three points
LONGEST_EXPLAINED = 10_000  # characters: twice of what a page shows, as much as `serve` explains
CURVE_COST = 3.0  # reading a row and fitting on it in several sizes, by the time that scoring it takes


def cheap_curve(
    examples: Examples,
    clusters: NDArray[np.int64],
    learned: Learned,
    settings: Settings,
    *,
    rows_per_second: float,
    seconds: float,
    listener: Listener,
) -> dict[str, Any] | None:
    """What more examples would bring, measured on as many rows as fit into ``seconds``; None for too few."""
    rows = min(CURVE_ROWS, len(examples), int(seconds * rows_per_second / CURVE_COST))
    if rows < FEWEST_CURVE_ROWS:
        return None
    counted_seconds = seconds_to_count_one(examples)
    if FEWEST_CURVE_ROWS * LESSONS * counted_seconds > seconds:
        return None
    chosen = np.sort(np.random.default_rng(settings.seed).permutation(len(examples))[:rows])
    together = rows_that_belong_together(examples, clusters)[chosen]
    if not np.ptp(together):  # all of one group: they cannot be parted
        return None
    evidence = gather(
        examples.take(chosen), together, learned.learner,
        seconds=seconds, fewest=FEWEST_CURVE_ROWS, counted_seconds=counted_seconds,
        seed=settings.seed, listener=listener,
    )  # fmt: skip
    curve = learning_curve(evidence, rows=len(learned.splits.train), seed=settings.seed)
    if curve is None:
        return None
    return {
        "sizes": list(curve.sizes),
        "scores": [1 - error for error in curve.errors],
        "gain": curve.gain,
        "interval": list(curve.gain_interval),
        "rows": curve.rows,
        "reached": 1 - float(np.median(curve.error_at(curve.rows))),
        "percent": examples.task is not Task.MULTI,
    }


def doubtful_rows(
    examples: Examples, learned: Learned, checked: Checked, blend: Blend, held: HeldBack
) -> list[Doubt]:
    """Rows with a doubtful answer among those that the models had not learned from when they were asked."""
    splits = learned.splits
    rows = splits.valid if learned.checked is None else splits.train
    outputs, unscored = blend.outputs(checked.network_logits, checked.ngram_logits), len(rows)
    if len(splits.test) == len(held.outputs):  # else it was scored on the user's own test data
        rows, outputs = np.concatenate([rows, splits.test]), np.concatenate([outputs, held.outputs])
    suspects = find_suspects(examples.task, outputs, examples.labels[rows])
    return [
        Doubt(
            line=int(examples.rows[rows[at]]),
            key=correction_key(str(examples.texts[rows[at]])),
            text=str(examples.texts[rows[at]]),
            given=examples.say(examples.labels[rows[at]]),
            proposed=examples.say(suspects.proposed[at]),
            chance=float(suspects.chance[at]),
            scored=bool(at >= unscored),
        )
        for at in suspects.shown
    ]


def explained_pieces(
    model: Model, text: str, answer: str | None, *, until: float
) -> list[tuple[str, int, int, float]]:
    """The text in pieces with their pull towards ``answer``, or the model's, as `report/` takes them.

    After ``until``, in `time.monotonic` seconds, it stays in one piece; so does a very long one.
    """
    if len(text) > LONGEST_EXPLAINED or time.monotonic() > until:
        return [(text, 0, len(text), 0.0)]
    pieces = explain(model, text, answer=answer).pieces
    return [(piece.text, piece.start, piece.end, piece.weight) for piece in pieces]


def report_on(
    out: Path,
    manifest: Manifest,
    examples: Examples,
    learned: Learned,
    held: HeldBack,
    check: DataCheck,
    doubtful: list[Doubt],
    *,
    settings: Settings,
    curve: dict[str, Any] | None,
    energy: float | None,
    test: Any,
) -> Told:
    """What there is to tell of a run; ``test`` are the test data that the user named, if any."""
    trained = learned.trained
    history = {
        "seen": trained.seen,
        "steps": trained.steps,
        "steps_per_pass": trained.steps_per_pass,
        "second": learned_twice(manifest.choices),
    }
    return Told(
        model=out.name,
        place=str(out),
        source=examples.understood.source,
        from_python=examples.understood.format == "Python",
        options={**settings.about_training(), **about_test(test)},
        own_test=test is not None or examples.official_test is not None,
        counted_in=examples.understood.counted_in,
        good=how_good(manifest),
        compared=compared(manifest),
        scores=manifest.scores,
        held=held,
        check=check,
        choices=manifest.choices,
        examples_by_class=manifest.data["train_rows_by_class"],
        rows={"all": manifest.data["rows"], "train": manifest.data["train_rows"]},
        doubtful=doubtful,
        sweep=None if learned.sweep is None else asdict(learned.sweep),
        history=history if trained.seen else None,
        learning_curve=curve,
        seconds=manifest.seconds,
        machine=learned.learner.device.within(inspect_machine()),
        energy_joules=energy,
        minutes_promised=settings.minutes,
        rented=gpu_for(examples, manifest),
        made_by=f"plaintune {manifest.versions.get('plaintune', '')}",
    )


def learned_twice(choices: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the network that was kept had learned before, without the texts that have no answer."""
    taught = [said for (network, _), said in KEPT.items() if network]
    return any(choice["name"] == NAME and choice["value"] in taught for choice in choices)


def gpu_for(examples: Examples, manifest: Manifest) -> dict[str, Any] | None:
    """What a rented GPU would take for all that time did not allow here; None where it allowed all."""
    if not short_of_time(manifest.choices):
        return None
    quotes = rented_quotes(work_of(examples), known_prices(), within=CLOUDS, spot=True)
    if not quotes:
        return None
    cheapest = quotes[0]
    return {
        "gpu": cheapest.offer.gpu,
        "minutes": cheapest.minutes,
        "cost_usd": cheapest.cost_usd,
        "price_date": cheapest.price_date,
    }
