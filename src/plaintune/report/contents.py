"""Everything the report says, as one JSON object: the page is drawn from it and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..core.settings import TEXTS
from ..core.tasks import Task
from ..data.finding import DataCheck
from ..data.leaks import left_out, without_words
from ..data.private import masked, private_parts
from .actions import corrections_file, next_actions, short_of_time, trained_again
from .figures import HeldBack, figures, in_words, worst_mistakes, wrong_by
from .outcome import outcome

REPORT_FORMAT = 1
MISTAKES_SHOWN, DOUBTFUL_SHOWN = 12, 50
LONGEST_TEXT = 5000  # characters of an example that are shown
RETOLD = ("good", "compared", "held", "check", "doubtful")  # of `Told`, what the report says in another form

Pieces = Sequence[tuple[str, int, int, float]]  # text, start, end, pull as in `model.explain`
Explain = Callable[[str, str | None], Pieces]  # a text, and the answer that is asked about


@dataclass(frozen=True)
class Doubt:
    """A row whose answer may be wrong."""

    line: int
    key: str
    text: str
    given: str
    proposed: str
    chance: float
    scored: bool = False  # whether it is one of the rows that the score was measured on


@dataclass(frozen=True)
class Told:
    """What a run hands over to be reported."""

    model: str
    place: str  # the model's folder, as it was named
    source: str
    from_python: bool  # the data were handed over in Python: there is no command to type
    options: Mapping[str, Any]  # what the user said about the data
    counted_in: str  # "line" or "row": what the numbers of examples count
    own_test: bool  # the score is on test data of the user's own
    good: str  # the score in a sentence
    compared: str  # the same for guessing and for counting words
    scores: Mapping[str, Any]
    held: HeldBack
    check: DataCheck
    choices: Sequence[Mapping[str, Any]]
    examples_by_class: Mapping[str, int]
    rows: Mapping[str, int]  # all, train
    doubtful: Sequence[Doubt]
    sweep: Mapping[str, Any] | None
    history: Mapping[str, Any] | None
    learning_curve: Mapping[str, Any] | None
    seconds: float
    machine: str
    energy_joules: float | None
    minutes_promised: float
    rented: Mapping[str, Any] | None  # a GPU that would do what time did not allow: minutes and cost
    made_by: str


def contents(told: Told, *, explain: Explain | None = None, texts: bool = True) -> dict[str, Any]:
    """The report of a run; without ``texts`` no word of any example is in it."""
    held = told.held
    drawn = figures(held)
    kind, words = outcome(
        held.task, told.scores, drawn["gain_over_counting"], told.check,
        hurried=bool(short_of_time(told.choices)),
    )  # fmt: skip
    as_they_are = {name: value for name, value in vars(told).items() if name not in RETOLD}
    found: dict[str, Any] = {
        "format": REPORT_FORMAT,
        **as_they_are,
        "task": str(held.task),
        "classes": list(held.classes),
        "answer": {"good": told.good, "compared": told.compared},
        "outcome": str(kind),
        "outcome_words": words,
        "rows": {**told.rows, "scored": len(held.truth)},
        "figures": drawn,
        "findings": [finding.as_json() for finding in told.check.findings],
        "mistakes": list(_mistakes(held, explain)) if texts else [],
        "doubtful": [_doubt(doubt) for doubt in told.doubtful[:DOUBTFUL_SHOWN]],
        "doubtful_in_all": len(told.doubtful),
    }
    found["corrections_command"] = trained_again(found, corrections=corrections_file(found))
    found["actions"] = next_actions(found, told.check)
    cleaned: dict[str, Any] = _without_nan(found)
    return cleaned if texts else without_texts(cleaned)


def without_texts(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report without a word of any example."""
    findings = report["findings"]
    return {
        **without_words(report),
        "outcome_words": left_out(report["outcome_words"], findings),
        "actions": [{**action, "why": left_out(action["why"], findings)} for action in report["actions"]],
        "mistakes": [],
        "doubtful": [{**doubt, TEXTS: ""} for doubt in report["doubtful"]],
    }


def _mistakes(held: HeldBack, explain: Explain | None) -> Iterator[dict[str, Any]]:
    sureness = held.blend.sureness(held.outputs)
    wrong = wrong_by(held) if held.task is Task.MULTI else None
    for at in worst_mistakes(held, MISTAKES_SHOWN):
        text, about, applies, sure = str(held.texts[at]), None, None, float(sureness[at])
        if wrong is not None:
            code = int(wrong[at].argmax())
            about, applies, sure = held.classes[code], bool(held.chosen[at, code]), float(wrong[at, code])
        yield {
            "line": int(held.lines[at]),
            "truth": in_words(held, held.truth[at]),
            "told": in_words(held, held.chosen[at]),
            "sureness": None if held.task is Task.NUMBER else sure,
            "about": about,  # of several answers the one it was surest of and wrong about
            "applies": applies,  # what it thought of that
            TEXTS: _shown_pieces(text, about, explain),
        }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    told = asdict(doubt)
    text = told.pop("text")
    return {**told, TEXTS: masked(text)[:LONGEST_TEXT]}


def _shown_pieces(text: str, about: str | None, explain: Explain | None) -> list[list[Any]]:
    """The text as [piece, pull], cut where it is too long; what is private is masked, whatever it pulled."""
    pieces = [(text, 0, len(text), 0.0)] if explain is None else explain(text, about)
    return list(_cut(_masked_pieces(text, pieces)))


def _masked_pieces(text: str, pieces: Pieces) -> Iterator[tuple[str, float]]:
    private = sorted((start, end, kind) for kind, start, end in private_parts(text))
    for piece, start, end, pull in pieces:
        hidden = [part for part in private if part[0] < end and start < part[1]]
        if not hidden:
            yield piece, pull
            continue
        shown, at = "", start
        for from_, to, kind in hidden:
            if from_ >= start:  # else it began, and is named, in a piece before
                shown += text[at:from_] + f"[{kind}]"
            at = to
        yield shown + text[at:end], 0.0


def _cut(pieces: Iterable[tuple[str, float]]) -> Iterator[list[Any]]:
    """The pieces up to the longest text that is shown."""
    left = LONGEST_TEXT
    for piece, pull in pieces:
        if len(piece) > left:
            yield [piece[:left], pull]
            yield [" …", 0.0]
            return
        left -= len(piece)
        yield [piece, pull]


def _without_nan(value: Any) -> Any:
    """JSON has no nan; numpy's numbers become Python's."""
    if isinstance(value, Mapping):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
