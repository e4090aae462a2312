"""SkyPilot asked, in a process of its own, what it would rent and order; nothing is rented by that."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import plaintune
from cloud.lab import ENVIRONMENT
from plaintune.compute.machine import config_of, task_of
from plaintune.compute.records import Rental

NEEDS_SKYPILOT = pytest.mark.skipif(
    not (ENVIRONMENT / "bin" / "sky").exists(),
    reason=f"needs SkyPilot in {ENVIRONMENT}: make test-cloud installs it",
)
SHIPPED_PRICES = Path(plaintune.__file__).parent / "compute" / "prices.csv"


def order_of(rental: Rental, home: Path, prices: Path = SHIPPED_PRICES) -> Any:
    """What SkyPilot would hand to the part of it that asks the cloud, for a user with this ``home``."""
    (home / "task.json").write_text(json.dumps(task_of(rental, home, 1000.0)))
    (home / "config.json").write_text(json.dumps(config_of(rental, 1000.0)))
    return optimizer(home, prices, home / "task.json", SKYPILOT_GLOBAL_CONFIG=str(home / "config.json"))


def optimizer(home: Path, *arguments: Path, **variables: str) -> Any:
    """The JSON that `optimizer.py` answers."""
    done = subprocess.run(
        [ENVIRONMENT / "bin" / "python", Path(__file__).with_name("optimizer.py"), *arguments],
        env={**os.environ, "HOME": str(home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1", **variables},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
