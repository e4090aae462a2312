"""The graph in 8-bit numbers: kept where it costs nothing, compared fairly, and within the promised time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from conftest import BAD, GOOD, make_backbone
from plaintune.core.events import silent
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task
from plaintune.data.read import read_examples
from plaintune.learn.budget import Probe, Work
from plaintune.learn.crossval import Checked
from plaintune.learn.eight_bits import weigh_eight_bits, write_eight_bits
from plaintune.learn.learner import prepare
from plaintune.learn.onnx import write_graph
from plaintune.learn.outline import outline
from plaintune.model.graph import Graph


def several_answers(rows: int, shift: float) -> Checked:
    """A network that knows three answers fairly well; ``shift`` is what another threshold makes up for."""
    rng = np.random.default_rng(0)
    labels = (rng.random((rows, 3)) < 0.3).astype(np.int64)
    logits = (3 * labels - 1.5 + rng.normal(0, 1.2, labels.shape) + shift).astype(np.float32)
    return Checked(logits, np.zeros_like(logits), labels)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[[Path], Graph]]:
    """The float32 graph of a small random network, and how such a graph is opened."""
    folder = tmp_path_factory.mktemp("graph")
    torch.manual_seed(0)
    learner = prepare(Settings(backbone=str(make_backbone("bert", folder / "backbone"))), silent)
    lesson = read_examples([*GOOD, *BAD], ["good"] * len(GOOD) + ["bad"] * len(BAD), listener=silent)
    network = learner.network(lesson)
    torch.nn.init.normal_(network.head.weight, std=0.2)  # fitted to random features, it would blow them up
    vocabulary = learner.tokenizer.get_vocab_size()
    write_graph(network, folder / "model.onnx", task=Task.SINGLE, vocabulary=vocabulary, max_length=32)

    def graph_in(file: Path) -> Graph:
        return Graph(
            file.read_bytes(), learner.backbone.tokenizer_json.encode(), sha256="", max_length=32, windows=1,
            pad_id=learner.backbone.pad_id, reread=file.read_bytes,
        )  # fmt: skip

    return folder / "model.onnx", graph_in


def test_an_answer_in_8_bits_is_close_and_does_not_depend_on_the_texts_beside_it(
    written: tuple[Path, Callable[[Path], Graph]], tmp_path: Path
) -> None:
    file, graph_in = written
    plain = graph_in(file)
    write_eight_bits(file, tmp_path / "small.onnx", plain.inputs([*GOOD, *BAD]))
    small = graph_in(tmp_path / "small.onnx")
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node)
    assert kinds["MatMulIntegerToFloat"] > kinds["MatMulInteger"] == kinds["DynamicQuantizeLinear"] == 0
    among = small.logits([*GOOD, "x " * 100, "A VERY LOUD TEXT !!! 12345"])[: len(GOOD)]
    alone = np.concatenate([small.logits([text]) for text in GOOD])
    assert np.abs(among - alone).max() < 1e-4
    assert np.abs(alone - plain.logits(GOOD)).max() < 0.3


@pytest.mark.parametrize("shift", [-0.7, -1.0])
def test_of_several_answers_each_graph_is_judged_by_its_own_threshold(shift: float) -> None:
    prior = np.full(3, 0.3)
    plain, moved = several_answers(2000, 0.0), several_answers(2000, shift)
    keep, choice = weigh_eight_bits(Task.MULTI, plain, moved, prior=prior, speedup=2.0, listener=silent)
    gain = float(choice.reason.split("change the score by ")[1].split()[0])
    assert abs(gain) < 0.2
    assert keep
    assert "2.0 times as fast" in choice.reason


def test_a_graph_that_answers_worse_is_not_kept() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    good = np.eye(2, dtype=np.float32)[labels] * 4 + rng.normal(0, 1, (2000, 2)).astype(np.float32)
    noisy = good + rng.normal(0, 4, good.shape).astype(np.float32)
    nothing = np.zeros_like(good)
    prior = np.array([0.5, 0.5])
    for packed, wanted in ((good, True), (noisy, False)):
        keep, _ = weigh_eight_bits(
            Task.SINGLE, Checked(good, nothing, labels), Checked(packed, nothing, labels),
            prior=prior, speedup=1.0, listener=silent,
        )  # fmt: skip
        assert keep is wanted


def test_a_cost_of_exactly_what_may_be_is_no_more_than_that() -> None:
    labels = np.tile([0, 1], 750)
    good = np.eye(2, dtype=np.float32)[labels] * 8 - 4
    packed = good.copy()
    packed[:3] *= -0.01
    nothing, prior = np.zeros_like(good), np.array([0.5, 0.5])
    keep, choice = weigh_eight_bits(
        Task.SINGLE, Checked(good, nothing, labels), Checked(packed, nothing, labels),
        prior=prior, speedup=2.0, listener=silent,
    )  # fmt: skip
    assert keep, choice.reason
    assert "-0.20 points" in choice.reason


@pytest.mark.parametrize(("changed", "kept"), [(0, True), (4, True), (80, False)])
def test_a_loss_of_nothing_measured_on_too_few_rows_to_rule_out_much_is_not_enough(
    changed: int, kept: bool
) -> None:
    labels = np.tile([0, 1], 500)
    plain = np.eye(2, dtype=np.float32)[labels] * 8 - 4
    packed = plain.copy()
    plain[:changed:2] *= -0.01  # each is right where the other is wrong
    packed[1:changed:2] *= -0.01
    nothing, prior = np.zeros_like(plain), np.array([0.5, 0.5])
    keep, choice = weigh_eight_bits(
        Task.SINGLE, Checked(plain, nothing, labels), Checked(packed, nothing, labels),
        prior=prior, speedup=2.0, listener=silent,
    )  # fmt: skip
    assert keep is kept, choice.reason
    assert "+0.00 points" in choice.reason


@pytest.mark.parametrize(("rows", "both"), [(4000, False), (20_000, True)])
def test_the_time_for_scoring_counts_the_rows_that_both_graphs_answer(rows: int, both: bool) -> None:
    texts, labels = [f"text number {n}" for n in range(rows)], ["yes" if n % 2 else "no" for n in range(rows)]
    examples = read_examples(texts, labels, listener=silent)
    measured = Probe(np.full(100, 6), tokens_per_second=1e6, read_per_second=2e6)
    made = outline(
        examples, np.arange(rows), None, Settings(), measured=measured, longest=16, seconds_left=3000
    )
    checked, tested = len(made.splits.valid), len(made.splits.test)
    plain, packed = (checked, checked + tested) if both else (checked + tested, 0)
    assert (made.work.scored_rows, made.work.packed_rows) == (plain, packed)
    alone = Work(made.work.rows, plain + packed, 3000).scoring_seconds(measured, 16)
    assert (made.work.scoring_seconds(measured, 16) < alone) is both  # 8-bit numbers answer in less time
