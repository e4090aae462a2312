"""`predict --file 'shards/*'`: many files, here or by the workers of a Ray cluster; whatever is killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plaintune
from conftest import BAD, GOOD, Cli
from plaintune.core.errors import MissingExtra, OutputExists, UserError
from plaintune.core.events import silent
from plaintune.faces import shards
from plaintune.faces.batch import answer_file
from plaintune.faces.shards import answer_shards, shards_of
from test_batch import answered, write_rows

Trained = tuple[Path, dict[str, Any]]
HERE = Path(__file__).parents[1]
TEXTS = [*GOOD, *BAD]


def installed(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed here: {', '.join(missing)}")


@pytest.fixture(scope="module")
def model(trained: Trained) -> plaintune.Model:
    return plaintune.load(trained[0])


def write_shards(folder: Path, *rows: int) -> list[Path]:
    folder.mkdir(parents=True)
    return [write_rows(folder / f"{name}.csv", count) for name, count in zip("abcdefgh", rows, strict=False)]


def test_every_file_is_answered_as_it_would_be_alone(
    cli: Cli, trained: Trained, model: plaintune.Model, tmp_path: Path
) -> None:
    files = write_shards(tmp_path / "in", 300, 40, 97)
    (tmp_path / "in" / "d.jsonl").write_text(json.dumps({"review": GOOD[0], "n": 1}) + "\n")
    command = ["predict", trained[0], "--file", "in/*", "--out", "out", "--unsure", "0.7"]
    done = cli(*command, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"out": "out", "rows": 438, "without_answer": 4}
    for file in files:
        answer_file(model, str(file), tmp_path / "alone.csv", unsure=0.7, listener=silent)
        assert (tmp_path / "out" / file.name).read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.csv",
        "b.csv",
        "c.csv",
        "d.jsonl",
    ]
    again = cli(*command, cwd=tmp_path)
    assert again.returncode == 2
    assert "--yes" in again.stderr


def test_a_file_keeps_its_folder_and_what_cannot_be_written_becomes_a_table(tmp_path: Path) -> None:
    for name in ("in/x/a.csv", "in/y/a.csv", "in/y/b.csv.gz", "in/c.json", "in/d.xlsx", "in/out/e.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = shards_of(str(tmp_path / "in/**"), tmp_path / "in" / "out")
    names = {str(shard.out.relative_to(tmp_path / "in" / "out")) for shard in found}
    assert names == {"x/a.csv", "y/a.csv", "y/b.csv.gz.csv", "c.json.jsonl", "d.xlsx.csv"}


@pytest.mark.parametrize("names", [("d.xlsx", "d.xlsx.csv"), ("c.json", "c.json.jsonl")])
def test_two_files_that_would_be_answered_in_one_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).touch()
    with pytest.raises(UserError, match=f"{names[0]} and {names[1]} would both be answered in") as refused:
        shards_of(str(tmp_path / "in/*"), tmp_path / "out")
    assert "Rename one" in refused.value.fix


def test_a_file_that_is_done_is_not_done_again_and_a_changed_one_is(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_shards(tmp_path / "in", 20, 30, 40)
    found = shards_of(str(tmp_path / "in" / "*.csv"), tmp_path / "out")
    asked: list[str] = []

    def fails_at_c(model: plaintune.Model, source: str, out: Path, **options: Any) -> Any:
        asked.append(Path(source).name)
        if asked == ["a.csv", "b.csv", "c.csv"]:
            raise KeyboardInterrupt
        return answer_file(model, source, out, **options)

    monkeypatch.setattr(shards, "answer_file", fails_at_c)
    with pytest.raises(KeyboardInterrupt):
        answer_shards(model, found, listener=silent)
    write_rows(files[0], 25)
    with pytest.raises(OutputExists):
        answer_shards(model, found, listener=silent)
    done = answer_shards(model, found, replace_existing=True, listener=silent)
    assert done.rows == 25 + 30 + 40
    assert asked == ["a.csv", "b.csv", "c.csv", "a.csv", "c.csv"]
    assert len(answered(tmp_path / "out" / "a.csv")) == 25
    assert not list((tmp_path / "out").glob(".*"))


def test_a_kill_between_a_file_and_its_mark_costs_nothing_but_its_time(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "in", 20, 30)
    found = shards_of(str(tmp_path / "in" / "*.csv"), tmp_path / "out")
    write_text = shards.write_text

    def killed_when_done(file: Path, content: str) -> None:
        if json.loads(content)["done"]:
            raise KeyboardInterrupt
        write_text(file, content)

    monkeypatch.setattr(shards, "write_text", killed_when_done)
    with pytest.raises(KeyboardInterrupt):
        answer_shards(model, found, listener=silent)
    monkeypatch.setattr(shards, "write_text", write_text)
    assert (tmp_path / "out" / "a.csv").exists()
    assert answer_shards(model, found, listener=silent).rows == 50


def test_a_file_that_cannot_be_read_does_not_stop_the_others(model: plaintune.Model, tmp_path: Path) -> None:
    files = write_shards(tmp_path / "in", 20, 30, 40)
    files[0].write_bytes(b"\x89PNG")
    found = shards_of(str(tmp_path / "in" / "*.csv"), tmp_path / "out")
    files[1].unlink()
    with pytest.raises(UserError, match=r"2 of 3 files could not be answered. a.csv is a PNG"):
        answer_shards(model, found, listener=silent)
    write_rows(files[1], 30)
    write_rows(files[0], 20)
    assert answer_shards(model, found, listener=silent).rows == 90


def test_what_does_not_go_together_is_said(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    write_shards(tmp_path / "in", 3)
    for options, told in (
        (["--file", "in/*.csv"], "need a folder"),
        (["--file", "in/*.csv", "--out", "in/a.csv"], "is a file"),
        (["--file", "in/*.csv", "--out", "in"], "outside"),
        (["--file", "in/*.tsv", "--out", "out"], "no file like"),
        (["--file", "in/a.csv", "--address", "auto"], "--engine ray"),
        (["a text", "--engine", "ray"], "--engine ray"),
    ):
        done = cli("predict", trained[0], *options, cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 2), done.stderr
        assert told in done.stderr


def test_without_ray_it_says_what_to_install(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_shards(tmp_path / "in", 3)
    with pytest.raises(MissingExtra, match=re.escape(".[ray]")):
        answer_shards(
            model, shards_of(str(tmp_path / "in/*"), tmp_path / "out"), ray="local", listener=silent
        )


@pytest.mark.parametrize(("told", "most"), [("1", 1), ("0", 1), ("many", 1 << 20), ("1000000", 1 << 20)])
def test_a_worker_uses_no_more_cores_than_it_was_given(
    monkeypatch: pytest.MonkeyPatch, told: str, most: int
) -> None:
    from plaintune.core.hardware import usable_cores

    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert 1 <= usable_cores() <= min(most, os.cpu_count() or 1)


def descendants(process: int) -> dict[int, str]:
    """The processes under one, by what they call themselves."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ").strip()
    found: dict[int, str] = {}
    level = {process}
    while level := {child for child, parent in parents.items() if parent in level}:
        found |= {child: titles.get(child, "") for child in level}
    return found


