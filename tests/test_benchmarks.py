"""The benchmarks: what they measured becomes a page, and those that use the inside of plaintune still run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import review_rows, write_csv

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MACHINE = {"processor": "A processor", "cores": 2, "units": None}


def write_line(folder: Path, benchmark: str, key: dict[str, object], figures: dict[str, object]) -> None:
    line = {
        "key": key,
        "figures": figures,
        "machine": MACHINE,
        "commit": "abc1234",
        "when": "2026-11-26T08:00",
    }
    with (folder / f"{benchmark}.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


def run(script: str, *options: str | Path, minutes: float = 3) -> str:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, *options],
        capture_output=True, text=True, timeout=60 * minutes, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_holds_the_latest_figure_of_each_work_and_where_it_comes_from(tmp_path: Path) -> None:
    key = {"data": "imdb", "answers": 200, "seed": 0}
    write_line(tmp_path, "labelling", {**key, "code": "old"}, {"chosen": 0.5, "random": 0.6})
    write_line(tmp_path, "labelling", {**key, "code": "new"}, {"chosen": 0.75, "random": 0.7})
    run("table.py", "--results", tmp_path, "--out", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| imdb | 75.0% | 70.0% | 1 of 1 |" in page
    assert "50.0%" not in page
    assert "200 answers given · A processor, 2 cores · commit abc1234 · 2026-11-26" in page
    assert "python benchmarks/labelling.py" in page


def test_without_results_the_page_is_not_written_and_it_says_what_to_run(tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "table.py", "--results", tmp_path, "--out", tmp_path / "page.md"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "benchmarks/peers.py" in done.stderr
    assert not (tmp_path / "page.md").exists()


@pytest.mark.slow
def test_training_speed_is_measured_with_the_steps_of_today(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], review_rows())
    small = ("--rows", "64", "--batch", "8", "--rounds", "1", "--steps", "1", "--warm-up", "1")
    told = run("throughput.py", "--set", rows, *small, "--only", "plaintune", "--results", tmp_path)
    assert "| plaintune |" in told


@pytest.mark.slow
def test_the_rate_finder_is_measured_with_the_training_of_today(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], review_rows())
    few = ("--seeds", "1", "--grid", "1e-4", "--passes", "0.5", "--minutes", "1")
    told = run("lr_finder.py", "--sets", rows, *few, "--results", tmp_path)
    assert "of training" in told


@pytest.mark.slow
def test_ways_of_training_are_compared_with_the_training_of_today(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", ["text", "label"], review_rows())
    few = ("--seeds", "1", "--rows", "64", "--minutes", "1")
    told = run("recipe.py", "--sets", rows, *few, "--results", tmp_path)
    for way in ("plain, 10 passes", "adversarial, 5 passes", "gradual, 5 passes"):
        assert way in told
