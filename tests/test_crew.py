"""Several processes that train together learn what one would; what goes wrong among them is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Cli, review_rows, write_csv
from plaintune.core.errors import UserError
from plaintune.core.hardware import MEETING, is_helper, started_by_launcher
from plaintune.core.settings import Choice
from plaintune.data.encode import encode, plain_tokenizer
from plaintune.learn import crew as crew_module
from plaintune.learn.backbone import find_backbone
from plaintune.learn.crew import ALONE, Crew, gathered
from plaintune.learn.network import Device, Network, load_network, weights_of
from plaintune.learn.steps import Stepper
from plaintune.learn.train import Schedule, Trained, train

RATE = 3e-4  # at 1e-3 differences by rounding may grow to a thousandth within 30 steps
HERE = Device(torch.device("cpu"), torch.float32, Choice("numbers", "float32", "for a test"))


def learner_of(backbone_folder: Path) -> tuple[Network, Stepper]:
    backbone = find_backbone(str(backbone_folder))
    texts = np.array([text for text, _ in review_rows()])
    labels = np.array([label == "positive" for _, label in review_rows()]).astype(np.int64)
    tokens = encode(plain_tokenizer(backbone.tokenizer_json), texts, max_length=32)
    torch.manual_seed(0)
    return load_network(backbone, 2, HERE), Stepper(tokens, labels, backbone.pad_id, HERE)


def trained_by(
    crew: Crew, backbone: Path, *, steps: int = 30, adversarial: bool = False
) -> tuple[Network, Trained]:
    network, stepper = learner_of(backbone)
    schedule = Schedule(steps, rows_per_batch=16, learning_rate=RATE, seed=0, adversarial=adversarial)
    seen = train(
        network, stepper, schedule, deadline=float("inf"), checkpoint=None, crew=crew, listener=lambda _: None
    )
    return network, seen


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    """This process and a helper, on the processor: what two GPUs would do."""
    monkeypatch.setattr(crew_module, "_require_gpus", lambda *_: None)
    with gathered(2, HERE) as crew:
        yield crew


@pytest.mark.parametrize("adversarial", [False, True])
def test_two_processes_learn_what_one_does(
    two_processes: Crew, tiny_backbone: Path, adversarial: bool
) -> None:
    alone, seen_alone = trained_by(ALONE, tiny_backbone, adversarial=adversarial)
    together, seen_together = trained_by(two_processes, tiny_backbone, adversarial=adversarial)
    other = weights_of(together)
    for name, weight in weights_of(alone).items():
        assert torch.allclose(weight, other[name], atol=1e-4), name
    assert np.allclose(seen_alone.seen, seen_together.seen, atol=1e-3)


def test_a_crew_trains_several_times(two_processes: Crew, tiny_backbone: Path) -> None:
    once, _ = trained_by(two_processes, tiny_backbone, steps=5)
    again, _ = trained_by(two_processes, tiny_backbone, steps=5)
    for name, weight in weights_of(once).items():
        assert torch.equal(weight, weights_of(again)[name]), name


@pytest.fixture
def hired(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The helpers that are started while this test runs."""
    helpers: list[subprocess.Popen[bytes]] = []
    hire = crew_module._hire
    monkeypatch.setattr(crew_module, "_require_gpus", lambda *_: None)
    monkeypatch.setattr(crew_module, "_hire", lambda *where: helpers.append(hire(*where)) or helpers[-1])
    return helpers


def test_helpers_are_gone_when_the_crew_is(hired: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), gathered(2, HERE):
        raise RuntimeError("in the middle")
    assert [helper.poll() is not None for helper in hired] == [True]


def test_a_helper_that_is_killed_is_told_about(
    hired: list[subprocess.Popen[bytes]], tiny_backbone: Path
) -> None:
    with gathered(2, HERE) as crew:
        trained_by(crew, tiny_backbone, steps=2)
        hired[0].kill()
        hired[0].wait()
        with pytest.raises(UserError, match="helped with the training has ended"):
            trained_by(crew, tiny_backbone, steps=50)


def test_more_gpus_than_there_are_is_an_error(cli: Cli, tmp_path: Path) -> None:
    wanted = torch.cuda.device_count() + 2
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    done = cli("train", "reviews.csv", "--gpus", wanted, cwd=tmp_path)
    assert done.returncode == 2
    assert f"--gpus {wanted}: this machine has" in done.stderr
    assert len(done.stderr.strip().splitlines()[-2:]) == 2
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]


@pytest.mark.parametrize(("rank", "helper"), [("0", False), ("1", True)])
def test_a_launcher_is_known_by_its_variables(
    monkeypatch: pytest.MonkeyPatch, rank: str, helper: bool
) -> None:
    for name, value in zip(MEETING, (rank, "2", "127.0.0.1", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    assert started_by_launcher()
    assert is_helper() is helper
    monkeypatch.delenv("MASTER_ADDR")
    assert not started_by_launcher()


@pytest.mark.slow
def test_torchrun_trains_the_same_model_and_ends_with_the_lead(
    cli: Cli, trained: tuple[Path, dict[str, Any]], tiny_backbone: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    options = ["train", "reviews.csv", "--backbone", str(tiny_backbone), "--plan", str(trained[0])]
    alone = cli(*options, "--out", "alone", cwd=tmp_path, PLAINTUNE_NUMBER_FORMAT="float32")
    assert alone.returncode == 0, alone.stderr
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "plaintune", *options, "--out", "together", "--json"],
        cwd=tmp_path, env={**os.environ, "PLAINTUNE_NUMBER_FORMAT": "float32"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["score"] is not None  # one JSON object: the helper says nothing
    manifests = [
        json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("alone", "together")
    ]
    scores = [manifest["scores"] for manifest in manifests]
    assert scores[1]["score"] == pytest.approx(scores[0]["score"], abs=0.02)
    assert [c["value"] for c in manifests[1]["choices"] if c["name"] == "processes"] == [2]
