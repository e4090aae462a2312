"""Fine-tuning: a fitted head, then every layer at once on a one-cycle schedule, on time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from ..core.events import Listener, progress, stage
from ..core.tasks import Task
from .checkpoint import Checkpoint
from .crew import ALONE, THE_END, Crew
from .logistic import fit_logistic
from .network import Network, text_features
from .steps import Batch, Seen, Stepper

WARM_UP_SHARE = 0.1
LAST_RATE_SHARE = 0.01
HEAD_ROWS, HEAD_TOKENS, HEAD_STEPS = (500, 3000), 80_000, 200
HEAD_STRENGTH = 0.001  # of a logistic regression on standardised features; fitted closer, nothing moves
FROZEN_STRENGTH = 10.0  # on features of length one
RIDGE_ALPHAS = np.geomspace(0.01, 1000, 11)
UNSEEN_BIAS = -5.0  # of an answer that is not among the rows the head is fitted on
CONTRASTIVE_STEPS, CONTRASTIVE_RATE = (30, 120), 1e-4
CHECKPOINT_SECONDS = 40.0
FEWEST_TIMED = 5  # steps that tell how fast this machine is
LATELY_SHARE = 0.25  # of the training time: as fast as it was lately the machine will go on being
SPARE_SHARE = 0.07  # of the training time is left alone by steps that were not planned


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; decided before the first step, replayed when resumed."""

    steps: int
    rows_per_batch: int
    learning_rate: float
    seed: int
    most: int | None = None  # steps that are of use, should there be time for more than planned
    adversarial: bool = False  # as in `Stepper.step`

    def fitting(self, step: int, *, left: float, sure: float) -> int:
        """How many steps fit where, after ``step``, as many as ``left`` fit, and ``sure`` with time to spare.

        A machine that turns out slower gets fewer than planned; one that turns out faster gets more.
        """
        if step + left < self.steps:
            return step + max(0, int(left))
        return max(self.steps, min(self.most or 0, step + max(0, int(sure))))

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step ``step`` of ``steps``: up for a tenth, then down along a cosine."""
        done = step / max(1, steps)
        if done < WARM_UP_SHARE:
            return self.learning_rate * (0.05 + 0.95 * done / WARM_UP_SHARE)
        fall = (done - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
        share = LAST_RATE_SHARE + (1 - LAST_RATE_SHARE) * (1 + math.cos(math.pi * fall)) / 2
        return self.learning_rate * share


@dataclass(frozen=True)
class Pace:
    """How long things take on this machine when it is as fast as it was probed."""

    step_seconds: float
    reserve_seconds: float  # for what comes after training

    def slowness(self, step_seconds: float) -> float:
        """How many times as long as planned everything takes, by how long a step does; at least 1."""
        return max(1.0, step_seconds / self.step_seconds) if self.step_seconds else 1.0


@dataclass(frozen=True)
class Trained:
    """What the loop saw."""

    steps: int
    step_seconds: float  # of those since it was last begun; 0 where there was none
    seen: tuple[tuple[float, float, float], ...]  # (last step, mean loss, share right) of up to 200 stretches
    steps_per_pass: int
    shortened: bool  # fewer steps than planned, to keep the promised time


NO_PACE = Pace(0.0, 0.0)


def head_rows(rows: int, mean_tokens: float) -> int:
    """How many of ``rows`` texts the last layer is fitted on, before every layer moves."""
    fewest, most = HEAD_ROWS
    return min(rows, most, max(fewest, int(HEAD_TOKENS / mean_tokens)))


def fit_head(network: Network, stepper: Stepper, *, seed: int) -> None:
    """Fit the last layer alone, on frozen features, before the encoder moves.

    A random head would tear at the encoder's features in the first steps (Kumar et al. 2022, "Fine-tuning
    can distort pretrained features"); this one starts at the solution of a logistic regression.
    """
    every, tokens = len(stepper.labels), stepper.tokens
    wanted = min(every, HEAD_ROWS[1])
    if not network.sentence:  # every layer will move, seeing one window at a time
        tokens = tokens.drawn(seed)
        wanted = head_rows(every, float(tokens.lengths.mean()))
    rows = np.sort(np.random.default_rng(seed).choice(every, wanted, replace=False))
    labels, tokens = stepper.labels[rows], tokens.take(rows)
    features = text_features(network, stepper.device, tokens, pad_id=stepper.pad_id)
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-3
    strength = HEAD_STRENGTH
    if network.sentence:
        middle, spread, strength = np.zeros_like(middle), np.ones_like(spread), FROZEN_STRENGTH
    scaled = (features - middle) / spread
    fitted = fit_linear(stepper.task, scaled, labels, answers=len(network.head.bias), strength=strength)
    if fitted is None:
        return
    weights, bias = fitted
    weights = weights / spread
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights.astype(np.float32)))
        network.head.bias.copy_(torch.from_numpy((bias - weights @ middle).astype(np.float32)))


def fit_linear(
    task: Task, features: NDArray[np.float32], labels: NDArray[Any], *, answers: int, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Weights (answers, features) and bias (answers,) of a linear model, None where labels are all alike."""
    weights, bias = np.zeros((answers, features.shape[1])), np.full(answers, UNSEEN_BIAS)
    if task is Task.NUMBER:
        ridge = RidgeCV(alphas=RIDGE_ALPHAS).fit(features, labels)  # by leaving each row out in turn
        return ridge.coef_[None, :], np.array([ridge.intercept_])
    if task is Task.MULTI:
        for number in np.flatnonzero((labels.sum(axis=0) > 0) & (labels.sum(axis=0) < len(labels))):
            one = fit_logistic(features, labels[:, number], strength=strength, steps=HEAD_STEPS)
            weights[number], bias[number] = one.coef_[0], one.intercept_[0]
        bias[labels.all(axis=0)] = -UNSEEN_BIAS
        return weights, bias
    if len(np.unique(labels)) < 2:
        return None
    model = fit_logistic(features, labels, strength=strength, steps=HEAD_STEPS)
    if len(model.classes_) == 2:
        weights[model.classes_] = np.stack([-model.coef_[0] / 2, model.coef_[0] / 2])
        bias[model.classes_] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weights, bias


