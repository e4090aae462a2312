"""The techniques a network can learn by, and learning by one of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..core.events import Listener, progress, silent, stage, warn
from ..core.files import write_json
from ..core.tasks import Task
from ..data.encode import Tokens
from ..data.examples import Examples
from .checkpoint import Checkpoint
from .learner import Learner
from .network import Network
from .steps import CONTRASTED_TOKENS, Stepper
from .train import (
    CHECKPOINT_SECONDS,
    CONTRASTIVE_RATE,
    NO_PACE,
    Pace,
    Schedule,
    Trained,
    begin_with_head,
    contrastive_steps,
    train,
)

FEW_ROWS = 400  # up to so many contrasting is the usual way: docs/experiments.md
TAKEN, ON_ALL = "taken.json", "all"  # a file in a run's folder; the training on all rows in it
CONTRASTED = "contrasted"  # a folder in that of a training: how far contrasting has come


class Technique(StrEnum):
    """How the network learns."""

    FROZEN = "frozen encoder"  # only the last layer is fitted
    CONTRASTIVE = "contrastive fine-tuning"  # texts of a class move together, then the last layer is fitted
    FINE_TUNED = "fine-tuning"  # every layer moves


def are_few(task: Task, rows: int) -> bool:
    """Whether contrasting most often wins with so many rows, so that others have to be clearly better."""
    return task is Task.SINGLE and rows <= FEW_ROWS


@dataclass(frozen=True)
class Taken:
    """The steps that a training has really taken: in the folder of a run, in the end in its plan as well."""

    folder: Path
    training: str = ON_ALL

    @property
    def steps(self) -> int | None:
        """None before the training."""
        steps: int | None = taken_in(self.folder).get(self.training)
        return steps

    def keep(self, steps: int) -> None:
        """Put them by."""
        keep_taken(self.folder, self.training, steps)


def taken_in(folder: Path) -> dict[str, Any]:
    """What the clock and the turns have decided in a run: the technique, and the steps of its trainings."""
    try:
        return dict(json.loads((folder / TAKEN).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def keep_taken(folder: Path, name: str, taken: Any) -> None:
    """Put a decision by, beside those that `taken_in` knows."""
    write_json(folder / TAKEN, {**taken_in(folder), name: taken})


def teach(
    lesson: Examples,
    tokens: Tokens,
    labels: NDArray[Any],
    learner: Learner,
    technique: Technique,
    schedule: Schedule,
    *,
    deadline: float,
    pace: Pace = NO_PACE,
    checkpoint: Checkpoint,
    taken: Taken | None = None,
    contrasted: int | None = None,
    listener: Listener = silent,
) -> tuple[Network, Trained]:
    """A network that has learned ``tokens`` and ``labels`` of the kind that ``lesson`` has.

    Also what the loop saw; ``deadline`` is in `time.monotonic` seconds. The steps of contrasting, if not
    planned otherwise (``contrasted``) as many as so many rows need, are put by in ``taken``, else beside the
    checkpoint; those that are there already are taken, whatever the time.
    """
    begin: Callable[..., None] = begin_with_head
    halfway = Checkpoint(checkpoint.folder / CONTRASTED, checkpoint.listener)
    if technique is Technique.CONTRASTIVE:
        begin = partial(
            _begin_with_contrast,
            steps=contrasted or contrastive_steps(len(labels)),
            taken=taken or Taken(checkpoint.folder),
            halfway=halfway,
        )
    fine_tuned = technique is Technique.FINE_TUNED
    network = learner.network(lesson, sentence=not fine_tuned)
    trained = train(
        network,
        learner.stepper(tokens, labels, lesson.task),
        schedule if fine_tuned else replace(schedule, steps=0),
        deadline=deadline,
        pace=pace,
        begin=begin,
        checkpoint=checkpoint,
        crew=learner.crew,
        listener=listener,
    )
    halfway.remove()
    return network, trained


def _begin_with_contrast(
    network: Network,
    stepper: Stepper,
    *,
    steps: int,
    taken: Taken,
    halfway: Checkpoint,
    seed: int,
    deadline: float,
    listener: Listener,
) -> None:
    """Before the first step: teach the encoder which texts belong together, then fit the last layer."""
    known = taken.steps
    stage(listener, "Contrasting texts of different answers", total=steps)
    until = deadline if known is None else math.inf
    done = contrast(
        network, stepper,
        steps=steps, most=known, seed=seed, deadline=until, checkpoint=halfway, listener=listener,
    )  # fmt: skip
    taken.keep(done)
    if known is None and done < steps:
        warn(listener, "Less time was left than planned, so training was cut short to end in time.")
    begin_with_head(network, stepper, seed=seed, deadline=deadline, listener=listener)


def contrast(
    network: Network,
    stepper: Stepper,
    *,
    steps: int,
    most: int | None = None,
    seed: int,
    deadline: float,
    checkpoint: Checkpoint | None = None,
    listener: Listener = silent,
) -> int:
    """Teach the encoder which texts belong together; gives for how many of the ``steps`` there was time.

    It ends after ``most`` of them in any case, at the rates of a longer training, and goes on from
    ``checkpoint`` where there is something in it.
    """
    stepper = replace(stepper, tokens=stepper.tokens.cut(CONTRASTED_TOKENS))
    optimizer = stepper.optimizer(network)
    schedule = Schedule(steps, 0, CONTRASTIVE_RATE, seed)
    last, saved = steps if most is None else most, time.monotonic()
    resumed = None if checkpoint is None else checkpoint.load(network, optimizer, stepper.scaler)
    done = 0 if resumed is None else resumed[0]
    for step, chosen in zip(range(last), stepper.balanced_batches(seed=seed), strict=False):
        if step < done:
            continue
        stepper.contrast(network, optimizer, chosen, rate=schedule.rate(step, steps))
        progress(listener, step + 1, steps)
        now = time.monotonic()
        if now > deadline:
            return step + 1
        if checkpoint is not None and now - saved > CHECKPOINT_SECONDS:
            checkpoint.save(network, optimizer, stepper.scaler, step=step + 1, steps=steps, seen=[])
            saved = time.monotonic()
    return last
