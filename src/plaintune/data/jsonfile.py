"""JSON: one object per line, a list of objects, or an object of columns or of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.features import whole_characters
from .encoding import damage_told, open_text
from .names import LABEL_NAMES, TEXT_NAMES, normalised, unique_names
from .table import Row, Table, as_text

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
USUAL_NAMES = TEXT_NAMES | LABEL_NAMES
KEYS_FROM = 10_000  # lines of JSON lines in which all keys are expected to turn up
UNREADABLE = "unreadable"  # the key of what is no object, where it is written again as JSON


def json_table(path: Path, encoding: str, sample: str, *, suffix: str) -> Table | None:
    """The table in a JSON file, or None where ``sample`` does not look like JSON."""
    start = sample.lstrip()
    first_line = start.split("\n", 1)[0]
    named = suffix in JSON_SUFFIXES
    if start.startswith("{"):
        first = _parsed(first_line)
        one_line = suffix == ".json" and not start[len(first_line) :].strip()
        if isinstance(first, dict) and not (_is_columns(first) or (one_line and _lists_of_objects(first))):
            return _json_lines(path, encoding)
        if named or first is not None:
            return _json_lines(path, encoding) if suffix in (".jsonl", ".ndjson") else _json(path, encoding)
    if re.match(r"\[\s*\{", start) or (named and start.startswith("[")):
        return _json(path, encoding)
    if named:
        raise UserError(
            f"{path.name} does not hold JSON.", "Name the file after what it is, e.g. .csv or .tsv."
        )
    return None


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_columns(value: dict[str, Any]) -> bool:
    return bool(value) and all(isinstance(part, list | dict) for part in value.values())


def _json_lines(path: Path, encoding: str) -> Table:
    def objects() -> Iterator[tuple[int, str, Any]]:
        with damage_told(path), open_text(path, encoding, newline=None) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line, _parsed(line)

    keys = _keys(value for *_, value in islice(objects(), KEYS_FROM))
    if not keys:
        raise _no_objects(path)
    return Table(
        source=path.name,
        format="JSON lines",
        columns=tuple(map(whole_characters, keys)),
        rows=lambda: (_row(number, value, keys, line) for number, line, value in objects()),
        counted_in="line",
    )


def _json(path: Path, encoding: str) -> Table:
    try:
        with damage_told(path), open_text(path, encoding, newline=None) as file:
            whole = json.load(file)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(
            f"{path.name} is not valid JSON{where}.", "Save it again as JSON, JSON lines or CSV."
        ) from error
    objects = _objects_in(whole)
    keys = _keys(objects)
    if not keys:
        raise _no_objects(path)
    return Table(
        source=path.name,
        format="JSON",
        columns=tuple(map(whole_characters, keys)),
        rows=lambda: (_row(number, value, keys) for number, value in enumerate(objects, start=1)),
    )


def _objects_in(whole: Any) -> list[Any]:
    """The rows in a list of objects, in ``{"data": [objects]}``, or in an object of columns or of rows."""
    if isinstance(whole, list):
        return whole
    if len(lists := _lists_of_objects(whole)) == 1:
        return lists[0]
    if not _is_columns(whole):
        return [whole]
    if _is_by_row(whole):
        return list(whole.values())
    columns = [list(part.values()) if isinstance(part, dict) else part for part in whole.values()]
    if len({len(column) for column in columns}) > 1:
        return []
    return [dict(zip(whole, values, strict=True)) for values in zip(*columns, strict=True)]


def _is_by_row(whole: dict[str, Any]) -> bool:
    """Whether an object of objects has one for each row: by its usual names, or as there are more of them."""
    if not all(isinstance(part, dict) for part in whole.values()):
        return False
    inner = _keys(whole.values())
    outside, inside = (bool({normalised(name) for name in names} & USUAL_NAMES) for names in (whole, inner))
    return inside if inside != outside else len(whole) > len(inner)


def _lists_of_objects(whole: dict[str, Any]) -> list[list[Any]]:
    return [part for part in whole.values() if isinstance(part, list) and part and isinstance(part[0], dict)]


def _keys(objects: Iterable[Any]) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for value in objects:
        if isinstance(value, dict):
            keys.update(dict.fromkeys(value))
    return tuple(keys)


def _row(number: int, value: Any, keys: tuple[str, ...], line: str | None = None) -> Row:
    """What is no object stands whole in the first field, as a line with too few fields does in a CSV file."""
    if isinstance(value, dict):
        return Row(number, [as_text(value.get(name)) for name in keys], record=value)
    whole = whole_characters(json.dumps(value, ensure_ascii=False)) if line is None else line.rstrip("\n")
    *_, key = unique_names([*keys, UNREADABLE])
    return Row(number, [whole, *[""] * (len(keys) - 1)], "not a JSON object", record={key: whole})


def _no_objects(path: Path) -> UserError:
    return UserError(
        f"{path.name} holds no JSON objects with a text and its answer.",
        'Write one object per line, like {"text": "…", "label": "…"}.',
    )
