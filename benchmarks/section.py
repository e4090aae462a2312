"""What a benchmark shows: its tables, printed after a run and written into `docs/benchmarks.md`.

A line is what `Results` keeps of one finished piece of work: its key, its figures, and where they come from.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A benchmark's part of the page. ``title_of`` says which of its lines make one table."""

    benchmark: str  # its file, without .py
    title: str
    head: tuple[str, ...]
    rows: Callable[[list[Line]], list[list[str]]]
    title_of: Callable[[Line], str] = lambda line: ""
    closing: Callable[[list[Line]], str] | None = None  # what is said under a table

    def tables(self, lines: Iterable[Line]) -> dict[str, list[Line]]:
        """The lines by the title of their table, in the order they were measured in."""
        found: dict[str, list[Line]] = {}
        for line in lines:
            found.setdefault(self.title_of(line), []).append(line)
        return found

    def table(self, lines: list[Line]) -> str:
        """One table in Markdown, with its last word."""
        text = markdown(self.head, self.rows(lines))
        return f"{text}\n\n{self.closing(lines)}" if self.closing is not None else text

    def show(self, lines: Iterable[Line]) -> None:
        """Print the tables of these lines."""
        for title, its in self.tables(lines).items():
            print("\n\n".join(part for part in (title, self.table(its)) if part), flush=True)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def each(row: Callable[[Line], list[str]]) -> Callable[[list[Line]], list[list[str]]]:
    """`Section.rows` where every line makes a row of its own."""
    return lambda lines: [row(line) for line in lines]


def model_of(line: Line) -> str:
    """`Section.title_of` where a table is of one model."""
    return str(line["key"]["model"])


def latest(lines: Iterable[Line]) -> list[Line]:
    """The last line of each key on each kind of machine, whatever the version of the code."""
    kept: dict[str, Line] = {}
    for line in lines:
        key = {**line["key"], "code": None, "machine": line["machine"]}
        kept.pop(json.dumps(key, sort_keys=True), None)
        kept[json.dumps(key, sort_keys=True)] = line
    return list(kept.values())


def flat(line: Line) -> dict[str, Any]:
    """Key and figures side by side."""
    return {**line["key"], **line["figures"]}


def sound(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """The lines that hold figures, flat."""
    return [flat(line) for line in lines if "problem" not in line["figures"]]


def grouped(lines: Iterable[Line], *names: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """The sound lines, flat, by what stands under ``names``."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for figures in sound(lines):
        found.setdefault(tuple(figures[name] for name in names), []).append(figures)
    return found


def means(found: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of every number in ``found``, which hold the same ones."""
    numbers = [name for name, value in found[0].items() if isinstance(value, int | float)]
    return {name: statistics.mean(figures[name] for figures in found) for name in numbers}


def share(figures: dict[str, Any]) -> str:
    """An accuracy with its interval."""
    low, high = figures["interval"]
    return f"{figures['accuracy']:.1%} ({low:.1%} to {high:.1%})"


def spread(accuracies: Sequence[float]) -> str:
    """A mean, and how far the seeds lie apart."""
    if not accuracies:
        return ""
    mean = f"{statistics.mean(accuracies):.1%}"
    return mean if len(accuracies) == 1 else f"{mean} ± {100 * statistics.stdev(accuracies):.1f}"


def time_of(seconds: float) -> str:
    """A time span as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def gib(figures: dict[str, Any]) -> str:
    """Peak memory."""
    return f"{figures['peak_gib']:.1f} GiB"
