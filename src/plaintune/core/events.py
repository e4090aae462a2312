"""Progress as data: one stream that a terminal, a log, a page or a remote run can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    ``kind`` is "stage" (a step of the work begins), "progress" (``step`` of ``total`` done),
    "choice" (a decision and its reason), "note" (something the user should know) or "warning".
    """

    kind: str
    message: str = ""
    step: int = 0
    total: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that hears nothing."""


def stage(listener: Listener, message: str, *, total: int = 0) -> None:
    """Announce a step of the work; ``total`` is its size in the units of its progress."""
    listener(Event("stage", message, total=total))


def progress(listener: Listener, step: int, total: int, **values: Any) -> None:
    """Report ``step`` of ``total`` done in the stage announced last."""
    listener(Event("progress", step=step, total=total, values=values))


def note(listener: Listener, message: str) -> None:
    """Say something the user should know."""
    listener(Event("note", message))


def warn(listener: Listener, message: str) -> None:
    """Say something that may spoil the result."""
    listener(Event("warning", message))
