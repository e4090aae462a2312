"""`plaintune serve` under more load than it can bear: it says so at once, and answers the rest in time."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import GOOD
from service import serving

LOAD = Path(__file__).parents[1] / "benchmarks" / "load.py"
FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from plaintune.faces.cli import main
main()
"""


def test_more_connections_than_a_process_may_usually_have_are_answered(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    body = json.dumps({"text": GOOD[0]})
    with (
        serving(trained[0], cwd=tmp_path, program=("-c", FEW_FILES)) as service,
        contextlib.ExitStack() as all,
    ):
        place = urlsplit(service.address).netloc
        for _ in range(200):
            connection = all.enter_context(contextlib.closing(http.client.HTTPConnection(place, timeout=20)))
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            assert response.status == 200
            response.read()


@pytest.mark.slow
def test_twice_what_it_can_do_ends_in_nothing_but_answers_and_503_in_bounded_time(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    command = [sys.executable, LOAD, trained[0], "--seconds", "10", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "× 503" in done.stdout
