"""The text and the answer are found by what columns hold, then by name; never by a guess."""

from __future__ import annotations

import pytest

from plaintune.core.errors import AmbiguousColumns, UserError
from plaintune.data.columns import WantedColumns, check_label, choose_roles
from plaintune.data.frames import frame_table
from plaintune.data.profile import DistinctCount, TableProfile, profile_table
from plaintune.data.times import is_date

ROWS = 40
WORDS = ["the", "a", "film", "was", "not", "very", "good", "but", "long", "and", "rather", "slow", "with"]
WORDS += ["some", "fine", "scenes", "in", "it"]


def sentence(i: int, length: int = 9) -> str:
    return " ".join(WORDS[(i * 7 + k * (i + 3)) % len(WORDS)] for k in range(length)) + f" {i}"


TEXTS = [sentence(i) for i in range(ROWS)]
LONG_TEXTS = [sentence(i, 60) for i in range(ROWS)]
STARS = [str(i % 5 + 1) for i in range(ROWS)]
MOODS = [("glad", "sad", "angry")[i % 3] for i in range(ROWS)]


def profile(columns: dict[str, list[str]]) -> TableProfile:
    return profile_table(frame_table(columns))


def chosen(columns: dict[str, list[str]], **wanted: object) -> tuple[str, ...]:
    """The names of the text columns, then of the label."""
    roles = choose_roles(profile(columns), WantedColumns(**wanted), source="x.csv", need_label=True)  # type: ignore[arg-type]
    return tuple(list(columns)[i] for i in (*roles.text, roles.labels[0]))


def notes(columns: dict[str, list[str]], **wanted: object) -> str:
    roles = choose_roles(profile(columns), WantedColumns(**wanted), source="x.csv", need_label=True)  # type: ignore[arg-type]
    return " ".join(roles.notes)


def test_text_and_answer_are_found_by_what_they_hold_whatever_their_names() -> None:
    assert chosen({"v1": MOODS, "v2": TEXTS}) == ("v2", "v1")


def test_of_thousands_of_columns_an_error_names_ten() -> None:
    columns = {f"c{number}": TEXTS for number in range(400)}
    with pytest.raises(UserError) as told:
        chosen(columns)
    assert len(told.value.problem + told.value.fix) < 400
    with pytest.raises(UserError) as named:
        chosen(columns, text=("body",))
    assert "…and 390 more" in named.value.problem


