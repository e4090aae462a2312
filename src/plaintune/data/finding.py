"""What a check-up of data says: findings, each with rows to look at, why it matters and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import one_line
from .examples import Examples
from .private import masked

EXAMPLES_SHOWN, EXCERPT_CHARACTERS = 5, 160
MEND = "`plaintune check DATA --fix cleaned.csv`"


class Severity(StrEnum):
    """How much a finding can hurt."""

    HIGH = "high"  # the score, or the model, would be wrong
    MEDIUM = "medium"  # the model would be worse than it could be
    LOW = "low"  # good to know


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in words for a person and in numbers for a program."""

    kind: str  # a stable name, e.g. "duplicate"
    severity: Severity
    rows: int  # how many examples it concerns
    what: str  # a sentence with the count
    why: str  # why it matters, in one plain sentence
    done: str  # what plaintune did, or proposes
    lines: tuple[int, ...] = ()  # of the first examples, as the reader counts them
    shown: tuple[str, ...] = ()  # their texts, for people to look at
    values: Mapping[str, Any] = field(default_factory=dict)  # further figures

    def as_json(self) -> dict[str, Any]:
        """The finding as `plaintune check --json` gives it, without any text of the user's."""
        return {
            "kind": self.kind,
            "severity": str(self.severity),
            "rows": self.rows,
            "examples": list(self.lines),
            "what": self.what,
            "why": self.why,
            "done": self.done,
            **({"values": dict(self.values)} if self.values else {}),
        }


@dataclass(frozen=True)
class DataCheck:
    """All findings about a source, those that can hurt most first."""

    source: str
    rows: int
    findings: tuple[Finding, ...]
    counted_in: str = "row"  # what the findings' lines count: "line", "row" or "file"
    verdict: str | None = None  # in a word or two, where models have looked; and in sentences
    verdict_words: str | None = None
    measured: Mapping[str, Any] | None = None  # what the verdict rests on
    fixed: Mapping[str, Any] | None = None  # files written and what they hold, where a fix was asked for

    def typed_as(self, command: str) -> DataCheck:
        """The same with ``command`` where findings say what to type."""
        told = [
            replace(finding, done=finding.done.replace(MEND, f"`{command}`")) for finding in self.findings
        ]
        return replace(self, findings=tuple(told))

    def of(self, kind: str) -> Finding | None:
        """The finding called ``kind``, if there is one."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def as_json(self) -> dict[str, Any]:
        """The contract of `plaintune check --json`."""
        further = {
            "verdict": self.verdict,
            "verdict_words": self.verdict_words,
            "measured": self.measured,
            "fixed": self.fixed,
        }
        return {
            "source": self.source,
            "rows": self.rows,
            "findings": [finding.as_json() for finding in self.findings],
            **{name: value for name, value in further.items() if value is not None},
        }


def found(
    kind: str,
    severity: Severity,
    positions: Sequence[int] | NDArray[np.int64],
    examples: Examples,
    *,
    what: str,
    why: str,
    done: str,
    values: Mapping[str, Any] | None = None,
    rows: int | None = None,
    like: NDArray[np.int64] | None = None,
) -> Finding:
    """A finding about the examples at ``positions``, the first of them shown, private data masked.

    ``rows`` is how many it concerns, where that is not the number of positions; ``like`` the position of the
    example that each of them repeats.
    """
    first = [int(position) for position in positions[:EXAMPLES_SHOWN]]
    shown = [_excerpt(examples.texts[position]) for position in first]
    if like is not None:
        word = examples.understood.counted_in
        shown = [f"(like {word} {examples.rows[at]}) {text}" for at, text in zip(like, shown, strict=False)]
    return Finding(
        kind, severity, len(positions) if rows is None else rows, what, why, done,
        lines=tuple(int(examples.rows[position]) for position in first),
        shown=tuple(shown),
        values=values or {},
    )  # fmt: skip


def _excerpt(text: str) -> str:
    """The beginning of a text on one line, masked before it is cut: no half number escapes."""
    start = one_line(masked(text[: 3 * EXCERPT_CHARACTERS]))
    if len(start) <= EXCERPT_CHARACTERS:
        return start
    return start[:EXCERPT_CHARACTERS].rsplit(maxsplit=1)[0] + " …"


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings by severity, then by the rows they concern."""
    order = list(Severity)
    return tuple(sorted(findings, key=lambda finding: (order.index(finding.severity), -finding.rows)))


def share(rows: int, of: int) -> str:
    """ "1,234 of 5,000 texts (25%)", for the beginning of a sentence."""
    part = rows / max(1, of)
    percent = f"{part:.0%}" if part >= 0.095 else f"{part:.1%}" if part >= 0.0005 else "under 0.1%"
    return f"{rows:,} of {of:,} texts ({percent})"
