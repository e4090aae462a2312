"""Operations of ONNX Runtime's own in a graph: the same numbers, and only where the form is known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers

from conftest import make_backbone
from plaintune.core.tasks import Task
from plaintune.learn.network import Network
from plaintune.learn.onnx import write_graph

VOCABULARY, LONGEST = 60, 40


def random_network(encoder: torch.nn.Module) -> Network:
    """The encoder with a last layer that lets every feature matter, all numbers large enough to tell."""
    torch.manual_seed(0)
    network = Network(encoder, 32, 3).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
    return network


def opened(network: Network, file: Path) -> tuple[Counter[str], onnxruntime.InferenceSession]:
    """The graph of ``network``: how often it holds each operation, and itself at work."""
    write_graph(network, file, task=Task.SINGLE, vocabulary=VOCABULARY, max_length=LONGEST)
    kinds = Counter(node.op_type for node in onnx.load(file).graph.node)
    return kinds, onnxruntime.InferenceSession(file)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_attention_is_one_operation_that_padding_does_not_reach(family: str, tmp_path: Path) -> None:
    folder = make_backbone(family, tmp_path / "backbone")
    encoder = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")
    network = random_network(encoder)
    kinds, session = opened(network, tmp_path / "model.onnx")
    assert kinds["MultiHeadAttention"] == encoder.config.num_hidden_layers
    assert kinds["Softmax"] == 0
    rng = np.random.default_rng(1)
    ids = rng.integers(5, VOCABULARY, (4, LONGEST))
    mask = (np.arange(LONGEST) < np.array([[3], [17], [39], [40]])).astype(np.int64)
    among = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    with torch.no_grad():
        wanted = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    assert np.abs(among - wanted).max() < 1e-4 * np.abs(wanted).max()
    for row, length in enumerate(mask.sum(axis=1)):
        cut = {"input_ids": ids[[row], :length], "attention_mask": mask[[row], :length]}
        assert np.abs(session.run(None, cut)[0] - among[row]).max() < 1e-4


def test_attention_that_looks_at_places_stays_as_it_is(tmp_path: Path) -> None:
    config = transformers.MPNetConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, attn_implementation="eager",
    )  # fmt: skip
    kinds, _ = opened(
        random_network(transformers.MPNetModel(config, add_pooling_layer=False)), tmp_path / "m.onnx"
    )
    assert kinds["MultiHeadAttention"] == 0
    assert kinds["Softmax"] == 2