def test_ids_dates_links_and_numbers_are_neither_text_nor_answer() -> None:
    columns = {
        "a": [f"tt{i:07}" for i in range(ROWS)],
        "b": [f"2024-01-{i % 28 + 1:02}" for i in range(ROWS)],
        "c": [f"https://example.com/{i}" for i in range(ROWS)],
        "d": [str(i * 0.37) for i in range(ROWS)],
        "e": [str(1990 + i % 4) for i in range(ROWS)],
        "f": ['["x", "y"]', "[]"] * (ROWS // 2),
        "g": TEXTS,
        "h": MOODS,
    }
    assert chosen(columns) == ("g", "h")


def test_codes_of_products_and_users_give_way_to_the_answer() -> None:
    columns = {
        "text": [sentence(i) for i in range(300)],
        "reviewerID": [f"A{i // 3}X" for i in range(300)],
        "asin": [f"B{i // 5:04}" for i in range(300)],
        "overall": [f"{i % 5 + 1}.0" for i in range(300)],
    }
    assert chosen(columns) == ("text", "overall")


def test_two_possible_answers_are_a_question_with_both_as_options() -> None:
    with pytest.raises(AmbiguousColumns) as caught:
        chosen({"text": TEXTS, "verdict one": MOODS, "verdict two": STARS, "c": MOODS})
    assert caught.value.role == "label"
    assert caught.value.options == ("verdict one", "verdict two", "c")
    assert '--label "verdict one"' in caught.value.fix


def test_a_known_name_decides_between_two_possible_answers() -> None:
    assert chosen({"text": TEXTS, "verified": ["True", "False"] * 20, "sentiment": MOODS}) == (
        "text",
        "sentiment",
    )
    assert chosen({"text": TEXTS, "shop": MOODS, "sentiment_label": MOODS}) == ("text", "sentiment_label")


def test_two_known_names_are_a_question() -> None:
    with pytest.raises(AmbiguousColumns) as caught:
        chosen({"text": TEXTS, "stars": STARS, "sentiment": MOODS})
    assert caught.value.options == ("stars", "sentiment")


def test_a_known_name_that_cannot_be_an_answer_is_not_passed_over_in_silence() -> None:
    with pytest.raises(AmbiguousColumns) as caught:
        chosen({"text": TEXTS, "rating": [str(i / 7) for i in range(ROWS)], "shop": MOODS})
    assert set(caught.value.options) == {"rating", "shop"}


INCIDENTAL = [("web", "app", "shop")[i % 3] for i in range(2000)]


@pytest.mark.parametrize(
    ("name", "values", "other"),
    [
        ("intent_id", [str(i * 5 % 77) for i in range(2000)], "channel"),
        ("class_id", [str(i * 7 % 30) for i in range(2000)], "split"),
        ("star_rating", [str(1 + i % 9 / 2) for i in range(2000)], "verified_purchase"),
        ("sentiment_score", [f"{i * 37 % 101 / 100:.2f}" for i in range(2000)], "lang"),
        ("points", [str(80 + i % 21) for i in range(2000)], "country"),
        ("points", [str(80 + i % 21) for i in range(200)], "country"),
        ("intent_code", [f"I-{i % 77:02}" for i in range(2000)], "channel"),
        ("topics", [";".join(w for k, w in enumerate(WORDS[:9]) if i >> k & 1) for i in range(2000)], "lang"),
    ],
)
def test_a_telling_name_over_many_answers_or_numbers_is_a_question_and_not_passed_over(
    name: str, values: list[str], other: str
) -> None:
    columns = {
        "text": [sentence(i) for i in range(len(values))],
        name: values,
        other: INCIDENTAL[: len(values)],
    }
    with pytest.raises(AmbiguousColumns) as caught:
        chosen(columns)
    assert caught.value.options == (name, other)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("confidence_score", [f"{i * 37 % 101 / 100:.2f}" for i in range(ROWS)]),
        ("target_year", [str(1990 + i % 30) for i in range(ROWS)]),
        ("price", [*[""] * 30, *(str(1000 + i * 37 % 450) for i in range(10))]),
        ("answer_text", TEXTS[::-1]),
        ("answer_id", [str(i) for i in range(ROWS)]),
    ],
)
def test_an_answer_that_is_clear_stays_clear_beside_other_telling_names(name: str, values: list[str]) -> None:
    assert chosen({"text": LONG_TEXTS, "sentiment_label": MOODS, name: values})[-1] == "sentiment_label"
    if name != "confidence_score":
        assert chosen({"text": LONG_TEXTS, "mood": MOODS, name: values})[-1] == "mood"


def test_title_and_body_of_like_length_are_a_question() -> None:
    with pytest.raises(AmbiguousColumns) as caught:
        chosen({"title": TEXTS, "body": TEXTS[::-1], "label": MOODS})
    assert (caught.value.role, caught.value.options) == ("text", ("title", "body"))
    assert "--text title --text body" in caught.value.fix


def test_a_known_text_beside_a_much_shorter_title_is_taken_and_the_title_is_mentioned() -> None:
    columns = {"title": [sentence(i, 3) for i in range(ROWS)], "body": LONG_TEXTS, "label": MOODS}
    assert chosen(columns) == ("body", "label")
    assert "--text title --text body" in notes(columns)


def test_several_columns_can_be_the_text() -> None:
    assert chosen({"title": TEXTS, "body": LONG_TEXTS, "label": MOODS}, text=("title", "body")) == (
        "title",
        "body",
        "label",
    )


def test_answers_of_several_words_are_not_taken_for_the_text() -> None:
    answers = [("card has arrived", "lost my card", "card is late")[i % 3] for i in range(ROWS)]
    assert chosen({"one": TEXTS, "two": answers}) == ("one", "two")


def test_scripts_without_spaces_are_text_too() -> None:
    chinese = ["这部电影真的非常好看" + "很" * (i % 9) + str(i) for i in range(ROWS)]
    assert chosen({"a": chinese, "b": MOODS}) == ("a", "b")


def test_single_words_are_text_where_nothing_else_is() -> None:
    surnames = [WORDS[i % 18] + "abcdefghij"[i % 10] + "xyz"[i % 3] for i in range(ROWS)]
    assert chosen({"surname": surnames, "origin": MOODS}) == ("surname", "origin")


def test_a_mostly_empty_column_is_no_candidate() -> None:
    overflow = [TEXTS[0], *[""] * (ROWS - 1)]
    assert chosen({"v1": MOODS, "v2": TEXTS, "column 3": overflow}) == ("v2", "v1")


