"""The learning half of a run: from examples to two models, the n-gram one and the network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, note, stage, warn
from ..core.features import text_hashes
from ..core.linear import NgramModel
from ..core.settings import Choice, Settings, choose
from ..data.encode import Tokens
from ..data.examples import Examples
from ..data.split import Splits, rows_that_belong_together, split
from .baseline import fit_baseline
from .budget import CHECKED_IN_TURNS
from .checkpoint import Checkpoint
from .crew import Crew, gathered
from .crossval import TECHNIQUE, Checked, cross_validate
from .learner import Learner, prepare, prior_of, standard_labels
from .lr_finder import LearningRateCurve
from .network import Network
from .outline import why_not_guessed
from .plan import SECOND, Plan, amend_as_taken, make_or_resume_plan
from .self_training import NAME, SelfTraining, Taught
from .techniques import Taken, Technique, teach
from .train import Trained

FIRST_MOST = 0.75  # of the time, at most, goes into the examples alone where others wait to be answered
ALL_JUDGED = "all of them are among the texts to check or score on"
TURNS_SHARE = 0.5  # of the time, at most, goes into checking by turns where it was planned to take a quarter


@dataclass(frozen=True)
class Learned:
    """What came out: the two models, and what they are made of."""

    splits: Splits
    learner: Learner
    network: Network
    ngrams: NgramModel
    words_alone: NgramModel  # the baseline: as ``ngrams``, but never taught by the network
    prior: NDArray[np.float64]  # as in `core.metrics.score_outputs`
    checked: Checked | None  # what was said of the training rows by turns; None where some were held back
    max_length: int
    windows: int  # in which a longer text is seen, at most
    choices: tuple[Choice, ...]
    trained: Trained
    slowness: float  # how many times as long as planned a training step took, at least 1
    hurried: bool  # as in the plan
    sweep: LearningRateCurve | None  # None where the plan came from a release that did not keep it


def learn(
    examples: Examples,
    test: Examples | None,
    clusters: NDArray[np.int64],
    settings: Settings,
    *,
    checkpoint_folder: Path,
    seconds_left: Callable[[], float],
    listener: Listener,
) -> Learned:
    """Plan, count words, fine-tune: by the plan of an unfinished run in ``checkpoint_folder``, if any.

    ``test`` is only counted here: nothing learns from it or looks at it. Rows of nearly the same text
    share a number in ``clusters`` (rows,).
    """
    learner = prepare(settings, listener)
    with gathered(settings.gpus, learner.device) as crew:
        return _learn(
            examples, test, clusters, settings, replace(learner, crew=crew),
            checkpoint=Checkpoint(checkpoint_folder, listener), seconds_left=seconds_left, listener=listener,
        )  # fmt: skip


def _learn(
    examples: Examples,
    test: Examples | None,
    clusters: NDArray[np.int64],
    settings: Settings,
    learner: Learner,
    *,
    checkpoint: Checkpoint,
    seconds_left: Callable[[], float],
    listener: Listener,
) -> Learned:
    clusters = rows_that_belong_together(examples, clusters)
    plan = make_or_resume_plan(
        examples, clusters, test, learner, settings,
        checkpoint=checkpoint, seconds_left=seconds_left, listener=listener,
    )  # fmt: skip
    learner = learner.in_format(plan.number_format)
    splits = split(
        examples, clusters, seed=plan.schedule.seed, max_test_rows=plan.max_test_rows,
        own_test=test is not None, no_validation=plan.folds > 0,
    )  # fmt: skip
    split_choice = _say_split(examples, splits, test, listener)
    lesson = examples.take(splits.train)
    if plan.second is not None:
        others = _never_judged(examples, test, splits)
        if not len(others):
            choice = choose(listener, NAME, "not used", ALL_JUDGED)
            plan = replace(plan, guessed_rows=0, second=None, choices=(*plan.choices, choice))
            checkpoint.amend_plan(asdict(plan))

    stage(listener, "Turning texts into tokens")
    tokens = learner.tokens(lesson.texts, plan.max_length, plan.windows)
    ngrams = words_alone = _count_words(lesson, plan, checkpoint, listener)
    choices = [split_choice, *_say_crew(learner.crew, listener)]
    technique = Technique.CONTRASTIVE if plan.contrasts_untried else Technique.FINE_TUNED
    checked = None
    if plan.folds:
        technique, checked, choice = cross_validate(
            lesson, tokens, clusters[splits.train], learner,
            replace(plan.schedule, steps=plan.turn_steps or plan.schedule.steps),
            folds=plan.folds, counted_rows=plan.counted_rows, kept=checkpoint.folder,
            deadline=math.inf if settings.plan else time.monotonic() + TURNS_SHARE * seconds_left(),
            listener=listener,
        )  # fmt: skip
        choices.append(choice)
    else:
        choices.append(choose(listener, TECHNIQUE, str(technique), _why_not_by_turns(examples, plan)))
    end = math.inf if settings.plan else time.monotonic() + seconds_left() - plan.reserve_seconds
    network, trained = _learn_all(
        lesson, tokens, learner, plan, technique,
        checkpoint=checkpoint,
        deadline=end if plan.second is None else time.monotonic() + FIRST_MOST * (end - time.monotonic()),
        listener=listener,
    )  # fmt: skip
    done = plan.as_done(trained, contrasted=Taken(checkpoint.folder).steps, rows=len(lesson))
    checkpoint.amend_plan(asdict(done))
    if plan.second is not None:
        training = _self_training(
            examples.take(splits.valid), others, lesson, tokens, learner, plan,
            kept=checkpoint.folder / SECOND, deadline=end, listener=listener,
        )  # fmt: skip
        taught, choice = training.run(Taught(network, words_alone, trained))
        network, ngrams, trained = taught.network, taught.ngrams, taught.trained
        choices.append(choice)
    elif examples.unlabeled is not None and all(choice.name != NAME for choice in plan.choices):
        choices.append(choose(listener, NAME, "not used", why_not_guessed(examples) or "there is no time"))
    amend_as_taken(checkpoint)
    return Learned(
        splits,
        learner,
        network,
        ngrams,
        words_alone,
        prior_of(lesson),
        checked,
        plan.max_length,
        plan.windows,
        (*done.choices, *choices),
        trained,
        plan.pace.slowness(trained.step_seconds),
        plan.hurried,
        plan.sweep,
    )


def _never_judged(examples: Examples, test: Examples | None, splits: Splits) -> NDArray[Any]:
    """The texts without an answer that are not among those to check or score on."""
    assert examples.unlabeled is not None
    judging = [examples.texts[splits.valid], examples.texts[splits.test] if test is None else test.texts]
    judged = np.concatenate([text_hashes(texts) for texts in judging])
    return examples.unlabeled[~np.isin(text_hashes(examples.unlabeled), judged)]


def _self_training(
    held: Examples,
    others: NDArray[Any],
    lesson: Examples,
    tokens: Tokens,
    learner: Learner,
    plan: Plan,
    *,
    kept: Path,
    deadline: float,
    listener: Listener,
) -> SelfTraining:
    """As many of the ``others`` as there is time for, drawn and read; ``held`` judge what it was worth."""
    assert plan.second is not None
    kept.mkdir(exist_ok=True)
    drawn = np.random.default_rng(plan.schedule.seed).permutation(len(others))[: plan.guessed_rows]
    texts = others[drawn]
    return SelfTraining(
        lesson=lesson,
        tokens=tokens,
        held=held,
        held_tokens=learner.tokens(held.texts, plan.max_length, plan.windows),
        texts=texts,
        text_tokens=learner.tokens(texts, plan.max_length, plan.windows),
        learner=learner,
        schedule=plan.second,
        kept=kept,
        counted_rows=plan.counted_rows,
        deadline=deadline,
        pace=plan.pace,
        listener=listener,
    )


def _count_words(lesson: Examples, plan: Plan, checkpoint: Checkpoint, listener: Listener) -> NgramModel:
    """The n-gram model: fitted, or taken from where a run that was killed has put it."""
    stage(listener, "Counting words (the n-gram baseline)")
    fit = partial(
        fit_baseline, lesson.texts, standard_labels(lesson), len(lesson.classes),
        task=lesson.task, max_rows=plan.counted_rows, seed=plan.schedule.seed,
    )  # fmt: skip
    return checkpoint.ngrams(fit)


def _learn_all(
    lesson: Examples,
    tokens: Tokens,
    learner: Learner,
    plan: Plan,
    technique: Technique,
    *,
    checkpoint: Checkpoint,
    deadline: float,
    listener: Listener,
) -> tuple[Network, Trained]:
    """The pre-trained network, fitted to all training texts in the time there is."""
    network, trained = teach(
        lesson, tokens, standard_labels(lesson), learner, technique, plan.schedule,
        deadline=deadline, pace=plan.pace, checkpoint=checkpoint,
        contrasted=plan.schedule.steps if plan.contrasts_untried else None, listener=listener,
    )  # fmt: skip
    if trained.shortened:
        warn(listener, "Less time was left than planned, so training was cut short to end in time.")
    elif trained.steps > plan.schedule.steps:
        passes = f"{trained.steps / trained.steps_per_pass:.1f}"
        note(listener, f"There was time for {passes} passes over the data, more than planned.")
    return network, trained


def _say_crew(crew: Crew, listener: Listener) -> list[Choice]:
    if crew.size == 1:
        return []
    return [choose(listener, "processes", crew.size, "each learns from its share of every batch")]


def _why_not_by_turns(examples: Examples, plan: Plan) -> str:
    """Why no other technique is tried."""
    often = "with so few examples it is the best most often; " if plan.contrasts_untried else ""
    if not often and len(examples) > CHECKED_IN_TURNS:
        return f"with more than {CHECKED_IN_TURNS:,} examples it learns the most"
    if examples.times is not None:
        return f"{often}others are tried by turns, which would let them learn from what comes later"
    if plan.second is not None:
        return "it can learn from the texts without an answer as well"
    return f"{often}trying others by turns would take too much of the time"


def _say_split(examples: Examples, splits: Splits, test: Examples | None, listener: Listener) -> Choice:
    """Print how many examples serve what, and which answers are left without any."""
    lesson = examples.take(splits.train)
    unlearned = [name for name, share in zip(lesson.classes, prior_of(lesson), strict=False) if not share]
    if unlearned:
        names = ", ".join(unlearned[:10])
        warn(listener, f"No example is left to learn these answers from: {names}.")
    scored_on = len(splits.test) if test is None else len(test)
    checked = f"{len(splits.valid):,} to check on" if len(splits.valid) else "and, by turns, to check on"
    parts = f"{len(splits.train):,} to learn from, {checked}, {scored_on:,} to score on"
    return choose(listener, "examples", parts, splits.reason)
