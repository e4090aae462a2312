"""Killed anywhere, the same command goes on; stopped by hand, it says so and leaves no half-written model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli, review_rows, write_csv

pytestmark = pytest.mark.slow


def start(folder: Path, backbone: Path) -> subprocess.Popen[str]:
    """`plaintune train` in the background, with a checkpoint every tenth of a second."""
    code = (
        "import plaintune.learn.train as t; t.CHECKPOINT_SECONDS = 0.1\n"
        "import time; step = t.Stepper.step\n"
        "def slow(*args, **options):\n"
        "    time.sleep(0.02); return step(*args, **options)\n"
        "t.Stepper.step = slow\n"
        "from plaintune.faces.cli import main; main()\n"
    )
    command = ["train", "reviews.csv", "--backbone", str(backbone), "--minutes", "5"]
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.argv[1:] = {command!r}\n{code}"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip


def wait_for_state(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until training has written its first state."""
    for _ in range(1200):
        if (folder / "reviews-model.plaintune-checkpoint" / "state.json").exists():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError("no checkpoint within a minute")


def kill_in_training(folder: Path, backbone: Path) -> None:
    """Begin a run and kill it as soon as it has a checkpoint."""
    write_csv(folder / "reviews.csv", ["review", "sentiment"], review_rows())
    killed = start(folder, backbone)
    wait_for_state(folder, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()


def scores(folder: Path) -> Any:
    """Every score of the finished model, to the last digit."""
    return json.loads((folder / "reviews-model" / "manifest.json").read_text())["scores"]


def test_a_killed_run_goes_on_and_ends_like_one_that_was_not(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    kill_in_training(tmp_path, tiny_backbone)
    assert not (tmp_path / "reviews-model").exists()
    plan = tmp_path.with_name(f"{tmp_path.name}-plan.json")
    shutil.copyfile(tmp_path / "reviews-model.plaintune-checkpoint" / "plan.json", plan)

    resumed = cli("train", "reviews.csv", "--backbone", tiny_backbone, "--minutes", 5, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "Going on with an unfinished run" in resumed.stderr
    with_kill = scores(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews-model", "reviews.csv"]

    again = ("train", "reviews.csv", "--backbone", tiny_backbone, "--plan", plan, "--yes")
    whole = cli(*again, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "Going on" not in whole.stderr
    assert scores(tmp_path) == with_kill


def test_a_damaged_checkpoint_is_set_aside_and_training_still_ends(
    cli: Cli, tiny_backbone: Path, tmp_path: Path
) -> None:
    kill_in_training(tmp_path, tiny_backbone)
    checkpoint = tmp_path / "reviews-model.plaintune-checkpoint"
    state = checkpoint / json.loads((checkpoint / "state.json").read_text())["file"]
    state.write_bytes(state.read_bytes()[:-100])
    resumed = cli("train", "reviews.csv", "--backbone", tiny_backbone, "--minutes", 5, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "The checkpoint is damaged" in resumed.stderr


def test_ctrl_c_keeps_the_checkpoint_and_prints_the_command_that_goes_on(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    running = start(tmp_path, tiny_backbone)
    wait_for_state(tmp_path, running)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "plaintune train reviews.csv --backbone" in stderr.splitlines()[-1]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["reviews-model.plaintune-checkpoint", "reviews.csv"]
