"""Where training runs: on a GPU that torch can use, and nothing else is called one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from plaintune.core.hardware import Machine
from plaintune.core.settings import Choice
from plaintune.learn import network
from plaintune.learn.network import Device, choose_device

MACHINE = Machine("Xeon", 1, 15.0, None)


@pytest.fixture
def old_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A GPU that torch sees."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Tesla K80")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (3, 7))
    monkeypatch.setattr("torch.cuda.get_arch_list", lambda: ["sm_75", "sm_90"])
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    monkeypatch.setenv("PLAINTUNE_NUMBER_FORMAT", "float32")
    return monkeypatch


def failing(said: str) -> None:
    raise RuntimeError(said)


def test_a_gpu_that_torch_was_not_built_for_is_left_and_the_reason_told(
    old_gpu: pytest.MonkeyPatch,
) -> None:
    said = "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might"
    old_gpu.setattr(network, "_product_on_gpu", lambda: failing(said))
    device = choose_device(MACHINE)
    assert device.torch_device.type == "cpu"
    assert device.choice.value == "float32 on 1 CPU cores"
    assert device.choice.reason.startswith(
        "the GPU, Tesla K80, is of kind sm_37, but this torch is built for sm_75, sm_90 alone; "
    )


def test_a_gpu_that_fails_otherwise_is_left_with_what_torch_said(old_gpu: pytest.MonkeyPatch) -> None:
    old_gpu.setattr(network, "_product_on_gpu", lambda: failing("CUDA error: out of memory\nmore words"))
    device = choose_device(MACHINE)
    assert device.torch_device.type == "cpu"
    assert device.choice.reason.startswith("the GPU cannot be used (CUDA error: out of memory); ")


def test_a_gpu_that_computes_is_used_and_named_with_the_machine(old_gpu: pytest.MonkeyPatch) -> None:
    old_gpu.setattr(network, "_product_on_gpu", lambda: None)
    device = choose_device(MACHINE)
    assert (device.torch_device.type, device.number_format) == ("cuda", torch.float16)
    assert device.within(MACHINE) == "Tesla K80, Xeon, 1 cores, 15 GiB of memory"


def test_a_machine_without_a_gpu_is_named_alone() -> None:
    here = Device(torch.device("cpu"), torch.float32, Choice("numbers", "float32 on 1 CPU cores", "a test"))
    assert here.within(MACHINE) == str(MACHINE)


@pytest.mark.parametrize(("given", "found"), [({}, "4000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_that_wait_are_told_to_give_the_cores_away_before_torch_is_loaded(
    given: dict[str, str], found: str, tmp_path: Path
) -> None:
    told = "import os, sys\nprint(os.environ.get('GOMP_SPINCOUNT'))\nsys.exit()\n"
    (tmp_path / "torch.py").write_text(told)  # loaded in its place
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import plaintune.pipeline, plaintune.faces.cli\n"
        "assert 'torch' not in sys.modules\n"
        "import plaintune.learn.learn\n"
    )
    usual = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**usual, **given}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, found), done.stderr
