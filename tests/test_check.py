"""The check-up: each test plants one fault in small data of ours and looks for its finding."""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plaintune as pt
from conftest import Cli, write_csv
from plaintune.core.events import silent
from plaintune.core.features import strict_hashes, text_hash, text_hashes
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task
from plaintune.data import label_check
from plaintune.data.answers import labels_of
from plaintune.data.finding import DataCheck, Severity
from plaintune.data.label_check import proposed_merges
from plaintune.data.private import masked, private_parts
from plaintune.data.read import read_examples
from plaintune.data.repeats import find_repeats
from plaintune.data.symptoms import foreign_language, has_markup, mended
from plaintune.data.targets import Target
from plaintune.pipeline import short_check

WORDS = (
    *("parcel", "order", "late", "refund", "money", "arrived", "broken", "shop", "friendly", "quick"),
    *("answer", "phone", "called", "again", "please", "thanks", "yesterday", "box", "wrong", "size"),
    *("colour", "return", "card", "bank", "paid", "twice", "letter", "street", "door", "nobody", "home"),
    *("waiting", "long", "slow", "fast", "good", "bad", "fine", "strange", "new", "old", "small", "large"),
)


def plain_rows(count: int, *, seed: int = 0, answers: tuple[str, ...] = ("billing", "delivery")) -> list[Any]:
    """Healthy rows: different texts, answers that no single word gives away."""
    rng = random.Random(seed)
    return [[" ".join(rng.choices(WORDS, k=12)), answers[i % len(answers)]] for i in range(count)]


def check(rows: list[Any], **options: Any) -> DataCheck:
    return pt.check([row[0] for row in rows], [row[1] for row in rows], models=False, **options)


def written(path: Path, rows: list[Any], header: tuple[str, ...] = ("text", "answer")) -> Path:
    return write_csv(path, list(header), [tuple(row) for row in rows])


def kinds(found: DataCheck) -> set[str]:
    return {finding.kind for finding in found.findings}


def test_healthy_data_raise_no_alarm() -> None:
    found = check(plain_rows(400))
    assert [f.kind for f in found.findings if f.severity is not Severity.LOW] == []


def test_exact_and_normalised_copies_are_counted_apart() -> None:
    rows = plain_rows(100)
    rows += [rows[0], [rows[1][0].upper() + "!", rows[1][1]]]
    duplicate = check(rows).of("duplicate")
    assert duplicate is not None
    assert (duplicate.rows, duplicate.values["exact"], duplicate.values["normalised"]) == (2, 1, 1)
    assert duplicate.lines == (101, 102)
    assert [text.split(")")[0] for text in duplicate.shown] == ["(like row 1", "(like row 2"]


def test_a_text_with_one_word_changed_is_a_near_copy() -> None:
    rows = plain_rows(100)
    long = " ".join(f"{word} {i}" for i, word in enumerate(WORDS))
    rows += [[long, "billing"], [long.replace("refund", "payment"), "billing"]]
    near = check(rows).of("near_duplicate")
    assert near is not None
    assert near.lines == (102,)


def test_a_common_signature_alone_makes_no_copies() -> None:
    signature = " ".join(f"our office at number {i} is open on every weekday" for i in range(12))
    bodies = ["my parcel came three days too late", "you charged my card for something never bought"]
    rows = plain_rows(100) + [[f"Hello, {body}. {signature}", "billing"] for body in bodies]
    assert "near_duplicate" not in kinds(check(rows))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("यह किताब अच्छी की है", "यह किताब अच्छी का है"),
        ("ดี มาก จริงๆ", "ดู มาก จริงๆ"),
        ("ok 😍", "ok 😡"),
        ("x > 5", "x < 5"),
    ],
)
def test_texts_that_differ_in_what_matters_are_not_the_same(one: str, other: str) -> None:
    assert text_hash(one) != text_hash(other)
    assert text_hash(f"{one} !") == text_hash(one)


def test_one_text_under_two_answers_is_a_conflict() -> None:
    rows = plain_rows(100)
    rows.append([rows[0][0].title(), "delivery"])
    conflict = check(rows).of("conflict")
    assert conflict is not None
    assert (conflict.rows, conflict.lines) == (2, (1, 101))


