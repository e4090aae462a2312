"""Which column is the text and which the answer: by what they hold, then by their names.

Where two columns could be meant, the user is asked (AmbiguousColumns); nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.errors import AmbiguousColumns, UserError, nearest
from ..core.tasks import Task
from .describe import DELIMITER_NAMES, some
from .dialect import DELIMITERS
from .names import (
    IDENTITY_WORDS,
    LABEL_NAMES,
    MEASURE_NAMES,
    OTHER_NAMES,
    TAG_NAMES,
    TEXT_NAMES,
    normalised,
    words_of,
)
from .profile import MOST_ANSWERS, ColumnProfile, TableProfile
from .several import found_separator, holds_lists_of_one, says_yes_or_no, usual_separator
from .targets import ROWS_PER_ANSWER, is_measure

MOST_TYPED = 10  # columns that an error offers to be named, each
TIME_WORDS = frozenset({"date", "time", "datetime", "timestamp", "year", "created"})


@dataclass(frozen=True)
class Roles:
    """Positions of the columns that were chosen, and what the user should know about the others."""

    text: tuple[int, ...]
    labels: tuple[int, ...]
    group: int | None
    time: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WantedColumns:
    """The columns that the user named; empty or None where we choose."""

    text: tuple[str, ...] = ()
    label: str | Sequence[str] | None = None
    group: str | None = None
    time: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(name for name in (*self.text, *self.labels, self.group, self.time) if name)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, each named once."""
        named = (self.label,) if isinstance(self.label, str) else self.label or ()
        return tuple(dict.fromkeys(named))


def find_column(columns: Sequence[str], name: str, *, source: str, option: str) -> int:
    """The position of the column called ``name``: exactly, or else in any case if only one is."""
    if name in columns:
        return columns.index(name)
    alike = [i for i, column in enumerate(columns) if normalised(column) == normalised(name)]
    if len(alike) == 1:
        return alike[0]
    hint = nearest(name, columns)
    likely = next((column for column in columns if f"'{column}'" in hint), next(iter(columns), "COL"))
    raise UserError(
        f"{source} has no column '{name}'.{hint} Its columns: {some(columns)}.",
        f"Name one of them: --{option} {_quoted(likely)}",
    )


def choose_roles(profile: TableProfile, wanted: WantedColumns, *, source: str, need_label: bool) -> Roles:
    """The role of each column; raises AmbiguousColumns or UserError where it is not clear."""
    columns = profile.columns
    names = [column.name for column in columns]
    rows = profile.rows - profile.problem_rows
    if need_label and len(columns) == 1:
        _check_split(columns[0], source)

    def find(name: str, option: str) -> int:
        return find_column(names, name, source=source, option=option)

    texts = [find(name, "text") for name in wanted.text]
    labels = [find(name, "label") for name in wanted.labels]
    group = None if wanted.group is None else find(wanted.group, "group")
    time = None if wanted.time is None else find(wanted.time, "time")
    for both in set(labels) & set(texts):
        raise UserError(
            f"`{names[both]}` is named as both the text and the answer.", "Name two different columns."
        )
    others: list[ColumnProfile] = []
    if not texts:
        free = [c for i, c in enumerate(columns) if i not in (*labels, group, time)]
        only_one = len(columns) == 1 and not need_label
        chosen, others = (columns[0], []) if only_one else _choose_text(free, rows, source)
        texts = [columns.index(chosen)]
    if not labels and need_label:
        free = [c for i, c in enumerate(columns) if i not in (*texts, group, time)]
        labels = [columns.index(_choose_label(free, rows, source))]
    free = [c for i, c in enumerate(columns) if i not in (*texts, *labels, group, time)]
    notes = [_also_text(other, columns[texts[0]]) for other in others if other in free]
    if group is None:
        notes += map(_group_note, filter(_is_group, free))
    if time is None:
        notes += [_time_note(column) for column in free if _is_time(column)][:1]
    return Roles(tuple(dict.fromkeys(texts)), tuple(dict.fromkeys(labels)), group, time, tuple(notes))


def check_label(column: ColumnProfile) -> None:
    """Raise UserError where the values of ``column`` cannot be answers."""
    found = column.distinct
    each_its_own = found == column.filled >= 3
    if each_its_own or (found > MOST_ANSWERS and column.filled < ROWS_PER_ANSWER * found):
        what = "free text" if column.words >= 2 else "an id"
        if column.is_numeric and not column.is_whole_numbers:
            what = "numbers"
        count = f"{found:,} different values in {column.filled:,} rows"
        raise UserError(
            f"`{column.name}` holds {count}: it looks like {what}, not like an answer that comes back.",
            f"Name the column with the answers: --label NAME{_or_as(column)}",
        )
    if column.is_nested and not holds_lists_of_one(column):
        raise UserError(
            f"`{column.name}` holds lists or objects, not one answer per text, nor several of them.",
            "Write one answer in each row, or name another column: --label NAME",
        )


