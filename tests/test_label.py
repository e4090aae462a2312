"""`plaintune label`: one key a text, every answer on disk at once, useful texts first."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import BAD, GOOD, Cli, write_csv
from plaintune.core.errors import UserError
from plaintune.data.answered import AnswerFile
from plaintune.learn.active import how_good, next_text

TEXTS = [f"{text}, {place}" for text in GOOD + BAD for place in ("here", "there")]


def label(folder: Path, keys: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plaintune", "label", "texts.csv", "--answers", "good,bad", *arguments]
    return subprocess.run(
        command, cwd=folder, input="\n".join(keys), capture_output=True, text=True, timeout=120,
        env={**os.environ, "COLUMNS": "80"}, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_csv(tmp_path / "texts.csv", ["text"], [(text,) for text in TEXTS])
    return tmp_path


def kept(folder: Path) -> list[list[str]]:
    return list(csv.reader((folder / "texts-labels.csv").open(encoding="utf-8")))


@pytest.mark.slow
def test_answers_are_kept_undone_skipped_and_gone_on_with(folder: Path) -> None:
    first = label(folder, "12us1q")
    assert first.returncode == 0, first.stderr
    rows = kept(folder)
    assert rows[0] == ["text", "answer"]
    assert [answer for _, answer in rows[1:]] == ["good", "", "good"]
    assert "2 answers in texts-labels.csv" in first.stdout
    assert first.stderr.strip().endswith("…") or "terminate" not in first.stderr
    second = label(folder, "21")
    assert second.returncode == 0
    texts = [text for text, _ in kept(folder)[1:]]
    assert len(texts) == 5
    assert len(set(texts)) == 5
    assert set(texts) <= set(TEXTS)


def test_after_twenty_answers_it_says_how_good_and_ends_when_no_text_is_left(folder: Path) -> None:
    told = label(folder, "12" * 30)
    assert told.returncode == 0, told.stderr
    assert "20 answers: a model of these would be right" in told.stdout
    assert "No text is left." in told.stdout
    assert len(kept(folder)) == 1 + len(TEXTS)


def test_a_file_that_holds_something_else_is_never_touched(folder: Path) -> None:
    (folder / "texts-labels.csv").write_text("my,own,file\n1,2,3\n4,5,6\n")
    told = label(folder, "1")
    assert told.returncode == 2
    assert len(told.stderr.strip().splitlines()[-2:]) == 2
    assert (folder / "texts-labels.csv").read_text() == "my,own,file\n1,2,3\n4,5,6\n"


def test_one_answer_is_refused(cli: Cli, folder: Path) -> None:
    told = cli("label", "texts.csv", "--answers", "good", cwd=folder)
    assert told.returncode == 2
    assert "--answers billing,delivery,other" in told.stderr


def test_a_line_cut_short_by_a_kill_is_asked_again(tmp_path: Path) -> None:
    file = AnswerFile(tmp_path / "a.csv")
    file.add("first, with a comma", "good")
    file.add("second", "bad")
    with (tmp_path / "a.csv").open("a", encoding="utf-8") as raw:
        raw.write('"third, cut')
    again = AnswerFile(tmp_path / "a.csv")
    assert again.rows == [("first, with a comma", "good"), ("second", "bad")]
    again.add("third, whole", "good")
    assert AnswerFile(tmp_path / "a.csv").rows == again.rows


def test_an_answer_cut_short_by_a_kill_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,answer\nfirst,good\nsecond,go")
    file = AnswerFile(tmp_path / "a.csv")
    assert file.rows == [("first", "good")]
    file.add("second", "good")
    assert AnswerFile(tmp_path / "a.csv").rows == [("first", "good"), ("second", "good")]


def test_answers_that_a_spreadsheet_saved_are_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,answer\nfirst,good\n", encoding="utf-8-sig")
    AnswerFile(tmp_path / "a.csv").add("second", "bad")
    assert AnswerFile(tmp_path / "a.csv").rows == [("first", "good"), ("second", "bad")]


def test_an_empty_file_that_is_there_gets_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    AnswerFile(tmp_path / "a.csv").add("first", "good")
    assert AnswerFile(tmp_path / "a.csv").rows == [("first", "good")]


def test_texts_of_any_shape_come_back_from_a_folder_made_for_them(tmp_path: Path) -> None:
    place = tmp_path / "new" / "a.csv"
    texts = ["one\rtwo", "one\r\ntwo", "long " * 40_000]
    file = AnswerFile(place)
    for text in texts:
        file.add(text, "good")
    assert [text for text, _ in AnswerFile(place).rows] == texts


def test_taking_back_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert AnswerFile(tmp_path / "a.csv").take_back() is None
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError):
        AnswerFile(tmp_path / "b.csv")


def test_the_next_text_is_the_one_the_model_is_least_sure_of() -> None:
    angles = np.linspace(0, np.pi / 2, 41)
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    asked = [*range(7), *range(34, 41)]
    answers = [0] * 7 + [1] * 7
    assert abs(next_text(features, asked, answers, np.random.default_rng(0)) - 20) <= 1
    assert next_text(features, list(range(41)), [0] * 41, np.random.default_rng(0)) == -1


def test_how_good_needs_twenty_answers_and_is_right_on_easy_ones() -> None:
    rng = np.random.default_rng(0)
    answers = np.arange(40) % 2
    features = np.eye(2, dtype=np.float32)[answers] + rng.normal(0, 0.1, (40, 2)).astype(np.float32)
    assert how_good(features[:19], answers[:19]) is None
    judged = how_good(features, answers)
    assert judged is not None
    assert judged[0] > 0.95