def test_half_labelled_data_keeps_its_known_answer_column() -> None:
    assert chosen({"text": TEXTS, "label": [*MOODS[:10], *[""] * 30]}) == ("text", "label")


def test_no_text_at_all_says_what_the_columns_hold() -> None:
    with pytest.raises(UserError, match="looks like text") as caught:
        chosen({"n": [str(i) for i in range(ROWS)], "when": ["2024-01-02"] * ROWS})
    assert "`n` (numbers)" in caught.value.problem


def test_no_answer_at_all_says_what_the_columns_hold() -> None:
    with pytest.raises(UserError, match="looks like the answer"):
        chosen({"text": TEXTS, "n": [str(i) for i in range(ROWS)]})
    with pytest.raises(UserError, match="one column only"):
        chosen({"text": TEXTS})


def test_a_name_that_is_not_there_is_answered_with_the_nearest_and_all_others() -> None:
    with pytest.raises(UserError) as caught:
        chosen({"text": TEXTS, "label": MOODS}, label="lable")
    assert "'label'" in caught.value.problem
    assert "text, label" in caught.value.problem


def test_names_match_in_any_case_unless_two_do() -> None:
    assert chosen({"SMS": TEXTS, "Label": MOODS}, text=("sms",), label="label") == ("SMS", "Label")
    with pytest.raises(UserError):
        chosen({"text": TEXTS, "Label": MOODS, "LABEL": MOODS}, label="label")


def test_one_column_cannot_be_text_and_answer() -> None:
    with pytest.raises(UserError, match="both the text and the answer"):
        chosen({"text": TEXTS, "label": MOODS}, text=("label",), label="label")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([f"x{i}" for i in range(ROWS)], "an id"),
        (TEXTS, "free text"),
        ([str(i / 3) for i in range(ROWS)], "numbers"),
        ([f"x{i // 2}" for i in range(500)], "an id"),
    ],
)
def test_a_label_with_hardly_a_repeated_value_says_what_it_looks_like(values: list[str], what: str) -> None:
    with pytest.raises(UserError, match=what):
        check_label(profile({"label": values}).columns[0])


def test_a_label_that_holds_lists_is_refused() -> None:
    with pytest.raises(UserError, match="one answer per text"):
        check_label(profile({"label": ['["a", "b"]', '["a"]'] * 20}).columns[0])


def test_many_answers_with_many_rows_each_are_fine() -> None:
    check_label(profile({"label": [f"intent {i % 300}" for i in range(300 * 25)]}).columns[0])


def test_a_group_is_pointed_out_with_its_size() -> None:
    columns = {
        "review": [sentence(i) for i in range(400)],
        "label": ["a", "b"] * 200,
        "film": [f"tt{i // 8:05}" for i in range(400)],
    }
    assert "`film` looks like a group (50 values, about 8 rows each)" in notes(columns)
    assert "--group film" in notes(columns)
    assert "group" not in notes(columns, group="film")


def test_a_time_is_pointed_out() -> None:
    columns = {
        "review": TEXTS,
        "label": MOODS,
        "posted": [f"2024-03-{i % 28 + 1:02} 10:00" for i in range(ROWS)],
    }
    assert "--time posted" in notes(columns)
    assert "--time" not in notes(columns, time="posted")


def test_a_file_sorted_by_its_answers_is_understood() -> None:
    columns = {"x": [sentence(i) for i in range(6000)], "y": ["bad"] * 3000 + ["good"] * 3000}
    assert chosen(columns) == ("x", "y")


def test_distinct_values_are_counted_within_three_percent_in_little_memory() -> None:
    count = DistinctCount()
    for i in range(200_000):
        count.add(f"customer {i % 120_000}")
    assert int(count) == pytest.approx(120_000, rel=0.03)
    assert len(count.kept) <= 1 << 14


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("2024-03-31", True),
        ("2024/3/1 10:15", True),
        ("2024-03-31T10:15:00.123Z", True),
        ("31.12.2024", True),
        ("12/31/24 5:06 PM", True),
        ("5 March 2024", True),
        ("Mar 5, 2024", True),
        ("Mon Apr 06 22:19:45 PDT 2009", True),
        ("2024", False),
        ("version 1.2.3", False),
        ("2024-03-31 was a fine day", False),
        ("May we go", False),
    ],
)
def test_what_is_a_date(value: str, answer: bool) -> None:
    assert is_date(value) is answer
