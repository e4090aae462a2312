"""The graph in whole numbers of 8 bits: a quarter of the size, twice as fast, kept if it costs nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.events import Listener
from ..core.metrics import gain_over
from ..core.settings import Choice, choose
from ..core.tasks import Task
from .blend import fit_blend
from .crossval import Checked

MOST_COST = 0.002  # of the main metric, on the rows held back to check on
PACKING_SECONDS = 3.0  # of the bundled model
ENOUGH_ROWS = 500  # with fewer a single row is more than MOST_COST
NAME, PLAIN, PACKED = "numbers of the finished model", "float32", "8-bit"


def write_eight_bits(graph: Path, out: Path) -> None:
    """Dynamic quantization: weights per output channel, activations as they come (Jacob et al. 2018).

    Weights take 7 of the 8 bits: with all 8, processors without AVX-512 VNNI would overflow and answer
    otherwise than those with it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it recommends a step that changes nothing here
    try:
        quantize_dynamic(
            graph,
            out,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(before)


def weigh_eight_bits(
    task: Task,
    plain: Checked,
    packed: Checked,
    *,
    prior: NDArray[np.float64],
    speedup: float,
    listener: Listener,
) -> tuple[bool, Choice]:
    """Whether to keep the 8-bit graph: both are blended as if deployed, and compared row by row.

    How much faster it was (``speedup``) is told and decides nothing: on a busy machine the same command would
    end in another model.
    """
    blends = [
        fit_blend(task, one.network_logits, one.ngram_logits, one.labels, prior=prior)
        for one in (plain, packed)
    ]
    before, after = (
        blend.outputs(one.network_logits, one.ngram_logits)
        for blend, one in zip(blends, (plain, packed), strict=True)
    )
    gain, (low, high) = gain_over(
        task, plain.labels, after, before,
        prior=prior, threshold=blends[1].threshold, other_threshold=blends[0].threshold,
    )  # fmt: skip
    keep = gain >= -MOST_COST
    told = (
        f"on {len(plain.labels):,} examples to check on, 8-bit numbers change the score by {100 * gain:+.2f} "
        f"points (95% sure: {100 * low:+.2f} to {100 * high:+.2f}); a loss of {100 * MOST_COST:.1f} may be. "
        f"They answered {speedup:.1f} times as fast here"
    )
    return keep, choose(listener, NAME, PACKED if keep else PLAIN, told)


def too_few_for_eight_bits(rows: int, listener: Listener) -> Choice:
    """The graph stays as it is, and why."""
    counted = f"{rows:,} examples to check on are" if rows else "examples checked on by turns are"
    why = f"{counted} too few to show that smaller numbers cost nothing"
    return choose(listener, NAME, PLAIN, why)


def no_time_for_eight_bits(listener: Listener) -> Choice:
    """The graph stays as it is, and why."""
    return choose(
        listener, NAME, PLAIN, "too little time is left to see whether smaller numbers cost nothing"
    )
