"""The trained network as a plain ONNX graph, checked against torch before anybody relies on it."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from ..core.metrics import sigmoid, softmax
from ..core.tasks import Task
from .fused import fuse_attention, fuse_sums
from .network import Network

OPSET = 17
LARGEST_DIFFERENCE = 1e-3  # in probability; of numbers in standard units
CHECKED_SHAPES = ((1, 4), (3, 17), (2, 64))  # (texts, tokens); the exporter sees only the middle one


def write_graph(network: Network, path: Path, *, task: Task, vocabulary: int, max_length: int) -> float:
    """Write the float32 graph (token ids in, logits out) to ``path``; the largest difference of its answers.

    Written by torch's tracing exporter: on this network it takes 1.7 s against 9.5 s, needs one package
    less, and ONNX Runtime runs its graph 17% faster than that of the newer one (docs/experiments.md).
    Raises RuntimeError where answers differ from torch's too much.
    """
    plain = network.plain()
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        example = _texts(rng, 3, min(17, max_length), vocabulary)
        torch.onnx.export(
            plain,
            tuple(torch.from_numpy(array) for array in example),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={
                "input_ids": {0: "texts", 1: "tokens"},
                "attention_mask": {0: "texts", 1: "tokens"},
                "logits": {0: "texts"},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load(path)
    fuse_sums(graph)
    heads = getattr(getattr(plain.encoder, "config", None), "num_attention_heads", 0)
    fused = copy.deepcopy(graph)
    if heads and fuse_attention(fused, heads):
        onnx.save(fused, path)
        with contextlib.suppress(RuntimeError):  # a family whose attention only looked like BERT's
            return _compare(plain, path, rng, task, vocabulary, max_length)
    onnx.save(graph, path)
    return _compare(plain, path, rng, task, vocabulary, max_length)


def _compare(
    network: Network, path: Path, rng: np.random.Generator, task: Task, vocabulary: int, max_length: int
) -> float:
    """The largest difference between the graph's answers and torch's."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for rows, tokens in (*CHECKED_SHAPES, (2, max_length)):
        ids, mask = _texts(rng, rows, min(tokens, max_length), vocabulary)
        with torch.no_grad():
            wanted = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        given = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        if task is not Task.NUMBER:
            squash = softmax if task is Task.SINGLE else sigmoid
            wanted, given = squash(wanted), squash(given)
        worst = max(worst, float(np.abs(wanted - given).max()))
    if not worst <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"the ONNX graph differs from torch by {worst:.2e}")
    return worst


def _texts(
    rng: np.random.Generator, rows: int, tokens: int, vocabulary: int
) -> tuple[np.ndarray, np.ndarray]:
    ids = rng.integers(0, vocabulary, size=(rows, tokens), dtype=np.int64)
    mask = np.ones_like(ids)
    mask[-1, max(1, tokens // 2) :] = 0
    return ids, mask
