"""Any file of rows is opened as what it is, and no row is lost or changed on the way."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaintune.core.errors import MissingExtra, UserError
from plaintune.data.mixed import OddLines
from plaintune.data.read import read_examples
from plaintune.data.tables import Table, open_table

ROWS = [["I loved it, truly", "good"], ["Dreadful; avoid", "bad"], ["Not | bad", "good"], ["So\tso", "bad"]]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_csv(rows: list[list[str]], **how: object) -> str:
    out = io.StringIO()
    csv.writer(out, **how).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


def values(table: Table) -> list[list[str]]:
    return [row.values for row in table.rows()]


def refused(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        list(open_table(path).rows())
    assert path.name in caught.value.problem
    assert caught.value.fix
    return caught.value


# --- delimiters, headers, quotes ---


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_each_delimiter_is_found_whatever_the_file_is_called(tmp_path: Path, delimiter: str) -> None:
    table = open_table(write(tmp_path, "data.txt", as_csv([["text", "label"], *ROWS], delimiter=delimiter)))
    assert (table.delimiter, table.columns, values(table)) == (delimiter, ("text", "label"), ROWS)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
CELLS = st.one_of(
    TEXT,
    st.sampled_from(['"', '""', "\r", "\n", "a\r\nb", ",", "\t", ";", "|", " ", 'x"y', "\\", "nul\0inside"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8),
    st.sampled_from([",", "\t", ";", "|"]),
    st.sampled_from(["\r\n", "\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_rows_written_by_csv_are_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str, end: str, quoting: int
) -> None:
    if end == "\n":  # csv before Python 3.13 leaves a carriage return unquoted: no reader can tell it then
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    written = as_csv(
        [["id", "text", "label"], *rows], delimiter=delimiter, lineterminator=end, quoting=quoting
    )
    path = write(tmp_path_factory.mktemp("round"), "data.csv", written.encode())
    assert values(open_table(path)) == rows


PLAIN = TEXT.map(lambda text: "".join(c for c in text if c not in ",;|\t"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(PLAIN, min_size=2, max_size=2), min_size=1, max_size=8),
    st.sampled_from([",", "\t", ";", "|"]),
)
def test_no_row_is_lost_where_there_may_be_no_header(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    """Whether the first row is a header is judged, so it may be in the names instead."""
    rows = [["first text", "one"], *rows]
    path = write(tmp_path_factory.mktemp("bare"), "data.csv", as_csv(rows, delimiter=delimiter))
    table = open_table(path)
    assert ([list(table.columns)] if table.has_header else []) + values(table) == rows


def test_a_file_without_a_header_gets_numbered_columns_and_a_note(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", as_csv(ROWS)))
    assert (table.columns, table.has_header, values(table)) == (("column 1", "column 2"), False, ROWS)
    assert any("not a header" in note for note in table.notes)


def test_a_header_of_unknown_names_is_still_a_header(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", as_csv([["v1", "v2"], *ROWS])))
    assert (table.columns, len(values(table))) == (("v1", "v2"), 4)


def test_numbers_under_a_word_make_it_a_header_and_under_a_number_do_not(tmp_path: Path) -> None:
    assert open_table(write(tmp_path, "a.csv", "phrase,mark\nNice,1\nBad,2\nAwful,3\n")).has_header
    assert not open_table(write(tmp_path, "b.csv", "Nice,1\nBad,2\nAwful,3\nFine,1\n")).has_header


def test_a_name_that_stands_twice_in_the_header_is_made_unique(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", "text,text,label\na,b,c\n"))
    assert table.columns == ("text", "text (2)", "label")
    assert any("text (2)" in note for note in table.notes)


def test_texts_with_unquoted_delimiters_under_known_names_are_broken_rows_and_no_new_columns(
    tmp_path: Path,
) -> None:
    table = open_table(write(tmp_path, "data.csv", "label,text\nham,one, two\nham,three, four\nspam,five\n"))
    assert table.columns == ("label", "text")
    assert [row.problem for row in table.rows()] == ["3 fields instead of 2"] * 2 + [None]


def test_the_unnamed_column_of_row_numbers_that_r_writes_gets_a_name(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", 'text,label\n1,"so good",pos\n2,"so bad",neg\n'))
    assert table.columns == ("column 1", "text", "label")


def test_the_first_line_of_an_excel_export_names_the_delimiter(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", "sep=;\r\ntext;label\r\na, b;x\r\nc, d;y\r\n"))
    assert (table.delimiter, [(row.line, row.values) for row in table.rows()]) == (
        ";",
        [(3, ["a, b", "x"]), (4, ["c, d", "y"])],
    )


TALK = [["text", "label"], *[["a, b", "x"], ["c\nd", "y"], ["e f", "x"]] * 3]


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ("Report generated 2024-01-02\n", "The first line is"),
        ("# exported by X\n", "The first line is"),
        ("# exported by X, on Monday, in a hurry\n", "The first line is"),
        ("Report\n\nof all mail\n\n", "The first 4 lines are"),
        ("\n\n\n\n", None),
        ("\n \n\n\t\n", None),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [["text", "label"], ["ticket", "queue"]])
def test_lines_above_the_header_are_left_out_and_said_and_lines_are_still_counted_right(
    tmp_path: Path, above: str, said: str | None, delimiter: str, header: list[str]
) -> None:
    content = above + as_csv([header, *TALK[1:]], delimiter=delimiter, lineterminator="\n")
    table = open_table(write(tmp_path, "data.csv", content))
    assert (table.delimiter, table.columns, values(table)) == (delimiter, tuple(header), TALK[1:])
    assert [row.line - above.count("\n") for row in table.rows()][:4] == [2, 3, 5, 6]
    notes = [note for note in table.notes if "left out" in note]
    assert notes == ([f"{said} no part of the table: left out."] if said else [])


@pytest.mark.parametrize(
    "above", ["Report of Monday, by Anna\n", "# a, b, c, d\n", "Report,\n,\n", "Made by: x, y, z\nof us\n"]
)
def test_a_title_that_looks_like_a_row_is_left_out_above_a_header_of_usual_names(
    tmp_path: Path, above: str
) -> None:
    table = open_table(write(tmp_path, "data.csv", above + as_csv([["text", "label"], *ROWS])))
    assert (table.columns, values(table)) == (("text", "label"), ROWS)
    assert any("left out" in note for note in table.notes)


def test_of_texts_one_per_line_no_line_is_left_out(tmp_path: Path) -> None:
    lines = ["Hello there", *[f"Yes, I do so {i} times" for i in range(30)]]
    assert values(open_table(write(tmp_path, "texts.txt", "\n".join(lines)))) == [[line] for line in lines]
    names = ["name", *[f"Smith{i}, Anna{i % 7}" for i in range(30)]]
    assert values(open_table(write(tmp_path, "names.csv", "\n".join(names)))) == [
        [name] for name in names[1:]
    ]
    texts = ["Hello you", "I say", "yes, I do", "no", "well, then, text"]
    assert values(open_table(write(tmp_path, "few.txt", "\n".join(texts)))) == [[text] for text in texts]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("kind,words\n" + "ham,one, two\nspam,a, b, c\nham,four\nspam,1, 2, 3, 4\n" * 5, "2, 3, 4… fields"),
        ("All mail\n" * 7 + "text,label\n" + "one more,x\nand another,y\n" * 15, "1 or 2 fields"),
    ],
)
def test_lines_that_cannot_be_split_are_refused_with_how_wide_they_are(
    tmp_path: Path, content: str, told: str
) -> None:
    path = write(tmp_path, "data.csv", content)
    for named in ({}, {"text": "text", "label": "label"}):
        with pytest.raises(UserError, match="cannot be split into columns: parted at commas") as caught:
            read_examples(path, **named)
        assert told in caught.value.problem
        assert "into quotes" in caught.value.fix
    assert len(read_examples(path, need_labels=False)) > 20


def test_a_delimiter_that_is_not_looked_for_can_be_named_as_the_refusal_says(tmp_path: Path) -> None:
    content = "text^label\n" + "so, so^x\nno, no^y\n" * 5
    path = write(tmp_path, "data.csv", content)
    with pytest.raises(UserError, match=r"parted by '\^'") as caught:
        read_examples(path)
    assert "sep=^" in caught.value.fix
    assert read_examples(write(tmp_path, "data.csv", f"sep=^\n{content}")).classes == ("x", "y")


def test_a_list_of_texts_is_told_that_the_answers_are_missing(tmp_path: Path) -> None:
    lines = ["text", *[f'"Well, this is text {i}"' for i in range(30)]]
    with pytest.raises(UserError, match="one column only"):
        read_examples(write(tmp_path, "data.csv", "\n".join(lines)))


def test_a_quoted_line_break_stays_in_its_text_and_lines_are_still_counted_right(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", 'text,label\n"one\ntwo",a\n\nthree,b\n'))
    assert [(row.line, row.values[0]) for row in table.rows()] == [(2, "one\ntwo"), (5, "three")]


def test_quotes_that_are_only_characters_swallow_no_row(tmp_path: Path) -> None:
    lines = [
        'ham\t"Hello there',
        'spam\tA 5" screen',
        'ham\t"Bye" she said',
        'ham\tcall me"',
        "spam\tfree",
    ] * 5
    table = open_table(write(tmp_path, "sms.tsv", "\n".join(["label\ttext", *lines]) + "\n"))
    assert values(table) == [line.split("\t") for line in lines]


def test_one_pair_of_loose_quotes_does_not_join_the_rows_between_them(tmp_path: Path) -> None:
    lines = ["ham\tfine", "spam\tfree"] * 15 + ['ham\t"Hello', "spam\tfree", "ham\tfine", 'ham\tcall me"']
    table = open_table(write(tmp_path, "sms.tsv", "\n".join(["label\ttext", *lines]) + "\n"))
    assert values(table) == [line.split("\t") for line in lines]


def test_a_quote_left_open_in_a_quoting_file_costs_one_line_and_not_the_rest(tmp_path: Path) -> None:
    good = '"Well, well",pos\n"No, no",neg\n' * 10
    table = open_table(write(tmp_path, "data.csv", f'text,label\n{good}"left open,pos\n{good}'))
    assert values(table)[20] == ['"left open', "pos"]
    assert [value for value, _ in values(table)].count("Well, well") == 20


def test_a_quote_left_open_in_the_last_line_is_read_as_it_stands(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", 'text,label\n"a, b",x\n"c, d",y\n"e, f",y\n"open,x'))
    assert values(table)[-1] == ['"open', "x"]


def test_quotes_escaped_with_a_backslash_are_understood(tmp_path: Path) -> None:
    table = open_table(
        write(tmp_path, "d.csv", 'text,label\n"so \\"good\\", yes",x\n"a \\"b\\", c",y\nc:\\new,x\n')
    )
    assert values(table) == [['so "good", yes', "x"], ['a "b", c', "y"], ["c:\\new", "x"]]


def test_a_first_row_with_an_expected_name_is_a_header(tmp_path: Path) -> None:
    file = write(tmp_path, "data.csv", "Ticket_Body\nIt broke, again\nAll fine\n")
    assert not open_table(file).has_header
    assert values(open_table(file, expected=["ticket_body"])) == [["It broke, again"], ["All fine"]]


def test_spaces_between_delimiter_and_quote_are_understood(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "d.csv", 'label, text\npos, "nice, really"\nneg, "bad, really"\n'))
    assert (table.columns, values(table)[0]) == (("label", "text"), ["pos", "nice, really"])


def test_a_row_with_too_many_or_too_few_fields_says_so(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", "text,label\na,x\nb,c,y\nd\ne,x,,\n"))
    assert [(row.line, row.problem) for row in table.rows()] == [
        (2, None),
        (3, "3 fields instead of 2"),
        (4, "1 field instead of 2"),
        (5, None),
    ]


def test_a_field_longer_than_csv_allows_by_default_is_read(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    table = open_table(write(tmp_path, "data.csv", f"text,label\n{'long ' * 100_000},x\nb,y\n"))
    rows = table.rows()
    assert len(next(rows).values[0]) == 500_000
    assert csv.field_size_limit() == before


def test_zero_characters_are_kept(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", "text,label\na\0b and some more text,x\nc,y\n"))
    assert values(table)[0] == ["a\0b and some more text", "x"]


def test_a_file_of_one_column_is_one_text_per_line(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "texts.txt", "Hello, you\nNo comma here\nOne, two, three\n"))
    assert values(table) == [["Hello, you"], ["No comma here"], ["One, two, three"]]
    quoted = open_table(write(tmp_path, "texts.csv", 'text\n"Hello, you"\nplain\n'))
    assert (quoted.columns, values(quoted)) == (("text",), [["Hello, you"], ["plain"]])


# --- line ends and encodings ---


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_understood(tmp_path: Path, end: str) -> None:
    content = as_csv([["text", "label"], *ROWS], lineterminator=end)
    assert values(open_table(write(tmp_path, "data.csv", content))) == ROWS


def test_a_lone_carriage_return_inside_a_text_does_not_end_its_row(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.tsv", "text\tlabel\none\rtwo\tx\nthree\ty\n"))
    assert values(table) == [["one\rtwo", "x"], ["three", "y"]]


ACCENTS = "text,label\nCafé très bien,oui\nDéjà vu “là”,non\n"


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
        ("utf-32", "UTF-32"),
        ("cp1252", "Windows-1252"),
    ],
)
def test_the_encoding_is_detected(tmp_path: Path, codec: str, said: str) -> None:
    table = open_table(write(tmp_path, "data.csv", ACCENTS.encode(codec)))
    assert (table.columns, values(table)[0], table.encoding) == (
        ("text", "label"),
        ["Café très bien", "oui"],
        said,
    )


def test_text_that_is_not_utf8_is_said_to_be_read_as_western_european(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", ACCENTS.replace("“là”", "là").encode("latin-1")))
    assert any("not UTF-8" in note for note in table.notes)


def test_lines_in_another_encoding_are_read_each_in_its_own_and_counted(tmp_path: Path) -> None:
    content = (
        "\ufefftext,label\ncafé,a\n".encode() + "“naïve” résumé,b\n".encode("cp1252") + "là,a\n".encode()
    )
    table = open_table(write(tmp_path, "data.csv", content))
    assert values(table) == [["café", "a"], ["“naïve” résumé", "b"], ["là", "a"]]
    assert table.columns == ("text", "label")
    assert table.odd_lines == OddLines(1, (3,))
    assert any("line 3" in note for note in table.notes)


def test_one_stray_byte_in_a_line_of_utf8_costs_no_other_character(tmp_path: Path) -> None:
    content = "text,label\nпривет, мир\n".encode() + "всё дорого ".encode() + b"\x80 9,b\nc,a\n"
    assert values(open_table(write(tmp_path, "data.csv", content)))[1] == ["всё дорого € 9", "b"]


ACCENTED = st.lists(st.sampled_from("éèàçüñ“”€ß"), max_size=6).map(
    lambda accents: "nnn".join(["a", *accents, "b"])
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(ACCENTED, st.sampled_from(["utf-8", "cp1252"])), min_size=1, max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_no_accent_is_lost_in_a_file_of_two_encodings(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], end: str
) -> None:
    first = [("text,label", "utf-8"), ("öäü ÖÄÜ łąę" * 20 + ",x", "utf-8")]
    rows = [*first, *((f"{text},y", how) for text, how in lines)]
    content = b"".join((text + end).encode(how) for text, how in rows)
    table = open_table(write(tmp_path_factory.mktemp("mixed"), "data.csv", content))
    assert [row[0] for row in values(table)[1:]] == [text for text, _ in lines]


def test_characters_cut_short_in_a_utf8_file_are_refused_with_their_line(tmp_path: Path) -> None:
    content = "text,label\ncafé,a\n".encode() + "a “quotation”".encode()[:-1] + b",b\n"
    assert "line 3" in refused(write(tmp_path, "data.csv", content)).problem


def test_a_file_cut_inside_a_character_is_refused(tmp_path: Path) -> None:
    content = "text,label\ncafé,a\nthé,b\nbébé,été".encode()[:-1]
    assert "line 4" in refused(write(tmp_path, "data.csv", content)).problem


def test_a_last_word_with_an_accent_is_not_taken_for_a_broken_character(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.csv", "label,text\na,one\nb,un café".encode("latin-1")))
    assert values(table)[-1] == ["b", "un café"]


def test_utf16_cut_inside_a_character_is_refused(tmp_path: Path) -> None:
    assert "damaged" in refused(write(tmp_path, "data.csv", ACCENTS.encode("utf-16")[:-1])).problem


def test_an_encoding_that_cannot_be_told_is_refused_and_not_guessed(tmp_path: Path) -> None:
    russian = "текст,метка\nочень хорошо,да\nочень плохо,нет\n"
    assert "UTF-8" in refused(write(tmp_path, "data.csv", russian.encode("cp1251"))).fix


# --- other formats ---


def test_json_lines_numbers_and_missing_keys_become_text(tmp_path: Path) -> None:
    lines = [{"text": "a\nb", "n": 1}, {"text": "c", "n": 2.5, "more": True}, {"text": None}]
    table = open_table(write(tmp_path, "data.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n"))
    assert (table.format, table.columns) == ("JSON lines", ("text", "n", "more"))
    assert values(table) == [["a\nb", "1", ""], ["c", "2.5", "True"], ["", "", ""]]


def test_a_line_that_is_no_json_object_is_a_problem_of_that_line(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.jsonl", '{"text": "a"}\n{"text": \n[1]\n'))
    assert [(row.line, row.problem) for row in table.rows()] == [
        (1, None),
        (2, "not a JSON object"),
        (3, "not a JSON object"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}],
        {"data": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]},
        {"version": 1, "data": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]},
        {"text": ["a", "b"], "label": ["x", "y"]},
        {"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}},
        {"k1": {"text": "a", "label": "x"}, "k2": {"text": "b", "label": "y"}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_usual_shape_of_json_is_a_table(tmp_path: Path, content: object, indent: int | None) -> None:
    table = open_table(write(tmp_path, "data.json", json.dumps(content, indent=indent)))
    assert (table.columns, values(table)) == (("text", "label"), [["a", "x"], ["b", "y"]])


def test_json_that_breaks_off_is_refused_with_the_line(tmp_path: Path) -> None:
    assert "line" in refused(write(tmp_path, "data.json", '[\n{"text": "a"},\n{"te')).problem


def test_parquet_keeps_texts_and_writes_numbers_as_text(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "text": ["a", None],
        "n": [1.0, None],
        "when": arrow.array([0, 1], arrow.timestamp("ns")),
        "l": [[1], []],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "data.parquet")
    table = open_table(tmp_path / "data.parquet")
    assert [row.line for row in table.rows()] == [1, 2]
    first, second = values(table)
    assert first[:2] + first[3:] == ["a", "1.0", "[1]"]
    assert first[2].startswith("1970-01-01")
    assert second[:2] == ["", ""]


def raw_texts(arrow: Any, *texts: bytes) -> Any:
    """What other libraries write as texts without looking at it."""
    return arrow.array(texts, arrow.binary()).view(arrow.string())


def test_parquet_with_values_that_python_does_not_have_is_read(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    columns = {
        "text": ["a", "b", "c"],
        "note": raw_texts(arrow, b"good", b"caf\xe9", "là".encode()),
        "kind": raw_texts(arrow, b"x", b"\xff", b"x").dictionary_encode(),
        "day": arrow.array([0, 10_000_000, None], arrow.int32()).cast(arrow.date32()),
    }
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table(columns), tmp_path / "data.parquet")
    rows = list(open_table(tmp_path / "data.parquet").rows())
    assert [row.values for row in rows] == [
        ["a", "good", "x", "1970-01-01"],
        ["b", "caf\ufffd", "\ufffd", "29349-01-26"],
        ["c", "là", "x", ""],
    ]
    assert rows[1].record == {"text": "b", "note": "caf\ufffd", "kind": "\ufffd", "day": "29349-01-26"}
    assert rows[2].record is not None
    assert rows[2].record["day"] is None


def test_a_column_of_parquet_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    nested = arrow.StructArray.from_arrays([raw_texts(arrow, b"caf\xe9")], ["inner"])
    table = arrow.table({"text": ["a"], "extra": nested})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "data.parquet")
    assert "`extra`" in refused(tmp_path / "data.parquet").problem


def excel(path: Path, rows: list[list[object]], more: dict[str, list[list[object]]] | None = None) -> Path:
    pytest.importorskip("python_calamine")
    book = pytest.importorskip("openpyxl").Workbook()
    for row in rows:
        book.active.append(row)
    for name, sheet_rows in (more or {}).items():
        sheet = book.create_sheet(name)
        for row in sheet_rows:
            sheet.append(row)
    book.save(path)
    return path


def test_excel_numbers_stay_as_they_are_shown_and_rows_as_they_are_counted(tmp_path: Path) -> None:
    path = excel(tmp_path / "data.xlsx", [["text", "stars"], ["good", 5], ["", None], ["bad", 1.5]])
    table = open_table(path)
    assert (table.format, table.columns) == ("Excel", ("text", "stars"))
    assert [(row.line, row.values) for row in table.rows()] == [(2, ["good", "5"]), (4, ["bad", "1.5"])]


def test_of_several_sheets_the_first_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    path = excel(tmp_path / "data.xlsx", [["text", "label"], ["a", "x"]], {"Notes": [["hello"]]})
    assert any("Notes" in note for note in open_table(path).notes)


ABOUT: list[list[object]] = [["Please read this first"], ["Made on Monday"]]


def test_a_sheet_that_is_only_about_the_data_is_passed_over_and_named(tmp_path: Path) -> None:
    mail = {"Mail": [["text", "label"], ["a", "x"]]}
    table = open_table(excel(tmp_path / "data.xlsx", ABOUT, mail))
    assert (table.columns, values(table)) == (("text", "label"), [["a", "x"]])
    assert any("Only the sheet `Mail` is read, not `Sheet`" in note for note in table.notes)
    assert "`Mail`" in table.source
    about = [["Author", "Anna"], *ABOUT[1:]]
    table = open_table(excel(tmp_path / "two.xlsx", about, {"Mail": [["text", "label"], ["a", "x"]] * 2}))
    assert table.columns == ("text", "label")


def test_the_sheet_with_the_names_that_were_given_is_read(tmp_path: Path) -> None:
    legend: list[list[object]] = [["Queue", "Meaning"], ["q1", "late"]]
    path = excel(tmp_path / "data.xlsx", legend, {"Tickets": [["Body", "Queue"], ["a", "q1"]]})
    assert open_table(path, expected=["body", "queue"]).columns == ("Body", "Queue")


def test_a_legend_behind_the_data_and_statistics_behind_the_texts_are_not_read(tmp_path: Path) -> None:
    tickets: list[list[object]] = [["Ticket", "Queue"], *[["a", "q1"], ["b", "q2"]] * 3]
    path = excel(tmp_path / "data.xlsx", tickets, {"Legend": [["category", "description"], ["q1", "late"]]})
    assert open_table(path).columns == ("Ticket", "Queue")
    texts: list[list[object]] = [["text"], ["a"], ["b"]]
    path = excel(tmp_path / "texts.xlsx", texts, {"Numbers": [["label", "count"], ["q1", 9], ["q2", 8]]})
    assert open_table(path).columns == ("text",)


def test_a_legend_before_the_data_is_not_read(tmp_path: Path) -> None:
    rows: list[list[object]] = [["message", "category"], *[["a", "q1"], ["b", "q2"]] * 20]
    for names in (["label", "meaning"], ["category", "description"]):
        path = excel(tmp_path / f"{names[0]}.xlsx", [names, ["q1", "late"]], {"Data": rows})
        assert open_table(path).columns == ("message", "category")


def test_of_sheets_alike_the_first_is_learned_from_and_the_first_with_the_texts_is_answered(
    tmp_path: Path,
) -> None:
    new: list[list[object]] = [["text"], *[["new"]] * 4]
    clean: list[list[object]] = [["text", "label"], *[["clean", "x"]] * 6]
    path = excel(tmp_path / "data.xlsx", new, {"Clean": clean, "Raw": [*clean, *clean]})
    assert values(open_table(path))[0] == ["clean", "x"]
    assert values(open_table(path, expected=["text"], answers=["x"]))[0] == ["new"]


def test_a_sheet_that_was_chosen_is_chosen_again_by_its_own_names(tmp_path: Path) -> None:
    notes: list[list[object]] = [["what", "more"], *[["a", "b"]] * 5]
    short: list[list[object]] = [["text", "label"], *[["old", "x"]] * 3]
    long: list[list[object]] = [["text", "label"], *[["new", "x"]] * 8]
    path = excel(tmp_path / "data.xlsx", notes, {"2023": short, "2024": long})
    for expected in ((), ("text", "label")):
        assert values(open_table(path, expected=expected))[0] == ["new", "x"]


def test_what_is_wrong_with_a_sheet_is_said_with_its_name(tmp_path: Path) -> None:
    pages = {"More": ABOUT}
    with pytest.raises(UserError, match=r"data\.xlsx \(sheet `Sheet`\)"):
        read_examples(excel(tmp_path / "data.xlsx", ABOUT, pages))


def test_a_sheet_of_blank_cells_is_an_empty_one(tmp_path: Path) -> None:
    path = excel(tmp_path / "data.xlsx", [[" "], ["", " "]], {"Mail": [["text", "label"], ["a", "x"]]})
    assert values(open_table(path)) == [["a", "x"]]
    assert "is empty" in refused(excel(tmp_path / "blank.xlsx", [[" "], ["", " "]])).problem


def test_label_text_lines_split_at_the_first_blank(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "q.label", "DESC:manner How did it go ?\nLOC:city Where , then ?\n"))
    assert table.columns == ("label", "coarse", "text")
    assert values(table)[0] == ["DESC:manner", "DESC", "How did it go ?"]


def test_fasttext_lines_lose_their_prefix(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "train.txt", "__label__pos I like it, a lot\n__label__neg I do not\n"))
    assert values(table) == [["pos", "I like it, a lot"], ["neg", "I do not"]]
    assert any("__label__" in note for note in table.notes)


def test_lines_led_by_a_few_words_that_come_back_are_label_text_lines(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "data.txt", "pos I like it\nneg I do not\n" * 4))
    assert (table.format, values(table)[0]) == ("label-text lines", ["pos", "I like it"])


# --- compressed, misnamed, broken ---


def test_every_text_format_may_be_gzipped(tmp_path: Path) -> None:
    for name, content in {
        "a.csv.gz": "text,label\na,x\n",
        "a.tsv.gz": "text\tlabel\na\tx\n",
        "a.jsonl.gz": '{"text": "a", "label": "x"}\n',
        "a.json.gz": '[{"text": "a", "label": "x"}]',
    }.items():
        table = open_table(write(tmp_path, name, gzip.compress(content.encode())))
        assert (table.columns, values(table)) == (("text", "label"), [["a", "x"]])


def test_a_file_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path) -> None:
    book = excel(tmp_path / "book.xlsx", [["text", "label"], ["a", "x"]])
    assert values(open_table(write(tmp_path, "book.csv", book.read_bytes()))) == [["a", "x"]]
    zipped = write(tmp_path, "zipped.csv", gzip.compress(b"text,label\na,x\n"))
    assert values(open_table(zipped)) == [["a", "x"]]
    lines = write(tmp_path, "lines.csv", '{"text": "a", "label": "x"}\n')
    assert open_table(lines).format == "JSON lines"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("paper.csv", b"%PDF-1.7 ..."),
        ("program.csv", b"MZ\x90\0" + bytes(range(256)) * 4),
        ("noise.bin", bytes(range(256)) * 20),
        ("page.csv", b"<!DOCTYPE html><html><body>Not found</body></html>"),
        ("empty.csv", b""),
        ("blank.csv", b"\n \n\n"),
        ("cut.csv.gz", gzip.compress(b"text,label\n" + bytes(range(97, 123)) * 999)[:60]),
        ("cut.parquet", b"PAR1 and then nothing"),
        ("cut.xlsx", b"PK\x03\x04 and then nothing"),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)),
        ("words.jsonl", b"these are words\nand no json\n"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    refused(write(tmp_path, name, content))


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    write(tmp_path, "reviews.csv", "text,label\na,x\n")
    assert "'reviews.csv'" in refused(tmp_path / "review.csv").problem


def test_a_file_that_may_not_be_read_or_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    assert "neither a file" in refused(tmp_path / "pipe").problem
    assert "folder" in refused(tmp_path).problem
    path = write(tmp_path, "secret.csv", "text,label\na,x\n")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # the tests may run as root, whom nothing stops
    assert "permission" in refused(path).problem


@pytest.mark.parametrize(("module", "name"), [("pyarrow", "a.parquet"), ("python_calamine", "a.xlsx")])
def test_a_library_that_is_not_installed_is_said_with_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    import sys

    excel(tmp_path / "a.xlsx", [["text"], ["a"]])
    write(tmp_path, "a.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as caught:
        open_table(tmp_path / name)
    assert ".[train]" in caught.value.fix


def test_a_table_can_be_read_as_often_as_wanted(tmp_path: Path) -> None:
    makers: list[Callable[[], Path]] = [
        lambda: write(tmp_path, "a.csv", "text,label\na,x\n"),
        lambda: write(tmp_path, "a.jsonl", '{"text": "a", "label": "x"}\n'),
        lambda: excel(tmp_path / "b.xlsx", [["text", "label"], ["a", "x"]]),
    ]
    for make in makers:
        table = open_table(make())
        assert values(table) == values(table) == [["a", "x"]]


# --- files as others write them ---


@pytest.mark.parametrize("above", ["Survey 2024,,\n", "Survey 2024,,\n,,\nof May,,\n", "Survey\n\n"])
def test_a_title_in_the_first_cell_is_left_out_above_a_header_of_any_names(
    tmp_path: Path, above: str
) -> None:
    header, rows = (
        ["Comment", "Mood", "When"],
        [[f"comment, number {n}", "ab"[n % 2], f"day {n}"] for n in range(40)],
    )
    table = open_table(write(tmp_path, "data.csv", above + as_csv([header, *rows])))
    assert (table.columns, values(table)) == (tuple(header), rows)
    assert any("left out" in note for note in table.notes)
    sheet = [[cell for cell in line.split(",") if cell] for line in above.splitlines()]
    table = open_table(excel(tmp_path / "data.xlsx", [*sheet, header, *rows]))
    assert (table.columns, values(table)) == (tuple(header), rows)
    assert any("left out" in note for note in table.notes)


def test_a_column_of_row_numbers_without_a_name_is_no_title(tmp_path: Path) -> None:
    rows = [[str(n), f"a text that goes on for {n} words"] for n in range(40)]
    table = open_table(write(tmp_path, "data.csv", as_csv([["", "words"], *rows])))
    assert (table.columns[1], values(table)) == ("words", rows)


@pytest.mark.parametrize("every", [1, 20])
@pytest.mark.parametrize("inner", ['so "good" here', 'so, "good", here'])
def test_quotes_within_quotes_that_nobody_doubled_are_a_part_of_the_text(
    tmp_path: Path, every: int, inner: str
) -> None:
    rows = [
        f'"{"pos" if n % 2 else "neg"}","{inner if n % every == 0 else "a text, or so"} {n}"'
        for n in range(400)
    ]
    examples = read_examples(write(tmp_path, "data.csv", "\n".join(rows)))
    assert examples.classes == ("neg", "pos")
    assert (examples.texts[0], len(examples)) == (f"{inner} 0", 400)


def test_tags_as_stack_overflow_writes_them_are_several_answers(tmp_path: Path) -> None:
    kinds = ["<java>", "<java><sql>", "<c#>", "<c#><sql>", "<sql>"]
    rows = [["text", "tags"], *[[f"how do I do thing {n}", kinds[n % 5]] for n in range(100)]]
    examples = read_examples(write(tmp_path, "data.csv", as_csv(rows)))
    assert examples.classes == ("c#", "java", "sql")
    assert examples.labels[1].tolist() == [0, 1, 1]


def test_several_answers_may_lead_a_line_of_fasttext(tmp_path: Path) -> None:
    lines = [
        f"__label__{'abc'[n % 3]} {'__label__d ' if n % 4 == 0 else ''}how to cook egg {n}" for n in range(60)
    ]
    examples = read_examples(write(tmp_path, "data.txt", "\n".join(lines)))
    assert (examples.classes, len(examples)) == (("a", "b", "c", "d"), 60)
    assert (examples.texts[0], examples.labels[0].tolist()) == ("how to cook egg 0", [1, 0, 0, 1])


def test_a_mark_for_nothing_is_no_text_and_no_group(tmp_path: Path) -> None:
    rows = [
        ["NULL" if n % 3 == 0 else f"text {n}", "nan" if n % 2 else f"c{n}", "ab"[n % 2]] for n in range(60)
    ]
    source = write(tmp_path, "data.csv", as_csv([["text", "customer", "label"], *rows]))
    examples = read_examples(source, group="customer")
    assert len(examples) == 40
    assert len(set(examples.groups.tolist())) == 40


def test_the_names_of_answers_that_a_parquet_file_tells_are_taken_for_its_numbers(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    labels = [n % 3 if n % 20 else -1 for n in range(60)]
    table = arrow.table({"text": [f"a piece of news {n}" for n in range(60)], "label": labels})
    kind = {"names": ["World", "Sports", "Business"], "_type": "ClassLabel"}
    told = json.dumps({"info": {"features": {"text": {"_type": "Value"}, "label": kind}}})
    parquet.write_table(table.replace_schema_metadata({"huggingface": told}), tmp_path / "news.parquet")
    examples = read_examples(tmp_path / "news.parquet")
    assert (examples.classes, len(examples)) == (("Business", "Sports", "World"), 57)


def test_many_answers_that_come_back_can_be_named_as_such(tmp_path: Path) -> None:
    rows = [["utterance", "intent"], *[[f"say thing {n} to me", f"intent_{n % 250}"] for n in range(2500)]]
    source = write(tmp_path, "data.csv", as_csv(rows))
    with pytest.raises(UserError) as told:
        read_examples(source, label="intent")
    assert "--task classification" in told.value.fix
    assert len(read_examples(source, label="intent", task="classification").classes) == 250
