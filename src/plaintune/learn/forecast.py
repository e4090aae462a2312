"""How long a run takes, before it starts: where techniques are tried by turns, the likely winner has most.

Of four parts the winner learns three at a time, four times, and then all rows; another technique is left
after one turn or two. Up to `FEW_ROWS` contrasting wins, and fine-tuning is left after one; with more,
fine-tuning does, and where texts have no one class to move to, it is the only one that takes long. The frozen
encoder, which takes half as long, wins seldom. docs/experiments.md has the arithmetic.
"""

from __future__ import annotations

from ..core.tasks import Task
from .budget import contrasted_tokens
from .crossval import FEW_ROWS
from .lr_finder import SWEEP_STEPS
from .outline import Outline

LOST_TURNS = 1.5  # of a technique that another is better than: one where it is clearly behind, or two
TURN_SECONDS = 0.3  # for a copy of the pre-trained model, and for fitting the last layer


def run_seconds(outlined: Outline) -> float:
    """How long all of it takes, from the sweep to the folder, on a machine as fast as it was probed."""
    work, measured, length = outlined.work, outlined.measured, outlined.length[0]
    if not work.folds:
        return swept_seconds(outlined) + outlined.seconds()
    trainings, turns, last = likely_turns(work.rows, work.folds, outlined.task)
    in_turns = round(work.rows * (work.folds - 1) / work.folds)
    seen = trainings * outlined.learned_tokens + turns * contrasted_tokens(measured, in_turns, length)
    seen += last * contrasted_tokens(measured, work.rows, length)
    begun = (work.folds + 1 + 2 * LOST_TURNS) * TURN_SECONDS
    counting = work.folds * outlined.counting_seconds
    tried = begun + counting + seen / measured.tokens_per_second
    return swept_seconds(outlined) + tried + outlined.scoring_seconds


def likely_turns(rows: int, folds: int, task: Task) -> tuple[float, float, float]:
    """How often ``rows`` are fine-tuned on, and how often those of a turn, and all, are contrasted."""
    part = (folds - 1) / folds  # of the rows, that are learned from in a turn
    if task is Task.SINGLE and rows <= FEW_ROWS:
        return part, folds, 1
    return folds * part + 1, LOST_TURNS if task is Task.SINGLE else 0, 0


def swept_seconds(outlined: Outline) -> float:
    """How long the learning rate is looked for: few rows need less than the time they are given."""
    return min(outlined.sweep_seconds, SWEEP_STEPS * outlined.step_seconds / 2)  # in half batches
