"""The description of `plaintune serve` is true: schemathesis asks what it allows and what it does not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service import serving

TOKEN = "a-token-for-the-tests-0123456789"
TOOL = Path(sys.executable).parent / "schemathesis"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed")
@pytest.mark.parametrize("token", [None, TOKEN])
def test_nothing_that_schemathesis_asks_is_answered_otherwise_than_described(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, token: str | None
) -> None:
    (tmp_path / "token.txt").write_text(TOKEN)
    options = ["--token-file", "token.txt"] if token else []
    header = ["--header", f"Authorization: Bearer {token}"] if token else []
    with serving(trained[0], *options, cwd=tmp_path) as service:
        done = subprocess.run(
            [
                TOOL, "run", f"{service.address}/openapi.json", "--checks", "all", "--seed", "1",
                "--max-examples", "60", "--continue-on-failure", "--no-shrink", "--warnings", "off", *header,
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:]
        asked = [line for line in service.log if line["event"] == "request"]
        answered = {(line["route"], line["status"]) for line in asked}
        assert {("/models/{name}/predict", 200), ("/predict", 422), ("/explain", 200)} <= answered
        assert (("other", 401) in answered) == bool(token)  # the door lets nobody as far as a route
        assert not [line for line in asked if line["status"] >= 500 or "fault" in line]
        assert service.ask("/health").status == 200