SIGNED = [
    ("sort a list in C", "sort a list in C#"),
    ("thanks :)", "Thanks :("),
    ("thanks! =-)", "thanks! =-("),
    ("5% off", "5 off"),
    ("it is -5 out", "it is 5 out"),
    ("so ^_^", "so -_-"),
]


@pytest.mark.parametrize(("one", "other"), SIGNED)
def test_texts_that_a_mark_tells_apart_are_no_conflict_and_none_is_removed(
    one: str, other: str, tmp_path: Path
) -> None:
    rows = [*plain_rows(100), [one, "billing"], [other, "delivery"]]
    assert "conflict" not in kinds(check(rows))
    assert "conflict" in kinds(check([*rows, [f"{one.upper()} .", "delivery"]]))
    source = written(tmp_path / "mail.csv", [*plain_rows(100), [one, "billing"], [other, "billing"]])
    assert pt.check(source, fix=tmp_path / "cleaned.csv", models=False).fixed["removed"] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("well-known, is it?", "Well known is it"),
        ("a - 5 b", "a 5 b"),
        ("#fun at 5 %", "# fun (at 5%)"),
        ("no. (yes)", "no yes"),
        ("！！", "!!"),
    ],
)
def test_texts_that_differ_in_case_marks_and_spaces_alone_are_the_same(one: str, other: str) -> None:
    import numpy as np

    texts = np.array([one, "else", other])
    hashes = strict_hashes(texts, text_hashes(texts))
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize(
    ("answers", "merges"),
    [
        ({"Positive": 50, "positive": 3, "negative": 40}, {"positive": "Positive"}),
        ({"positive": 50, "postive": 1, "negative": 40}, {"postive": "positive"}),
        ({"card_arrival": 50, "card arrival": 5}, {"card arrival": "card_arrival"}),
        ({"type_a": 50, "type_b": 1}, {}),
        ({"level1": 50, "level2": 1}, {}),
        ({"typical": 50, "atypical": 2}, {}),
        ({"cat": 50, "bat": 1}, {}),
        ({"positive": 50, "postive": 30}, {}),
        ({"-1": 40, "0": 40, "1": 40, "+1": 3}, {}),
        ({"<=50K": 40, ">50K": 40, "C": 20, "C++": 20, "C#": 20}, {}),
        ({"1.5": 40, "15": 40, "grade": 90, "grade+": 2}, {}),
        ({"की": 40, "का": 2}, {}),
        ({"e-mail": 50, "email": 5, "U.S.": 40, "u.s": 2}, {"email": "e-mail", "u.s": "U.S."}),
        ({"Type I": 115, "Type II": 5, "type ii": 1}, {"type ii": "Type II"}),
        ({"level i": 90, "level ii": 3, "level": 1, "stageIV": 90, "stageIIV": 3}, {}),
        ({"size L now": 90, "size XL now": 3, "size XXL now": 2, "class a part": 90, "class b part": 3}, {}),
        ({"grade 2b part": 90, "grade 2c part": 3}, {}),
        ({"café": 50, "cafe\u0301": 40, "Cafe\u0301": 2}, {"cafe\u0301": "café", "Cafe\u0301": "café"}),
    ],
)
def test_only_slips_in_an_answer_are_merged(answers: dict[str, int], merges: dict[str, str]) -> None:
    import numpy as np

    assert proposed_merges(list(answers), np.array(list(answers.values()))) == merges


def test_a_slip_that_stands_once_is_found() -> None:
    spelling = check([*plain_rows(100), ["where is the thing I bought", "delivrey"]]).of("label_spelling")
    assert spelling is not None
    assert spelling.values["merges"] == {"delivrey": "delivery"}


def test_a_slip_is_told_as_one_to_be_merged_by_hand() -> None:
    rows = [*plain_rows(100), ["where is the thing I bought", "delivrey"]]
    slip = check(rows).of("label_spelling")
    both = check([*rows, ["where is my money", "Billing"]]).of("label_spelling")
    assert slip is not None
    assert both is not None
    for finding in (slip, both):
        assert "no fix merges those" in finding.done
        assert finding.done.endswith("train with `--merge delivrey=delivery`.")
    assert "cleaned.csv" not in slip.done
    assert "cleaned.csv" in both.done