@contextlib.contextmanager
def on_ray(folder: Path, model: Path, *options: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "plaintune", "predict", str(model), "--file", "in/*.csv", "--out", "out"]
    process = subprocess.Popen(
        [*command, "--engine", "ray", *map(str, options)], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@installed("ray")
def test_a_killed_ray_worker_loses_nothing(trained: Trained, model: plaintune.Model, tmp_path: Path) -> None:
    files = write_shards(tmp_path / "in", 60_000, 60_000, 5_000, 5_000)
    with on_ray(tmp_path, trained[0]) as run:
        journal = tmp_path / "out" / ".a.csv.part.json"
        while not (journal.exists() and json.loads(journal.read_text())["rows"] > 10_000):
            assert run.poll() is None, run.communicate()
            time.sleep(0.02)
        workers = [pid for pid, title in descendants(run.pid).items() if title.startswith("ray::plaintune")]
        assert len(workers) >= 2
        writer = next(pid for pid in workers if ".a.csv.part" in open_files(pid))
        os.kill(writer, signal.SIGKILL)
        told, _ = run.communicate(timeout=240)
        assert run.returncode == 0, told
        assert "130,000 rows answered" in told
    for file in files:
        answer_file(model, str(file), tmp_path / "alone.csv", listener=silent)
        assert (tmp_path / "out" / file.name).read_bytes() == (tmp_path / "alone.csv").read_bytes()
        (tmp_path / "alone.csv").unlink()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [file.name for file in files]


def open_files(process: int) -> str:
    names = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(os.readlink(link))
    return " ".join(names)


@contextlib.contextmanager
def running_cluster() -> Iterator[str]:
    """A Ray cluster that is nobody's of this run, by its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # Ray's sockets lie in there: names of 107 letters
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}"]
    command += [f"--temp-dir={short}", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    command += ["--node-ip-address=127.0.0.1", "--object-store-memory=80000000"]
    head = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert head.stdout
        told = ""
        while "Ray runtime started" not in told:
            line = head.stdout.readline()
            assert line, told
            told += line
        yield f"127.0.0.1:{port}"
    finally:
        head.terminate()
        head.communicate(timeout=60)
        shutil.rmtree(short, ignore_errors=True)


@pytest.mark.slow
@installed("ray")
def test_a_cluster_that_runs_already_answers_by_its_address(
    cli: Cli, trained: Trained, model: plaintune.Model, tmp_path: Path
) -> None:
    files = write_shards(tmp_path / "in", 300, 40)
    with running_cluster() as address:
        on_ray = ("--engine", "ray", "--address", address)
        done = cli("predict", trained[0], "--file", "in/*", "--out", "out", *on_ray, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for file in files:
        answer_file(model, str(file), tmp_path / "alone.csv", listener=silent)
        assert (tmp_path / "out" / file.name).read_bytes() == (tmp_path / "alone.csv").read_bytes()


@pytest.mark.slow
@installed("ray")
def test_ray_reports_nothing_to_its_makers() -> None:
    program = """
from plaintune.faces.shards import _started_ray
ray = _started_ray("local")
from ray._common.usage.usage_lib import usage_stats_enabled
print(usage_stats_enabled())
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split()[-1] == "False"


@pytest.mark.slow
@installed("pyspark")
@pytest.mark.skipif(shutil.which("java") is None, reason="no Java here")
def test_the_example_for_spark_gives_the_answers_of_predict(
    trained: Trained, model: plaintune.Model, tmp_path: Path
) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    example = re.search(r"```python\n(.*?)```", (HERE / "docs" / "many-machines.md").read_text(), re.DOTALL)
    assert example
    (tmp_path / "example.py").write_text(example[1])
    (tmp_path / "reviews-model").symlink_to(trained[0])
    (tmp_path / "shards").mkdir()
    for number in range(2):
        rows = {"id": list(range(20 * number, 20 * number + 20)), "review": TEXTS}
        parquet.write_table(arrow.table(rows), tmp_path / "shards" / f"{number}.parquet")
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "example.py"],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = parquet.read_table(tmp_path / "answers").sort_by("id").to_pydict()
    assert found["id"] == list(range(40))
    assert found["answer"] == [p.answer for p in model.predict(TEXTS)] * 2
    assert found["confidence"] == pytest.approx([p.confidence for p in model.predict(TEXTS)] * 2, abs=1e-5)
