"""Bytes that nobody chose: a fuzzer on the readers and the check, for a short while."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz_readers import read_and_check

SECONDS = 30


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b"text,label\n" + b"a \x9f\xd3\x9d\xcf day,yes\nany day,no\n" * 6, ".csv"),
        (b"text,label\n" + b"caf\xe9,yes\nany day,no\n" * 6 + b"\xc3\xa9t\xc3\xa9 \x81,no\n", ".csv"),
        (b"\x9d" * 40, ".jsonl"),
        (b"some,text,label\ra,b,yes\r" + b"\r" * 300 + b"text,label\ra,yes\rb,no\r", ".csv"),
    ],
)
def test_what_the_fuzzer_once_found_stays_mended(content: bytes, suffix: str) -> None:
    read_and_check(content, suffix)  # asserts for itself


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_random_files_are_read_or_refused_in_words(tmp_path: Path) -> None:
    program = Path(__file__).with_name("fuzz_readers.py")
    done = subprocess.run(
        [sys.executable, str(program), f"-max_total_time={SECONDS}", "-timeout=20"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    files = [f"{file.name}: {file.read_bytes()!r}" for file in tmp_path.iterdir()]
    assert done.returncode == 0, "\n".join([done.stderr[-1000:], done.stdout[-2000:], *files])
    assert not list(tmp_path.iterdir())
    assert "stat::number_of_executed_units" in done.stderr or "Done " in done.stderr
