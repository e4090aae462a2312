"""A check-up as a person reads it: in 80 columns, what can hurt most first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..core.errors import printable
from ..data.finding import DataCheck, Finding, Severity

WIDTH, INDENT = 78, "   "
HEADINGS = {
    Severity.HIGH: "Can fool you",
    Severity.MEDIUM: "Worth a look",
    Severity.LOW: "Good to know",
}
MOST_SHOWN = 2  # texts of a finding


def check_summary(check: DataCheck) -> Iterator[str]:
    """The findings in words, a line each, under one heading for each severity."""
    count = len(check.findings)
    yield f"{check.source}: {check.rows:,} examples checked, {count or 'no'} finding{'s' * (count != 1)}."
    if check.verdict_words is not None:
        yield ""
        yield from textwrap.wrap(printable(check.verdict_words), WIDTH, break_on_hyphens=False)
    for severity, heading in HEADINGS.items():
        findings = [finding for finding in check.findings if finding.severity is severity]
        if findings:
            yield ""
            yield heading.upper()
        for finding in findings:
            yield from _told(finding, check.counted_in)


def _told(finding: Finding, counted_in: str) -> Iterator[str]:
    yield from _wrapped(finding.what, first=" * ")
    yield from _wrapped(finding.why)
    yield from _wrapped(f"→ {finding.done}")
    if finding.lines and not finding.shown:
        yield from _wrapped(f"{counted_in.capitalize()}s {', '.join(map(str, finding.lines))}")
    for line, text in list(zip(finding.lines, finding.shown, strict=False))[:MOST_SHOWN]:
        yield INDENT + textwrap.shorten(f"{counted_in} {line}: {text}", WIDTH - 3, placeholder=" …")


def _wrapped(text: str, *, first: str = INDENT) -> list[str]:
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=first, subsequent_indent=INDENT, break_on_hyphens=False
    )