def test_names_that_have_little_in_common_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    rng, compared = random.Random(0), []
    names = sorted({"".join(rng.choices("abcdefghijklmnop", k=rng.randint(6, 16))) for _ in range(2000)})
    monkeypatch.setattr(label_check, "_one_slip", lambda *pair: compared.append(pair))
    assert proposed_merges(names, np.ones(len(names), dtype=np.int64)) == {}
    assert len(compared) < 20 * len(names)


def with_answers(counts: dict[str, int]) -> list[Any]:
    answers = [name for name, count in counts.items() for _ in range(count)]
    return [[text, answer] for (text, _), answer in zip(plain_rows(len(answers)), answers, strict=True)]


@pytest.mark.parametrize("name", ["NA", "N/A", "n.a.", "None", "not given", "nil", "-", "--", "?", "???"])
def test_an_answer_that_may_mean_that_none_was_given_is_told(name: str) -> None:
    missing = check(with_answers({"billing": 50, "delivery": 50, name: 12})).of("no_answer")
    assert missing is not None
    assert missing.what == f"12 rows have the answer `{name}`, which may mean that none was given."
    assert (missing.rows, missing.lines[0], missing.severity) == (12, 101, Severity.MEDIUM)
    assert "leave those rows out" in missing.done


@pytest.mark.parametrize(
    "counts", [{"none": 40, "spam": 50}, {"-": 40, "+": 40, "0": 40}, {"nano": 40, "+": 40, "national": 40}]
)
def test_an_answer_that_is_meant_is_not_taken_for_none(counts: dict[str, int]) -> None:
    assert "no_answer" not in kinds(check(with_answers(counts)))


def test_answers_that_may_mean_that_none_was_given_are_told_together() -> None:
    rows = with_answers({"billing": 50, "?": 5, "NA": 12})
    missing = check(rows).of("no_answer")
    assert missing is not None
    assert missing.what.startswith("17 rows have the answer `NA` (12) or `?` (5), which may mean")
    assert missing.values == {"answers": {"NA": 12, "?": 5}}


def test_tags_that_would_not_fit_in_memory_are_refused_before_they_are_numbered() -> None:
    import numpy as np

    tags = {f"tag{number}": number for number in range(600)}
    codes = np.arange(900_000) % len(tags)
    with pytest.raises(pt.UserError, match="600 different answers"):
        labels_of(Target(Task.MULTI, ("tags",), ";"), tags, codes, wanted=None)


def test_small_classes_and_an_uneven_mix_are_told() -> None:
    rows = plain_rows(600) + [[f"something rare number {i} here", "legal"] for i in range(5)]
    found = check(rows)
    small, uneven = found.of("small_class"), found.of("imbalance")
    assert small is not None
    assert small.rows == 5
    assert small.severity is Severity.MEDIUM
    assert uneven is not None


def test_a_number_that_rules_all_others_is_told_and_a_long_tail_is_not() -> None:
    texts = [text for text, _ in plain_rows(200)]
    rated = [1.0 + (i % 41) / 10 for i in range(len(texts))]
    rated[36], rated[70] = 99999.0, -99999.0
    far = check(list(zip(texts, rated, strict=True))).of("far_numbers")
    assert far is not None
    assert (far.rows, far.lines, far.severity) == (2, (71, 37), Severity.HIGH)
    assert "99,999" in far.what
    assert "between 1.1 and 4.8" in far.what
    rng = random.Random(0)
    prices = [round(rng.lognormvariate(3.0, 1.5), 2) for _ in texts]
    assert check(list(zip(texts, prices, strict=True))).of("far_numbers") is None


def test_a_prefix_that_gives_the_answer_away_is_a_serious_leak() -> None:
    rows = [[f"{'BIL' if answer == 'billing' else 'DEL'}-{i}: {text}", answer]
            for i, (text, answer) in enumerate(plain_rows(300))]  # fmt: skip
    telling = check(rows).of("telling_word")
    assert telling is not None
    assert telling.severity is Severity.HIGH
    assert telling.values["score"] > 0.99
    assert telling.values["words"]["bil"] == "billing"


def test_the_answer_written_in_its_text_is_a_leak() -> None:
    rows = [[f"{text} (team {answer})", answer] for text, answer in plain_rows(300)]
    named = check(rows).of("label_in_text")
    assert named is not None
    assert named.severity is Severity.HIGH
    assert named.rows == 300


