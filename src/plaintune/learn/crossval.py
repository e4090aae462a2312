"""Few labels: every row is learned from and checked on, by turns, and the better technique is kept."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from ..core.events import Listener, stage
from ..core.files import kept_array
from ..core.settings import Choice, choose
from ..core.tasks import Task
from ..data.encode import Tokens
from ..data.examples import Examples
from ..data.split import strata
from .baseline import MAX_FIT_ROWS, fit_baseline
from .blend import are_met, fit_blend, losses_of, say_score
from .checkpoint import Checkpoint
from .learner import Learner, prior_of, standard_labels
from .network import logits_of
from .techniques import Taken, Technique, are_few, keep_taken, taken_in, teach
from .train import Schedule

TECHNIQUE = "technique"
CLEARLY, FEWEST_TO_TELL = 2.0, 8  # standard errors; rows


@dataclass(frozen=True)
class Checked:
    """What models said of rows that they had not learned from. All arrays by row."""

    network_logits: NDArray[np.float32]
    ngram_logits: NDArray[np.float32]
    labels: NDArray[np.int64] | NDArray[np.float64]
    trainings: NDArray[np.int64] | None = None  # which network it was, where several have learned
    known: NDArray[np.bool_] | None = None  # as in `fit_blend`


def cross_validate(
    lesson: Examples,
    tokens: Tokens,
    clusters: NDArray[np.int64],
    learner: Learner,
    schedule: Schedule,
    *,
    folds: int,
    counted_rows: int = MAX_FIT_ROWS,
    deadline: float,
    kept: Path,
    listener: Listener,
) -> tuple[Technique, Checked, Choice]:
    """The technique whose blend with counted words is the least surprised by rows it has not learned from.

    One that is clearly behind after some parts is left, and after half of them all but the best: it alone
    goes on, so that every row has been checked on. Of few rows surprise tells little, and most of how sure a
    technique sounds: contrasting is taken unless another is clearly less surprised, and fine-tuning, which
    sounds surest, has to be right more often as well. Turns are cut short to end before ``deadline``, in
    `time.monotonic` seconds, should the machine be slow; words are counted in at most ``counted_rows``. Rows
    that share a number in ``clusters`` (rows,) are in one fold. What is done is put by in ``kept``; where a
    plan was given that tells how it came out, only the technique that was chosen then has its turns, each of
    as many steps as it had.
    """
    parts = folds_of(lesson, clusters, folds, schedule.seed)
    count = partial(counted_in_turns, lesson, parts, seed=schedule.seed, max_rows=counted_rows)
    counted = kept_array(kept / "folds-ngrams.npz", count)
    chosen = taken_in(kept).get(TECHNIQUE)
    techniques = _techniques(lesson) if chosen is None else [Technique(chosen["value"])]
    known = known_in_turns(lesson, parts)
    running = {technique: np.zeros_like(counted) for technique in techniques}
    turns, few, left = np.empty(len(lesson), dtype=np.int64), are_few(lesson.task, len(lesson)), ""
    for number, part in enumerate(parts, start=1):
        turns[part] = number
        for at, (technique, logits) in enumerate(running.items()):
            stage(listener, f"Trying {technique}: part {number} of {len(parts)}")
            name = f"{technique.name.lower()}-{number}"
            file = kept / f"folds-{name}.npz"
            turns_left = len(running) * (len(parts) - number + 1) - at
            until = time.monotonic() + (deadline - time.monotonic()) / turns_left
            halfway = Checkpoint(file.with_suffix(""), listener, when_done=False)
            turn = partial(
                _turn, lesson, tokens, part, learner, technique, schedule, until, halfway, Taken(kept, name)
            )
            logits[part] = kept_array(file, turn)
            halfway.remove()
        rows = np.concatenate(parts[:number])
        tried = {
            technique: _try(lesson, rows, logits, counted, known) for technique, logits in running.items()
        }
        best = _best_of(tried, few=few)
        if number < len(parts):
            decided = number >= max(2, len(parts) / 2)
            for technique in [each for each in tried if each is not best]:
                why = _why_left(technique, tried[technique], tried[best], few=few, decided=decided)
                if why:
                    del running[technique]
                    scores = f"{tried[technique].score}, {best} {tried[best].score}"
                    left += f"; {technique} was {why} after {number} ({scores})"
    if chosen is None:
        told = ", ".join(f"{technique} {tried[technique].score}" for technique in tried)
        usual = "the usual one for so few examples; " if few and best is Technique.CONTRASTIVE else ""
        reason = f"{usual}on {len(parts)} parts that it had not learned from: {told}{left}"
    else:
        reason = chosen["reason"]
    choice = choose(listener, TECHNIQUE, str(best), reason)
    keep_taken(kept, TECHNIQUE, asdict(choice))
    return best, Checked(running[best], counted, lesson.labels, turns, known), choice


@dataclass(frozen=True)
class _Tried:
    """How good a technique was on the rows it has been checked on so far."""

    losses: NDArray[np.floating[Any]]  # (rows,), of those whose answer it could know
    wrong: NDArray[np.bool_]  # (rows,), of the same
    score: str  # on all

    def is_behind(self, best: _Tried) -> bool:
        """Whether chance alone would hardly explain that the other is less surprised."""
        return _clearly_positive(self.losses - best.losses)

    def is_wrong_more_often(self, best: _Tried) -> bool:
        """Whether chance alone would hardly explain that the other is right more often."""
        return _clearly_positive(self.wrong.astype(float) - best.wrong)


def _clearly_positive(differences: NDArray[np.floating[Any]]) -> bool:
    enough = len(differences) >= FEWEST_TO_TELL
    doubt = differences.std(ddof=1) / math.sqrt(len(differences)) if enough else math.inf
    return bool(differences.mean() > CLEARLY * doubt)


def _best_of(tried: dict[Technique, _Tried], *, few: bool) -> Technique:
    """The least surprised; of few rows contrasting, unless another is clearly better.

    The frozen encoder has to be clearly less surprised; fine-tuning less surprised than what is taken
    otherwise, and clearly right more often.
    """
    if not few:
        return _least_surprised(tried)
    others: dict[Technique, _Tried] = {each: tried[each] for each in tried if each != Technique.FINE_TUNED}
    taken = _least_surprised(others or tried)
    usual = others.get(Technique.CONTRASTIVE)
    if usual is not None and not usual.is_behind(tried[taken]):
        taken = Technique.CONTRASTIVE
    tuned, rival = tried.get(Technique.FINE_TUNED), tried[taken]
    if tuned is None or tuned.losses.sum() >= rival.losses.sum():
        return taken
    return Technique.FINE_TUNED if rival.is_wrong_more_often(tuned) else taken


def _why_left(technique: Technique, one: _Tried, best: _Tried, *, few: bool, decided: bool) -> str:
    """Why ``technique`` has no more turns; empty where it goes on."""
    tuned = technique is Technique.FINE_TUNED
    if one.is_behind(best):
        return "clearly more surprised"
    if few and tuned and one.wrong.sum() >= best.wrong.sum():
        return "right no more often"
    if not decided:
        return ""
    if one.losses.sum() > best.losses.sum():
        return "more surprised"
    return "not clearly right more often" if tuned else "not clearly less surprised"


def _least_surprised(tried: dict[Technique, _Tried]) -> Technique:
    return min(tried, key=lambda technique: float(tried[technique].losses.sum()))


def _try(
    lesson: Examples,
    rows: NDArray[np.int64],
    logits: NDArray[np.float32],
    counted: NDArray[np.float32],
    known: NDArray[np.bool_],
) -> _Tried:
    """The blend with counted words, on ``rows``."""
    task, labels, prior, met = lesson.task, lesson.labels[rows], prior_of(lesson), known[rows]
    blend = fit_blend(task, logits[rows], counted[rows], labels, prior=prior, known=met)
    outputs = blend.outputs(logits[rows], counted[rows])
    wrong = outputs.argmax(axis=1) != labels if task is Task.SINGLE else np.zeros(len(rows), dtype=bool)
    losses = losses_of(task, labels, outputs, blend.spread)
    judging = met if met.any() else np.ones_like(met)
    return _Tried(losses[judging], wrong[judging], say_score(task, labels, outputs, prior, blend))


def _turn(
    lesson: Examples,
    tokens: Tokens,
    part: NDArray[np.int64],
    learner: Learner,
    technique: Technique,
    schedule: Schedule,
    deadline: float,
    halfway: Checkpoint,
    taken: Taken,
) -> NDArray[np.float32]:
    """What a network that has learned all rows but ``part`` says of these."""
    rest = np.setdiff1d(np.arange(len(lesson)), part)
    labels = standard_labels(lesson)[rest]
    steps = taken.steps
    if steps is None:
        steps = math.ceil(schedule.steps * len(rest) / len(lesson))
    else:
        deadline = math.inf
    network, trained = teach(
        lesson, tokens.take(rest), labels, learner, technique, replace(schedule, steps=steps, most=None),
        deadline=deadline, checkpoint=halfway, taken=taken,
    )  # fmt: skip
    if technique is Technique.FINE_TUNED:
        taken.keep(trained.steps)
    return logits_of(network, learner.device, tokens.take(part), pad_id=learner.backbone.pad_id)


def _techniques(lesson: Examples) -> list[Technique]:
    """Those that fit the task: texts with several answers, or a number, have no one class to move to."""
    return [t for t in Technique if lesson.task is Task.SINGLE or t is not Technique.CONTRASTIVE]


def folds_of(lesson: Examples, clusters: NDArray[np.int64], folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Parts with about the same share of each class, whole clusters in each."""
    kinds = np.unique(strata(lesson), return_inverse=True)[1]
    if np.bincount(kinds).max() < 2:
        kinds = np.zeros_like(kinds)  # a row of each kind: nothing to share out
    most = min(folds, int(np.bincount(kinds).max()), len(np.unique(clusters)))
    splitter = StratifiedGroupKFold(max(2, most), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds is missing in some
        return [part for _, part in splitter.split(kinds, kinds, clusters) if len(part)]


def known_in_turns(lesson: Examples, parts: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """`are_met` of the rows of each of ``parts`` by those of the others; (rows,)."""
    known = np.ones(len(lesson), dtype=bool)
    for part in parts:
        known[part] = are_met(lesson.task, lesson.labels[part], np.delete(lesson.labels, part, axis=0))
    return known


def counted_in_turns(
    lesson: Examples, parts: list[NDArray[np.int64]], *, seed: int, max_rows: int = MAX_FIT_ROWS
) -> NDArray[np.float32]:
    """What n-gram models say of each of ``parts`` (row positions) when they have learned the others.

    At most ``max_rows`` of these.
    """
    labels = standard_labels(lesson)

    def counted(rest: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.float32]:
        model = fit_baseline(
            lesson.texts[rest], labels[rest], len(lesson.classes),
            task=lesson.task, max_rows=max_rows, seed=seed,
        )  # fmt: skip
        return model.logits(lesson.texts[part])

    return in_turns(lesson, parts, counted)


def in_turns(
    lesson: Examples,
    parts: list[NDArray[np.int64]],
    said: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Logits (rows, answers): of each part what ``said`` of the others and it gives (all row positions)."""
    found = np.zeros((len(lesson), lesson.task.outputs(len(lesson.classes))), dtype=np.float32)
    for part in parts:
        found[part] = said(np.setdiff1d(np.arange(len(lesson)), part), part)
    return found
