"""The plan tells what was decided before training, and in the end what the clock decided since."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from plaintune.core.events import silent
from plaintune.learn.checkpoint import Checkpoint
from plaintune.learn.plan import Plan, amend_as_taken
from plaintune.learn.train import Schedule


def test_a_plan_tells_the_steps_that_a_second_training_really_took(tmp_path: Path) -> None:
    second = Schedule(steps=60, rows_per_batch=16, learning_rate=1e-4, seed=0)
    made = Plan(200, 400, 0, 64, replace(second, steps=100), 10.0, (), second=second)
    checkpoint = Checkpoint(tmp_path / "run", silent)
    checkpoint.save_plan({"key": "this run", **asdict(made)})
    (tmp_path / "run" / "second").mkdir()
    (tmp_path / "run" / "second" / "state.json").write_text(json.dumps({"step": 25, "steps": 25}))
    amend_as_taken(checkpoint)
    written = checkpoint.load_plan("this run")
    assert written is not None
    assert Plan.from_json(written) == replace(made, second=replace(second, steps=25), taken={})