def test_a_column_that_gives_the_answer_away_is_told(tmp_path: Path) -> None:
    rows = [[text, answer, "7" if answer == "billing" else "9"] for text, answer in plain_rows(300)]
    source = written(tmp_path / "mail.csv", rows, ("text", "answer", "queue"))
    column = pt.check(source, label="answer", models=False).of("telling_column")
    assert column is not None
    assert column.values == {"column": "queue", "score": 1.0}


def test_numbers_that_give_the_answer_away_are_told_though_some_are_missing(tmp_path: Path) -> None:
    rows = [
        [text, answer, "" if n == 5 else f"{(answer == 'billing') + n / 1000}"]
        for n, (text, answer) in enumerate(plain_rows(300))
    ]
    source = written(tmp_path / "mail.csv", rows, ("text", "answer", "confidence"))
    column = pt.check(source, label="answer", models=False).of("telling_column")
    assert column is not None
    assert column.values["column"] == "confidence"


def test_the_finer_answer_of_a_coarse_one_is_no_leak(tmp_path: Path) -> None:
    lines = [f"{answer[:4].upper()}:{text.split()[0]} {text}" for text, answer in plain_rows(200)]
    (tmp_path / "questions.label").write_text("\n".join(lines))
    found = pt.check(tmp_path / "questions.label", label="coarse", models=False)
    assert found.rows == 200
    assert "telling_column" not in kinds(found)


def test_a_column_without_news_is_not_told(tmp_path: Path) -> None:
    rows = [[text, answer, str(i % 7)] for i, (text, answer) in enumerate(plain_rows(300))]
    source = written(tmp_path / "mail.csv", rows, ("text", "answer", "weekday"))
    assert "telling_column" not in kinds(pt.check(source, label="answer", models=False))


def test_groups_and_times_on_both_sides_are_told(tmp_path: Path) -> None:
    def dated(count: int, seed: int, year: int) -> list[Any]:
        return [
            [*row, f"c{i % 40}", f"{year}-01-{1 + i % 28:02}"]
            for i, row in enumerate(plain_rows(count, seed=seed))
        ]

    header = ("text", "answer", "customer", "date")
    source = written(tmp_path / "train.csv", dated(200, 1, 2024), header)
    test = written(tmp_path / "test.csv", dated(80, 2, 2023), header)
    found = pt.check(source, test=test, models=False)
    group, time = found.of("group_straddle"), found.of("time_straddle")
    assert group is not None
    assert group.rows == 80
    assert time is not None
    assert time.rows == 80
    assert "group" in kinds(found)


def test_a_column_of_groups_is_proposed_as_it_must_be_typed(tmp_path: Path) -> None:
    rows = [[*row, f"c{i % 40}" if i % 2 else ""] for i, row in enumerate(plain_rows(200))]
    found = pt.check(written(tmp_path / "mail.csv", rows, ("text", "answer", "User ID")), models=False)
    group = found.of("group")
    assert group is not None
    assert group.rows == 100  # a row without a name is of no group
    assert group.done.endswith("--group 'User ID'")


@pytest.mark.parametrize("named", [lambda i: f"s{i % 4}", lambda i: "most" if i % 2 else f"c{i % 40}"])
def test_a_few_groups_or_one_of_most_rows_cannot_be_kept_on_one_side(
    named: Callable[[int], str], tmp_path: Path
) -> None:
    rows = [[*row, named(i)] for i, row in enumerate(plain_rows(200))]
    source = written(tmp_path / "mail.csv", rows, ("text", "answer", "source"))
    assert "group" not in kinds(pt.check(source, models=False))


def test_data_mostly_in_another_language_can_fool_you() -> None:
    german = [
        [f"Das Paket Nummer {i} ist leider noch nicht bei mir angekommen", "billing"] for i in range(80)
    ]
    finding = check([*plain_rows(60), *german]).of("language")
    assert finding is not None
    assert finding.severity == "high"


def test_test_texts_that_are_in_the_data_are_counted(tmp_path: Path) -> None:
    rows = plain_rows(200)
    source = written(tmp_path / "train.csv", rows)
    met = [[rows[3][0] + " !", "billing"], rows[7]]
    test = written(tmp_path / "test.csv", [*plain_rows(50, seed=9), *met])
    overlap = pt.check(source, test=test, models=False).of("overlap")
    assert overlap is not None
    assert (overlap.rows, overlap.lines, overlap.severity) == (2, (52, 53), Severity.HIGH)


