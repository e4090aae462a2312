"""`predict --file`: every row of any file, in order, with every column; killed, it goes on."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import plaintune
from conftest import BAD, GOOD, Cli, measured
from plaintune.core.errors import MissingExtra, UserError
from plaintune.core.events import silent
from plaintune.core.files import hold
from plaintune.data.table import Row
from plaintune.data.write import PartFile, _cell, kept_beside, line_writer
from plaintune.faces import batch
from plaintune.faces.batch import answer_file, model_mark

Trained = tuple[Path, dict[str, Any]]
TEXTS = [*GOOD, *BAD]


@pytest.fixture(scope="module")
def model(trained: Trained) -> plaintune.Model:
    return plaintune.load(trained[0])


def write_rows(file: Path, rows: int) -> Path:
    """A table with a number, one of our twenty sentences, an empty text now and then, and a comma."""
    told = ((n, "" if n % 97 == 96 else TEXTS[n % 20], f"old, {n}") for n in range(rows))
    columns = ("id", "review", "answer")
    if file.suffix == ".parquet":
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        parquet.write_table(arrow.table(dict(zip(columns, zip(*told, strict=True), strict=True))), file)
        return file
    with file.open("w", newline="", encoding="utf-8") as out:
        if file.suffix == ".jsonl":
            out.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in told)
        else:
            csv.writer(out).writerows([columns])
            csv.writer(out).writerows(told)
    return file


def answered(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def test_rows_keep_their_order_and_their_columns_beside_the_answers(
    model: plaintune.Model, tmp_path: Path
) -> None:
    done = answer_file(model, str(write_rows(tmp_path / "a.csv", 5000)), tmp_path / "b.csv", listener=silent)
    rows = answered(tmp_path / "b.csv")
    assert done == (5000, 51)
    assert [row["id"] for row in rows] == [str(number) for number in range(5000)]
    assert list(rows[0]) == ["id", "review", "answer", "answer (2)", "confidence"]
    assert rows[7]["answer"] == "old, 7"
    answers = {row["answer (2)"] for row in rows if row["review"] == GOOD[1]}
    assert answers == {model.predict(GOOD[1])[0].answer}
    assert rows[96]["answer (2)"] == rows[96]["confidence"] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_a_text_that_comes_back_is_worked_out_once_as_far_as_there_is_room(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Counting(plaintune.Model):
        def predict(self, texts: str | Sequence[str]) -> list[Any]:
            asked.extend(texts)
            return super().predict(texts)

    counting = Counting.load(model.folder)
    monkeypatch.setattr(batch, "BLOCK_ROWS", 50)
    answer_file(counting, str(write_rows(tmp_path / "a.csv", 300)), tmp_path / "b.csv", listener=silent)
    assert sorted(asked) == sorted(TEXTS)
    asked.clear()
    monkeypatch.setattr(batch, "REMEMBERED_NUMBERS", 100)  # ten texts with their two answers
    answer_file(counting, str(tmp_path / "a.csv"), tmp_path / "c.csv", listener=silent)
    assert len(TEXTS) + 5 * 10 <= len(asked) < 6 * len(TEXTS)
    assert (tmp_path / "b.csv").read_text() == (tmp_path / "c.csv").read_text()


def test_a_first_row_that_names_the_column_of_training_is_no_row(
    model: plaintune.Model, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("ticket_body\nFine\nAwful, all of it\n")
    out = tmp_path / "new" / "folder" / "b.csv"
    assert answer_file(model, str(tmp_path / "a.csv"), out, text=("Ticket_Body",), listener=silent).rows == 2
    assert [row["ticket_body"] for row in answered(out)] == ["Fine", "Awful, all of it"]


@pytest.mark.parametrize(("out", "why"), [("there", "is a folder"), ("a.csv/b.csv", "is no folder")])
def test_a_place_that_cannot_be_written_to_is_said_before_any_work(
    model: plaintune.Model, tmp_path: Path, out: str, why: str
) -> None:
    write_rows(tmp_path / "a.csv", 3)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match=why):
        answer_file(model, str(tmp_path / "a.csv"), tmp_path / out, listener=silent)


def test_line_ends_of_every_kind_stay_within_their_cell(model: plaintune.Model, tmp_path: Path) -> None:
    texts = ["one\rtwo", "one\r\ntwo", "one\ntwo", "plain"]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["review"], *([text] for text in texts)])
    answer_file(model, str(tmp_path / "a.csv"), tmp_path / "b.csv", listener=silent)
    assert [row["review"] for row in answered(tmp_path / "b.csv")] == texts


def test_a_key_that_comes_late_is_not_overwritten(model: plaintune.Model, tmp_path: Path) -> None:
    rows = [{"review": text} for text in TEXTS] * 600 + [{"review": GOOD[0], "answer": "mine"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer_file(model, str(tmp_path / "a.jsonl"), tmp_path / "b.jsonl", listener=silent)
    *_, last = map(json.loads, (tmp_path / "b.jsonl").read_text().splitlines())
    assert last["answer"] == "mine"
    assert last["answer (2)"] == model.predict(GOOD[0])[0].answer


def test_a_key_too_late_for_a_column_is_told(model: plaintune.Model, tmp_path: Path) -> None:
    rows = [{"review": text} for text in TEXTS] * 600 + [{"review": GOOD[0], "sender": "me"}] * 2
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told: list[str] = []
    answer_file(
        model,
        str(tmp_path / "a.jsonl"),
        tmp_path / "b.csv",
        listener=lambda event: told.append(event.message),
    )
    late = [words for words in told if "'sender'" in words]
    assert len(late) == 1
    assert "line 12,001" in late[0]
    assert "--out FILE.jsonl" in late[0]


def test_what_is_no_json_object_keeps_its_place_and_all_of_it(model: plaintune.Model, tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    whole, broken = json.dumps({"id": 1, "review": GOOD[0]}), '{"id": 2, "review": "cut off he'
    (tmp_path / "a.jsonl").write_text(f"{whole}\n{broken}\n[3]\n{whole}\n")
    told: list[str] = []
    for name in ("b.jsonl", "b.csv", "b.parquet"):
        answer_file(
            model, str(tmp_path / "a.jsonl"), tmp_path / name,
            listener=lambda event: told.append(event.message),
        )  # fmt: skip
    first, second, third, last = map(json.loads, (tmp_path / "b.jsonl").read_text().splitlines())
    assert second == {"unreadable": broken, "answer": None, "confidence": None}
    assert third["unreadable"] == "[3]"
    assert first == last
    assert list(first) == ["id", "review", "answer", "confidence"]
    nothing = {"review": "", "answer": "", "confidence": ""}
    assert answered(tmp_path / "b.csv")[1:3] == [{"id": broken, **nothing}, {"id": "[3]", **nothing}]
    assert parquet.read_table(tmp_path / "b.parquet").column("id").to_pylist() == ["1", broken, "[3]", "1"]
    assert len([words for words in told if "could not be read" in words]) == 3
    assert not [words for words in told if "too late" in words]


def test_what_is_beyond_the_last_column_stays_in_it(model: plaintune.Model, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,review\n1,fine\n2,late, and broken\n3,good,\n4\n")
    answer_file(model, str(tmp_path / "a.csv"), tmp_path / "b.csv", listener=silent)
    found = answered(tmp_path / "b.csv")
    assert [row["review"] for row in found] == ["fine", "late, and broken", "good", ""]
    assert [bool(row["answer"]) for row in found] == [True, False, True, False]


def stop_after(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Fail in the block after so many."""
    predict, calls = plaintune.Model.predict, iter(range(blocks))

    def counted(self: plaintune.Model, texts: Any) -> Any:
        next(calls)
        return predict(self, texts)

    monkeypatch.setattr(plaintune.Model, "predict", counted)


