"""The house rules: arrows between rooms, light imports, small files, no pickles."""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "plaintune"
FILES = sorted(SOURCE.rglob("*.py"))
MAY_USE = {
    "core": {"core"},
    "data": {"core", "data"},
    "learn": {"core", "data", "learn"},
    "model": {"core", "data", "model"},
    "report": {"core", "data", "report"},
    "compute": {"core", "data", "model", "pipeline", "compute", "learn", "report"},
}


def imported_rooms(file: Path) -> set[str]:
    """The rooms of ours that a file imports from, lazily or not; type-only imports do not count."""
    package = ("plaintune", *file.relative_to(SOURCE).parts[:-1])
    rooms = set()
    tree = ast.parse(file.read_text())
    type_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in type_only or not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split("."))
        else:
            target = tuple((node.module or "").split("."))
        if target[0] == "plaintune" and len(target) > 1 and target[1]:
            rooms.add(target[1])
    return rooms


@pytest.mark.parametrize("room", sorted(MAY_USE))
def test_imports_follow_the_arrows(room: str) -> None:
    for file in (SOURCE / room).glob("*.py"):
        assert imported_rooms(file) <= MAY_USE[room], file.name


def test_the_arrow_test_sees_imports() -> None:
    assert {"data", "core"} <= imported_rooms(SOURCE / "learn" / "plan.py")


def test_no_file_is_longer_than_400_lines() -> None:
    assert max(len(file.read_text().splitlines()) for file in FILES) <= 400


def test_no_pickle_and_no_foreign_code_is_ever_loaded() -> None:
    for file in FILES:
        text = file.read_text()
        assert not re.search(
            r"import pickle|torch\.load|joblib|trust_remote_code.{0,4}True|(?<!\.)\beval\(", text
        ), file


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_loading_the_model_room_loads_no_training_stack() -> None:
    code = "import sys, plaintune.model.predict, plaintune.model.evaluate; print(*sys.modules)"
    loaded = set(run(code).split())
    assert not loaded & {"torch", "transformers", "sklearn", "scipy", "pandas", "pyarrow"}


def best_seconds(code: str) -> float:
    times = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        )  # others may be at work here
    return min(times)


def test_importing_plaintune_is_light() -> None:
    assert best_seconds("import plaintune") - best_seconds("pass") < 0.3


def test_help_answers_at_once() -> None:
    help_command = (
        "import sys; sys.argv = ['plaintune', '--help']; from plaintune.faces.cli import main; main()"
    )
    assert best_seconds(help_command) < 0.5


def test_importing_plaintune_changes_nothing() -> None:
    code = (
        "import logging, warnings, os, numpy\n"
        "before = (list(warnings.filters), logging.root.level, dict(os.environ))\n"
        "import plaintune, plaintune.api, plaintune.faces.cli, plaintune.model.predict\n"
        "print(before == (list(warnings.filters), logging.root.level, dict(os.environ)))"
    )
    assert run(code).strip() == "True"
