"""Bad input through the real command line: exit 2, two lines, no traceback, nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Cli, review_rows, write_csv
from plaintune.core.errors import BrokenModel, OutputExists, UserError
from plaintune.model import parts
from plaintune.model.folder import publish, require_free
from plaintune.model.predict import Model

Trained = tuple[Path, dict[str, Any]]
HEADER = ["review", "sentiment"]


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    error = next(number for number, line in enumerate(lines) if line.startswith("Error: "))
    assert len(lines) - error == 2, done.stderr
    for word in words:
        assert word in done.stderr


def a_csv(rows: list[tuple[str, ...]], header: list[str] | None = None) -> Callable[[Path], None]:
    return lambda folder: void(write_csv(folder / "data.csv", header or HEADER, rows))


def bytes_in(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / name).write_bytes(content))


def void(_: object) -> None:
    return None


def parquet_cut_short(folder: Path) -> None:
    (folder / "data.parquet").write_bytes(b"PAR1" + b"\x00" * 200)


def ragged(folder: Path) -> None:
    lines = ["review,sentiment"] + [f'"{text}",{label}' for text, label in review_rows()]
    lines[7] += ",surplus,fields"
    lines[30] = "too few"
    lines[31] += ",surplus"
    (folder / "data.csv").write_text("\n".join(lines))


def two_tables(folder: Path) -> None:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, "review,sentiment\ngood,yes\nbad,no\n")


CASES: list[tuple[str, Callable[[Path], None], str, tuple[str, ...]]] = [
    ("no_such_file", a_csv(review_rows()), "dta.csv", ("dta.csv", "data.csv")),
    ("an_empty_file", bytes_in("data.csv", b""), "data.csv", ("empty",)),
    ("only_a_header", bytes_in("data.csv", b"review,sentiment\n"), "data.csv", ()),
    (
        "one_answer_only",
        a_csv([(f"text number {n} here", "positive") for n in range(30)]),
        "data.csv",
        ("positive",),
    ),
    ("all_texts_empty", a_csv([("", "a"), ("", "b")] * 20), "data.csv", ()),
    ("no_text_column", a_csv([(str(n), "ab"[n % 2]) for n in range(50)], ["size", "kind"]), "data.csv", ()),
    (
        "an_answer_for_each_row",
        a_csv([(f"{text} {n}", f"id-{n}") for n, (text, _) in enumerate(review_rows())]),
        "data.csv",
        (),
    ),
    (
        "broken_utf8",
        bytes_in(
            "data.csv",
            "review,sentiment\ncafé good,a\n“quite” bad,b\n".encode().replace(b"\x80\x9c", b"\x80"),
        ),
        "data.csv",
        ("3", "UTF-8"),
    ),
    ("ragged_rows", ragged, "data.csv", ("8", "31", "32")),
    ("a_folder_without_files", lambda folder: (folder / "data").mkdir(), "data", ()),
    ("a_corrupt_parquet", parquet_cut_short, "data.parquet", ("data.parquet",)),
    ("a_corrupt_excel", bytes_in("data.xlsx", b"PK\x03\x04" + b"junk" * 50), "data.xlsx", ("data.xlsx",)),
    ("a_file_of_zeros", bytes_in("data.csv", bytes(5000)), "data.csv", ("data.csv is a binary file",)),
    ("an_archive_of_two_tables", two_tables, "data.zip", ("data.zip holds", "a.csv, b.csv", "Unpack it")),
    ("a_corrupt_zip", bytes_in("data.zip", b"PK\x03\x04" + b"junk" * 50), "data.zip", ("data.zip",)),
    (
        "a_corrupt_gzip",
        bytes_in("data.csv.gz", gzip.compress(b"a,b\n" * 999)[:40]),
        "data.csv.gz",
        ("data.csv.gz",),
    ),
    ("a_picture", bytes_in("data.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256))), "data.png", ("data.png",)),
]


@pytest.mark.parametrize(("prepare", "name", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_bad_data_is_refused_and_leaves_nothing_behind(
    cli: Cli, tmp_path: Path, prepare: Callable[[Path], None], name: str, words: tuple[str, ...]
) -> None:
    prepare(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert_refused(cli("train", name, cwd=tmp_path), *words)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_column_that_is_not_there_is_named_with_the_nearest(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", HEADER, review_rows())
    done = cli("train", "data.csv", "--label", "sentment", cwd=tmp_path)
    assert_refused(done, "sentment", "Did you mean 'sentiment'?", "--label")


def test_two_possible_answers_are_a_question_not_a_guess(cli: Cli, tmp_path: Path) -> None:
    rows = [(text, label, "xy"[n % 2]) for n, (text, label) in enumerate(review_rows())]
    write_csv(tmp_path / "data.csv", ["review", "mood", "shelf"], rows)
    assert_refused(cli("train", "data.csv", cwd=tmp_path), "mood", "shelf", "--label")


def test_too_few_different_texts_are_refused_before_training(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", HEADER, [("so good it hurts", "a"), ("so bad it hurts", "b")] * 2)
    assert_refused(cli("train", "data.csv", cwd=tmp_path), "too few")


@pytest.mark.parametrize("minutes", ["0", "-3", "nan"])
def test_minutes_that_are_no_time_are_refused(cli: Cli, tmp_path: Path, minutes: str) -> None:
    write_csv(tmp_path / "data.csv", HEADER, review_rows())
    assert_refused(cli("train", "data.csv", "--minutes", minutes, cwd=tmp_path), "--minutes")


def test_an_unknown_option_is_two_lines(cli: Cli, tmp_path: Path) -> None:
    assert_refused(
        cli("train", "data.csv", "--epochs", "3", cwd=tmp_path), "--epochs", "plaintune train --help"
    )


def test_a_model_that_is_there_already_is_not_replaced_unasked(
    cli: Cli, trained: Trained, tmp_path: Path
) -> None:
    write_csv(tmp_path / "data.csv", HEADER, review_rows())
    shutil.copytree(trained[0], tmp_path / "data-model")
    before = (tmp_path / "data-model" / "manifest.json").read_bytes()
    assert_refused(cli("train", "data.csv", cwd=tmp_path), "already holds a model", "--yes")
    assert (tmp_path / "data-model" / "manifest.json").read_bytes() == before


def test_a_folder_that_is_no_model_is_never_replaced(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", HEADER, review_rows())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mum.jpg").write_bytes(b"dear")
    assert_refused(cli("train", "data.csv", "--out", "photos", "--yes", cwd=tmp_path), "photos")
    assert (tmp_path / "photos" / "mum.jpg").read_bytes() == b"dear"


def test_an_output_that_cannot_be_written_is_refused_before_training(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", HEADER, review_rows())
    (tmp_path / "file").write_text("in the way")
    assert_refused(cli("train", "data.csv", "--out", "file/model", cwd=tmp_path), "--out")
    assert_refused(cli("train", "data.csv", "--out", "/proc/model", cwd=tmp_path), "--out")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="a small disk needs root")
def test_a_full_disk_is_said_before_training(cli: Cli, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", HEADER, review_rows())
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        assert_refused(cli("train", "data.csv", "--out", "disk/model", cwd=tmp_path), "free", "--out")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


def damaged(trained: Trained, folder: Path) -> Path:
    return Path(shutil.copytree(trained[0], folder / "model"))


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "tokenizer.json", "ngrams.safetensors"])
def test_a_model_with_a_part_missing_is_refused(
    cli: Cli, trained: Trained, tmp_path: Path, name: str
) -> None:
    model = damaged(trained, tmp_path)
    (model / name).unlink()
    assert_refused(cli("predict", model, "hello", cwd=tmp_path), name)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "tokenizer.json", "ngrams.safetensors"])
def test_a_model_that_was_cut_short_is_refused(cli: Cli, trained: Trained, tmp_path: Path, name: str) -> None:
    model = damaged(trained, tmp_path)
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: len(content) // 2])
    assert_refused(cli("predict", model, "hello", cwd=tmp_path), name)


def test_a_model_with_one_byte_changed_is_refused(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    model = damaged(trained, tmp_path)
    content = bytearray((model / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (model / "model.onnx").write_bytes(content)
    assert_refused(cli("predict", model, "hello", cwd=tmp_path), "model.onnx", "changed")


def test_a_model_from_a_newer_release_says_so(cli: Cli, trained: Trained, tmp_path: Path) -> None:
    model = damaged(trained, tmp_path)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["format_version"] = 99
    (model / "manifest.json").write_text(json.dumps(manifest))
    assert_refused(cli("predict", model, "hello", cwd=tmp_path), "newer", "upgrade")


def test_a_model_left_aside_by_a_kill_comes_back(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, mine = tmp_path / "model", tmp_path / ".model.old-mine"
    shutil.copytree(trained[0], tmp_path / ".model.old-4711")
    mine.mkdir()
    with pytest.raises(BrokenModel):  # so young, it may be in its way to be replaced
        Model.load(out)
    monkeypatch.setattr(parts, "SETTLED_SECONDS", 0)
    assert len(Model.load(out).predict("a film")) == 1
    out.rename(tmp_path / ".model.old-4711")
    with pytest.raises(OutputExists):
        require_free(out, replace_existing=False)
    shutil.copytree(out, tmp_path / ".model.old-4711")
    require_free(out, replace_existing=True)
    assert sorted(tmp_path.iterdir()) == [mine, out]


def test_a_model_stays_where_the_new_one_cannot_come(trained: Trained, tmp_path: Path) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "model"))
    with pytest.raises(UserError, match="cannot be written"):
        publish(tmp_path / "not-made", out)
    assert list(tmp_path.iterdir()) == [out]
    assert len(Model.load(out).predict("a film")) == 1


def test_no_model_folder_says_how_to_make_one(cli: Cli, tmp_path: Path) -> None:
    assert_refused(cli("predict", "nowhere", "hello", cwd=tmp_path), "nowhere", "plaintune train")


def test_predict_without_texts_says_what_to_type(cli: Cli, tmp_path: Path) -> None:
    assert_refused(cli("predict", "model", cwd=tmp_path), "--file new.csv")


def test_predict_on_a_file_without_the_text_column_names_its_columns(
    cli: Cli, trained: Trained, tmp_path: Path
) -> None:
    write_csv(tmp_path / "new.csv", ["id", "reviews"], [("1", "good"), ("2", "bad")])
    done = cli("predict", trained[0], "--file", "new.csv", "--out", "out.csv", cwd=tmp_path)
    assert_refused(done, "'review'", "id, reviews", "--text")
    assert not (tmp_path / "out.csv").exists()


def test_an_unknown_term_offers_the_nearest(cli: Cli, tmp_path: Path) -> None:
    assert_refused(cli("glossary", "convergance", cwd=tmp_path), "convergence")


def test_an_unknown_data_set_is_refused(cli: Cli, tmp_path: Path) -> None:
    assert_refused(cli("get", "imbd", cwd=tmp_path), "imdb")
