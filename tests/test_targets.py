"""Answers of three kinds are read: one of several, any of several, or a number."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaintune.core.errors import AmbiguousColumns, UserError
from plaintune.core.tasks import Task
from plaintune.data.examples import Examples
from plaintune.data.read import describe, read_examples

TAGS = [
    "drama",
    "comedy",
    "action; war",
    "drama; war",
    "comedy ;drama",
    "action",
    "war",
    "",
    "action;comedy;war",
]
CLASSES = ("action", "comedy", "drama", "war")
GRADES = ["1.5", "2", "3.25", "4.5", "5", "2.75", "3.25", "4", "1.0", "3.5"]


def texts(count: int) -> list[str]:
    return [f"a film about subject number {i} and its friends" for i in range(count)]


def table(answers: Sequence[Any], name: str = "tags") -> dict[str, list[Any]]:
    return {"plot": texts(len(answers)), name: list(answers)}


def tags(examples: Examples) -> list[set[str]]:
    assert examples.task is Task.MULTI
    assert examples.labels.dtype == np.int64
    assert examples.labels.shape == (len(examples), len(examples.classes))
    assert set(np.unique(examples.labels)) <= {0, 1}
    return [{examples.classes[place] for place in np.flatnonzero(row)} for row in examples.labels]


def parted(cells: Sequence[str], separator: str = ";") -> list[set[str]]:
    return [{part.strip() for part in cell.split(separator)} - {""} for cell in cells]


def refused(source: object, *args: Any, **kwargs: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        read_examples(source, *args, **kwargs)
    assert caught.value.problem
    assert caught.value.fix
    return caught.value


def write(folder: Path, name: str, lines: Sequence[str]) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# --- several answers in one cell ---


@pytest.mark.parametrize("separator", [";", "|", ", ", ","])
def test_cells_with_several_answers_are_parted_at_what_clearly_parts_them(separator: str) -> None:
    cells = [cell.replace(" ", "").replace(";", separator) for cell in TAGS * 3]
    examples = read_examples(table(cells))
    assert examples.classes == CLASSES
    assert tags(examples) == parted(cells, separator)
    assert examples.understood.separator == separator.strip()
    assert examples.understood.label_columns == ("tags",)


def test_what_parts_the_answers_is_said_with_how_to_overrule_it() -> None:
    said = describe(read_examples(table(TAGS * 3)))
    assert (
        said[0] == "I will predict which of 4 tags in `tags` apply (action, comedy, drama, war) from `plot`."
    )
    note = next(line for line in said if "parted by ';'" in line)
    assert "--task classification" in note
    assert read_examples(table(TAGS * 3), task=Task.SINGLE).classes[:2] == ("action", "action; war")


def test_a_row_without_an_answer_is_an_example_of_none_and_counted() -> None:
    examples = read_examples(table([*TAGS * 2, "nan", " ; "]))
    assert tags(examples)[7] == set()
    assert len(examples) == 20
    assert any("4 rows have none of the 4 answers" in note for note in examples.understood.notes)


def test_an_answer_named_twice_in_a_cell_counts_once() -> None:
    examples = read_examples(table([*TAGS * 2, "war;war; war", ";;action;"]))
    assert tags(examples)[-2:] == [{"war"}, {"action"}]


def test_only_the_one_separator_parts_where_several_are_mixed() -> None:
    cells = [
        *["drama;Sci, Tech", "drama", "Sci, Tech", "war;drama", "war;Sci, Tech", "war"] * 3,
        "drama|war",
    ] * 2
    assert read_examples(table(cells)).classes == ("Sci, Tech", "drama", "drama|war", "war")


@pytest.mark.parametrize(
    "names",
    [
        ["World", "Sports", "Business", "Sci, Tech"],
        ["arts/entertainment", "arts/music", "news/politics", "news"],
        ["Arts, Crafts", "Home, Garden", "Toys, Games", "Books", "Music"],
        ["Electronics|Phones", "Electronics|Laptops", "Electronics", "Books|Novels", "Books"],
        ["Smith, Anna", "Smith, John", "Doe, Anna", "Doe, John"],
        ["yes, please", "no, thanks"],
        ["yes", "no", "yes, but late", "no, but late"],
        ["agree", "disagree", "agree, strongly", "disagree, strongly"],
        ["Paris", "Paris, TX", "London", "London, ON", "Rome", "Rome, NY"],
        [*(f"{part}, {who}" for part in ("Apparel", "Shoes", "Bags") for who in ("Men", "Women")), "Other"],
        [*(f"{part} | {what}" for part in ("Hardware", "Printer") for what in ("Install", "Repair")), "Else"],
        ["a;b", "c"],
    ],
)
def test_a_class_name_that_merely_holds_a_separator_is_one_answer(names: list[str]) -> None:
    examples = read_examples(table(names * 10, "label"))
    assert examples.task is Task.SINGLE
    assert examples.classes == tuple(sorted(names))
    assert examples.understood.separator is None


@pytest.mark.parametrize("separator", [";", "|", ", "])
@pytest.mark.parametrize("count", [5, 7, 10])
def test_sets_of_tags_are_recognised_sorted_or_not(count: int, separator: str) -> None:
    drawn = random.Random(count)
    names = [f"tag {place}" for place in range(count)]
    for order in (sorted, lambda found: drawn.sample(found, len(found))):
        cells = [separator.join(order(drawn.sample(names, drawn.randint(1, 3)))) for _ in range(150)]
        examples = read_examples(table(cells, "label"))
        assert tags(examples) == parted(cells, separator)


def test_a_separator_that_is_named_parts_whatever_it_meets() -> None:
    cells = ["Smith & Doe", "Smith", "Doe", "Smith & Doe"]
    examples = read_examples(table(cells, "names"), label="names", separator="&")
    assert tags(examples) == parted(cells, "&")
    assert examples.understood.separator == "&"


def test_a_separator_that_stands_nowhere_is_refused() -> None:
    error = refused(table(TAGS * 3), label="tags", separator="/")
    assert "'/'" in error.problem
    assert "--separator" in error.fix
    assert "what parts" in refused(table(["good", "bad"] * 9, "label"), task=Task.MULTI).problem
    assert "--separator" in refused(table(TAGS * 3), label="tags", separator=";", task=Task.SINGLE).problem


def test_asked_for_several_answers_the_only_separator_that_is_met_is_taken() -> None:
    examples = read_examples(table(["a|b", "b", "a", "b|a"], "label"), task=Task.MULTI)
    assert (tags(examples), examples.understood.separator) == ([{"a", "b"}, {"b"}, {"a"}, {"a", "b"}], "|")
    unclear = table(["a|b;c", "b", "a;b", "b|a"], "label")
    assert "--separator" in refused(unclear, task=Task.MULTI).fix


def test_a_class_with_one_example_is_left_out_but_its_row_is_kept() -> None:
    examples = read_examples(table([*TAGS * 2, "drama;western"]))
    assert len(examples) == 19
    assert "western" not in examples.classes
    assert tags(examples)[-1] == {"drama"}
    assert any(
        "fewer than two examples" in note and "`western`" in note for note in examples.understood.notes
    )


def test_fewer_than_two_classes_are_nothing_to_learn() -> None:
    error = refused(table(["a;b", "a", "a", "a"], "label"), separator=";")
    assert "a (4), b (1)" in error.problem
    assert "`tags` is empty" in refused(table(["", " ", ""]), label="tags", separator=";").problem


def test_more_classes_than_rows_could_teach_are_refused() -> None:
    cells = [f"word{i % 300} word{(i * 7) % 300}" for i in range(600)]
    assert "300 different answers" in refused(table(cells), label="tags", separator=" ").problem


def test_tags_too_many_to_be_recognised_are_refused_with_the_way_to_part_them() -> None:
    cells = [f"t{i};u{i}" for i in range(50)]
    assert "--separator ';'" in refused(table(cells, "label")).fix


def test_the_only_column_of_tags_is_the_answer_whatever_its_name(tmp_path: Path) -> None:
    cells = [cell.replace(" ", "") for cell in TAGS * 9]
    columns = {"wovon": texts(81), "arten": cells, "nr": [str(i) for i in range(81)]}
    assert read_examples(columns).understood.label_column == "arten"
    columns["auch"] = cells[::-1]
    with pytest.raises(AmbiguousColumns) as caught:
        read_examples(columns)
    assert caught.value.options == ("arten", "auch")


def test_tags_of_several_words_are_not_taken_for_the_text() -> None:
    names = ["slow burning drama", "comedy of manners", "world war film"]
    cells = [", ".join(n for k, n in enumerate(names) if i >> k & 1) for i in range(40)]
    examples = read_examples(table(cells, "genres"))
    assert examples.understood.text_columns == ("plot",)
    assert examples.understood.label_column == "genres"
    assert not any("holds text too" in note for note in examples.understood.notes)


# --- no answer ---


@pytest.mark.parametrize("missing", ["NULL", "null", r"\N", "#N/A", "NaN"])
def test_what_databases_and_spreadsheets_write_for_nothing_is_no_answer(missing: str) -> None:
    examples = read_examples(table(["good", "bad", missing] * 6, "label"))
    assert examples.classes == ("bad", "good")
    assert {aside.reason for aside in examples.understood.set_aside} == {"no answer"}
    assert set() in tags(read_examples(table([*TAGS * 2, missing])))
    assert "is empty" in refused(table([missing] * 6, "label"), label="label").problem


@pytest.mark.parametrize("task", [None, Task.NUMBER])
def test_numbers_stay_numbers_where_many_are_missing(task: Task | None) -> None:
    examples = read_examples(table([*GRADES * 3, *["NULL"] * 20], "score"), task=task)
    assert (examples.task, len(examples)) == (Task.NUMBER, 30)
    commas = [value.replace(".", ",") for value in GRADES * 3]
    assert read_examples(table([*commas, *["#N/A"] * 20], "score"), task=Task.NUMBER).labels[0] == 1.5


@pytest.mark.parametrize("answer", ["NA", "N/A", "None", "-", "Null"])
def test_what_may_be_an_answer_is_one(answer: str) -> None:
    assert answer in read_examples(table(["good", "bad", answer] * 6, "label")).classes


# --- lists ---


@pytest.mark.parametrize(
    "written",
    [
        json.dumps,
        str,  # as Python, and pandas' to_csv, write it
        lambda items: str(np.array(items)),
        lambda items: (
            "{" + ",".join(f'"{item}"' if " " in item else item for item in items) + "}"
        ),  # Postgres
    ],
)
def test_lists_are_read_however_they_are_written(written: Callable[[list[str]], str]) -> None:
    lists = [["sci fi"], ["drama", "it's"], ["sci fi", "drama"], [], ["it's"]] * 3
    examples = read_examples(table([written(items) for items in lists]))
    assert tags(examples) == [set(items) for items in lists]
    assert examples.understood.separator == "[]"
    note = next(note for note in examples.understood.notes if "holds lists" in note)
    assert "--task classification" in note


@pytest.mark.parametrize("form", ["[{}]", "{{{}}}", "['{}']", '["{}"]'])
def test_lists_of_always_one_item_are_one_answer_each(tmp_path: Path, form: str) -> None:
    names = ["cs.AI", "cs.CL", "stat.ML"] * 6
    cells = [form.format(name) for name in names]
    examples = read_examples(table([*cells, "nan"], "label"))
    assert (examples.task, examples.classes) == (Task.SINGLE, ("cs.AI", "cs.CL", "stat.ML"))
    assert [examples.classes[label] for label in examples.labels] == names
    assert examples.understood.separator is None
    assert any("--task multi-label" in note for note in examples.understood.notes)
    later = read_examples(
        table([*cells, *names], "label"), label="label", classes=examples.classes, task=Task.SINGLE
    )
    assert later.labels.tolist() == [*examples.labels, *examples.labels]
    asked = read_examples(table(cells, "label"), task=Task.MULTI)
    assert tags(asked) == [{name} for name in names]


def test_lists_that_are_sometimes_empty_are_several_answers() -> None:
    assert tags(read_examples(table(["['a']", "['b']", "[]"] * 6, "label")))[:3] == [{"a"}, {"b"}, set()]


def test_lists_in_json_lines_and_tables_in_memory_are_several_answers(tmp_path: Path) -> None:
    lists = [["a", "b"], ["b"], [], ["c", "a"], ["c"]] * 2
    rows = [json.dumps({"text": text, "labels": items}) for text, items in zip(texts(10), lists, strict=True)]
    expected = [set(items) for items in lists]
    assert tags(read_examples(write(tmp_path, "data.jsonl", rows))) == expected
    for kind in (list, tuple, set, frozenset):
        assert tags(read_examples(texts(10), [kind(items) for items in lists])) == expected
    for library in ("pandas", "polars"):
        frames = pytest.importorskip(library)
        frame = frames.DataFrame({"text": texts(10), "labels": lists})
        assert tags(read_examples(frame)) == expected


def test_a_column_of_objects_is_still_refused() -> None:
    cells = ['{"a": 1}', '{"b": 2}'] * 9
    assert "objects" in refused(table(cells, "label")).problem


def test_rows_of_a_matrix_of_zeros_and_ones_are_several_answers() -> None:
    matrix = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]] * 2)
    for labels in (matrix, matrix.astype(bool), matrix.astype(float), matrix.tolist()):
        examples = read_examples(texts(8), labels)
        assert examples.classes == ("0", "1", "2")
        assert (examples.labels == matrix).all()
    again = read_examples(
        texts(2), [[0, 1, 1], [1, 0, 0]], classes=("0", "2"), task=Task.MULTI, separator="[01]"
    )
    assert again.labels.tolist() == [[0, 1], [1, 0]]


# --- several columns ---


def flags(**columns: list[Any]) -> dict[str, list[Any]]:
    return {"comment": texts(len(next(iter(columns.values())))), **columns}


def test_several_label_columns_are_a_class_each_in_the_order_given() -> None:
    columns = flags(
        toxic=["1", "0", "1", ""], insult=["Yes", "NO", "", "yes"], threat=["TRUE", "false", "0", "1.0"]
    )
    examples = read_examples(columns, label=("threat", "toxic", "insult"))
    assert examples.classes == examples.understood.label_columns == ("threat", "toxic", "insult")
    assert examples.labels.tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert examples.understood.label_column == "threat"
    assert examples.understood.ignored_columns == ()
    said = describe(examples)[0]
    assert said == "I will predict which of 3 tags apply (`threat`, `toxic`, `insult`) from `comment`."


def test_a_label_column_that_says_neither_yes_nor_no_is_named_with_its_value() -> None:
    error = refused(flags(toxic=["1", "0"] * 2, insult=["1", "0", "maybe", "1"]), label=["toxic", "insult"])
    assert "`insult` holds 'maybe'" in error.problem
    assert "--label toxic" in error.fix


def test_the_header_again_is_no_bad_value_of_several_columns(tmp_path: Path) -> None:
    rows = [f"{text},{i % 2},{i % 3 % 2}" for i, text in enumerate(texts(6))]
    path = write(tmp_path, "data.csv", ["text,toxic,insult", *rows, "text,toxic,insult", *rows])
    assert len(read_examples(path, label=("toxic", "insult"))) == 12


def test_a_column_that_never_says_yes_is_left_out() -> None:
    columns = flags(a=["1", "0"] * 2, b=["0"] * 4, c=["1", "1", "0", "0"])
    examples = read_examples(columns, label=("a", "b", "c"))
    assert examples.classes == ("a", "c")
    assert any("`b`" in note for note in examples.understood.notes)
    assert "Two answers" in refused(columns, label=("a", "b")).problem


def test_one_column_in_a_list_is_the_usual_case() -> None:
    examples = read_examples(flags(mood=["glad", "sad"] * 3), label=["mood"])
    assert (examples.task, examples.classes) == (Task.SINGLE, ("glad", "sad"))


def test_several_columns_have_no_single_answer_and_no_separator() -> None:
    columns = flags(a=["1", "0"] * 2, b=["0", "1"] * 2)
    for wrong in ({"task": Task.SINGLE}, {"task": Task.NUMBER}, {"separator": ";"}):
        assert "2 are named" in refused(columns, label=("a", "b"), **wrong).problem
    assert "both the text and the answer" in refused(columns, label=("a", "comment"), text="comment").problem


def test_columns_of_yes_and_no_that_are_a_question_can_all_be_the_answer() -> None:
    columns = flags(toxic=["1", "0"] * 10, insult=["0", "1"] * 10)
    with pytest.raises(AmbiguousColumns) as caught:
        read_examples(columns)
    assert "--label toxic --label insult" in caught.value.fix


# --- numbers ---


def test_numbers_with_fractions_are_predicted_as_numbers() -> None:
    examples = read_examples(table(GRADES * 3, "score"))
    assert (examples.task, examples.classes) == (Task.NUMBER, ())
    assert examples.labels.dtype == np.float64
    assert examples.labels.tolist() == [float(value) for value in GRADES * 3]
    said = describe(examples)
    assert said[0] == "I will predict the number `score` (from 1 to 5) from `plot`."
    assert any("--task classification" in line for line in said)


@pytest.mark.parametrize("name", ["rating", "review_score", "target"])
def test_the_only_number_named_like_an_answer_is_the_target(name: str) -> None:
    columns = {"id": [str(i) for i in range(30)], **table(GRADES * 3, name)}
    examples = read_examples(columns)
    assert (examples.understood.label_column, examples.task) == (name, Task.NUMBER)


def test_many_whole_numbers_that_hardly_come_back_are_a_number() -> None:
    prices = [str(1000 + (i * 37) % 450) for i in range(300)]
    assert read_examples(table(prices, "price"), label="price").task is Task.NUMBER


def test_a_few_whole_ratings_stay_answers_with_how_to_overrule_it() -> None:
    columns = table([str(i % 10 + 1) for i in range(60)], "stars")
    examples = read_examples(columns)
    assert (examples.task, len(examples.classes)) == (Task.SINGLE, 10)
    assert any("--task regression" in note for note in examples.understood.notes)
    asked = read_examples(columns, task=Task.NUMBER)
    assert asked.labels.tolist() == [i % 10 + 1 for i in range(60)]


def shuffled(values: Sequence[str]) -> list[str]:
    return random.Random(0).sample(values, len(values))


def stepped(lowest: float, highest: float, step: float, rows: int) -> list[str]:
    drawn = random.Random(0)
    return [f"{lowest + step * drawn.randint(0, round((highest - lowest) / step)):g}" for _ in range(rows)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rating", stepped(0.5, 5, 0.5, 1000)),
        ("score", stepped(1, 5, 0.5, 60)),
        ("price", [f"{cents / 100:.2f}" for cents in range(199, 9999, 37)]),
        ("product_price", stepped(100, 4000, 10, 300)),
        ("similarity", stepped(0, 5, 0.001, 500)),
        ("label", stepped(0, 5, 0.001, 500)),
        ("label", [*stepped(0, 5, 0.25, 3000), *stepped(0, 5, 0.01, 1500)]),
        ("score", stepped(0, 100, 1, 150)),
        ("views", stepped(0, 100_000, 1, 300)),
    ],
)
def test_what_is_measured_is_predicted_as_a_number(name: str, values: list[str]) -> None:
    examples = read_examples(table(shuffled(values), name), label=name)
    assert (examples.task, examples.classes) == (Task.NUMBER, ())
    assert any("--task classification" in note for note in examples.understood.notes)


@pytest.mark.parametrize("strays", [["3.5"], ["4.0"], ["3.5", "4.0"], ["2.5"] * 10])
def test_a_stray_fraction_makes_no_number_of_classes(strays: list[str]) -> None:
    examples = read_examples(table(shuffled([*["1", "2", "3", "4", "5"] * 200, *strays]), "stars"))
    assert examples.task is Task.SINGLE
    assert {"1", "2", "3", "4", "5"} == set(examples.classes) - {"2.5"}
    assert len(examples) == 1000 + len(strays) - ("3.5" in strays)
    assert any("--task regression" in note for note in examples.understood.notes)


@pytest.mark.parametrize("name", ["label", "version", "category"])
@pytest.mark.parametrize(
    "names",
    [
        ["0", "0.5", "1"],
        ["2.7", "3.8", "3.10"],
        ["1.1", "1.2", "2.1"],
        ["3.1", "3.2", "3.10", "3.11", "3.12"],
        [f"{chapter}.{section}" for chapter in range(1, 6) for section in range(1, 6)],
    ],
)
def test_a_few_fractions_that_come_back_are_classes(name: str, names: list[str]) -> None:
    examples = read_examples(table(shuffled(names * 45), name), label=name)
    assert (examples.task, sorted(examples.classes)) == (Task.SINGLE, sorted(names))
    assert any("--task regression" in note for note in examples.understood.notes)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("version", [f"{i // 12 + 1}.{i % 12}" for i in range(40)] * 2),
        ("error_code", [f"{400 + i}.{i % 7}" for i in range(40)] * 2),
        ("label", ["3.1", "3.10", "3.2", "3.20", "3.3", "3.30"] * 3),
    ],
)
def test_versions_and_codes_are_classes_however_rare(name: str, values: list[str]) -> None:
    examples = read_examples(table(shuffled(values), name), label=name)
    assert (examples.task, len(examples.classes)) == (Task.SINGLE, len(set(values)))


@pytest.mark.parametrize("name", ["label", "intent", "class", "category"])
@pytest.mark.parametrize(
    "values",
    [
        [str(i) for i in range(77)] * 3,
        [str(i) for i in random.Random(0).sample(range(151), 100)] * 8,
        [str(i) for i in range(100, 151)] * 15,
        [str(1000 + 137 * i) for i in range(60)] * 15,
    ],
)
def test_the_numbers_of_classes_stay_classes_with_how_to_overrule_it(name: str, values: list[str]) -> None:
    columns = table(shuffled(values), name)
    examples = read_examples(columns)
    assert (examples.task, len(examples.classes)) == (Task.SINGLE, len(set(values)))
    assert any("--task regression" in note for note in examples.understood.notes)
    assert read_examples(columns, task=Task.NUMBER).task is Task.NUMBER


def test_whole_numbers_that_come_back_are_numbers_only_where_the_name_says_so() -> None:
    values = [str(i % 77) for i in range(770)]
    assert read_examples(table(values, "score")).task is Task.NUMBER
    assert read_examples(table(values, "bucket"), label="bucket").task is Task.SINGLE


@pytest.mark.parametrize("name", ["zip", "area", "score"])
def test_numbers_with_a_leading_zero_are_codes_and_keep_it(name: str) -> None:
    values = [f"{i * 331:05}" for i in range(60)] * 2
    examples = read_examples(table(shuffled(values), name), label=name)
    assert examples.task is Task.SINGLE
    assert "00331" in examples.classes


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("label", [str(i + 5) for i in range(60)]),
        ("label", [str(i * i) for i in range(60)]),
        ("user_id", [str((i * 7919) % 100_003) for i in range(60)]),
        ("customer", [str((i * 7919) % 100_003 % 400) for i in range(600)]),
    ],
)
def test_ids_are_no_numbers_to_predict(name: str, values: list[str]) -> None:
    error = refused(table(values, name), label=name)
    assert "looks like an id" in error.problem
    assert "--task regression" in error.fix
    assert read_examples(table(values, name), label=name, task=Task.NUMBER).labels[1] == float(values[1])


def test_a_row_with_text_in_a_column_of_numbers_is_set_aside_with_its_value() -> None:
    examples = read_examples(table([*GRADES * 3, "n/a", "1e999", "", "1e200"], "score"))
    assert len(examples) == 30
    assert [(aside.row, aside.reason) for aside in examples.understood.set_aside] == [
        (31, "'n/a' is no number to learn from"),
        (32, "'1e999' is no number to learn from"),
        (33, "no answer"),
        (34, "'1e200' is no number to learn from"),
    ]


def test_decimal_commas_between_semicolons_are_numbers(tmp_path: Path) -> None:
    rows = [f"{text};{value.replace('.', ',')}" for text, value in zip(texts(30), GRADES * 3, strict=True)]
    examples = read_examples(write(tmp_path, "data.csv", ["text;score", *rows]))
    assert examples.task is Task.NUMBER
    assert examples.labels.tolist() == [float(value) for value in GRADES * 3]
    mixed = [f"{text};{('3,5', '3.25', '4,5', '1,25')[i % 4]}" for i, text in enumerate(texts(30))]
    path = write(tmp_path, "mixed.csv", ["text;score", *mixed])
    assert read_examples(path).task is Task.SINGLE


def test_a_decimal_comma_elsewhere_is_read_on_request() -> None:
    commas = table([value.replace(".", ",") for value in GRADES * 3], "score")
    assert read_examples(commas, task=Task.NUMBER).labels[0] == 1.5


def write_tabs(folder: Path, name: str, cells: Sequence[str]) -> Path:
    rows = [f"{text}\t{cell}" for text, cell in zip(texts(len(cells)), cells, strict=True)]
    return write(folder, "data.tsv", [f"text\t{name}", *rows])


def test_a_comma_that_may_be_decimal_or_part_answers_is_a_question(tmp_path: Path) -> None:
    grades = write_tabs(tmp_path, "mark", shuffled(["1", "1,5", "2", "2,5"] * 20))
    ids = ["1", "1,3", "2,4", "3,4", "4", "2"] * 10
    rows = [f"{text};{cell}" for text, cell in zip(texts(60), ids, strict=True)]
    topics = write(tmp_path, "data.csv", ["text;topic", *rows])
    for path, classes in ((grades, 3), (topics, 4)):
        error = refused(path)
        assert "decimal comma" in error.problem
        for answer in ("--task regression", '--task multi-label --separator ","', "--task classification"):
            assert answer in error.fix
        assert read_examples(path, task=Task.NUMBER).task is Task.NUMBER
        assert len(read_examples(path, task=Task.MULTI, separator=",").classes) == classes
        assert read_examples(path, task=Task.SINGLE).task is Task.SINGLE


def test_a_name_or_a_comma_in_each_cell_makes_it_decimal(tmp_path: Path) -> None:
    cents = [f"{100 + 5 * (i * 37 % 80)}" for i in range(160)]
    prices = [f"{value[:-2]},{value[-2:]}" for value in cents]
    examples = read_examples(write_tabs(tmp_path, "betrag", prices), label="betrag")
    assert examples.task is Task.NUMBER
    assert examples.labels.tolist() == [float(value) / 100 for value in cents]
    tenths = [f"{value / 10:.1f}".replace(".", ",") for value in range(10, 51)] * 4
    assert read_examples(write_tabs(tmp_path, "length", shuffled(tenths)), label="length").task is Task.NUMBER
    halves = [value.replace(".", ",") for value in stepped(1, 5, 0.5, 200)]
    assert read_examples(write_tabs(tmp_path, "rating", halves)).task is Task.NUMBER


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_three_numbers_in_a_cell_are_tags(tmp_path: Path, delimiter: str) -> None:
    cells = ["1", "1,3", "2,4", "3,4", "4", "2", "1,2,3"] * 10
    rows = [f"{text}{delimiter}{cell}" for text, cell in zip(texts(70), cells, strict=True)]
    examples = read_examples(write(tmp_path, "data.csv", [f"text{delimiter}topic", *rows]))
    assert tags(examples) == parted(cells, ",")


def test_commas_between_thousands_are_no_separators() -> None:
    drawn = random.Random(0)
    numbers = [drawn.randrange(200, 9999) for _ in range(2000)]
    examples = read_examples(table([f"{number:,}" for number in numbers], "target"))
    assert examples.task is Task.NUMBER
    assert examples.labels.tolist() == numbers


def test_numbers_of_a_spreadsheet_are_numbers(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text", "score"])
    for text, value in zip(texts(30), GRADES * 3, strict=True):
        book.active.append([text, float(value)])
    book.save(tmp_path / "data.xlsx")
    examples = read_examples(tmp_path / "data.xlsx")
    assert examples.task is Task.NUMBER
    assert examples.labels.tolist() == [float(value) for value in GRADES * 3]


def test_numbers_asked_for_where_there_are_none_are_refused_with_a_value() -> None:
    error = refused(table(["good", "bad"] * 9, "label"), task=Task.NUMBER)
    assert "`label` holds 'good'" in error.problem
    assert "--task classification" in error.fix


def test_a_number_that_is_always_the_same_is_nothing_to_learn() -> None:
    assert "same number" in refused(table(["2.5"] * 9, "score"), task=Task.NUMBER).problem


def test_lists_of_numbers_and_of_classes_keep_their_kinds() -> None:
    assert read_examples(texts(30), [float(value) for value in GRADES * 3]).task is Task.NUMBER
    assert (
        read_examples(texts(30), np.array([float(v) for v in GRADES * 3], dtype=np.float32)).task
        is Task.NUMBER
    )
    for classes in ([0, 1] * 15, [True, False] * 15, ["x", "y"] * 15, [1.0, 2.0] * 15):
        assert read_examples(texts(30), classes).task is Task.SINGLE


def test_asked_for_classes_every_value_is_one() -> None:
    examples = read_examples(table(GRADES * 3, "score"), task=Task.SINGLE)
    assert (examples.task, len(examples.classes)) == (Task.SINGLE, 9)


# --- on data that come later ---


def test_on_later_data_answers_are_mapped_onto_the_known_classes_and_others_counted() -> None:
    later = table(["war; western", "", "drama", "western;musical"])
    examples = read_examples(later, label=("tags",), classes=CLASSES, task=Task.MULTI, separator=";")
    assert examples.classes == CLASSES
    assert examples.labels.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert any("`western` (2), `musical` (1)" in note for note in examples.understood.notes)


def test_on_later_data_several_columns_are_found_in_any_case_and_order() -> None:
    columns = flags(Insult=["1", "0"], threat=["1", "0"], TOXIC=["0", "1"])
    examples = read_examples(
        columns, label=("toxic", "insult", "threat"), classes=("toxic", "insult"), task=Task.MULTI
    )
    assert examples.labels.tolist() == [[0, 1], [1, 0]]
    assert any("`threat` (1)" in note for note in examples.understood.notes)


def test_on_later_data_one_number_is_enough_and_classes_are_none() -> None:
    later = table(["7", "7", "so so"], "score")
    examples = read_examples(later, label="score", classes=(), task=Task.NUMBER)
    assert (examples.labels.tolist(), examples.classes) == ([7.0, 7.0], ())
    assert len(examples.understood.set_aside) == 1
    nothing = table(["so so", "fine"], "score")
    assert "no number" in refused(nothing, label="score", classes=(), task=Task.NUMBER).problem


@pytest.mark.parametrize(
    ("train", "test", "task"),
    [(TAGS * 2, ["war;drama", ""], Task.MULTI), (GRADES * 2, ["3", "2"], Task.NUMBER)],
)
def test_the_test_part_of_a_folder_has_the_task_of_the_training_part(
    tmp_path: Path, train: list[str], test: list[str], task: Task
) -> None:
    for name, answers in (("train", train), ("test", test)):
        rows = [f"{text},{answer}" for text, answer in zip(texts(len(answers)), answers, strict=True)]
        write(tmp_path, f"{name}.csv", ["text,label", *rows])
    examples = read_examples(tmp_path)
    assert examples.official_test is not None
    assert examples.task is examples.official_test.task is task
    assert examples.official_test.classes == examples.classes
    assert len(examples.official_test) == 2


@pytest.mark.parametrize("answers", [TAGS * 2, GRADES * 2, ["x", "y"] * 9])
def test_examples_of_every_kind_can_be_picked(answers: list[str]) -> None:
    examples = read_examples(table(answers, "label"))
    picked = examples.take(np.array([3, 1]))
    assert (picked.labels == examples.labels[[3, 1]]).all()
    assert (picked.task, picked.classes) == (examples.task, examples.classes)


def test_sets_of_answers_that_are_all_the_same_cannot_be_learned() -> None:
    told = refused(table(["a|b"] * 20, "label"), task=Task.MULTI)
    assert "All 20 rows have the same answers in `label`" in told.problem
