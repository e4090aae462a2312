"""Every choice a run can make: what the user asked for, and what the tool chose with its reason."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError
from .events import Event, Listener
from .tasks import Task

DEFAULT_MINUTES = 60.0
EVERY_RUN_SECONDS = 30.0  # whatever the rows: libraries, pre-trained model, graph, report
PLAN = "plan.json"  # the file that keeps the choices of a run, for `train --plan`
REPORT, REPORT_PAGE = "report.json", "report.html"  # in a model folder; here alone stand texts of users
TEXTS = "texts"  # the key in them under which alone they stand; a finding may name words of them
DATA_CHECK = "data-check.json"  # in a model folder, too
ABOUT_DATA = ("text", "label", "group", "time", "task", "separator")  # options of all that read the data


def free_seconds(minutes: float) -> float:
    """Of a run of ``minutes``, the time that may go by how many rows there are; half of it at least."""
    return max(30 * minutes, 60 * minutes - EVERY_RUN_SECONDS)


@dataclass(frozen=True)
class Settings:
    """What the user asked for; None and () mean "choose for me"."""

    text: tuple[str, ...] = ()
    label: tuple[str, ...] = ()  # several: columns of yes and no
    group: str | None = None
    time: str | None = None
    minutes: float = DEFAULT_MINUTES
    backbone: str | None = None
    max_length_tokens: int | None = None
    seed: int = 0
    task: Task | None = None
    separator: str | None = None  # of several answers in one column
    plan: str | None = None  # of an earlier run, to be followed to the letter
    corrections: tuple[str, ...] = ()  # files of answers that were mended
    merge: tuple[str, ...] = ()  # answers to be joined, each as "refund=return"
    unlabeled: str | None = None  # more texts of the kind, without an answer
    texts: bool = True  # whether the report may show examples
    gpus: int = 1  # of this machine, that train together

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise UserError(
                f"--minutes must be a number above 0, not {self.minutes}.", "For example: --minutes 15"
            )
        if self.max_length_tokens is not None and self.max_length_tokens < 8:
            raise UserError(
                f"--max-length {self.max_length_tokens} leaves no room for a text.",
                "Give at least 8 tokens (a token is about three quarters of a word), or leave it out.",
            )
        if self.gpus < 1:
            raise UserError(f"--gpus must be at least 1, not {self.gpus}.", "For example: --gpus 2")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed must be from 0 to 4294967295, not {self.seed}.", "For example: --seed 1")

    def about_data(self) -> dict[str, Any]:
        """What the user said about the data, to be said again by the next command."""
        return {name: getattr(self, name) for name in ABOUT_DATA if getattr(self, name)}

    def about_training(self) -> dict[str, Any]:
        """The same with what `train` alone can be told, but for the time and the place it may take."""
        more = {
            "unlabeled": self.unlabeled,
            "merge": self.merge,
            "corrections": self.corrections,
            "backbone": self.backbone,
            "max-length": self.max_length_tokens,
            "seed": self.seed,
            "no-texts": not self.texts,
        }
        return {**self.about_data(), **{name: value for name, value in more.items() if value}}


def command_line(verb: str, source: str, options: Mapping[str, Any]) -> str:
    """The line to type for ``verb`` on ``source``; an option with several values is repeated.

    One that is True is a switch.
    """
    said = [f"plaintune {verb}", shlex.quote(source)]
    for name, values in options.items():
        for value in values if isinstance(values, list | tuple) else [values]:
            written = shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))
            said.append(f"--{name}" if value is True else f"--{name} {written}")
    return " ".join(said)


def python_call(verb: str, options: Mapping[str, Any]) -> str:
    """The call to write for ``verb`` on data handed over in Python; ``options`` as on the command line."""
    given = dict(options)
    if given.pop("no-texts", False):
        given["texts_in_report"] = False
    plain = {name: str(value) if isinstance(value, str) else value for name, value in given.items()}  # a Task
    named = (f"{name.replace('-', '_')}={value!r}" for name, value in plain.items())
    return f"plaintune.{verb}({', '.join(['…', *named])})"


def about_test(test: Any) -> dict[str, str]:
    """The option that names the user's own test data again, where they are a file or an address."""
    return {"test": str(test)} if isinstance(test, str | Path) else {}


@dataclass(frozen=True)
class Choice:
    """An automatic decision, as it is printed, and as the manifest keeps it."""

    name: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value} — {self.reason}"


def choose(listener: Listener, name: str, value: Any, reason: str) -> Choice:
    """Make a choice known the moment it is made."""
    choice = Choice(name, value, reason)
    listener(Event("choice", str(choice), values={"name": name, "value": value, "reason": reason}))
    return choice
