"""What kind of answer a text gets."""

from __future__ import annotations

from enum import StrEnum

from .errors import UserError

MOST_CLASSES = 20_000  # of a model


class Task(StrEnum):
    """The three kinds, by their standard names; they decide the shape of labels and logits.

    ``SINGLE``: labels (rows,) int64, a class number, -1 for an answer that is not known.
    ``MULTI``: labels (rows, classes) int64, 1 where the class applies, else 0.
    ``NUMBER``: labels (rows,) float64, the target itself; there are no classes.
    """

    SINGLE = "classification"
    MULTI = "multi-label"
    NUMBER = "regression"

    def outputs(self, classes: int) -> int:
        """How many numbers a model gives for a text, where there are ``classes`` of them."""
        return 1 if self is Task.NUMBER else classes


def as_task(name: str) -> Task:
    """The task called ``name``; UserError where there is none."""
    try:
        return Task(name)
    except ValueError:
        raise UserError(f"There is no task '{name}'.", f"Choose one of: {', '.join(Task)}") from None