def test_test_texts_that_only_resemble_the_data_are_called_that(tmp_path: Path) -> None:
    rows = plain_rows(100)
    long = " ".join(f"{word} {i}" for i, word in enumerate(WORDS))
    source = written(tmp_path / "mail.csv", [*rows, [long, "billing"]])
    alike = [long.replace("refund", "payment"), "billing"]
    test = written(tmp_path / "test.csv", [*plain_rows(50, seed=9), alike])
    overlap = pt.check(source, test=test, models=False).of("overlap")
    assert overlap is not None
    assert overlap.what.startswith("1 of 51 texts (2.0%) of the test data are nearly the same")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("itâ€™s not what I ordered", "mojibake"),
        ("I like <b>this</b> shop &amp; its owner", "markup"),
        ("a bell \x07 rings in here", "control"),
        ("Das Paket ist leider noch nicht bei mir angekommen", "language"),
        ("Ok", "very_short"),
        ("WHY DOES NOBODY EVER ANSWER MY LETTERS HERE", "capitals"),
        ("write to jane.doe@example.org please", "private"),
        ("word " * 900, "very_long"),
    ],
)
def test_a_symptom_of_a_text_is_found_in_its_line(text: str, kind: str) -> None:
    finding = check([*plain_rows(60), [text, "billing"]]).of(kind)
    assert finding is not None
    assert finding.lines == (61,)


def test_mending_parts_what_was_parted_and_decodes_what_is_whole() -> None:
    assert mended("one\x0btwo") == "one two"
    assert mended("<b>see</b> /?id=1&region=eu&copy=2 &amp; more") == "see  /?id=1&region=eu&copy=2 & more"


@pytest.mark.parametrize(
    "text",
    [
        "5 < 7 and 8 > 3",
        "I <3 it",
        "a <b and c> d",
        "AT&T called",
        "café déjà vu",
        "tom & jerry",
        "line<br />two",
        "How do I style a &lt;table&gt; in HTML?",
        "what is &lt;br/&gt; &#60;b&#62;",
        "Why does <div> break?",
        "<b> or <strong>, <li> or <td>",
    ],
)
def test_what_only_looks_like_damage_is_left_alone(text: str) -> None:
    assert mended(text) == text
    assert not has_markup(text)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("<p>a &lt;table&gt; &amp; more", "<p>a &lt;table&gt; & more"),
        ("<p>a &lt;table&gt; &amp; more</p>", "a &lt;table&gt; & more"),
        ("a <p> here<br>and there", "a   here\nand there"),
        ('<p>see <a href="x">it', "see  it"),
        ("<p>5 &lt; 7 &amp;lt; 9<hr/>", "5 < 7 < 9"),
    ],
)
def test_tags_of_a_page_are_taken_out_and_those_that_are_spoken_of_stay(text: str, without: str) -> None:
    assert mended(text) == without
    assert mended(without) == without


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("call +44 20 7946 0958 now", "call [phone number] now"),
        ("U 447801259231 have an admirer", "U [phone number] have an admirer"),
        ("call 09065171142-stopsms-08", "call [phone number]-stopsms-08"),
        ("part 123456789012, 1234567890-AB", "part 123456789012, 1234567890-AB"),
        ("card 4111 1111 1111 1111, exp 09/27", "card [card number], exp 09/27"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("a.b+c@mail.example.com", "[e-mail]"),
        ("DE89 3704 0044 0532 0130 00", "[IBAN]"),
        ("password: hunter2hunter2", "[key]"),
        ("DB_PASSWORD=hunter2hunter2", "DB_[key]"),
        ('{"apiKey": "abcdef123456", "a": 1}', '{"[key]", "a": 1}'),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "[key]"),
        ("Tel:0171 1234567", "Tel:[phone number]"),
        ("id:1234567890", "id:1234567890"),
        ("on 2024-03-01 for 1,000,000", "on 2024-03-01 for 1,000,000"),
        ("ISBN 978-3-16-148410-0", "ISBN 978-3-16-148410-0"),
    ],
)
def test_private_parts_are_masked_and_other_numbers_are_not(text: str, without: str) -> None:
    assert masked(text) == without


