"""What to do next: the few things that would help most here, each with the line to type."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..core.settings import ABOUT_DATA, DEFAULT_MINUTES, command_line, python_call
from ..core.tasks import Task
from ..data.corrections import can_merge
from ..data.finding import DataCheck, Severity

SHOWN = 3
MOST_ASKED_FOR = 30  # answers that `label` has keys for
NOTABLE_GAIN = 0.003  # in the main metric
FEW_OF_A_CLASS = 100
WEAK_SHARE = 0.7
REPEATED = {"merge", "corrections"}  # options that may be given again
TIME_SHORT = ("as the time allows", "would not fit into the time")


@dataclass(frozen=True)
class Action:
    """One thing to do, and how much it may bring in the main metric (a guess where it cannot be known)."""

    title: str
    why: str
    command: str
    worth: float


def next_actions(told: Mapping[str, Any], check: DataCheck) -> list[dict[str, Any]]:
    """The three actions that may bring most; ``told`` is the report so far."""
    found = sorted(_actions(told, check), key=lambda action: -action.worth)
    return [asdict(action) for action in found[:SHOWN]]


def short_of_time(choices: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The choices that time decided."""
    return [choice for choice in choices if any(words in choice["reason"] for words in TIME_SHORT)]


def typed(told: Mapping[str, Any], verb: str, **options: Any) -> str:
    """The line to type for ``verb`` on the same data, or to write where they were handed over in Python."""
    known = told["options"].items()
    about = {name: value for name, value in known if verb == "train" or name in (*ABOUT_DATA, "test")}
    repeated = REPEATED & about.keys()
    again = {name: (*about[name], value) for name, value in options.items() if name in repeated}
    given = {**about, **options, **again}
    if told["from_python"]:
        return python_call(verb, {**given, "overwrite": True} if verb == "train" else given)
    return command_line(verb, told["source"], given)


def trained_again(told: Mapping[str, Any], **options: Any) -> str:
    """The line to type to train once more, in the same time, with a model in the place of this one."""
    kept = {} if "minutes" in options else _within(told["minutes_promised"])
    replacing = {} if told["from_python"] else {"yes": True}
    return typed(told, "train", **options, **kept, out=told["place"], **replacing)


def _within(minutes: float) -> dict[str, float]:
    """The option of a run in so much time, where it is not the usual one."""
    return {} if minutes == DEFAULT_MINUTES else {"minutes": minutes}


def corrections_file(told: Mapping[str, Any]) -> str:
    """What the answers mended on the page are saved as: another file than those learned from already."""
    before = len(told["options"].get("corrections", ()))
    return f"fixes-{before + 1}.csv" if before else "fixes.csv"


def _actions(told: Mapping[str, Any], check: DataCheck) -> Iterator[Action]:
    high = [finding for finding in check.findings if finding.severity is Severity.HIGH]
    if high:
        yield Action(
            "Look at what the check-up found", high[0].what,
            typed(told, "check"), worth=1.0,
        )  # fmt: skip
    if told["doubtful"]:
        rows = len(told["doubtful"])
        yield Action(
            f"Look at {rows} answers that may be wrong" if rows > 1 else "Look at one doubtful answer",
            "Decide in the table below, save your corrections, train with them; the data stay as they are.",
            trained_again(told, corrections=corrections_file(told)),
            worth=0.02 + rows / max(1, told["rows"]["all"]),
        )  # fmt: skip
    yield from _more_examples(told)
    yield from _merge(told)
    short = short_of_time(told["choices"])
    if short:
        minutes = 2 * told["minutes_promised"]
        yield Action(
            "Give it more time",
            f"Time decided the {short[-1]['name']}: {short[-1]['value']}.",
            trained_again(told, minutes=minutes),
            worth=0.008,
        )
    rented = told["rented"]
    if rented and not told["from_python"]:
        minutes = max(DEFAULT_MINUTES, told["minutes_promised"])  # fewer may be too few to set it up, too
        yield Action(
            "Rent a GPU",
            f"A rented {rented['gpu']} would do all of it in about {rented['minutes']:.0f} minutes, for "
            f"about ${rented['cost_usd']:.2f} (prices of {rented['price_date']}); it asks before it rents.",
            typed(told, "train", on="cloud", **_within(minutes), out=told["place"]),
            worth=0.007,
        )
    yield Action(
        "Measure it on newer texts",
        "The score holds for texts like those it was measured on; a few hundred new ones tell whether it "
        "still does.",
        f"plaintune evaluate {shlex.quote(told['place'])} newer.csv",
        worth=0.0,
    )


