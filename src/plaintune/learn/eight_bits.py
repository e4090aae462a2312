"""The graph in whole numbers of 8 bits: a quarter of the size, twice as fast, kept if it costs nothing."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..core.events import Listener
from ..core.metrics import gain_over
from ..core.settings import Choice, choose
from ..core.tasks import Task
from .blend import fit_blend
from .crossval import Checked
from .fused import fuse_products

MOST_COST = 0.002  # of the main metric, as measured on the rows held back to check on
MOST_RISK = 0.01  # and, 95% sure: to show 0.2 points takes some 10,000 rows where one answer in 100 changes
PACKING_SECONDS = 5.0  # of the bundled model
ENOUGH_ROWS = 500  # with fewer a single row is more than MOST_COST
LEVELS = 255  # of an activation
NO_TIME = "too little time is left to see whether smaller numbers cost nothing"
NAME, PLAIN, PACKED = "numbers of the finished model", "float32", "8-bit"


def write_eight_bits(graph: Path, out: Path, batches: Iterable[dict[str, NDArray[np.int64]]]) -> None:
    """Static quantization: weights per output channel, activations by their range over ``batches``.

    Ranges are fixed (Jacob et al. 2018), not those of the texts that are asked of together: a text has the
    same answer alone and among others. Weights take 7 of the 8 bits: with all 8, processors without AVX-512
    VNNI would overflow and answer otherwise than those with it.
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
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},  # after a fused operation
        )
    finally:
        logging.disable(before)
    model = onnx.load(out)
    ranges, numbers = _ranges(model, batches), onnx.numpy_helper.from_array
    for node in model.graph.node:
        if node.op_type != "DynamicQuantizeLinear":
            continue
        low, high = ranges[node.input[0]]
        scale = max(high - low, 1e-6) / LEVELS
        _, scale_name, zero_name = node.output
        model.graph.initializer.append(numbers(np.array(scale, dtype=np.float32), scale_name))
        model.graph.initializer.append(numbers(np.array(round(-low / scale), dtype=np.uint8), zero_name))
        node.CopyFrom(
            onnx.helper.make_node(
                "QuantizeLinear", [node.input[0], scale_name, zero_name], [node.output[0]], name=node.name
            )
        )
    fuse_products(model)
    onnx.save(model, out)


def _ranges(model: Any, batches: Iterable[dict[str, NDArray[np.int64]]]) -> dict[str, tuple[float, float]]:
    """The least and the largest number, zero among them, in what each product is asked for. By its name."""
    import onnxruntime

    watched = copy.deepcopy(model)
    names = sorted({node.input[0] for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"})
    for at, name in enumerate(names):
        for kind in ("ReduceMin", "ReduceMax"):
            out = f"{kind} {at}"
            watched.graph.node.append(onnx.helper.make_node(kind, [name], [out], keepdims=0))
            watched.graph.output.append(onnx.helper.make_tensor_value_info(out, onnx.TensorProto.FLOAT, []))
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    asked = [f"{kind} {at}" for kind in ("ReduceMin", "ReduceMax") for at in range(len(names))]
    seen = np.array([session.run(asked, batch) for batch in batches]).reshape(-1, 2, len(names))
    lows, highs = np.minimum(seen[:, 0].min(axis=0), 0.0), np.maximum(seen[:, 1].max(axis=0), 0.0)
    return {name: (float(lows[at]), float(highs[at])) for at, name in enumerate(names)}


def weigh_eight_bits(
    task: Task,
    plain: Checked,
    packed: Checked,
    *,
    prior: NDArray[np.float64],
    speedup: float | None,
    listener: Listener,
) -> tuple[bool, Choice]:
    """Whether to keep the 8-bit graph: both are blended as if deployed, and compared row by row.

    How much faster it was (``speedup``, if that was measured) is told and decides nothing: on a busy machine
    the same command would end in another model.
    """
    blends = [
        fit_blend(task, one.network_logits, one.ngram_logits, one.labels, prior=prior, known=one.known)
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
    keep = gain >= -MOST_COST - 1e-9 and low >= -MOST_RISK  # three of 1,500 rows are no more than 0.2 points
    told = (
        f"on {len(plain.labels):,} examples to check on, 8-bit numbers change the score by {100 * gain:+.2f} "
        f"points (95% sure: {100 * low:+.2f} to {100 * high:+.2f}); a loss of {100 * MOST_COST:.1f} may be, "
        f"if one of more than {100 * MOST_RISK:.0f} is ruled out"
    )
    if speedup is not None:
        told += f". They answered {speedup:.1f} times as fast here"
    return keep, choose(listener, NAME, PACKED if keep else PLAIN, told)


def too_few_for_eight_bits(rows: int, listener: Listener) -> Choice:
    """The graph stays as it is, and why."""
    counted = f"{rows:,} examples to check on are" if rows else "examples checked on by turns are"
    why = f"{counted} too few to show that smaller numbers cost nothing"
    return choose(listener, NAME, PLAIN, why)


def no_time_for_eight_bits(listener: Listener) -> Choice:
    """The graph stays as it is, and why."""
    return choose(listener, NAME, PLAIN, NO_TIME)