def test_private_data_never_stand_in_the_json_or_the_shown_examples() -> None:
    found = check([*plain_rows(60), ["my mail is jane.doe@example.org", "billing"]])
    told = json.dumps(found.as_json()) + " ".join(text for f in found.findings for text in f.shown)
    assert "jane.doe" not in told
    assert "[e-mail]" in told


def test_short_slang_and_codes_are_not_taken_for_another_language() -> None:
    for text in ("ok lar joking wif u oni", "qx7 zz9 kk2 p0o w3e rty 8uj", "Yup", "pls call asap thx"):
        assert foreign_language(text) is None


@pytest.mark.parametrize(
    "text", ["هذا فيلم رائع جدا", "这部电影非常好看我很喜欢", "映画はとても面白かったです", "Αυτό είναι καλό"]
)
def test_a_few_words_in_another_script_are_another_language_and_not_one_word(text: str) -> None:
    found = check([*plain_rows(60), [text, "billing"]])
    language = found.of("language")
    assert language is not None
    assert language.lines == (61,)
    assert found.of("very_short") is None


def test_half_characters_from_json_are_marked_and_not_fatal(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"{text} \ud83d", "answer": answer}) for text, answer in plain_rows(60)]
    (tmp_path / "tweets.jsonl").write_text("\n".join(lines))
    found = pt.check(tmp_path / "tweets.jsonl", models=False)
    control = found.of("control")
    assert control is not None
    assert control.rows == 60
    assert pt.check([f"a \ud83d\ude00 {n}" for n in range(60)], ["a", "b"] * 30, models=False).rows == 60


def test_rows_that_cannot_be_used_are_counted_and_not_fatal(tmp_path: Path) -> None:
    rows = plain_rows(60)
    lines = [
        "text,answer",
        *(f"{text},{answer}" for text, answer in rows),
        "",
        "one,two,three,four",
        ",billing",
    ]
    lines += [f"a stray, comma number {i},billing" for i in range(5)]
    (tmp_path / "r.csv").write_text("\n".join(lines) + "\n")
    found = pt.check(tmp_path / "r.csv", models=False)
    unreadable, empty = found.of("unreadable"), found.of("empty")
    assert unreadable is not None
    assert unreadable.rows == 6
    assert empty is not None
    assert empty.lines == (64,)


def test_a_file_in_two_encodings_is_told(tmp_path: Path) -> None:
    rows = [f"{text} naïve façade,{answer}\n".encode("cp1252") for text, answer in plain_rows(60)]
    rows.append("the café was closed,billing\n".encode())
    (tmp_path / "r.csv").write_bytes(b"text,answer\n" + b"".join(rows))
    mixed = pt.check(tmp_path / "r.csv", models=False).of("mixed_encoding")
    assert mixed is not None
    assert mixed.lines == (62,)


def test_lines_that_are_not_utf8_are_told_and_the_fixed_copy_is(cli: Cli, tmp_path: Path) -> None:
    rows = [f"{text} naïve façade,{answer}\n" for text, answer in plain_rows(60)]
    lines = [row.encode("cp1252" if number in (7, 30) else "utf-8") for number, row in enumerate(rows)]
    (tmp_path / "r.csv").write_bytes(b"text,answer\n" + b"".join(lines))
    told = cli("check", "r.csv", "--quick", "--json", "--fix", "clean.csv", cwd=tmp_path)
    mixed = [found for found in json.loads(told.stdout)["findings"] if found["kind"] == "mixed_encoding"]
    assert [(found["rows"], found["examples"]) for found in mixed] == [(2, [9, 32])]
    assert "in UTF-8" in told.stderr
    clean = (tmp_path / "clean.csv").read_text(encoding="utf-8")
    assert clean == "text,answer\n" + "".join(rows)
    assert "mixed_encoding" not in kinds(pt.check(tmp_path / "clean.csv", models=False))


