"""At a real terminal: questions are asked and answered, and a wait has a bar."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import review_rows, write_csv
from plaintune.core.events import Event, note
from plaintune.faces.endings import heeding


@pytest.mark.parametrize("more", [(), ("--out", "answers.csv")])
def test_answers_that_are_sent_to_a_file_get_there_while_the_terminal_shows_the_bar(
    trained: tuple[Path, object], tmp_path: Path, more: tuple[str, ...]
) -> None:
    write_csv(tmp_path / "mail.csv", ["review"], [(text,) for text, _ in review_rows()])
    ours, theirs = pty.openpty()
    with (tmp_path / "sent.csv").open("w") as sent:
        done = subprocess.run(
            [sys.executable, "-m", "plaintune", "predict", trained[0], "--file", "mail.csv", *more],
            cwd=tmp_path, stdin=theirs, stdout=sent, stderr=theirs, check=False,
            env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    lines = (tmp_path / (more[1] if more else "sent.csv")).read_text().splitlines()
    assert len(lines) == 1 + len(review_rows())


def test_a_ctrl_c_that_a_library_passed_over_is_heard_at_the_next_word() -> None:
    told: list[Event] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a process of its own
    with heeding(told.append) as listener:
        note(listener, "before")
        with suppress(KeyboardInterrupt):  # as a bare except does
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            note(listener, "after")
    assert [event.message for event in told] == ["before"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class AtTerminal:
    """`plaintune ARGS` with a pseudo-terminal for all three streams."""

    def __init__(self, *args: object, folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "plaintune", *map(str, args)],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def read_until(self, pattern: str, seconds: float = 60) -> None:
        """Wait until the screen has shown ``pattern``."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, self.seen
            if select.select([self._ours], [], [], 0.2)[0]:
                self.seen += os.read(self._ours, 4096).decode(errors="replace")

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def exit_code(self, seconds: float = 90) -> int:
        """Read on until the command ends."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self._ours], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self._ours, 4096).decode(errors="replace")
                except OSError:  # Linux says EIO when the other side has closed
                    break
        return self.process.wait(timeout=5)


@pytest.fixture
def two_answers(tmp_path: Path) -> Path:
    rows = [(text, label, "xy"[n % 2]) for n, (text, label) in enumerate(review_rows())]
    write_csv(tmp_path / "data.csv", ["review", "mood", "shelf"], rows)
    return tmp_path


def test_an_unclear_column_is_asked_for_and_the_answer_is_used(
    two_answers: Path, tiny_backbone: Path
) -> None:
    terminal = AtTerminal(
        "train", "data.csv", "--backbone", tiny_backbone, "--minutes", 1, folder=two_answers
    )
    terminal.read_until(r"Which one\?")
    assert re.search(r"1\s+mood", terminal.seen)
    terminal.type("nonsense")
    terminal.read_until(r"Which one\?[\s\S]*Which one\?")
    terminal.type("1")
    assert terminal.exit_code() == 0, terminal.seen
    assert "I will predict `mood`" in terminal.seen
    assert "left:" in terminal.seen  # the bar
    assert (two_answers / "data-model" / "manifest.json").exists()


def test_a_model_in_the_way_is_kept_unless_the_answer_is_yes(two_answers: Path) -> None:
    (two_answers / "data-model").mkdir()
    (two_answers / "data-model" / "manifest.json").write_text("{}")
    terminal = AtTerminal("train", "data.csv", "--label", "mood", folder=two_answers)
    terminal.read_until(r"Replace it\? \[y/N\]")
    terminal.type("")
    assert terminal.exit_code() == 2
    assert (two_answers / "data-model" / "manifest.json").read_text() == "{}"
