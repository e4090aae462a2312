"""Folders as a source: a sub-folder per answer, train and test parts, or the one table inside."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError
from .describe import some
from .encoding import detect_encoding, is_binary, open_text
from .mixed import LONGEST_LINE
from .table import Row, Table
from .tables import TABLE_SUFFIXES, open_table, suffix_of
from .unpack import is_archive

# Accepted, with or without one folder around it:
#   <answer>/<any file>        train/<answer>/<any file> (+ test/<answer>/…, + train/unsup/…)
#   <the one table>            train.csv or train.txt (+ test.csv)
SHARD = re.compile(r"-\d+-of-\d+$")  # train-00000-of-00001.parquet
END = rf"(?:[-_. ]?(?:data|set|dataset))?(?:{SHARD.pattern}|$)"
TRAIN = re.compile(r"(?:^|[-_. ])(?:train|training)" + END)
TEST = re.compile(r"(?:^|[-_. ])test" + END)
OTHER_PART = re.compile(r"(?:^|[-_. ])(?:valid|validation|val|dev)" + END)
UNLABELED = ("unsup", "unlabeled", "unlabelled")
TEXT_SUFFIXES = (".txt", "")
LEFT_BY_SYSTEMS = ("__macosx", "thumbs.db", "desktop.ini")
NO_TEXT = (".feat",)  # word counts beside the texts of aclImdb
ABOUT = re.compile(r"readme|licen[cs]e|notice|changelog", re.IGNORECASE)
HOW = "Give one sub-folder per answer, or a folder with one table (CSV, TSV, JSON lines, Parquet, Excel)."


@dataclass(frozen=True)
class Parts:
    """What a folder holds: the examples, and where it brings them a test and unlabelled part."""

    train: Table
    test: Path | None = None  # for `open_part`
    unlabeled: Table | None = None
    notes: tuple[str, ...] = ()


def open_folder(folder: Path, *, lasting: bool = True, expected: Collection[str] = ()) -> Parts:
    """The parts of the data in ``folder``; UserError where its layout is none that we know.

    One that was unpacked for the moment is not ``lasting``: nobody is sent to look into it. ``expected``
    are names of columns.
    """
    folders, tables = _folders(folder), _tables(folder)
    while len(folders) == 1 and not tables and not TRAIN.search(folders[0].name.lower()):
        inner = folders[0]
        if not _folders(inner) and not _tables(inner) and len(_visible(inner)) > 1:
            break  # texts: a single answer
        folder, folders, tables = inner, _folders(inner), _tables(inner)
    train_folders = [path for path in folders if TRAIN.search(path.name.lower())]
    if len(train_folders) == 1 and _is_part(train_folders[0], folders):
        return _train_and_test_folders(folder, train_folders[0], folders, expected)
    if tables and not _are_answers(folders, tables):
        return _train_and_test_tables(folder, tables, lasting=lasting, expected=expected)
    with_tables = [path for path in folders if _holds_tables(path)]
    if with_tables and not _are_texts(folders):
        if len(with_tables) == 1:
            return open_folder(with_tables[0], lasting=lasting, expected=expected)
        names = some([path.name for path in with_tables])
        raise UserError(
            f"The sub-folders of {folder.name} hold tables ({names}), not one text in each file.",
            "Give one of them, or join their tables to one with a column for the answer.",
        )
    if folders:
        return Parts(_class_folders(folder), unlabeled=_unlabeled(folder), notes=_ignored_beside(folder))
    raise _nothing_in(folder)


def open_part(path: Path, expected: Collection[str] = ()) -> Table:
    """The table in a part of a folder: a file, the one in a folder, or a row for each file below it.

    ``expected`` are names of columns.
    """
    if path.is_file():
        return open_table(path, expected=expected)
    if _folders(path):
        return _class_folders(path)
    tables = _tables(path)
    if not tables:
        raise _nothing_in(path)
    if len(tables) > 1:
        raise _several(path, tables, "Join them to one table.")
    return open_table(tables[0], expected=expected)


def _is_part(train: Path, folders: list[Path]) -> bool:
    """Whether ``train`` holds what to learn from; else it is an answer of that name, as are ``folders``."""
    others = [path.name.lower() for path in folders if path != train]
    has_other_parts = any(TEST.search(name) or OTHER_PART.search(name) for name in others)
    return has_other_parts or not others or bool(_folders(train) or _tables(train))


def _are_answers(folders: list[Path], tables: list[Path]) -> bool:
    """Whether ``folders`` hold texts, so that ``tables`` beside them, if not train or test, are strays."""
    parts = any(TRAIN.search(_stem(path)) or TEST.search(_stem(path)) for path in tables)
    return not parts and _are_texts(folders)


def _are_texts(folders: list[Path]) -> bool:
    """Whether there are texts of several answers in ``folders``."""
    return sum(map(_holds_texts, folders)) > 1


def _holds_texts(folder: Path) -> bool:
    """Whether most files in ``folder`` are texts, and enough of them to learn one answer."""
    texts = [suffix_of(path) in TEXT_SUFFIXES for path in _files_below(folder)]
    return sum(texts) > max(1, len(texts) / 2)


def _holds_tables(folder: Path) -> bool:
    return any(suffix_of(path) in TABLE_SUFFIXES for path in _tables(folder))


def _train_and_test_folders(
    folder: Path, train: Path, folders: list[Path], expected: Collection[str]
) -> Parts:
    tests = [path for path in folders if TEST.search(path.name.lower())]
    others = [path.name for path in folders if path != train and (path not in tests or len(tests) > 1)]
    notes = (f"Of {folder.name}, these are not used: {', '.join(others)}.",) if others else ()
    return Parts(
        open_part(train, expected),
        tests[0] if len(tests) == 1 else None,
        _unlabeled(train),
        (*notes, *(_ignored_beside(train) if _folders(train) else ())),
    )


def _train_and_test_tables(
    folder: Path, tables: list[Path], *, lasting: bool, expected: Collection[str]
) -> Parts:
    trains = [path for path in tables if TRAIN.search(_stem(path))]
    tests = [path for path in tables if TEST.search(_stem(path))]
    if len(trains) == 1:
        test = tests[0] if len(tests) == 1 else None
        others = [path.name for path in tables if path not in (trains[0], test)]
        notes = (f"Not used: {some(others)}.",) if others else ()
        return Parts(open_table(trains[0], expected=expected), test, notes=notes)
    if len(tables) == 1:
        return Parts(open_table(tables[0], expected=expected))
    if trains and all(SHARD.search(_stem(path)) for path in trains):
        raise _several(folder, trains, "Join these pieces to one file (in pandas: pd.concat), and give that.")
    one = f"Give one of them: {(trains or tables)[0]}" if lasting else "Unpack it and give one of them"
    raise _several(folder, tables, one if trains else f"{one}, or call them train.csv and test.csv")


def _several(folder: Path, tables: list[Path], fix: str) -> UserError:
    names = ", ".join(path.name for path in tables[:10])
    return UserError(f"{folder.name} holds several tables: {names}.", fix)


def _nothing_in(folder: Path) -> UserError:
    """What to say of a ``folder`` with no table and no sub-folders."""
    files = _visible(folder)
    if not files:
        return UserError(f"{folder.name} holds no files.", HOW)
    archives = [path.name for path in files if is_archive(path)]
    if archives:
        return UserError(
            f"{folder.name} holds no table: what is in it is packed once more ({some(archives)}).",
            "Unpack that first, and give the file or folder that comes out.",
        )
    return UserError(f"{folder.name} holds no table and no sub-folders.", HOW)


def _stem(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).stem


def _visible(folder: Path) -> list[Path]:
    """What stands in ``folder``, sorted; without hidden files and what macOS and Windows add."""
    try:
        return sorted(path for path in folder.iterdir() if not _is_hidden(path.name))
    except PermissionError as error:
        raise UserError(
            f"{folder} cannot be opened: permission denied.", f"Allow it: chmod -R u+rX '{folder}'"
        ) from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _tables(folder: Path) -> list[Path]:
    files = [path for path in _visible(folder) if path.is_file() and not ABOUT.match(path.name)]
    tables = [path for path in files if suffix_of(path) in TABLE_SUFFIXES]
    if tables or _folders(folder):
        return tables
    texts = [path for path in files if suffix_of(path) in TEXT_SUFFIXES]
    return texts if len(texts) == 1 or any(TRAIN.search(_stem(path)) for path in texts) else []


def _class_folders(folder: Path) -> Table:
    """A table with a row for each file below each sub-folder; the sub-folder's name is the answer."""
    return _texts_below(folder, [p.name for p in _folders(folder) if p.name.lower() not in UNLABELED])


