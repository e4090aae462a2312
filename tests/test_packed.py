"""BERT's layers as training works them out: the same numbers and gradients as transformers' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import make_backbone
from plaintune.core.settings import Choice
from plaintune.data.encode import even_parts, joined
from plaintune.learn import packed, workers
from plaintune.learn.backbone import find_backbone
from plaintune.learn.crew import Crew
from plaintune.learn.network import Device, Network, load_network
from plaintune.learn.steps import MOVED, Stepper, _hardest

HERE = Device(torch.device("cpu"), torch.float32, Choice("numbers", "float32", "for a test"))
LENGTHS = [1, 3, 5, 16, 17, 30, 30, 33]


def made(family: str, folder: Path, device: Device = HERE) -> Network:
    """A tiny network of random weights, none of which is too small to matter."""
    network = load_network(find_backbone(str(make_backbone(family, folder))), 2, device)
    torch.manual_seed(0)
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def stepper_of(lengths: list[int], device: Device = HERE) -> Stepper:
    rng = np.random.default_rng(0)
    tokens = joined([rng.integers(5, 60, length).astype(np.int32) for length in lengths])
    return Stepper(tokens, np.arange(len(lengths)) % 2, 0, device)


def gradients(network: Network, stepper: Stepper, *, adversarial: bool = False) -> dict[str, torch.Tensor]:
    """Of the summed loss of all texts at once."""
    (batch,) = stepper.epoch(rows_per_batch=len(stepper.labels), seed=0)
    every = stepper._part(batch, np.arange(len(stepper.labels)))
    *_, found = stepper._learned(network, *every, rows=1, adversarial=adversarial)
    named = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert found is not None
    return {name: one for name, one in zip(named, found, strict=True) if one is not None}


@pytest.mark.parametrize("adversarial", [False, True])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_every_gradient_is_the_same_as_by_the_models_own_code(
    family: str, adversarial: bool, tmp_path: Path
) -> None:
    network, stepper = made(family, tmp_path / "backbone"), stepper_of(LENGTHS)
    assert network.packed is not None
    ours = gradients(network, stepper, adversarial=adversarial)
    network.packed = None
    wanted = gradients(network, stepper, adversarial=adversarial)
    assert ours.keys() == wanted.keys()
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert float((ours[name] - gradient).abs().max()) < 1e-5 * largest, name


def test_words_are_moved_to_where_the_answer_is_harder_and_padding_is_not(tmp_path: Path) -> None:
    network, stepper = made("bert", tmp_path / "backbone"), stepper_of(LENGTHS)
    (batch,) = stepper.epoch(rows_per_batch=len(LENGTHS), seed=0)
    ids, mask, truth = stepper._part(batch, np.arange(len(LENGTHS)))
    words = network.words(ids).requires_grad_()

    def losses(moved: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(network(ids, mask, moved), truth, reduction="none")

    (uphill,) = torch.autograd.grad(losses(words).sum(), [words])
    step = _hardest(words.detach(), mask, uphill)
    assert bool((losses(words.detach() + step) > losses(words.detach())).all())
    assert not step[mask == 0].any()
    long = (words.detach().norm(dim=2) * mask).sum(dim=1) / mask.sum(dim=1)
    assert torch.allclose(step.flatten(1).norm(dim=1), MOVED * long)


def test_another_family_keeps_the_code_of_its_own(tmp_path: Path) -> None:
    network = load_network(find_backbone(str(make_backbone("deberta", tmp_path / "backbone"))), 2, HERE)
    assert network.packed is None
    for adversarial in (False, True):
        assert np.isfinite(stepper_of(LENGTHS).step(
            network, stepper_of(LENGTHS).optimizer(network),
            next(stepper_of(LENGTHS).epoch(rows_per_batch=8, seed=0)), rate=1e-4, adversarial=adversarial,
        ).loss)  # fmt: skip


def test_a_step_changes_what_the_packed_layers_say_and_the_copy_to_be_written_agrees(tmp_path: Path) -> None:
    network, stepper = made("bert", tmp_path / "backbone"), stepper_of(LENGTHS)
    ids, mask = torch.full((1, 9), 7), torch.ones(1, 9, dtype=torch.int64)
    before = network(ids, mask).detach()
    optimizer = stepper.optimizer(network)
    stepper.step(network, optimizer, next(stepper.epoch(rows_per_batch=8, seed=0)), rate=1e-2)
    after = network(ids, mask).detach()
    assert float((after - before).abs().max()) > 1e-3
    plain = network.plain()
    assert plain.packed is None
    assert float((plain(ids, mask).detach() - after).abs().max()) < 1e-5 * float(after.abs().max()) + 1e-5


def test_in_16_bits_the_numbers_are_about_the_same(tmp_path: Path) -> None:
    half = replace(HERE, number_format=torch.bfloat16)
    network = made("bert", tmp_path / "backbone", half)
    said = network.features(torch.full((2, 20), 7), torch.ones(2, 20, dtype=torch.int64))
    wanted = network.plain().features(torch.full((2, 20), 7), torch.ones(2, 20, dtype=torch.int64))
    assert said.dtype is torch.float32
    assert float((said.detach() - wanted.detach()).abs().mean()) < 0.02 * float(wanted.abs().mean())


def test_workers_side_by_side_learn_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learned = []
    folder = make_backbone("bert", tmp_path / "backbone")
    monkeypatch.setattr("plaintune.learn.steps.WORKER_TOKENS", 8)
    for many in (1, 2):
        monkeypatch.setattr("plaintune.learn.steps.workers", lambda most, many=many: many)
        network, stepper = load_network(find_backbone(str(folder)), 2, HERE), stepper_of(LENGTHS)
        optimizer, batches = stepper.optimizer(network), list(stepper.epoch(rows_per_batch=4, seed=0))
        assert {len(stepper._sides(network, batch.tokens.lengths)) for batch in batches} == {many}
        for adversarial, batch in enumerate(batches):
            stepper.step(network, optimizer, batch, rate=1e-3, adversarial=bool(adversarial))
        stepper.contrast(network, optimizer, np.arange(8), rate=1e-3)
        learned.append({name: value.clone() for name, value in network.state_dict().items()})
    assert all(torch.allclose(learned[0][name], learned[1][name], atol=1e-4) for name in learned[0])


def test_in_16_bits_gradients_are_as_near_as_autocast_makes_them(tmp_path: Path) -> None:
    half = replace(HERE, number_format=torch.bfloat16)
    folder = tmp_path / "backbone"
    network = made("bert", folder)
    network.packed = None
    wanted = gradients(network, stepper_of(LENGTHS))
    network = made("bert", folder, half)
    ours = gradients(network, stepper_of(LENGTHS, half))
    network.packed = None
    theirs = gradients(network, stepper_of(LENGTHS, half))

    def off(found: dict[str, torch.Tensor]) -> float:
        return sum(float(((found[name] - wanted[name]) ** 2).sum()) for name in wanted) ** 0.5

    assert off(ours) < 1.5 * off(theirs)


def test_each_worker_has_its_share_of_the_cores() -> None:
    cores = torch.get_num_threads()
    for many in (2, 3):
        seen = workers.side_by_side(lambda _: (torch.ones(9) + 1, torch.get_num_threads())[1], range(many))
        assert seen == [max(1, cores // many)] * many
    assert torch.get_num_threads() == cores


def test_a_helper_without_a_share_of_a_batch_takes_part_all_the_same(tmp_path: Path) -> None:
    class Idle(Crew):
        def share(self, rows: int) -> slice:
            return slice(rows, rows)

    network, stepper = made("bert", tmp_path / "backbone"), stepper_of(LENGTHS)
    batch = next(stepper.epoch(rows_per_batch=8, seed=0))
    assert stepper.step(network, stepper.optimizer(network), batch, rate=1e-3, crew=Idle()).loss == 0


def test_shapes_of_products_are_few_whatever_the_lengths_of_the_texts() -> None:
    rng, shapes, rows = np.random.default_rng(0), set(), set()
    for _ in range(300):
        lengths = rng.integers(1, 257, rng.integers(1, 9))
        mask = torch.from_numpy((np.arange(256) < lengths[:, None]).astype(np.int64))
        layout = packed._lay_out(mask, torch.float32)
        assert layout.used == lengths.sum() <= layout.rows
        rows.add(layout.rows)
        shapes |= {(group.texts, group.tokens) for group in layout.groups}
    assert len(rows) <= 28
    assert len(shapes) <= 40


def test_a_batch_is_divided_evenly_and_each_text_is_worked_on_once() -> None:
    lengths = np.random.default_rng(0).integers(3, 257, size=32)
    sides = even_parts(lengths, tokens_at_once=1024, sides=2)
    assert len(sides) == 2
    assert sorted(np.concatenate([part for side in sides for part in side]).tolist()) == list(range(32))
    tokens = [int(lengths[part].sum()) for side in sides for part in side]
    assert max(tokens) <= 1024 + 256
    loads = [sum(int(lengths[part].sum()) for part in side) for side in sides]
    assert max(loads) < 1.2 * min(loads)
    assert even_parts(np.array([7]), tokens_at_once=1024, sides=2)[0][0].tolist() == [0]
