"""How long a run takes, before it starts: where techniques are tried by turns, the likely winner has most.

Of four parts the winner learns three at a time, four times, and then all rows; another technique is left
after one turn or two. Up to `FEW_ROWS` contrasting wins, and fine-tuning is left after one; with more,
fine-tuning does, and where texts have no one class to move to, it is the only one that takes long. The frozen
encoder, which takes half as long, wins seldom. docs/experiments.md has the arithmetic.
"""

from __future__ import annotations

from functools import partial

from ..core.tasks import Task
from .budget import contrasted_tokens
from .lr_finder import SWEEP_STEPS
from .outline import Outline
from .techniques import are_few

LOST_TURNS = 1.5  # of a technique that another is better than: one where it is clearly behind, or two
TURN_SECONDS = 0.3  # for a copy of the pre-trained model, and for fitting the last layer


def run_seconds(outlined: Outline) -> float:
    """How long all of it takes, from the sweep to the folder, on a machine as fast as it was probed."""
    work = outlined.work
    if not work.folds:
        return swept_seconds(outlined) + outlined.seconds()
    begun = (work.folds + 1 + 2 * LOST_TURNS) * TURN_SECONDS
    counting = work.folds * outlined.counting_seconds
    tried = begun + counting + _tokens_by_turns(outlined) / outlined.measured.tokens_per_second
    return swept_seconds(outlined) + tried + outlined.scoring_seconds


def _tokens_by_turns(outlined: Outline) -> float:
    """Those that are learned until each part has been checked on, and the likely winner has learned all."""
    rows, folds = outlined.work.rows, outlined.work.folds
    part = (folds - 1) / folds  # of the rows, that are learned from in a turn
    contrasted = partial(contrasted_tokens, outlined.measured, length=outlined.length[0])
    turn = contrasted(round(part * rows))
    if are_few(outlined.task, rows):
        return part * outlined.learned_tokens + folds * turn + contrasted(rows)
    tuned = (folds * part + 1) * outlined.learned_tokens
    return tuned + LOST_TURNS * turn if outlined.task is Task.SINGLE else tuned


def swept_seconds(outlined: Outline) -> float:
    """How long the learning rate is looked for: few rows need less than the time they are given."""
    return min(outlined.sweep_seconds, SWEEP_STEPS * outlined.step_seconds / 2)  # in half batches
