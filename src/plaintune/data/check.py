"""The check-up: what is wrong with data, by their structure alone. No model, no torch.

Each check is a function in a file of its own kind; this is their order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener, silent, stage
from ..core.features import strict_hashes
from .beside import column_findings, columns_beside, straddle_findings
from .describe import some
from .examples import Examples
from .finding import DataCheck, Finding, Severity, share, worst_first
from .label_check import label_findings
from .leaks import leak_findings
from .repeats import Repeats, overlap_finding, repeat_findings
from .symptoms import WRITES_A_COPY, text_findings

UNREADABLE = 0.01  # of the rows
WESTERN = ("Windows-1252", "Latin-1")


def check_examples(
    examples: Examples,
    repeats: Repeats,
    *,
    source: Any = None,
    test: Examples | None = None,
    test_source: Any = None,
    sample: NDArray[np.int64] | None = None,
    group: str | None = None,
    time: str | None = None,
    listener: Listener = silent,
) -> DataCheck:
    """Findings about ``examples``, and about ``test`` beside them, those that can hurt most first.

    ``repeats`` are of both (`find_repeats`). ``source`` and ``test_source`` are what they were read from:
    the other columns are looked at there. What has to be read text by text is looked for in the examples at
    ``sample`` only, where it is given.
    """
    read = examples if sample is None else examples.take(sample)
    stage(listener, "Checking the texts", total=len(read))
    findings = [*reading_findings(examples), *text_findings(read, listener)]
    findings += _mixed_encoding(read, findings)
    findings += repeat_findings(examples, repeats)
    findings += label_findings(examples, strict_hashes(examples.texts, repeats.hashes))
    stage(listener, "Looking for what gives the answer away")
    findings += leak_findings(read)
    beside = {} if source is None else columns_beside(source, examples)
    findings += column_findings(examples, beside, group=group)
    if test is not None:
        overlap = overlap_finding(test, repeats)
        findings += [] if overlap is None else [overlap]
        there = {} if test_source is None else columns_beside(test_source, test)
        findings += straddle_findings(examples, beside, test, there, group=group, time=time)
    understood = examples.understood
    return DataCheck(understood.source, len(examples), worst_first(findings), understood.counted_in)


def reading_findings(examples: Examples) -> list[Finding]:
    """Rows that could not be used, by reason; and a file that is not all in one encoding."""
    understood = examples.understood
    told = []
    for kind, wanted in (("empty", True), ("unreadable", False)):
        aside = [one for one in understood.set_aside if (one.reason in ("empty text", "no answer")) is wanted]
        if not aside:
            continue
        rows, counted = [one.row for one in aside], Counter(one.reason for one in aside)
        reasons = some([f"{reason} ({count:,})" for reason, count in counted.items()], 4)
        many = len(rows) > UNREADABLE * max(1, understood.rows_in_file)
        told.append(
            Finding(
                kind, Severity.MEDIUM if many else Severity.LOW, len(rows),
                f"{len(rows):,} of {understood.rows_in_file:,} rows cannot be used: {reasons}.",
                "Nothing can be learned from them; if they are many, the file may not be what it seems.",
                "They are left out.",
                lines=tuple(rows[:5]),
            )
        )  # fmt: skip
    odd = understood.odd_lines
    if odd is not None:
        told.append(
            Finding(
                "mixed_encoding", Severity.LOW, odd.count,
                f"The file is in two encodings: {odd.count:,} of its lines "
                f"{'are' if odd.count > 1 else 'is'} not UTF-8.",
                "Files put together from several programs often are; read as one, accents are lost.",
                "They were read as Western European text, each accent kept. "
                f"{WRITES_A_COPY}, all in UTF-8.",
                lines=odd.first,
            )
        )  # fmt: skip
    return told


def _mixed_encoding(examples: Examples, findings: list[Finding]) -> list[Finding]:
    """A file read as Western European in which some texts are UTF-8 all the same."""
    mojibake = next((finding for finding in findings if finding.kind == "mojibake"), None)
    if mojibake is None or examples.understood.encoding not in WESTERN:
        return []
    return [
        replace(
            mojibake,
            kind="mixed_encoding",
            what=f"The file is in two encodings: {share(mojibake.rows, len(examples))} are UTF-8, "
            f"the rest {examples.understood.encoding}.",
            why="Files put together from several programs often are; part of the accents is read wrong.",
        )
    ]