def _check_split(only: ColumnProfile, source: str) -> None:
    """Raise UserError where the ``only`` column, of no name, holds lines that were meant to be split."""
    held = {mark: sum(mark in line for line in only.sample) for mark in (*DELIMITERS, "^", "~")}
    mark = max(held, key=held.__getitem__)
    if only.name != "column 1" or held[mark] < max(1.0, 0.75 * len(only.sample)):
        return
    if mark not in DELIMITERS:
        raise UserError(
            f"{source} seems to have columns parted by '{mark}', which I do not look for by myself.",
            f"Write the line sep={mark} above all others, or save the file as CSV with commas.",
        )
    widths = sorted({line.count(mark) + 1 for line in only.sample})
    fields = ", ".join(map(str, widths[:3])) + "…" if widths[3:] else " or ".join(map(str, widths))
    marks = DELIMITER_NAMES[mark]
    raise UserError(
        f"{source} cannot be split into columns: parted at {marks}, its lines have {fields} fields.",
        f"Remove what stands above the header, put texts that hold {marks} into quotes, or save the file as "
        "CSV again, from where it came.",
    )


def _or_as(column: ColumnProfile) -> str:
    if column.is_numeric:
        return f"; to predict the numbers themselves: --task {Task.NUMBER}"
    separator = usual_separator(column)
    if separator:
        return f"; if its cells hold several answers: --separator '{separator}'"
    repeats = column.words < 2 and 2 * column.distinct <= column.filled
    return f"; if these are answers all the same: --task {Task.SINGLE}" if repeats else ""


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else f'"{name}"'


def _or_every(said: str, option: str, names: Sequence[str]) -> str:
    """``said``, and the ``names`` as they are typed; nothing where they are too many for that."""
    return (
        said + " ".join(f"--{option} {_quoted(name)}" for name in names) if len(names) <= MOST_TYPED else ""
    )


def _listed(columns: Iterable[ColumnProfile]) -> str:
    return some([f"`{column.name}`" for column in columns])


# --- the text ---


def _choose_text(
    free: list[ColumnProfile], rows: int, source: str
) -> tuple[ColumnProfile, list[ColumnProfile]]:
    """The column of texts, and other columns that hold text too."""
    known = [c for c in free if c.filled and normalised(c.name) in TEXT_NAMES]
    usable = [c for c in free if (c.filled >= rows / 2 or c in known) and _is_words(c)]
    likely = [c for c in usable if _is_text(c)] or [c for c in usable if _is_single_words(c)]
    likely = likely or [c for c in known if c in usable and c.words >= 2]
    if any(not _is_label(c, rows) for c in likely):
        likely = [c for c in likely if c.words >= 4 or not _is_label(c, rows)]
    likely = [c for c in likely if normalised(c.name) not in OTHER_NAMES] or likely
    likely = [c for c in likely if not _is_tags(c)] or likely
    if len(likely) == 1:
        return likely[0], []
    if not likely:
        if free and not any(c.filled for c in free):
            raise UserError(f"All texts in {source} are empty.", "Give a file with a text in each row.")
        columns = some(list(map(_described, free))) or "none"
        raise UserError(
            f"No column of {source} looks like text. Its columns: {columns}.",
            "Name the one with the texts: --text NAME",
        )
    chosen = _clear_text(likely)
    if chosen is None:
        options = tuple(c.name for c in likely)
        longest = max(likely, key=lambda c: c.characters)
        every = _or_every(", or use all of them: ", "text", options)
        raise AmbiguousColumns(
            f"Several columns of {source} could be the text: {_listed(likely)}.",
            f"Say which one, e.g. --text {_quoted(longest.name)}{every}",
            role="text",
            options=options,
        )
    return chosen, [c for c in likely if c is not chosen]


def _clear_text(likely: list[ColumnProfile]) -> ColumnProfile | None:
    exact = [c for c in likely if normalised(c.name) in TEXT_NAMES]
    named = exact or [c for c in likely if words_of(c.name) & TEXT_NAMES]
    longest = max(likely, key=lambda c: c.characters)
    others = [c for c in likely if c is not longest]
    if named == [longest] and all(3 * c.characters <= longest.characters for c in others):
        return longest
    if not exact and all(c.words < 4 and 5 * c.words <= longest.words for c in others):
        return longest
    return None


def _is_words(column: ColumnProfile) -> bool:
    return not (column.is_numeric or column.is_dates or column.is_links or column.is_nested)


def _is_text(column: ColumnProfile) -> bool:
    repeats = column.distinct < column.filled / 5 or column.distinct == 1 < column.filled
    if normalised(column.name) in TEXT_NAMES and not repeats:
        return True
    return column.words >= 2 and (not repeats or (column.distinct > 1000 and column.words >= 4))


def _is_single_words(column: ColumnProfile) -> bool:
    varied = column.distinct >= column.filled / 2 and column.distinct >= 2
    return varied and not column.is_codes and normalised(column.name) not in LABEL_NAMES


