"""What can go wrong in a user's hands, as a tree:

UserError                 anything a user can mend: what we found, and what to type next
├── AmbiguousColumns      more than one column could be meant; a face may ask which
├── MissingExtra          a part of plaintune that is not installed
├── BrokenModel           a model folder that cannot be trusted to answer
└── OutputExists          the place to write to already holds something
Anything else that is raised is our own bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A problem the user can mend.

    ``problem`` says what we found and what we wanted; ``fix`` what to do or type next. Both are
    one line: faces print them as two lines and end with exit code 2.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem = one_line(problem)
        self.fix = one_line(fix)

    def __str__(self) -> str:
        return f"{self.problem} {self.fix}"


class AmbiguousColumns(UserError):
    """Several columns could be ``role`` ("text" or "label"); ``options`` are their names."""

    def __init__(self, problem: str, fix: str, *, role: str, options: tuple[str, ...]) -> None:
        super().__init__(problem, fix)
        self.role = role
        self.options = options


class MissingExtra(UserError):
    """A command needs packages that only an extra (``train``, ``cloud``…) installs."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed here.",
            f"In plaintune's folder type: pip install '.[{extra}]'",
        )


class BrokenModel(UserError):
    """A model folder with a part missing, cut short, changed, or from another release."""


class OutputExists(UserError):
    """The output is there already; a face may ask before it replaces it."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """What libraries written in Rust give up with is no Exception, and would end whoever waits for it."""
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as panic:
        raise ValueError(f"a library gave up: {one_line(str(panic))}") from panic


def printable(text: str) -> str:
    """``text`` with line breaks and control characters as spaces: nothing in data may steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str) -> str:
    """``text`` as `printable`, with single spaces, for a message of one line."""
    return " ".join(printable(text).split())


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint such as " Did you mean 'label'?", or an empty string where nothing is near."""
    by_lower_case = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), list(by_lower_case), n=1, cutoff=0.6)
    return f" Did you mean '{by_lower_case[close[0]]}'?" if close else ""
