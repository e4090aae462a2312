"""`--minutes N` is a promise: the whole command ends within it, by doing less, not by failing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import BAD, GOOD, Cli, write_csv

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("rows", "minutes"), [(600, 1.0), (6000, 1.5), (100_000, 1.0)])
def test_the_command_ends_within_its_minutes(cli: Cli, tmp_path: Path, rows: int, minutes: float) -> None:
    rng = np.random.default_rng(0)
    data = []
    for number in range(rows):
        side = GOOD if number % 2 else BAD
        text = ". ".join(rng.choice([*side, *GOOD, *BAD], size=12))
        data.append((f"{text} {number}", "positive" if number % 2 else "negative"))
    write_csv(tmp_path / "long.csv", ["review", "sentiment"], data)
    started = time.monotonic()
    done = cli("train", "long.csv", "--minutes", minutes, "--json", cwd=tmp_path)
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert seconds <= 60 * minutes
    assert json.loads(done.stdout)["score"] > 0.5
