"""What is to be trained elsewhere: read here first, so that a wrong file costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.events import Listener
from ..core.settings import Settings
from ..data.examples import Examples
from ..data.private import private_parts
from .parcel import fingerprint
from .rented import Work

LONGEST_TOKENS = 256  # the cut that training takes when it has the time
CHARACTERS_PER_TOKEN = 4.2  # of English, by the bundled tokenizer
SAMPLE_ROWS = 5_000
FULL_PASSES = 3.0
FEW_ROWS, FEW_PASSES = 3_000, 25.0  # checked by turns: several times over


@dataclass(frozen=True)
class Errand:
    """Data that can be read, what it would take to train on them, and what should not leave the house."""

    source: str
    test: str | None
    settings: Settings
    work: Work
    private: str  # a sentence on private data, or empty

    @cached_property
    def fingerprint(self) -> str:
        """Names the run that is asked for."""
        return fingerprint(self.source, self.test, self.settings)


def prepare(source: str, test: str | None, settings: Settings, listener: Listener) -> Errand:
    """Read the data as training will. Raises UserError, and AmbiguousColumns where a face may ask."""
    from ..pipeline import read

    examples, _ = read(source, None, test, settings, listener)
    return Errand(source, test, settings, work_of(examples), private_data_in(examples))


def work_of(examples: Examples) -> Work:
    """The training in plain numbers, estimated from the lengths of the texts."""
    lengths = np.array([len(text) for text in examples.texts], dtype=float) / CHARACTERS_PER_TOKEN
    rows = len(examples)
    passes = FEW_PASSES if rows <= FEW_ROWS else FULL_PASSES
    return Work(int(np.minimum(lengths + 2, LONGEST_TOKENS).sum()), passes, other_seconds=60 + rows / 500)


def private_data_in(examples: Examples) -> str:
    """A sentence on what looks private in a sample of the texts; empty where nothing does."""
    sample = examples.texts[:: max(1, len(examples) // SAMPLE_ROWS)]
    kinds = [frozenset(kind for kind, _, _ in private_parts(text)) for text in sample]
    hit = [found for found in kinds if found]
    if not hit:
        return ""
    named = ", ".join(sorted(frozenset().union(*hit)))
    return f"{len(hit):,} of {len(sample):,} texts looked at hold what looks like private data ({named})."
