"""The report as one self-contained HTML page: no network, no font, no library; opens from disk."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from ..core.metrics import sureness
from ..core.tasks import Task
from ..data.corrections import corrections_csv
from ..data.examples import JOINED_BY
from . import charts
from .actions import corrections_file
from .readings import drawable, readings
from .words import Entry, glossary, look_up, parted_by_terms

ALWAYS_EXPLAINED = (  # what the article behind this project got stuck on
    "neural network", "layer", "sigmoid", "ReLU", "activation function", "learning rate", "convergence",
    "transfer learning", "learning-rate finder",
)  # fmt: skip
STRONG_PULL = 0.15  # of the strongest pull in a text, from which a word is coloured
MOST_CHOICES = 12  # answers offered beside each doubtful one; of more, the others are typed
RIGHTNESS = {Task.SINGLE: "right", Task.MULTI: "whole set right", Task.NUMBER: "within the interval"}


def render_page(report: Mapping[str, Any]) -> str:
    """The page for what `contents` returned."""
    links = Links()
    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        terms=links, percent=_percent, span=_time_span, typed=_unbroken, sureness=sureness
    )
    script = _part("page.js")
    return environment.get_template("page.html.j2").render(
        report=report,
        is_number=report["task"] == Task.NUMBER,
        is_multi=report["task"] == Task.MULTI,
        style=Markup(_part("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        pictures=_pictures(report),
        readings=readings(report),
        explained=any(pull for mistake in report["mistakes"] for _, pull in mistake["texts"]),
        with_texts=any(doubt["texts"] for doubt in report["doubtful"]),
        doubtful_scored=sum(doubt.get("scored", False) for doubt in report["doubtful"]),  # older do not say
        corrections_name=corrections_file(report),
        words=links.entries,
        anchor=_anchor,
        coloured=_coloured,
        choices=_offered,
        typed_in=_typed_in(report),
        joined_by=JOINED_BY if report["task"] == Task.MULTI else None,
        corrections=_corrections_link(report),
    )


class Links:
    """Turns the names of glossary entries in plain text into links, and remembers which there were."""

    def __init__(self) -> None:
        self.used: set[Entry] = {look_up(term) for term in ALWAYS_EXPLAINED}

    def __call__(self, text: str) -> Markup:
        """The text with its first mention of each term linked, and what stands in back quotes as code."""
        here: set[Entry] = set()
        pieces = text.split("`")
        if len(pieces) % 2 == 0:  # an odd quote belongs to the text
            pieces = [text]
        code = Markup("<code>{}</code>")
        return Markup("").join(
            code.format(_unbroken(piece)) if number % 2 else self._linked(piece, here)
            for number, piece in enumerate(pieces)
        )

    def _linked(self, text: str, here: set[Entry]) -> Markup:
        parts = []
        for part, entry in parted_by_terms(text):
            if entry is None or entry in here:
                parts.append(escape(part))
                continue
            here.add(entry)
            self.used.add(entry)
            parts.append(Markup('<a class="term" href="#{}">{}</a>').format(_anchor(entry.term), part))
        return Markup("").join(parts)

    def entries(self) -> list[Entry]:
        """The entries that were linked, from A to Z."""
        return [entry for entry in glossary() if entry in self.used]


@cache
def _part(name: str) -> str:
    return resources.files("plaintune").joinpath("report", name).read_text("utf-8")


def _pictures(report: Mapping[str, Any]) -> dict[str, Markup]:
    """The pictures that these data and this task have, by name."""
    drawn = drawable(report)
    makers: dict[str, Callable[[Any], str]] = {
        "sweep": charts.sweep,
        "history": charts.history,
        "learning_curve": charts.learning_curve,
        "confusion": partial(charts.confusion, classes=report["classes"]),
        "confidence": lambda bins: charts.confidence(bins, **_axes_of_confidence(report)),
        "by_class": charts.by_class,
        "lengths": partial(charts.lengths, about=RIGHTNESS[Task(report["task"])]),
        "numbers": charts.numbers,
    }
    return {name: Markup(draw(drawn[name])) for name, draw in makers.items() if drawn.get(name)}


def _axes_of_confidence(report: Mapping[str, Any]) -> dict[str, str]:
    """What stands beside the axes of that picture: of several answers, it is about each of them."""
    if report["task"] == Task.MULTI:
        return {"across": "how probable it says an answer is", "upwards": "how often the answer applies"}
    return {"across": "how sure it says it is", "upwards": "how often it is right"}


def _coloured(pieces: Iterable[tuple[str, float]]) -> Markup:
    """A text whose words are marked by what they pulled towards the answer given; of a number, up or down."""
    pieces = list(pieces)
    strongest = max((abs(pull) for _, pull in pieces), default=0.0)
    marked = []
    for piece, pull in pieces:
        strength = abs(pull) / strongest if strongest else 0.0
        if strength < STRONG_PULL:
            marked.append(escape(piece))
            continue
        side = "for" if pull > 0 else "against"
        open_mark = Markup('<mark class="{}" style="--pull:{:.2f}">').format(side, strength)
        marked.append(open_mark + piece + Markup("</mark>"))
    return Markup("").join(marked)


def _offered(doubt: Mapping[str, Any], classes: list[str]) -> list[str]:
    """What a doubtful answer may be changed to, the proposal first."""
    others = classes if len(classes) <= MOST_CHOICES else []
    return list(dict.fromkeys([doubt["proposed"], *(c for c in others if c != doubt["given"])]))


def _typed_in(report: Mapping[str, Any]) -> bool:
    """Whether there are more answers than are offered beside each doubtful one: any may be typed."""
    return report["task"] == Task.NUMBER or len(report["classes"]) > MOST_CHOICES


def _corrections_link(report: Mapping[str, Any]) -> str:
    """All proposals as a file to save, for readers whose browser runs no script."""
    rows = [{**doubt, "was": doubt["given"], "answer": doubt["proposed"]} for doubt in report["doubtful"]]
    return f"data:text/csv;base64,{base64.b64encode(corrections_csv(rows).encode()).decode()}"


def _anchor(term: str) -> str:
    return "word-" + re.sub(r"\W+", "-", term.lower()).strip("-")


def _unbroken(command: str) -> Markup:
    """A line to type that breaks between its words only."""
    return Markup(" ").join(Markup("<span>{}</span>").format(word) for word in command.split(" "))


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _time_span(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"