def contrastive_steps(rows: int) -> int:
    """How often texts are contrasted: a handful has been learned in half as many steps as hundreds."""
    fewest, most = CONTRASTIVE_STEPS
    return min(most, max(fewest, rows // 2))


def begin_with_head(
    network: Network, stepper: Stepper, *, seed: int, deadline: float, listener: Listener
) -> None:
    """Before the first step: fit the last layer."""
    stage(listener, "Fitting the last layer")
    fit_head(network, stepper, seed=seed)


def go_on(network: Network, stepper: Stepper, *, seed: int, deadline: float, listener: Listener) -> None:
    """Before the first step: nothing, as the network has learned already."""


def train(
    network: Network,
    stepper: Stepper,
    schedule: Schedule,
    *,
    begin: Callable[..., None] = begin_with_head,
    deadline: float,
    pace: Pace = NO_PACE,
    checkpoint: Checkpoint | None,
    crew: Crew = ALONE,
    listener: Listener,
) -> Trained:
    """Run the schedule after what ``begin`` does, or go on from a checkpoint.

    ``deadline`` is in `time.monotonic` seconds. Should the machine turn out slower than planned, the rest of
    the schedule is squeezed into the time that is left, rates and all; what comes after training is then
    given more time as well, once it was slow for longer than a moment. Where it turns out faster, there are
    more steps, if they are of use; one that goes on has the steps it had when it was ended. Each of ``crew``
    learns from its share of every batch.
    """
    optimizer = stepper.optimizer(network)
    resumed = None if checkpoint is None else checkpoint.load(network, optimizer, stepper.scaler)
    if resumed is None:
        begun = time.monotonic()
        begin(network, stepper, seed=schedule.seed, deadline=deadline, listener=listener)
        if checkpoint is not None and time.monotonic() - begun > CHECKPOINT_SECONDS / 4:
            checkpoint.save(network, optimizer, stepper.scaler, step=0, steps=schedule.steps, seen=[])
    step, steps, seen = (0, schedule.steps, []) if resumed is None else resumed
    planned = schedule if resumed is None else replace(schedule, steps=steps, most=None)
    if at_work := step < steps:
        crew.set_to_work(network, optimizer, (stepper.for_helpers(), schedule, step))
    if steps:
        stage(listener, "Fine-tuning", total=steps)
    started = saved = time.monotonic()
    first = step
    ends, lately = deque([started]), LATELY_SHARE * (deadline - started)
    for batch in from_step(stepper, schedule, step):
        if step >= steps:
            break
        rate = schedule.rate(step, steps)
        crew.next_step(rate)
        seen.append(
            stepper.step(network, optimizer, batch, rate=rate, adversarial=schedule.adversarial, crew=crew)
        )
        step += 1
        progress(listener, step, steps, loss=float(np.mean([one.loss for one in seen[-20:]])))
        now = time.monotonic()
        ends.append(now)
        while len(ends) > FEWEST_TIMED + 1 and now - ends[1] > lately:
            ends.popleft()
        if math.isfinite(deadline) and len(ends) > FEWEST_TIMED:
            took = (now - ends[0]) / (len(ends) - 1)
            slowness = pace.slowness(took) if now - started > lately else 1.0
            until = deadline - pace.reserve_seconds * (slowness - 1)
            sure = until - SPARE_SHARE * (deadline - started)
            steps = planned.fitting(step, left=(until - now) / took, sure=(sure - now) / took)
        elif now + (now - ends[-2]) > deadline:
            steps = step  # slow steps, and no time for another
        if checkpoint is not None and now - saved > CHECKPOINT_SECONDS:
            checkpoint.save(network, optimizer, stepper.scaler, step=step, steps=steps, seen=seen)
            saved = time.monotonic()
    step_seconds = (time.monotonic() - started) / (step - first) if step > first else 0.0
    if at_work:
        crew.next_step(THE_END)
    if checkpoint is not None and checkpoint.when_done:
        checkpoint.save(network, optimizer, stepper.scaler, step=step, steps=steps, seen=seen)
    per_pass = math.ceil(len(stepper.labels) / max(1, schedule.rows_per_batch))
    return Trained(step, step_seconds, _stretches(seen), per_pass, steps < schedule.steps)


def from_step(stepper: Stepper, schedule: Schedule, step: int) -> Iterator[Batch]:
    """The batches of a schedule from step ``step`` on, without end."""
    todo = stepper.endless_batches(rows_per_batch=schedule.rows_per_batch, seed=schedule.seed)
    for _ in range(step):
        next(todo)
    return todo


def _stretches(seen: list[Seen]) -> tuple[tuple[float, float, float], ...]:
    parts = np.array_split(np.arange(len(seen)), max(1, min(200, len(seen))))
    return tuple(
        (
            float(part[-1] + 1),
            float(np.mean([seen[at].loss for at in part])),
            float(np.mean([seen[at].right for at in part])),
        )
        for part in parts
        if len(part)
    )