def test_texts_that_are_all_alike_are_checked_without_models(cli: Cli, tmp_path: Path) -> None:
    rows = [("it came too late", "good" if number % 2 else "bad") for number in range(40)]
    write_csv(tmp_path / "same.csv", ["text", "answer"], rows)
    done = cli("check", "same.csv", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "models could not be judged" in " ".join(done.stderr.split())


def test_what_is_counted_is_counted_in_all_rows_however_short_the_time() -> None:
    texts = [f"{'word ' * 40}number {number}" for number in range(4_000)]
    labels = ["rare" if number % 40 == 0 else "usual" for number in range(4_000)]  # 100 of them
    examples = read_examples(texts, labels)
    repeats = find_repeats(examples)
    told = short_check(examples, None, repeats, Settings(minutes=0.05), silent)
    assert told.of("small_class") is None


# --- the cleaned copy ---


def damaged(folder: Path) -> tuple[Path, list[Any]]:
    rows = plain_rows(80)
    rows[4][0] += " itâ€™s <i>bad</i> &amp;amp; sad"
    rows += [[rows[0][0].upper() + "!!", rows[0][1]], [rows[2][0], "delivery"], ["a new text", "Billing"]]
    rows += [["another text", "delivrey"], ["", "billing"]]
    return written(folder / "data.csv", rows), rows


def test_fix_removes_only_copies_with_the_same_answer_and_lists_every_change(tmp_path: Path) -> None:
    source, rows = damaged(tmp_path)
    before = source.read_bytes()
    out = tmp_path / "clean" / "cleaned.csv"
    out.parent.mkdir()
    pt.check(source, fix=out, models=False)
    cleaned = list(csv.reader(out.open(encoding="utf-8")))
    removed = list(csv.DictReader((out.parent / "removed.csv").open(encoding="utf-8")))
    changed = list(csv.DictReader((out.parent / "changed.csv").open(encoding="utf-8")))
    assert source.read_bytes() == before
    assert [row["line"] for row in removed] == ["82"]
    assert "line 2" in removed[0]["reason"]
    assert len(cleaned) - 1 + len(removed) == len(rows)
    assert {(row["line"], row["column"]) for row in changed} == {
        ("6", "text"),
        ("84", "answer"),
    }
    assert cleaned[5][0].endswith("it’s  bad  & sad")
    assert [row[1] for row in cleaned[-3:]] == [
        "billing",
        "delivrey",
        "billing",
    ]  # a slip is for you to judge


def test_fix_merges_two_forms_of_an_accent_and_never_two_numerals(tmp_path: Path) -> None:
    rows = with_answers({"café": 40, "cafe\u0301": 9, "Type I": 115, "Type II": 5, "card_not_working": 60})
    rows.append(["a new text", "card_now_working"])
    pt.check(written(tmp_path / "mail.csv", rows), fix=tmp_path / "cleaned.csv", models=False)
    cleaned = list(csv.reader((tmp_path / "cleaned.csv").open(encoding="utf-8")))[1:]
    assert [row[1] for row in cleaned] == [name.replace("cafe\u0301", "café") for _, name in rows]


def test_fixing_the_fixed_copy_changes_nothing(tmp_path: Path) -> None:
    source, _ = damaged(tmp_path)
    first, second = tmp_path / "one.csv", tmp_path / "b" / "two.csv"
    second.parent.mkdir()
    pt.check(source, fix=first, models=False)
    again = pt.check(first, fix=second, models=False)
    assert again.fixed is not None
    assert (again.fixed["removed"], again.fixed["changed"]) == (0, 0)
    assert first.read_bytes() == second.read_bytes()


def test_fix_never_writes_over_the_data_or_over_another_file(tmp_path: Path) -> None:
    source, _ = damaged(tmp_path)
    before = source.read_bytes()
    with pytest.raises(pt.UserError):
        pt.check(source, fix=source, overwrite=True, models=False)
    (tmp_path / "removed.csv").write_text("mine")
    with pytest.raises(pt.UserError):
        pt.check(source, fix=tmp_path / "c.csv", models=False)
    assert source.read_bytes() == before
    assert (tmp_path / "removed.csv").read_text() == "mine"
    assert not (tmp_path / "c.csv").exists()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=6, max_size=20))
def test_any_texts_can_be_checked_and_mending_is_done_once(texts: list[str]) -> None:
    rows = [[f"{text} w{i}", "ab"[i % 2]] for i, text in enumerate(texts)]
    assert check(rows).rows == len(rows)
    for text in texts:
        assert mended(mended(text)) == mended(text)
        assert not list(private_parts(masked(text)))


