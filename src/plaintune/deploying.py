"""Which graph is deployed, and what it says of the rows to check on; a part of the pipeline."""

from __future__ import annotations

import math
import time
from pathlib import Path

from .core.events import Listener
from .core.features import Texts
from .core.files import file_sha256
from .core.settings import Choice
from .data.examples import Examples
from .learn.blend import are_met
from .learn.crossval import Checked
from .learn.eight_bits import (
    ENOUGH_ROWS,
    PACKING_SECONDS,
    no_time_for_eight_bits,
    too_few_for_eight_bits,
    weigh_eight_bits,
    write_eight_bits,
)
from .learn.learn import Learned
from .model.folder import GRAPH, TOKENIZER
from .model.graph import Graph

LOOKED_AT_CHARACTERS = 60_000  # some 15,000 tokens: two seconds of the bundled model


def _to_look_at(texts: Texts) -> Texts:
    """Every so many of ``texts``: enough to tell the range of the numbers in the graph."""
    return texts[:: math.ceil(sum(map(len, texts)) / LOOKED_AT_CHARACTERS)]


def finished_graph(
    examples: Examples, learned: Learned, staged: Path, *, seconds: float, kept: Path, listener: Listener
) -> tuple[Checked, Choice]:
    """What the graph to be deployed says of rows to check on; it is made smaller where that costs nothing.

    The range of its numbers is that of texts it learned from: whether others stay within is judged, too.
    ``seconds`` are left for this and for scoring, which is to have half of them. What is said is put by in
    ``kept``.
    """
    if learned.checked is not None:  # by turns, by other graphs than this one
        return learned.checked, too_few_for_eight_bits(0, listener)
    valid = examples.take(learned.splits.valid)
    counted = learned.ngrams.logits(valid.texts)
    known = are_met(valid.task, valid.labels, examples.labels[learned.splits.train])

    def graph_in(file: Path) -> Graph:
        return Graph(
            file.read_bytes(), (staged / TOKENIZER).read_bytes(), sha256=file_sha256(file),
            max_length=learned.max_length, windows=learned.windows,
            pad_id=learned.learner.backbone.pad_id, reread=file.read_bytes,
        )  # fmt: skip

    def say_of_valid(graph: Graph) -> tuple[Checked, float]:
        """What the graph and counted words say of the rows to check on; the graph's seconds."""
        started = time.monotonic()
        logits = graph.logits(valid.texts, kept=kept, listener=listener)
        return Checked(logits, counted, valid.labels, known=known), time.monotonic() - started

    timed = not any(kept.glob("logits-*"))  # else a run that was killed has said some of it
    large = graph_in(staged / GRAPH)
    plain, plain_seconds = say_of_valid(large)
    if len(valid) < ENOUGH_ROWS:
        return plain, too_few_for_eight_bits(len(valid), listener)
    if PACKING_SECONDS + 2 * plain_seconds > seconds / 2:
        return plain, no_time_for_eight_bits(listener)
    small = staged / f"small-{GRAPH}"
    learned_from = examples.texts[learned.splits.train]
    write_eight_bits(staged / GRAPH, small, large.inputs(_to_look_at(learned_from)))
    packed, packed_seconds = say_of_valid(graph_in(small))
    keep, choice = weigh_eight_bits(
        valid.task, plain, packed,
        prior=learned.prior, speedup=plain_seconds / packed_seconds if timed else None, listener=listener,
    )  # fmt: skip
    if keep:
        small.replace(staged / GRAPH)
    small.unlink(missing_ok=True)
    return (packed if keep else plain), choice