def _unlabeled(folder: Path) -> Table | None:
    names = [path.name for path in _folders(folder) if path.name.lower() in UNLABELED]
    return _texts_below(folder, names) if names else None


def _ignored_beside(folder: Path) -> tuple[str, ...]:
    stray = [path.name for path in _visible(folder) if path.is_file() and path.suffix not in NO_TEXT]
    stray = [name for name in stray if not ABOUT.match(name)]
    some = ", ".join(stray[:3]) + ("…" if len(stray) > 3 else "")
    return (f"Files beside the sub-folders are not used: {some}.",) if stray else ()


def _texts_below(folder: Path, names: list[str]) -> Table:
    def read() -> Iterator[Row]:
        number = 0
        for name in names:
            for path in _files_below(folder / name):
                number += 1
                text, problem = _text_of(path)
                yield Row(number, [text, name], problem and f"{path.relative_to(folder)}: {problem}")

    return Table(folder.name, "folder", ("text", "label"), read, encoding="UTF-8", counted_in="file")


def _files_below(folder: Path) -> Iterator[Path]:
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not _is_hidden(name))
        for name in sorted(files):
            if not _is_hidden(name) and not name.endswith(NO_TEXT):
                yield Path(place, name)


def _text_of(path: Path) -> tuple[str, str | None]:
    """The text in a file, or what keeps it from being one."""
    try:
        if path.stat().st_size > LONGEST_LINE:
            return "", "larger than 64 MiB"
        data = path.read_bytes()
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return _text_in_other_encoding(path)
        if is_binary(data):
            return "", "not a text file"
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return _text_in_other_encoding(path)
    except OSError as error:
        return "", error.strerror or "cannot be read"


def _text_in_other_encoding(path: Path) -> tuple[str, str | None]:
    try:
        with open_text(path, detect_encoding(path), newline="") as file:
            return file.read(), None
    except UserError:
        return "", "broken characters (is it UTF-8?)"