def _more_examples(told: Mapping[str, Any]) -> Iterator[Action]:
    unlabeled = told["options"].get("unlabeled")
    source = "your data" if told["from_python"] else f"`{told['source']}`"
    if by_key := _asked_by_key(told):
        line, then = _label_line(told), f"Then add what you answered to {source}, and train again."
    else:
        line, then = trained_again(told), f"Add them to {source}, then train again:"
    weak = [
        row for row in told["figures"].get("by_class", [])
        if row["share"] is not None and row["share"] < WEAK_SHARE
        and told["examples_by_class"].get(row["name"], 0) < FEW_OF_A_CLASS
    ]  # fmt: skip
    if weak:
        worst = max(weak, key=lambda row: row["rows"] - row["found"])
        examples = told["examples_by_class"].get(worst["name"], 0)
        yield Action(
            f"Get more examples of “{worst['name']}”",
            f"Only {worst['share']:.0%} of its texts were found; it had {examples} examples to learn from. "
            f"{then}",
            line,
            worth=(1 - worst["share"]) * worst["rows"] / max(1, told["rows"]["scored"]) / 2,
        )
    curve = told["learning_curve"]
    if curve and curve["gain"] >= NOTABLE_GAIN:
        low, high = (100 * end for end in curve["interval"])
        gain = f"about {100 * curve['gain']:.1f} points ({low:.1f} to {high:.1f})"
        twice = f"Twice as many examples should bring {gain}, as far as cheap models tell."
        first = "It asks for the most useful ones first. " if unlabeled and by_key else ""
        yield Action(
            "Label 50 of your texts without an answer" if unlabeled else "Collect and label more texts",
            f"{first}{twice} {then}",
            line,
            worth=curve["gain"],
        )


def _asked_by_key(told: Mapping[str, Any]) -> bool:
    """Whether `label` can ask for these answers: one a text, by one key."""
    few = len(told["classes"]) <= MOST_ASKED_FOR
    return told["task"] == Task.SINGLE and few and not any("," in name for name in told["classes"])


def _label_line(told: Mapping[str, Any]) -> str:
    options = told["options"]
    asked = {"answers": ",".join(told["classes"]), "text": options.get("text", ())}
    return command_line("label", options.get("unlabeled") or "new-texts.csv", asked)


def _merge(told: Mapping[str, Any]) -> Iterator[Action]:
    """Two answers that are often mixed up may be one; what that would bring is known exactly."""
    if told["task"] != Task.SINGLE or len(told["classes"]) < 3:
        return
    mixed: dict[tuple[int, int], int] = {}
    for truth, given, rows in told["figures"]["confusion"]["cells"]:
        if truth != given and can_merge(told["classes"][truth], told["classes"][given]):
            pair = (min(truth, given), max(truth, given))
            mixed[pair] = mixed.get(pair, 0) + rows
    if not mixed:
        return
    (one, other), rows = max(mixed.items(), key=lambda item: item[1])
    gain = rows / max(1, told["rows"]["scored"])
    if gain < NOTABLE_GAIN:
        return
    names = told["classes"][one], told["classes"][other]
    yield Action(
        f"Do you need “{names[0]}” and “{names[1]}” apart?",
        f"{rows} of the mistakes are between these two; as one answer the score would be "
        f"{100 * gain:.1f} points higher.",
        trained_again(told, merge=f"{names[1]}={names[0]}"),
        worth=gain / 2,
    )
