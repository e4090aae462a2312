"""A folder or archive as people download it: which of its files are read, which are not, and why."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from plaintune.data.read import describe, read_examples
from test_read import CSV, ROWS, class_folders, pairs, refused, write

LINES = "".join(f"{text};{label}\n" for text, label in ROWS)
TEST = "text,label\nfine film,good\nnever again,bad\n"


def said(source: Path) -> str:
    return "\n".join(describe(read_examples(source)))


# --- which table is the training part ---


def test_text_files_called_train_and_test_are_tables(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        write(tmp_path / "emotions", f"{part}.txt", LINES)
    with zipfile.ZipFile(tmp_path / "emotions.zip", "w") as archive:
        for path in (tmp_path / "emotions").iterdir():
            archive.write(path, path.name)
    for source in (tmp_path / "emotions", tmp_path / "emotions.zip"):
        examples = read_examples(source)
        assert pairs(examples) == ROWS
        assert examples.official_test is not None
        assert "Not used: val.txt." in said(source)


def test_text_files_of_which_none_is_called_train_are_no_tables(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", LINES)
    write(tmp_path, "b.txt", LINES)
    assert "no table" in refused(tmp_path).problem


def test_the_one_training_table_is_read_whatever_else_lies_there(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", "id,text\n1,fine film\n2,never again\n")
    write(tmp_path, "sample_submission.csv", "id,label\n1,good\n2,good\n")
    assert pairs(read_examples(tmp_path)) == ROWS
    assert "Not used: sample_submission.csv." in said(tmp_path)
    assert "test.csv is not used: it has no column `label` to test against." in said(tmp_path)


@pytest.mark.parametrize("name", ["{}_data", "{}-set", "{}set", "films {} dataset", "{}_data-00000-of-00001"])
def test_tables_called_like_train_data_are_parts_too(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name.format('Train')}.csv", CSV)
    write(tmp_path, f"{name.format('Test')}.csv", TEST)
    examples = read_examples(tmp_path)
    assert pairs(examples) == ROWS
    assert examples.official_test is not None


def test_of_two_test_tables_neither_is_used_and_both_are_named(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", TEST)
    write(tmp_path, "hard_test.csv", TEST)
    assert read_examples(tmp_path).official_test is None
    assert "Not used: hard_test.csv, test.csv." in said(tmp_path)


def test_two_training_tables_are_a_question(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", TEST)
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "films_train.csv", CSV)
    error = refused(tmp_path)
    assert "several tables: a.csv, films_train.csv, train.csv" in error.problem
    assert error.fix == f"Give one of them: {tmp_path / 'films_train.csv'}"


def test_a_training_table_in_pieces_is_to_be_joined(tmp_path: Path) -> None:
    write(tmp_path, "train-00000-of-00002.csv", CSV)
    write(tmp_path, "train-00001-of-00002.csv", CSV)
    write(tmp_path, "test-00000-of-00001.csv", TEST)
    error = refused(tmp_path)
    assert "train-00000-of-00002.csv, train-00001-of-00002.csv" in error.problem
    assert "Join" in error.fix
    assert "one file" in error.fix


def test_an_archive_within_is_to_be_unpacked_first(tmp_path: Path) -> None:
    write(tmp_path, "inner/data.csv", CSV)
    with zipfile.ZipFile(tmp_path / "inner" / "train.csv.zip", "w") as archive:
        archive.write(tmp_path / "inner" / "data.csv", "train.csv")
    (tmp_path / "inner" / "data.csv").unlink()
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner" / "train.csv.zip", "train.csv.zip")
    for source in (tmp_path / "inner", tmp_path / "outer.zip"):
        error = refused(source)
        assert "train.csv.zip" in error.problem
        assert "Unpack" in error.fix


# --- a test part that it brings ---


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("text,label\nfine film,-1\nnever again,-1\n", "No answer in test.csv is one of those"),
        ("text,label\nfine film,\nnever again,\n", "`label` is empty in every row"),
        ("text,label\n", "it holds a header and no rows"),
        ("", "it is empty"),
        ("review,label\nfine film,good\nnever again,bad\n", "it has no column 'text'"),
        (b"\0\1\2\3 no text", "test.csv"),
    ],
)
def test_a_test_part_that_cannot_be_scored_is_passed_over_with_the_reason(
    tmp_path: Path, test: str | bytes, why: str
) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", test)
    examples = read_examples(tmp_path)
    assert pairs(examples) == ROWS
    assert examples.official_test is None
    note = next(note for note in examples.understood.notes if note.startswith("test.csv is not used: "))
    assert why in note


def test_a_test_folder_that_cannot_be_scored_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    class_folders(tmp_path, "train/")
    write(tmp_path, "test/unknown/1.txt", "fine film")
    assert read_examples(tmp_path).official_test is None
    assert "test is not used: No answer in test is one of those" in said(tmp_path)
    write(tmp_path / "flat", "train/a.csv", CSV)
    write(tmp_path / "flat", "test/a.csv", TEST)
    write(tmp_path / "flat", "test/b.csv", TEST)
    assert "test is not used: it holds several tables: a.csv, b.csv." in said(tmp_path / "flat")


def test_a_test_part_with_many_broken_rows_is_still_refused(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", TEST + "one, too many,good\n")
    assert "1 of 3 rows cannot be used" in refused(tmp_path).problem


def test_what_is_odd_in_a_test_part_is_said(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", CSV)
    write(tmp_path, "test.csv", TEST + "joyful,Good\nno answer here,\n")
    lines = said(tmp_path)
    assert "Test part: 1 row has an answer the model does not know: `Good` (1)." in lines
    assert "Test part: Set aside 1 row: no answer (line 5)." in lines


def test_nobody_is_told_to_hold_back_groups_of_a_test_part(tmp_path: Path) -> None:
    def table(rows: int) -> str:
        lines = [f"a text number {i},tt{i // 4:05},{'xyz'[i % 3]}\n" for i in range(rows)]
        return "text,film,label\n" + "".join(lines)

    write(tmp_path, "train.csv", table(200))
    write(tmp_path, "test.csv", table(100))
    assert said(tmp_path).count("looks like a group") == 1


# --- a sub-folder for each answer ---


@pytest.mark.parametrize("stray", ["index.csv", "stats.json"])
def test_a_table_beside_sub_folders_of_texts_is_not_read_instead(tmp_path: Path, stray: str) -> None:
    class_folders(tmp_path)
    write(tmp_path, stray, "file,answer\n1.txt,good\n")
    assert sorted(pairs(read_examples(tmp_path))) == sorted(ROWS)
    assert f"Files beside the sub-folders are not used: {stray}." in said(tmp_path)


def test_a_table_beside_sub_folders_of_other_things_is_read(tmp_path: Path) -> None:
    write(tmp_path, "reviews.csv", CSV)
    for folder in ("code", "plots"):
        write(tmp_path, f"{folder}/notes.txt", "one text beside many other files")
        write(tmp_path, f"{folder}/a.py", "print()")
        write(tmp_path, f"{folder}/b.png", b"\0")
    assert pairs(read_examples(tmp_path)) == ROWS


def test_a_training_table_is_read_whatever_folders_are_beside_it(tmp_path: Path) -> None:
    class_folders(tmp_path)
    write(tmp_path, "train.csv", "text,label\n" + "a b,x\nc d,y\n" * 2)
    assert read_examples(tmp_path).classes == ("x", "y")


def test_an_answer_may_be_called_train(tmp_path: Path) -> None:
    for place, name in enumerate(("bus", "plane", "train")):
        for number in range(2):
            write(tmp_path, f"{name}/{number}.txt", f"a text about {place} {number}")
    assert read_examples(tmp_path).classes == ("bus", "plane", "train")


def test_what_windows_leaves_in_folders_is_no_example(tmp_path: Path) -> None:
    class_folders(tmp_path)
    for extra in ("Thumbs.db", "good/Thumbs.db", "bad/desktop.ini"):
        write(tmp_path, extra, b"\xd0\xcf\x11\xe0\0\0" if extra.endswith("db") else "[.ShellClassInfo]")
    assert sorted(pairs(read_examples(tmp_path))) == sorted(ROWS)
    assert "not used" not in said(tmp_path)


def test_files_that_are_no_texts_are_to_be_removed(tmp_path: Path) -> None:
    class_folders(tmp_path)
    write(tmp_path, "good/poster.png", b"\x89PNG\0\0")
    error = refused(tmp_path)
    assert "1 of 9 files cannot be used" in error.problem
    assert "good/poster.png: not a text file" in error.problem
    assert error.fix.startswith("Remove these files")


def test_a_folder_of_tables_beside_others_is_the_data_and_several_are_refused(tmp_path: Path) -> None:
    rows = "0,1\n" + "".join(f'"a text, number {n}",{n % 2}\n' for n in range(40))
    for name in ("repo/data/train.csv", "repo/src/a.py", "repo/src/b.py", "two/x/1.csv", "two/y/2.csv"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rows)
    examples = read_examples(tmp_path / "repo", text="0", label="1")
    assert (examples.classes, len(examples)) == (("0", "1"), 40)
    assert "hold tables" in refused(tmp_path / "two").problem