def _described(column: ColumnProfile) -> str:
    kinds = {
        "empty": not column.filled,
        "numbers": column.is_numeric,
        "dates": column.is_dates,
        "links": column.is_links,
        "lists": column.is_nested,
        "codes": column.is_codes,
    }
    kind = next((kind for kind, found in kinds.items() if found), f"{column.distinct:,} values")
    return f"`{column.name}` ({kind})"


def _also_text(other: ColumnProfile, chosen: ColumnProfile) -> str:
    return (
        f"`{other.name}` holds text too. To learn from both: "
        f"--text {_quoted(other.name)} --text {_quoted(chosen.name)}."
    )


# --- the label ---


def _choose_label(free: list[ColumnProfile], rows: int, source: str) -> ColumnProfile:
    known = [c for c in free if normalised(c.name) in LABEL_NAMES]
    fitting = [c for c in free if _is_label(c, rows)]
    fitting = [c for c in fitting if not _names_things(c)] or fitting
    rivals = [c for c in known if _may_be_label(c)]
    if not rivals:
        doubtful = [c for c in known if c.distinct > 1]
        by_word = [c for c in fitting if words_of(c.name) & LABEL_NAMES]
        clear = len(by_word) == 1 and not doubtful
        likely = [*fitting, *doubtful, *(c for c in free if fitting and _is_named_answer(c, rows))]
        rivals = by_word if clear else [c for c in free if c in likely]
    rivals = rivals or [
        c for c in free if found_separator(c) or (words_of(c.name) & LABEL_NAMES and is_measure(c))
    ]
    if len(rivals) > 1:
        raise AmbiguousColumns(
            f"Several columns of {source} could be the answer: {_listed(rivals)}.",
            f"Say which one: --label {_quoted(rivals[0].name)}{_or_all(rivals)}",
            role="label",
            options=tuple(c.name for c in rivals),
        )
    if rivals or len(known) == 1:
        return (rivals or known)[0]  # not fit to be learned; what is wrong with it is said later
    columns = some(list(map(_described, free)))
    raise UserError(
        f"No column of {source} looks like the answer: few values that come back often. "
        + (f"Beside the text it has: {columns}." if free else "It has one column only."),
        "Name the column with the answers: --label NAME"
        if free
        else "Add a column with the answer to each text.",
    )


def _or_all(rivals: Sequence[ColumnProfile]) -> str:
    if not all(column.counts and all(map(says_yes_or_no, column.counts)) for column in rivals):
        return ""
    return _or_every(", or all of them: ", "label", [column.name for column in rivals])


def _is_tags(column: ColumnProfile) -> bool:
    named = words_of(column.name) & (LABEL_NAMES | TAG_NAMES)
    return bool(named) and found_separator(column) is not None


def _is_label(column: ColumnProfile, rows: int) -> bool:
    """By its values alone: few, coming back, in most rows."""
    return (
        _may_be_label(column)
        and column.filled >= rows / 2
        and column.distinct <= column.filled / 2
        and column.words <= 6
        and not column.is_years
        and (not column.is_numeric or (column.is_whole_numbers and column.distinct <= 20))
    )


def _is_named_answer(column: ColumnProfile, rows: int) -> bool:
    """Does its name speak of answers, where it may hold many of them, tags, or numbers to predict?"""
    if column.filled < rows / 2 or column.is_years:
        return False
    many = _is_label(column, rows) or (column.is_numeric and _may_be_label(column)) or is_measure(column)
    return _is_tags(column) or (many and bool(words_of(column.name) & (LABEL_NAMES | MEASURE_NAMES)))


def _names_things(column: ColumnProfile) -> bool:
    """Products, users and the like: many codes, or a name that says so."""
    identity = bool(words_of(column.name) & IDENTITY_WORDS)
    return column.distinct > 20 and (identity or column.is_codes)


def _may_be_label(column: ColumnProfile) -> bool:
    return (
        2 <= column.distinct <= MOST_ANSWERS
        and column.distinct < column.filled
        and not (column.is_dates or column.is_links or column.is_nested)
    )


# --- group and time ---


def _is_group(column: ColumnProfile) -> bool:
    identity = bool(words_of(column.name) & IDENTITY_WORDS)
    codes = _is_words(column) and column.words < 4 and (column.distinct > 200 or column.is_codes)
    each = column.filled / max(column.distinct, 1)
    return column.distinct >= 20 and 2 <= each <= 200 and (identity or codes)


def _group_note(column: ColumnProfile) -> str:
    each = round(column.filled / column.distinct)
    return (
        f"`{column.name}` looks like a group ({column.distinct:,} values, about {each} rows each). "
        f"If new texts will come from new ones, add --group {_quoted(column.name)}."
    )


def _is_time(column: ColumnProfile) -> bool:
    named = bool(words_of(column.name) & TIME_WORDS)
    return column.distinct > 1 and (column.is_dates or (named and column.is_numeric))


def _time_note(column: ColumnProfile) -> str:
    return (
        f"`{column.name}` looks like a time. If new texts will come later than these, "
        f"add --time {_quoted(column.name)}."
    )
