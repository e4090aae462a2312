"""What a rented machine says and sends home: its failures, its timer, its checkpoints, its model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from plaintune.compute import follow, worker
from plaintune.compute.engine import Engine
from plaintune.compute.follow import Finished, Preempted, bring_model, put_checkpoint
from plaintune.compute.machine import RUN as RUN_COMMAND
from plaintune.compute.machine import task_of, timer
from plaintune.compute.names import MODEL, Names
from plaintune.compute.parcel import FETCHED, JOB
from plaintune.compute.records import RUN, Rental
from plaintune.core.errors import UserError
from plaintune.core.events import Event, silent
from plaintune.core.files import file_sha256
from plaintune.core.settings import Settings

RENTAL = Rental("plaintune-1", RUN, "aws", "T4", True, 0.2, 0.5, 0.0, 9e9, "", cluster="c", secured=True)
NAMES = Names({"sent-data/reviews.csv": "my reviews.csv"})


def engine(tmp_path: Path) -> Engine:
    (tmp_path / "engine" / "bin").mkdir(parents=True, exist_ok=True)
    return Engine(tmp_path / "engine", tmp_path / "home")


def program(folder: Path, name: str, lines: str) -> None:
    """A program of this name, found before the true one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{lines}\n")
    (folder / name).chmod(0o755)


def shell(line: str, folder: Path) -> str:
    """What a line of shell prints, with the programs in ``folder``/bin before all others."""
    env = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False
    ).stdout


def progress(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines() if line]


def test_a_set_up_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text("echo 'No \"matching\" torch'; exit 3\n")
    shell(task_of(RENTAL, tmp_path, 1000.0)["setup"], tmp_path)
    (line,) = progress(tmp_path)
    assert line["kind"] == "failed"
    assert line["problem"].startswith('Setting up the rented machine failed: No "matching" torch')


def test_a_training_that_was_killed_says_so_after_half_a_line(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text('{"kind": "note", "mess')
    shell(task_of(RENTAL, tmp_path, 1000.0)["run"].replace(RUN_COMMAND, "bash -c 'kill -9 $$'"), tmp_path)
    last = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[-1])
    assert "status 137" in last["problem"]


def test_what_goes_well_says_nothing_of_the_kind(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text("echo fine\n")
    shell(task_of(RENTAL, tmp_path, 1000.0)["setup"], tmp_path)
    shell(task_of(RENTAL, tmp_path, 1000.0)["run"].replace(RUN_COMMAND, "true"), tmp_path)
    assert not (tmp_path / "progress.jsonl").exists()


@pytest.mark.parametrize("kind", ["failed", "problem", "crash"])
def test_a_failure_is_told_unless_the_machine_is_being_taken_back(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"kind": kind, "problem": "It broke.", "fix": "Mend it.", "trace": "It broke."})
    for running, raised in ((True, (UserError, RuntimeError)), (None, (UserError, RuntimeError))):
        monkeypatch.setattr(follow, "is_running", lambda *asked, answer=running: answer)
        with pytest.raises(raised, match="It broke"):
            follow._understood(line, engine(tmp_path), RENTAL, NAMES, silent)
    monkeypatch.setattr(follow, "is_running", lambda *asked: False)
    with pytest.raises(Preempted):
        follow._understood(line, engine(tmp_path), RENTAL, NAMES, silent)


def test_what_the_machine_says_names_files_as_the_user_does(tmp_path: Path) -> None:
    heard: list[Event] = []
    said = {"kind": "note", "message": "Look: plaintune check sent-data/reviews.csv"}
    follow._understood(json.dumps(said), engine(tmp_path), RENTAL, NAMES, heard.append)
    assert heard == [Event("note", "Look: plaintune check 'my reviews.csv'")]


def test_half_a_line_is_passed_over(tmp_path: Path) -> None:
    assert follow._understood('{"kind": "no', engine(tmp_path), RENTAL, NAMES, silent) is None
    assert follow._understood("\n", engine(tmp_path), RENTAL, NAMES, silent) is None


