"""The learning half of a run: from examples to two models, the n-gram one and the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.events import Listener, stage, warn
from ..core.linear import NgramModel
from ..core.settings import Choice, Settings, choose
from ..data.examples import Examples
from ..data.split import Splits, rows_that_belong_together
from .baseline import fit_baseline
from .checkpoint import Checkpoint
from .network import Network
from .plan import Learner, Plan, divide, make_or_resume_plan, prepare
from .train import train


@dataclass(frozen=True)
class Learned:
    """What came out: the two models, and what they are made of."""

    splits: Splits
    learner: Learner
    network: Network
    ngrams: NgramModel
    max_length: int
    choices: tuple[Choice, ...]


def learn(
    examples: Examples,
    test: Examples | None,
    settings: Settings,
    *,
    checkpoint_folder: Path,
    seconds_left: Callable[[], float],
    listener: Listener,
) -> Learned:
    """Plan, count words, fine-tune: by the plan of an unfinished run in ``checkpoint_folder``, if any.

    ``test`` is only counted here: nothing learns from it or looks at it.
    """
    checkpoint = Checkpoint(checkpoint_folder, listener)
    learner = prepare(settings, listener)
    stage(listener, "Looking for repeated texts")
    clusters = rows_that_belong_together(examples)
    plan = make_or_resume_plan(
        examples, clusters, test, learner, settings,
        checkpoint=checkpoint, seconds_left=seconds_left, listener=listener,
    )  # fmt: skip
    splits = divide(examples, clusters, test, settings, max_test_rows=plan.max_test_rows)
    split_choice = _say_split(examples, splits, test, listener)
    lesson = examples.take(splits.train)

    stage(listener, "Counting words (the n-gram baseline)")
    ngrams = fit_baseline(
        lesson.texts, lesson.labels, len(lesson.classes), max_rows=plan.counted_rows, seed=settings.seed
    ).stored()
    network = _fine_tune(
        lesson, learner, plan, checkpoint=checkpoint, seconds_left=seconds_left, listener=listener
    )
    choices = (*plan.choices, split_choice)
    return Learned(splits, learner, network, ngrams, plan.max_length, choices)


def _fine_tune(
    lesson: Examples,
    learner: Learner,
    plan: Plan,
    *,
    checkpoint: Checkpoint,
    seconds_left: Callable[[], float],
    listener: Listener,
) -> Network:
    """The pre-trained network, fitted to the training texts in the time there is."""
    stage(listener, "Turning texts into tokens")
    stepper = learner.stepper(learner.tokens(lesson.texts, plan.max_length), lesson.labels)
    network = learner.network(len(lesson.classes))
    deadline = time.monotonic() + seconds_left() - plan.reserve_seconds
    trained = train(
        network, stepper, plan.schedule, deadline=deadline, checkpoint=checkpoint, listener=listener
    )
    if trained.shortened:
        warn(listener, "This machine became slower, so training was cut short to end in time.")
    return network


def _say_split(examples: Examples, splits: Splits, test: Examples | None, listener: Listener) -> Choice:
    """Print how many examples serve what, and which answers are left without any."""
    unlearned = set(range(len(examples.classes))) - set(examples.labels[splits.train].tolist())
    if unlearned:
        names = ", ".join(examples.classes[number] for number in sorted(unlearned)[:10])
        warn(listener, f"No example is left to learn these answers from: {names}.")
    scored_on = len(splits.test) if test is None else len(test)
    parts = (
        f"{len(splits.train):,} to learn from, {len(splits.valid):,} to check on, {scored_on:,} to score on"
    )
    return choose(listener, "examples", parts, splits.reason)