@pytest.mark.parametrize("name", ["b.csv", "b.jsonl", "b.parquet"])
def test_what_was_cut_short_goes_on_to_the_same_file(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = str(write_rows(tmp_path / "a.csv", 900))
    monkeypatch.setattr(batch, "BLOCK_ROWS", 200)
    answer_file(model, source, tmp_path / f"whole-{name}", listener=silent)
    with monkeypatch.context() as cut:
        stop_after(cut, 2)
        with pytest.raises((StopIteration, RuntimeError)):
            answer_file(model, source, tmp_path / name, listener=silent)
    with (tmp_path / f".{name}.part").open("a") as part:
        part.write("half a ro")  # what a kill between two blocks leaves
    with monkeypatch.context() as counted:
        stop_after(counted, 3)  # 900 rows are five blocks
        done = answer_file(model, source, tmp_path / name, listener=silent)
    assert done.rows == 900
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_part_of_another_file_begins_anew(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_rows(tmp_path / "a.csv", 900)
    monkeypatch.setattr(batch, "BLOCK_ROWS", 200)
    with monkeypatch.context() as cut:
        stop_after(cut, 2)
        with pytest.raises((StopIteration, RuntimeError)):
            answer_file(model, str(source), tmp_path / "b.csv", listener=silent)
    write_rows(source, 300)
    answer_file(model, str(source), tmp_path / "b.csv", listener=silent)
    assert [row["id"] for row in answered(tmp_path / "b.csv")] == [str(number) for number in range(300)]


@pytest.mark.parametrize(
    "other", [{"classes": ("no", "yes")}, {"windows": 3}, {"max_length_tokens": 9}, {"separator": "|"}]
)
def test_the_same_parts_that_answer_otherwise_are_another_model(
    model: plaintune.Model, other: dict[str, Any]
) -> None:
    """Else what one left unfinished the other would go on with."""
    manifest = dataclasses.replace(model.manifest, **other)
    changed = plaintune.Model(model.folder, manifest, model._graph, model._ngrams)
    assert model_mark(changed) != model_mark(model)


def test_a_file_that_was_finished_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """The second run had opened the part when the first put it in its place, and then got the lock."""
    out, part = tmp_path / "b.csv", tmp_path / ".b.csv.part"
    with part.open("ab") as second:
        first = PartFile(out, {"rows": 1})
        first.text.write("whole")
        first.finish()
        with pytest.raises(UserError, match="Another run is writing"):
            hold(second, part, out, kind="FILE")
    assert out.read_text() == "whole"


def test_a_file_that_cannot_be_put_in_its_place_is_not_answered_once_more(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_rows(tmp_path / "a.csv", 40), tmp_path / "b.csv"
    with monkeypatch.context() as refusing:
        replace = Path.replace

        def refuse(path: Path, target: Path) -> Path:
            if path.name == ".b.csv.part":
                raise PermissionError("it is open elsewhere")
            return replace(path, target)

        refusing.setattr(Path, "replace", refuse)
        with pytest.raises(PermissionError):
            answer_file(model, str(source), out, listener=silent)
    answer_file(model, str(source), out, listener=silent)
    assert [row["id"] for row in answered(out)] == [str(number) for number in range(40)]


def test_numbers_keep_their_places_in_a_table() -> None:
    cells = [_cell(number, ";") for number in (1234567.25, 1_700_000_000.5, 0.1 + 0.2, 0.9731)]
    assert cells == ["1234567.25", "1700000000.5", "0.3", "0.9731"]


def test_two_runs_never_write_one_file(model: plaintune.Model, tmp_path: Path) -> None:
    from plaintune.data.write import PartFile

    first = PartFile(tmp_path / "b.csv", {})
    with pytest.raises(UserError, match="Another run"):
        answer_file(model, str(write_rows(tmp_path / "a.csv", 9)), tmp_path / "b.csv", listener=silent)
    first.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_json_lines_keep_their_types_and_the_keys_that_come_late(
    model: plaintune.Model, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = [
        {"review": text, "stars": n, "of": {"a": [n]}} for n, text in enumerate(TEXTS)
    ]
    rows[19]["late"] = None
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer_file(model, str(tmp_path / "a.jsonl"), tmp_path / "b.jsonl", unsure=0.99, listener=silent)
    found = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in row if name in rows[19]} for row in found] == rows
    assert [list(row)[-3:] for row in found] == [["answer", "confidence", "unsure"]] * 20
    assert {row["unsure"] for row in found} <= {True, False}


def test_parquet_keeps_its_types(model: plaintune.Model, tmp_path: Path) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    columns = {"n": arrow.array([3, None], arrow.int32()), "review": arrow.array(TEXTS[:2])}
    columns["when"] = arrow.array([1, 2], arrow.timestamp("ns"))
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    answer_file(model, str(tmp_path / "a.parquet"), tmp_path / "b.parquet", listener=silent)
    found = parquet.read_table(tmp_path / "b.parquet")
    assert found.select(["n", "review", "when"]).equals(arrow.table(columns))
    assert [str(kind) for kind in found.schema.types[3:]] == ["string", "double"]
    assert found.column("answer").to_pylist() == [p.answer for p in model.predict(TEXTS[:2])]


def test_parquet_out_without_its_library_says_what_to_install_before_any_work(
    model: plaintune.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="Parquet"):
        answer_file(model, str(write_rows(tmp_path / "a.csv", 9)), tmp_path / "b.parquet", listener=silent)


def through_a_pipe(trained: Trained, given: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plaintune", "predict", str(trained[0]), "--file", "-", *options]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=True)


def test_stdin_is_answered_on_stdout_in_the_form_it_came_in(trained: Trained) -> None:
    table = through_a_pipe(trained, f"id,review\n1,{GOOD[2]}\n2,{BAD[0]}\n", "--out", "-", "--quiet").stdout
    assert [row["answer"] for row in csv.DictReader(io.StringIO(table))] == ["positive", "negative"]
    lines = through_a_pipe(trained, json.dumps({"review": GOOD[2], "n": 1}) + "\n").stdout
    assert json.loads(lines)["n"] == 1
    whole = through_a_pipe(trained, f"review\n{GOOD[2]}\n{BAD[0]}\n", "--json").stdout
    assert [row["answer"] for row in json.loads(whole)["predictions"]] == ["positive", "negative"]


def test_what_a_kill_leaves_of_stdin_goes_with_the_next_run(model: plaintune.Model, tmp_path: Path) -> None:
    source, out = write_rows(tmp_path / "a.csv", 9), tmp_path / "b.csv"
    with kept_beside(out) as kept:
        kept.write_text("of another run")
        with pytest.raises(UserError, match="Another run"), kept_beside(out):
            pass
        answer_file(model, str(source), out, listener=silent)
        assert kept.read_text() == "of another run"
        assert kept.parent.parent == tmp_path
    assert not kept.parent.exists()
    kept.parent.mkdir()
    kept.write_text("of a run that was killed")
    answer_file(model, str(source), out, listener=silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_stdin_is_not_read_where_its_answers_cannot_be_written(trained: Trained, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "plaintune", "predict", str(trained[0]), "--file", "-"]
    run = subprocess.Popen(
        [*command, "--out", "b.xlsx"], cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert run.stderr
    assert run.wait(timeout=60) == 2  # stdin is still open
    assert ".xlsx is not known" in run.stderr.read()
    assert not list(tmp_path.iterdir())
    run.communicate()


@pytest.mark.parametrize("place", ["x" * 300, "~nobody-of-that-name/there"])
def test_a_home_that_cannot_be_looked_at_stops_no_command(
    trained: Trained, cli: Cli, tmp_path: Path, place: str
) -> None:
    done = cli("predict", trained[0], GOOD[0], cwd=tmp_path, PLAINTUNE_HOME=place)
    assert done.returncode == 0, done.stderr


def peak_mib(folder: Path, model: Path, file: str) -> float:
    """The memory that `predict --file` took at most to answer ``file`` of ``folder`` in b.csv there."""
    command = [sys.executable, "-m", "plaintune", "predict", str(model), "--file", file, "--out", "b.csv"]
    measuring = measured(folder / "cost.json", command)
    subprocess.run(measuring, cwd=folder, stderr=subprocess.DEVNULL, check=True)
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["exit_code"] == 0
    return 1024 * float(cost["peak_gib"])


def test_half_a_character_and_a_terminal_of_another_age_do_not_stop_an_answer(trained: Trained) -> None:
    lines = '{"review": "half \\ud83d of it"}\n{"review": "très bien"}\n'
    command = [sys.executable, "-m", "plaintune", "predict", str(trained[0]), "--file", "-", "--quiet"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, input=lines.encode(), capture_output=True, env=ascii_only, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode().splitlines()[1])["review"] == "très bien"


def test_questions_that_begin_alike_are_answered_whole(model: plaintune.Model, tmp_path: Path) -> None:
    questions = [f"{'What' if n % 2 else 'How'} is number {n} ?" for n in range(8)]
    (tmp_path / "q.txt").write_text("\n".join(questions) + "\n")
    answer_file(model, str(tmp_path / "q.txt"), tmp_path / "b.csv", listener=silent)
    assert [next(iter(row.values())) for row in answered(tmp_path / "b.csv")] == questions
    (tmp_path / "l.txt").write_text("positive I like it\nnegative I do not\n" * 4)  # the model's own answers
    answer_file(model, str(tmp_path / "l.txt"), tmp_path / "c.csv", text=("text",), listener=silent)
    assert answered(tmp_path / "c.csv")[0]["text"] == "I like it"


def test_what_is_odd_about_a_file_is_told(model: plaintune.Model, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("review,more\ncaf\xe9,1\n".encode("latin-1") * 3)
    told: list[str] = []
    answer_file(
        model, str(tmp_path / "a.csv"), tmp_path / "b.csv",
        listener=lambda event: told.append(str(event)),
    )  # fmt: skip
    assert any("not UTF-8" in line for line in told)


def test_a_row_cut_short_after_its_text_is_answered(model: plaintune.Model, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"review,label,id\n{GOOD[0]}\n{BAD[0]},x,7,too many\n{BAD[0]},x,7\n,x\n")
    answer_file(model, str(tmp_path / "a.csv"), tmp_path / "b.csv", listener=silent)
    assert [bool(row["answer"]) for row in answered(tmp_path / "b.csv")] == [True, False, True, False]


def test_long_texts_are_worked_on_few_at_a_time(model: plaintune.Model, tmp_path: Path) -> None:
    rows = [Row(number, ["word " * 20_000]) for number in range(40)]
    sizes = []
    waiting = iter(rows)
    while block := batch._block(waiting):
        sizes.append(len(block))
    assert sum(sizes) == 40
    assert max(sizes) * 100_000 <= batch.BLOCK_CHARACTERS + 100_000


def test_out_that_cannot_be_a_table_is_refused_in_words(model: plaintune.Model, tmp_path: Path) -> None:
    source = str(write_rows(tmp_path / "a.csv", 3))
    with pytest.raises(UserError) as refused:
        answer_file(model, source, tmp_path / "b.xlsx", listener=silent)
    assert refused.value.fix == "End it in .csv, .tsv, .jsonl or .parquet"
    with pytest.raises(UserError, match="is a folder"):
        answer_file(model, source, Path(), listener=silent)


def test_no_number_is_written_that_json_does_not_know(tmp_path: Path) -> None:
    out = io.StringIO()
    line_writer(out)({"m": [float("nan"), {"n": float("inf")}], "k": 1})
    assert "NaN" not in out.getvalue()
    assert json.loads(out.getvalue(), parse_constant=pytest.fail)["k"] == 1


def background(folder: Path, model: Path, source: str, out: str) -> subprocess.Popen[bytes]:
    """`predict` at work on the file ``source`` of the folder, "< FILE" being that as stdin."""
    command = [sys.executable, "-m", "plaintune", "predict", str(model), "--quiet", "--out", out, "--file"]
    with (folder / source.removeprefix("< ")).open("rb") as given:
        return subprocess.Popen(
            [*command, "-" if source.startswith("<") else source], cwd=folder,
            stdin=given, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(folder)},
        )  # fmt: skip


def killed_when(run: subprocess.Popen[bytes], it_is_time: Callable[[], bool]) -> bool:
    """Whether it could be killed at that time; else it has ended before."""
    try:
        while run.poll() is None and not it_is_time():
            time.sleep(0.002)
    finally:
        run.kill()
    return run.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("a.csv", "b.csv"),
        ("a.parquet", "b.csv"),
        ("a.jsonl", "b.jsonl"),
        ("a.csv", "b.parquet"),
        ("a.parquet", "b.parquet"),
        ("< a.csv", "b.csv"),
        ("< a.jsonl", "b.parquet"),
    ],
)
def test_killed_again_and_again_no_row_is_lost_or_repeated(
    trained: Trained, model: plaintune.Model, tmp_path: Path, source: str, out: str
) -> None:
    file = write_rows(tmp_path / source.removeprefix("< "), 40_000)
    journal, made = tmp_path / f".{out}.part.json", tmp_path / f".{out}.made"
    kept = tmp_path / f".{out}.given" / "stdin"
    seen = -1

    def rows_kept() -> int:
        return int(json.loads(journal.read_text())["rows"]) if journal.exists() else -1

    def has_got_further() -> bool:
        assert rows_kept() >= seen, "it began anew"
        return rows_kept() > seen + 6_000

    for _ in range(3):
        assert killed_when(background(tmp_path, trained[0], source, out), has_got_further)
        assert kept.exists() == source.startswith("<")
        seen = rows_kept()
    if out.endswith(".parquet"):
        assert killed_when(background(tmp_path, trained[0], source, out), made.exists)
        assert not (tmp_path / out).exists()
    assert background(tmp_path, trained[0], source, out).wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, out]
    answer_file(model, str(file), tmp_path / f"whole-{out}", listener=silent)
    assert (tmp_path / out).read_bytes() == (tmp_path / f"whole-{out}").read_bytes()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(trained: Trained, tmp_path: Path) -> None:
    peaks = []
    for rows in (50_000, 1_000_000, 3_000_000):
        write_rows(tmp_path / "a.csv", rows)
        peaks.append(peak_mib(tmp_path, trained[0], "a.csv"))
        with (tmp_path / "b.csv").open() as out:
            assert sum(1 for _ in out) == rows + 1
        (tmp_path / "b.csv").unlink()
    assert 0 < max(peaks) < min(peaks) + 20, peaks


@pytest.mark.slow
@pytest.mark.parametrize("group_rows", [10_000, 240_000], ids=["many row groups", "one"])
def test_memory_does_not_grow_with_the_size_of_a_parquet_file(
    trained: Trained, tmp_path: Path, group_rows: int
) -> None:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    peaks, bytes_of = [], random.Random(0).randbytes
    for rows in (20_000, 240_000):
        noise = [bytes_of(750).hex() for _ in range(rows)]  # 30 MB and 360 MB, which nothing makes smaller
        table = arrow.table({"review": TEXTS * (rows // len(TEXTS)), "noise": noise})
        parquet.write_table(table, tmp_path / "a.parquet", row_group_size=group_rows)
        peaks.append(peak_mib(tmp_path, trained[0], "a.parquet"))
        with (tmp_path / "b.csv").open() as out:
            assert sum(1 for _ in out) == rows + 1
        (tmp_path / "b.csv").unlink()
    assert 0 < max(peaks) < min(peaks) + 40, (
        peaks
    )  # a tenth of the difference: the same file's peaks are 30 apart