@pytest.mark.parametrize("form", ["; ".join, str])
def test_fix_changes_no_cell_of_several_answers_but_those_with_another_spelling(
    form: Callable[[list[str]], str], tmp_path: Path
) -> None:
    answers = [["billing"], ["billing", "delivery"], ["delivery"], []] * 20
    rows = [[text, form(said)] for (text, _), said in zip(plain_rows(80), answers, strict=True)]
    rows += [[f"a new text about {what}", form(["Billing", "delivery"])] for what in ("the bank", "a door")]
    source = written(tmp_path / "mail.csv", rows)
    found = pt.check(source, fix=tmp_path / "cleaned.csv", models=False)
    assert found.fixed is not None
    assert (found.fixed["removed"], found.fixed["changed"]) == (0, 2)
    *same, first, last = csv.reader((tmp_path / "cleaned.csv").open(encoding="utf-8"))
    assert same[1:] == rows[:-2]
    for _, said in (first, last):
        assert [word in said for word in ("billing", "delivery", "Billing")] == [True, True, False]


# --- the command ---


def test_the_structural_check_loads_no_training_stack(tmp_path: Path) -> None:
    source, _ = damaged(tmp_path)
    code = f"import sys, plaintune as pt; pt.check({str(source)!r}, models=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "sklearn", "scipy", "pandas"} & set(done.stdout.split())


def test_the_command_reads_well_in_80_columns_and_gives_json(cli: Cli, tmp_path: Path) -> None:
    source, _ = damaged(tmp_path)
    told = cli("check", source.name, "--quick", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert max(map(len, told.stdout.splitlines())) <= 80
    assert "CAN FOOL YOU" in told.stdout
    found = json.loads(cli("check", source.name, "--quick", "--json", cwd=tmp_path).stdout)
    assert {"kind", "rows", "examples", "severity", "done"} <= set(found["findings"][0])
    order = [finding["severity"] for finding in found["findings"]]
    assert order == sorted(order, key=["high", "medium", "low"].index)


def test_what_to_type_names_the_data_and_what_was_said_of_them(cli: Cli, tmp_path: Path) -> None:
    rows = [[f"<b>{text}</b>", answer, answer] for text, answer in plain_rows(60)]
    written(tmp_path / "my mail.csv", rows, header=("body", "answer", "team"))
    told = cli("check", "my mail.csv", "--label", "team", "--quick", cwd=tmp_path)
    joined = " ".join(told.stdout.split())
    assert "`plaintune check 'my mail.csv' --label team --fix cleaned.csv` writes a mended copy" in joined


def test_nothing_in_the_data_steers_the_terminal(cli: Cli, tmp_path: Path) -> None:
    rows = [[f"\x1b[2J{text}", f"\x1b]0;owned\x07{answer}"] for text, answer in plain_rows(60)]
    written(tmp_path / "mail.csv", rows)
    done = cli("check", "mail.csv", "--quick", cwd=tmp_path)
    assert done.returncode == 0
    assert "owned" in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", done.stdout + done.stderr)


def test_a_folder_cannot_be_fixed_and_says_what_can(cli: Cli, tmp_path: Path) -> None:
    for number, (text, answer) in enumerate(plain_rows(12)):
        (tmp_path / "mail" / answer).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mail" / answer / f"{number}.txt").write_text(text)
    told = cli("check", "mail", "--quick", "--fix", "out.csv", cwd=tmp_path)
    assert told.returncode == 2
    assert len(told.stderr.strip().splitlines()[-2:]) == 2
    assert not (tmp_path / "out.csv").exists()


def test_the_fixed_copy_of_json_lines_holds_what_it_held(tmp_path: Path) -> None:
    rows = [
        {
            "text": f"Message {n} about bills &amp; more",
            "label": [name],
            "stars": n,
            "ok": True,
            "meta": {"a": 0},
        }
        for n, name in enumerate(["billing", "returns"] * 20)
    ]
    rows.append({"text": "Another one about bills", "label": ["Billing"], "stars": None})
    source = tmp_path / "m.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pt.check(source, text="text", label="label", fix=tmp_path / "fixed.jsonl", models=False)
    fixed = [json.loads(line) for line in (tmp_path / "fixed.jsonl").read_text().splitlines()]
    assert fixed[0] == {**rows[0], "text": "Message 0 about bills & more"}
    assert fixed[-1] == {**rows[-1], "label": ["billing"]}
