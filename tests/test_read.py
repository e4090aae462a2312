"""Any usual source becomes examples, and the user is told what was made of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import measured
from plaintune.core.errors import UserError
from plaintune.core.events import Event
from plaintune.data.read import describe, joined_text, read_examples
from plaintune.data.tables import Row, open_table
from plaintune.data.unpack import _zip_name

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is not here"),
]

GOOD = ["what a fine film", "I liked it a lot", "a joy to watch", "see it twice"]
BAD = ["what a waste of time", "I left half way", "dull from start to end", "never again please"]
ROWS = [(text, "good") for text in GOOD] + [(text, "bad") for text in BAD]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(examples: object) -> list[tuple[str, str]]:
    return [
        (str(text), examples.classes[label])  # type: ignore[attr-defined]
        for text, label in zip(examples.texts, examples.labels, strict=True)  # type: ignore[attr-defined]
    ]


def refused(source: object, *args: object, **kwargs: object) -> UserError:
    with pytest.raises(UserError) as caught:
        read_examples(source, *args, **kwargs)  # type: ignore[arg-type]
    error = caught.value
    assert error.problem
    assert error.fix
    assert "\n" not in error.problem + error.fix
    return error


# --- what comes out ---


def test_a_csv_file_becomes_examples_with_their_line_numbers(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "data.csv", CSV))
    assert pairs(examples) == ROWS
    assert examples.classes == ("bad", "good")
    assert examples.rows.tolist() == list(range(2, 10))
    assert examples.labels.dtype == np.int64


def test_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    text = ' <br /> It\'s  "so"\n\nso… é\u00a0 '
    lines = [{"text": text, "label": "x"}, {"text": "a b c", "label": "y"}] * 2
    path = write(tmp_path, "data.jsonl", "\n".join(map(json.dumps, lines)))
    assert read_examples(path).texts[0] == text


def test_what_was_understood_is_said_in_plain_sentences(tmp_path: Path) -> None:
    lines = ["review;film;stars", *(f"a text number {i};tt{i // 4:05};{i % 3}" for i in range(100))]
    said = describe(read_examples(write(tmp_path, "data.csv", "\n".join(lines) + "\nlast one;tt1;\n")))
    assert said[0] == "I will predict `stars` (3 answers: 0, 1, 2) from `review`. Ignoring `film`."
    assert "CSV, UTF-8, columns parted by semicolons" in said[1]
    assert "100 of 101 rows" in said[1]
    assert any("`film` looks like a group (26 values, about 4 rows each)" in line for line in said)
    assert "The answers are numbers (0, 1, 2); I treat them as 3 separate answers." in said
    assert said[-1] == "Set aside 1 row: no answer (line 102)."


def test_a_long_list_of_answers_is_cut_short() -> None:
    texts = [f"a text number {i}" for i in range(154)]
    said = describe(read_examples(texts, [f"intent {i % 77:02}" for i in range(154)]))
    assert "77 answers: intent 00, " in said[0]
    assert "…and 67 more" in said[0]


def test_rows_that_cannot_be_used_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    rows = "".join(f"a text number {i},{'xy'[i % 2]}\n" for i in range(300))
    path = write(tmp_path, "data.csv", f"text,label\n{rows} ,x\nno answer,\nnot one, but two,x\n")
    examples = read_examples(path)
    assert len(examples) == 300
    assert [(aside.row, aside.reason) for aside in examples.understood.set_aside] == [
        (302, "empty text"),
        (303, "no answer"),
        (304, "3 fields instead of 2"),
    ]
    assert examples.understood.rows_in_file == 303


def test_what_is_no_object_in_json_is_set_aside_and_stays_whole(tmp_path: Path) -> None:
    objects = [{"text": text, "label": label, "unreadable": ""} for text, label in ROWS]
    lines = "\n".join(map(json.dumps, objects))
    broken = '{"text": "café, cut off he'
    for name, content, whole in (
        ("data.jsonl", f"{lines}\n{broken}\n", broken),
        ("data.json", json.dumps([*objects, ["café", None]]), '["café", null]'),
    ):
        path = write(tmp_path, name, content)
        *_, last = open_table(path).rows()
        assert last == Row(
            9, [whole, "", ""], "not a JSON object", {"unreadable (2)": whole}
        )  # its own column is another
        aside = read_examples(path, strict_rows=False).understood.set_aside
        assert [(row.row, row.reason) for row in aside] == [(9, "not a JSON object")]


def test_a_header_in_the_middle_of_a_joined_file_is_no_example(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "data.csv", CSV + CSV))
    assert len(examples) == 16
    assert [aside.reason for aside in examples.understood.set_aside] == ["the header again"]


def test_an_answer_with_one_example_is_set_aside_and_named(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "data.csv", CSV + "how odd,strange\n"))
    assert examples.classes == ("bad", "good")
    assert pairs(examples) == ROWS
    (aside,) = examples.understood.set_aside
    assert (aside.row, aside.reason) == (10, "the only example of `strange`, too few to learn from")


def test_numbers_are_sorted_as_numbers_and_whole_ones_lose_their_fraction(tmp_path: Path) -> None:
    lines = [f"a text number {i},{(10, 9, 1)[i % 3]}.0" for i in range(9)]
    assert read_examples(write(tmp_path, "a.csv", "text,rating\n" + "\n".join(lines))).classes == (
        "1",
        "9",
        "10",
    )
    halves = [f"a text number {i},{(1.0, 1.5)[i % 2]}" for i in range(9)]
    assert read_examples(write(tmp_path, "b.csv", "text,rating\n" + "\n".join(halves))).classes == (
        "1.0",
        "1.5",
    )


def test_several_text_columns_are_joined_by_a_line_break() -> None:
    columns = {
        "title": ["one", "", "three", "four"],
        "body": ["a b", "c d", "e f", "g h"],
        "y": ["p", "q"] * 2,
    }
    examples = read_examples(columns, text=("title", "body"), label="y")
    assert examples.texts.tolist() == ["one\na b", "c d", "three\ne f", "four\ng h"]


def test_of_several_columns_of_text_those_that_hold_nothing_are_passed_over() -> None:
    for nothing in ("NULL", r"\N", "nan", "#N/A", " "):
        assert joined_text([nothing, "the body"]) == joined_text(["the body"]) == "the body"
    assert joined_text(["title", "body"]) == "title\nbody"


def test_more_answers_than_a_model_can_give_are_refused_before_anything_is_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("plaintune.data.answers.MOST_CLASSES", 3)
    assert len(read_examples(list("stuvwx"), list("aabbcc")).classes) == 3
    with pytest.raises(UserError, match="holds 4 answers, and a model can give 3"):
        read_examples(list("qrstuvwx"), list("aabbccdd"))


def test_groups_and_times_come_along() -> None:
    columns = {
        "text": ["a b c", "d e f", "g h i", "j k l"],
        "label": ["x", "y", "x", "y"],
        "film": ["one", "two", "one", ""],
        "when": ["2024-01-01", "2024-01-02 12:00", "2024-01-01T00:00:00+01:00", "1970-01-01"],
    }
    examples = read_examples(columns, group="film", time="when")
    assert examples.groups is not None
    assert examples.times is not None
    assert examples.groups[0] == examples.groups[2]
    assert len(set(examples.groups.tolist())) == 3  # a row without a film stands alone
    assert (examples.times - examples.times[0]).tolist() == [0, 129_600, -3600, -examples.times[0]]
    assert examples.times[3] == 0


@pytest.mark.parametrize(
    ("days", "seconds_apart"),
    [(["1/2/2024", "13/2/2024"], 12 * 86400), (["1/2/2024", "1/13/2024"], 11 * 86400), (["2019", "2021"], 2)],
)
def test_days_are_told_from_months_by_the_column_itself(days: list[str], seconds_apart: int) -> None:
    columns = {"text": ["a b", "c d", "e f", "g h"], "label": ["x", "y"] * 2, "when": days * 2}
    times = read_examples(columns, time="when").times
    assert times is not None
    assert times[1] - times[0] == seconds_apart


@pytest.mark.parametrize("odd", ["3/4/2024", "yesterday", "2024-13-01"])
def test_a_time_that_cannot_be_read_is_refused(odd: str) -> None:
    columns = {"text": ["a b", "c d"] * 2, "label": ["x", "y"] * 2, "when": ["2/3/2024", odd] * 2}
    assert "`when`" in refused(columns, time="when").problem


def test_with_known_classes_other_answers_become_minus_one_and_are_listed(tmp_path: Path) -> None:
    examples = read_examples(
        write(tmp_path, "t.csv", CSV + "hm,meh\nhm hm,meh\nhm,ok\n"), classes=("good", "bad")
    )
    assert examples.classes == ("good", "bad")
    assert examples.labels.tolist() == [0] * 4 + [1] * 4 + [-1] * 3
    assert any("`meh` (2), `ok` (1)" in note for note in examples.understood.notes)


def test_known_whole_numbers_are_found_though_written_with_a_fraction() -> None:
    assert read_examples(["a b", "c d"], [1.0, 2.0], classes=("1", "2")).labels.tolist() == [0, 1]


def test_known_numbers_with_a_fraction_are_found_though_written_whole() -> None:
    examples = read_examples(["a b", "c d", "e f"], ["1", "1.5", "2"], classes=("1.0", "1.5"))
    assert examples.labels.tolist() == [0, 1, -1]


def test_one_example_is_enough_to_evaluate_on() -> None:
    assert read_examples(["a b c"], ["x"], classes=("x", "y")).labels.tolist() == [0]


def test_texts_without_answers_can_be_read_to_predict_on(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "t.csv", CSV), need_labels=False)
    assert examples.labels.tolist() == [-1] * 8
    assert examples.classes == ()
    assert examples.understood.label_column is None
    assert read_examples(["just one"], need_labels=False).texts.tolist() == ["just one"]


def test_a_single_column_is_the_text_to_predict_on_whatever_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, "texts.txt", "7\nyes\nok then, fine\n")
    assert read_examples(path, need_labels=False).texts.tolist() == ["7", "yes", "ok then, fine"]


def test_a_missing_answer_that_a_library_wrote_as_nan_is_no_answer(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "data.csv", CSV + "who knows,nan\nwho else,NaN\n"))
    assert examples.classes == ("bad", "good")
    assert [aside.reason for aside in examples.understood.set_aside] == ["no answer"] * 2


def test_reading_reports_its_progress(tmp_path: Path) -> None:
    heard: list[Event] = []
    read_examples(write(tmp_path, "data.csv", CSV), listener=heard.append)
    assert heard[0].kind == "stage"
    assert "data.csv" in heard[0].message


# --- from Python ---


def test_two_lists_are_examples() -> None:
    examples = read_examples([text for text, _ in ROWS], [label for _, label in ROWS])
    assert pairs(examples) == ROWS
    assert examples.rows.tolist() == list(range(1, 9))
    assert examples.understood.format == "Python"


def test_numpy_and_bool_labels_are_labels() -> None:
    texts = [text for text, _ in ROWS]
    assert read_examples(np.array(texts), np.array([0, 1] * 4)).classes == ("0", "1")
    assert read_examples(texts, [True, False] * 4).classes == ("False", "True")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_read_with_their_missing_values(library: str) -> None:
    frames = pytest.importorskip(library)
    texts = [*(text for text, _ in ROWS), None, "no answer here"]
    frame = frames.DataFrame({"text": texts, "label": [*([1, 2] * 4), 1, None]})
    examples = read_examples(frame)
    assert examples.classes == ("1", "2")
    assert examples.texts.tolist() == [text for text, _ in ROWS]
    assert [(aside.row, aside.reason) for aside in examples.understood.set_aside] == [
        (9, "empty text"),
        (10, "no answer"),
    ]
    lists = read_examples(frame["text"], frame["label"])
    assert lists.texts.tolist() == examples.texts.tolist()


def test_lists_that_do_not_match_or_are_no_texts_are_refused() -> None:
    assert "2 texts but 1 labels" in refused(["a", "b"], ["x"]).problem
    assert "Text 2" in refused(["a", 5], ["x", "y"]).problem
    assert "without their labels" in refused(["a", "b"]).problem
    assert "length" in refused({"text": ["a"], "label": []}).problem


# --- folders, archives, addresses ---


def class_folders(folder: Path, prefix: str = "") -> Path:
    for i, (text, label) in enumerate(ROWS):
        write(folder, f"{prefix}{label}/{i}.txt", text)
    return folder


def test_each_sub_folder_is_an_answer(tmp_path: Path) -> None:
    class_folders(tmp_path)
    write(tmp_path, "bad/.DS_Store", b"\0\0\0")
    write(tmp_path, "README.txt", "about this")
    examples = read_examples(tmp_path)
    assert sorted(pairs(examples)) == sorted(ROWS)
    assert examples.understood.format == "folder"


def test_the_layout_of_aclimdb_brings_its_test_and_unlabelled_part(tmp_path: Path) -> None:
    root = tmp_path / "aclImdb"
    class_folders(root, "train/")
    class_folders(root, "test/")
    write(root, "test/good/99.txt", "only in the test")
    write(root, "train/unsup/0.txt", "nobody knows")
    for stray in ("README", "imdb.vocab", "train/urls_pos.txt", "train/labeledBow.feat", "test/urls_pos.txt"):
        write(root, stray, "http://example.com")
    examples = read_examples(tmp_path)
    assert sorted(pairs(examples)) == sorted(ROWS)
    assert examples.official_test is not None
    assert examples.unlabeled is not None
    assert examples.official_test.classes == examples.classes
    assert sorted(pairs(examples.official_test)) == sorted([*ROWS, ("only in the test", "good")])
    assert examples.unlabeled.tolist() == ["nobody knows"]
    assert any("9 examples" in line for line in describe(examples))


def test_train_and_test_tables_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", "text,label\nfine film,good\nwhat else,unknown\n")
    write(tmp_path, "README.md", "about")
    examples = read_examples(tmp_path)
    assert pairs(examples) == ROWS
    assert examples.official_test is not None
    assert examples.official_test.labels.tolist() == [1, -1]


def test_a_test_table_without_answers_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", "text\nfine film\n")
    examples = read_examples(tmp_path)
    assert examples.official_test is None
    assert any("test.csv" in note for note in examples.understood.notes)


def test_the_one_table_of_a_folder_is_read_and_several_are_a_question(tmp_path: Path) -> None:
    write(tmp_path, "inner/reviews.tsv", CSV.replace(",", "\t"))
    assert pairs(read_examples(tmp_path)) == ROWS
    write(tmp_path, "inner/others.tsv", CSV.replace(",", "\t"))
    assert "reviews.tsv" in refused(tmp_path).problem


def test_archives_are_read_like_the_folder_in_them(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "films")
    shutil.make_archive(str(tmp_path / "films"), "zip", tmp_path, "films")
    with tarfile.open(tmp_path / "films.tar.gz", "w:gz") as archive:
        archive.add(folder, "films")
    with zipfile.ZipFile(tmp_path / "table.zip", "w") as archive_of_one:
        archive_of_one.writestr("data.csv", CSV)
    for name in ("films.zip", "films.tar.gz", "table.zip"):
        assert sorted(pairs(read_examples(tmp_path / name))) == sorted(ROWS)


def test_an_address_is_downloaded_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plaintune.data import fetch

    path = write(tmp_path, "abc.csv", CSV)
    monkeypatch.setattr(fetch, "cached_download", lambda url, *, listener: path)
    examples = read_examples("https://example.com/data.csv?raw=1")
    assert pairs(examples) == ROWS
    assert examples.understood.source == "https://example.com/data.csv?raw=1"
    signed = read_examples("https://example.com/data.csv?raw=1&X-Amz-Signature=0123&v=2").understood.source
    assert signed == "https://example.com/data.csv?raw=1&X-Amz-Signature=…&v=2"
    assert "https" in refused("ftp://example.com/data.csv").fix


# --- what is refused ---


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("text,label\n", "a header and no rows"),
        ("text,label\n,x\n ,y\n,x\n,y\n", "empty"),
        ("text,label\na b c,x\nd e f,x\ng h i,x\n", "same answer"),
        ("text,label\na b c,\nd e f,\n", "`label` is empty"),
        ("text,label\n" + "".join(f"some text {i},id{i}\n" for i in range(50)), "looks like an id"),
        ("text,label\n" + "".join(f"some text {i},{i}.5\n" for i in range(50)), "looks like numbers"),
        ("text,label\na b c,x\nd e f,x\ng h i,y\n", "at least two examples each"),
        (CSV + "one, too many,good\n", "line 10 (3 fields instead of 2)"),
        ("n,label\n1,x\n2,y\n3,x\n4,y\n", "looks like text"),
    ],
)
def test_files_that_cannot_be_learned_from_say_why(tmp_path: Path, content: str, says: str) -> None:
    assert says in refused(write(tmp_path, "data.csv", content)).problem


def test_broken_rows_can_be_passed_over_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, "data.csv", CSV + "one, too many,good\n")
    assert len(read_examples(path, strict_rows=False)) == 8


def test_folders_and_archives_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no files" in refused(tmp_path / "empty").problem
    class_folders(tmp_path / "one", "").joinpath("bad").rename(tmp_path / "elsewhere")
    refused(tmp_path / "one")
    refused(write(tmp_path, "broken.zip", b"PK\x03\x04 and no more"))
    refused(write(tmp_path, "broken.tar.gz", b"\x1f\x8b\x08 and no more"))
    refused(tmp_path / "nowhere" / "data.csv")


def test_a_path_with_labels_beside_it_is_refused(tmp_path: Path) -> None:
    refused(write(tmp_path, "data.csv", CSV), ["x"])


def test_importing_the_reader_loads_no_heavy_library() -> None:
    code = (
        "import sys, plaintune.data.read\n"
        "print([m for m in ('pyarrow', 'pandas', 'polars', 'python_calamine', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.slow
def test_a_million_rows_take_at_most_about_twice_their_size_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("text,label\n")
        for i in range(1_000_000):
            file.write(f"the text of row {i} is a sentence of {i % 89} ordinary words,{'xyz'[i % 3]}\n")
    code = (
        "import resource, sys\nfrom plaintune.data.read import read_examples\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak(); n = len(read_examples(sys.argv[1])); print(n, peak() - before)"
    )
    done = subprocess.run(
        measured(tmp_path / "cost.json", [sys.executable, "-c", code, str(path)]),
        capture_output=True,
        text=True,
        check=True,
        env=_environment(),
    )
    rows, growth = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert growth < 2.2 * path.stat().st_size


# --- real data ---


class TestRealData:
    pytestmark = needs_data

    def test_the_sms_collection_loses_no_row(self) -> None:
        examples = read_examples(DATA / "sms-spam.tsv")
        counts = dict(zip(examples.classes, np.bincount(examples.labels).tolist(), strict=True))
        assert counts == {"ham": 4827, "spam": 747}
        lines = (DATA / "sms-spam.tsv").read_text(encoding="utf-8").split("\n")[1:]
        assert examples.texts.tolist() == [line.split("\t", 1)[1] for line in lines if line]

    def test_trec_has_fifty_fine_and_six_coarse_answers(self) -> None:
        fine = read_examples(DATA / "trec-train.label")
        coarse = read_examples(DATA / "trec-train.label", label="coarse")
        assert (len(fine), len(fine.classes), len(coarse.classes)) == (5452, 50, 6)
        assert fine.texts[0].startswith("How did serfdom develop")

    def test_banking77_is_read_whole(self) -> None:
        examples = read_examples(DATA / "banking77-train.csv")
        assert (len(examples), len(examples.classes)) == (10003, 77)

    def test_imdb_is_read_and_its_films_are_pointed_out(self) -> None:
        examples = read_examples(DATA / "imdb-train.parquet")
        assert len(examples) == 25000
        assert examples.understood.text_columns == ("review",)
        assert any("`film` looks like a group (3,456 values, about 7" in n for n in examples.understood.notes)


def test_a_folder_of_training_tables_is_one_table_or_a_question(tmp_path: Path) -> None:
    write(tmp_path, "d/train/part-0.csv", CSV)
    write(tmp_path, "d/test/part-0.csv", "text,label\nfine film,good\n")
    write(tmp_path, "d/validation/part-0.csv", CSV)
    examples = read_examples(tmp_path / "d")
    assert pairs(examples) == ROWS
    assert examples.official_test is not None
    assert any("not used: validation" in note for note in examples.understood.notes)
    write(tmp_path, "d/train/part-1.csv", CSV)
    assert "several tables: part-0.csv, part-1.csv" in refused(tmp_path / "d").problem
    write(tmp_path, "e/train/readme.md", "no table")
    write(tmp_path, "e/test/part-0.csv", CSV)
    assert "holds no table" in refused(tmp_path / "e").problem  # and is not trained on its test


def test_texts_in_utf_16_are_read_from_folders_of_answers(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "films")
    (folder / "good" / "notepad.txt").write_bytes("Très bon".encode("utf-16"))
    assert ("Très bon", "good") in pairs(read_examples(folder))


def test_names_in_an_archive_that_does_not_say_they_are_utf_8_are_read_as_such() -> None:
    info = zipfile.ZipInfo("x")
    info.filename, info.flag_bits = "Größe/0.txt".encode().decode("cp437"), 0
    assert _zip_name(info) == "Größe/0.txt"
    info.filename = "Gr\u251c"
    assert _zip_name(info) == "Gr\u251c"