@pytest.mark.parametrize(
    ("clock", "minutes"), [(1000, 60), (1000 + 20 * 60, 40), (99_999, 1), (0, 60)], ids=str
)
def test_a_machines_timer_goes_by_the_deadline_not_by_when_it_was_ordered(
    clock: int, minutes: int, tmp_path: Path
) -> None:
    program(tmp_path / "bin", "date", f"echo {clock}")
    program(tmp_path / "bin", "shutdown", 'echo "$@"')
    assert shell(timer(1000 + 3600, now=1000), tmp_path) == f"-P +{minutes}\n"


def checkpoint(folder: Path, step: int, plan: str = "one") -> Path:
    folder.mkdir()
    (folder / "plan.json").write_text(plan)
    state = folder / f"step-{step}.safetensors"
    state.write_text(f"weights of {step}")
    (folder / "second").mkdir()
    (folder / "second" / "folds.npy").write_text(f"folds of {step}")
    written = {"file": state.name, "sha256": file_sha256(state)}
    (folder / "state.json").write_text(json.dumps(written))
    return folder


def test_a_checkpoint_that_comes_home_is_whole_wherever_it_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, copy = checkpoint(tmp_path / "fresh", 2), shutil.copyfile
    for cut in range(4):
        kept = checkpoint(tmp_path / f"kept{cut}", 1)
        left = [cut]

        def cut_off(source: Path, target: Path, left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            copy(source, target)

        monkeypatch.setattr(shutil, "copyfile", cut_off)
        with pytest.raises(KeyboardInterrupt):
            put_checkpoint(fresh, kept)
        assert follow._is_whole(kept)
    monkeypatch.setattr(shutil, "copyfile", copy)
    put_checkpoint(fresh, kept)
    assert sorted(file.name for file in kept.rglob("*") if file.is_file()) == [
        "folds.npy", "plan.json", "state.json", "step-2.safetensors"
    ]  # fmt: skip
    assert follow._is_whole(kept)


def test_the_state_of_another_plan_is_never_taken_for_that_of_this_one(tmp_path: Path) -> None:
    kept = checkpoint(tmp_path / "kept", 1)
    fresh = checkpoint(tmp_path / "fresh", 2, plan="two")
    (fresh / "state.json").unlink()
    put_checkpoint(fresh, kept)
    assert not (kept / "state.json").exists()


def test_a_model_is_fetched_until_it_is_whole_and_then_the_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, tries, told = tmp_path / "model", [0], []

    def copy(engine: Any, cluster: str, source: str, target: Path, *, seconds: float) -> bool:
        tries[0] += 1
        target.mkdir(exist_ok=True)
        (target / "model.onnx").write_text("whole" if tries[0] == 5 else "half")
        return tries[0] == 5

    (tmp_path / "whole").write_text("whole")
    monkeypatch.setattr(follow, "copy_back", copy)
    monkeypatch.setattr(follow, "is_running", lambda *asked: None)
    monkeypatch.setattr(follow, "runs_there", lambda engine, cluster, *_, **options: told.append(cluster))
    monkeypatch.setattr(follow, "FETCH_WAIT_SECONDS", 0)
    files = {"model.onnx": file_sha256(tmp_path / "whole")}
    bring_model(engine(tmp_path), RENTAL, Finished(files), target)
    assert (tries, told) == ([5], ["c"])


def test_a_finished_machine_stays_at_work_until_its_model_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    waiting = threading.Thread(target=worker.wait_until_fetched, args=(tmp_path,), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    (tmp_path / FETCHED).touch()
    waiting.join(10)
    assert not waiting.is_alive()


@pytest.mark.parametrize("fault", ["", "the GPU cannot be used (it is too old)"], ids=["unseen", "unusable"])
def test_a_rented_gpu_that_torch_cannot_use_is_not_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: bool(fault))
    monkeypatch.setattr("plaintune.learn.network.gpu_fault", lambda: fault)
    job = {"source": "reviews.csv", "test": None, "settings": {}, "needs_gpu": True}
    (tmp_path / JOB).write_text(json.dumps(job))
    said: list[dict[str, Any]] = []
    assert not worker.work(tmp_path, said.append)
    assert said[0]["problem"] == "torch cannot use the GPU of the rented machine."
    assert not (tmp_path / MODEL).exists()
    assert Settings() == worker.settings_from_json({})
