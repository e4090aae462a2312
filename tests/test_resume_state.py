"""What is put by for a run that may be killed: all that the rest of it depends on, and damage is noticed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import review_rows
from plaintune.core.events import Event, silent
from plaintune.core.linear import NgramModel
from plaintune.core.settings import Choice
from plaintune.data.encode import encode, plain_tokenizer
from plaintune.data.examples import TEXT_DTYPE
from plaintune.learn.backbone import find_backbone
from plaintune.learn.baseline import fit_baseline
from plaintune.learn.checkpoint import Checkpoint
from plaintune.learn.network import Device, Network, load_network, weights_of
from plaintune.learn.steps import Stepper
from plaintune.learn.train import Schedule, go_on, train

HALF = Device(torch.device("cpu"), torch.float16, Choice("numbers", "float16", "for a test"))
TEXTS = np.array([text for text, _ in review_rows()], dtype=TEXT_DTYPE)
LABELS = np.array([int(label == "positive") for _, label in review_rows()])


class Killed(Exception):
    """In the place of a signal."""


def learner_of(backbone_folder: Path) -> tuple[Network, Stepper]:
    """A network as a GPU would run it in float16, without the layers of our own for processors."""
    backbone = find_backbone(str(backbone_folder))
    tokens = encode(plain_tokenizer(backbone.tokenizer_json), TEXTS, max_length=32)
    network = load_network(backbone, 2, HALF)
    network.packed = None
    return network, Stepper(tokens, LABELS, backbone.pad_id, HALF)


def trained(backbone: Path, kept: Path, listener: Callable[[Event], None]) -> Network:
    """A network after eight steps; the first of them overflow in float16, and are left out."""
    network, stepper = learner_of(backbone)
    stepper.scaler.load_state_dict({**stepper.scaler.state_dict(), "scale": 2.0**32})
    schedule = Schedule(steps=8, rows_per_batch=16, learning_rate=1e-3, seed=0)
    train(
        network, stepper, schedule,
        begin=go_on, deadline=math.inf, checkpoint=Checkpoint(kept, silent), listener=listener,
    )  # fmt: skip
    return network


def test_training_in_float16_goes_on_with_gradients_scaled_as_they_were(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plaintune.learn.train.CHECKPOINT_SECONDS", 0.0)

    def kill(event: Event) -> None:
        if event.step == 6:
            raise Killed

    whole = weights_of(trained(tiny_backbone, tmp_path / "whole", silent))
    with pytest.raises(Killed):
        trained(tiny_backbone, tmp_path / "killed", kill)
    resumed = weights_of(trained(tiny_backbone, tmp_path / "killed", silent))
    start = weights_of(learner_of(tiny_backbone)[0])
    assert any(not torch.equal(start[name], weight) for name, weight in whole.items())
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name


def test_a_helper_scales_gradients_as_they_are_scaled_by_the_lead(tiny_backbone: Path) -> None:
    _, stepper = learner_of(tiny_backbone)
    stepper.scaler.load_state_dict({**stepper.scaler.state_dict(), "scale": 1024.0})
    helper = replace(stepper.for_helpers(), device=HALF)
    assert helper.scaler.get_scale() == 1024.0


def test_counted_words_that_were_put_by_are_taken_and_damaged_ones_are_set_aside(tmp_path: Path) -> None:
    heard: list[str] = []
    checkpoint = Checkpoint(tmp_path, lambda event: heard.append(event.message))
    file = tmp_path / "ngrams.safetensors"

    def count() -> NgramModel:
        return fit_baseline(TEXTS, LABELS, 2, seed=0)

    def fail() -> NgramModel:
        raise AssertionError("they were there")

    logits = checkpoint.ngrams(count).logits(TEXTS)
    assert np.array_equal(checkpoint.ngrams(fail).logits(TEXTS), logits)
    content = bytearray(file.read_bytes())
    content[-10] ^= 1  # a number, so that the file can still be read
    file.write_bytes(content)
    NgramModel.load(file)
    assert np.array_equal(checkpoint.ngrams(count).logits(TEXTS), logits)
    assert (tmp_path / "damaged" / file.name).read_bytes() == content
    assert [message for message in heard if "damaged" in message]
    assert np.array_equal(checkpoint.ngrams(fail).logits(TEXTS), logits)
