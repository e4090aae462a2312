"""Which graph is deployed, and what it says of the rows to check on; a part of the pipeline."""

from __future__ import annotations

from pathlib import Path

from .core.events import Listener
from .core.files import file_sha256
from .core.settings import Choice
from .data.examples import Examples
from .learn.crossval import Checked
from .learn.eight_bits import ENOUGH_ROWS, too_few_for_eight_bits, weigh_eight_bits, write_eight_bits
from .learn.learn import Learned
from .model.folder import GRAPH, TOKENIZER
from .model.graph import Graph


def finished_graph(
    valid: Examples, learned: Learned, staged: Path, listener: Listener
) -> tuple[Checked, Choice]:
    """What the graph to be deployed says of rows to check on; it is made smaller where that costs nothing."""
    if learned.checked is not None:  # by turns, by other graphs than this one
        return learned.checked, too_few_for_eight_bits(0, listener)
    counted = learned.ngrams.logits(valid.texts)

    def say_of_valid(file: Path) -> Checked:
        """What the graph in ``file`` and the n-gram model say of the rows held back for weighing them."""
        graph = Graph(
            file.read_bytes(), (staged / TOKENIZER).read_bytes(), sha256=file_sha256(file),
            max_length=learned.max_length, windows=learned.windows,
            pad_id=learned.learner.backbone.pad_id, reread=file.read_bytes,
        )  # fmt: skip
        return Checked(graph.logits(valid.texts, listener=listener), counted, valid.labels)

    plain = say_of_valid(staged / GRAPH)
    if len(valid) < ENOUGH_ROWS:
        return plain, too_few_for_eight_bits(len(valid), listener)
    small = staged / f"small-{GRAPH}"
    write_eight_bits(staged / GRAPH, small)
    packed = say_of_valid(small)
    keep, choice = weigh_eight_bits(valid.task, plain, packed, prior=learned.prior, listener=listener)
    if keep:
        small.replace(staged / GRAPH)
    small.unlink(missing_ok=True)
    return (packed if keep else plain), choice
