"""`plaintune label`: one text, one key; the most useful text first, every answer on disk at once."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer

from ..core.errors import UserError, one_line
from ..core.events import Listener
from ..core.features import LINE_BREAK_TAG
from ..data.answered import AnswerFile
from ..data.read import read_examples
from ..learn.active import Reader, how_good, next_text

WIDTH, MOST_LINES = 78, 24
SKIP, UNDO, QUIT = "s", "u", "q"
KEYS = [key for key in "1234567890abcdefghijklmnoprtvwxyz" if key not in (SKIP, UNDO, QUIT)]
JUDGED_EVERY = 10  # answers


def prepared(
    source: str, answers: Sequence[str], out: Path, *, text: Sequence[str], seed: int, listener: Listener
) -> Session:
    """The questions to ask, which go on where an earlier session ended.

    Raises UserError for answers that cannot be asked for.
    """
    _check_answers(answers)
    kept = AnswerFile(out)
    unknown = {answer for _, answer in kept.rows if answer} - set(answers)
    if unknown:
        raise UserError(
            f"{out} holds answers that are not among --answers: {', '.join(sorted(unknown))}.",
            "Name these as well, or choose another place: --out FILE",
        )
    read = read_examples(source, text=tuple(text), need_labels=False, listener=listener)
    texts = list(dict.fromkeys(map(str, read.texts)))
    return Session(texts, list(answers), kept, seed=seed)


def _check_answers(answers: Sequence[str]) -> None:
    if len(set(answers)) < 2 or len(set(answers)) < len(answers):
        raise UserError(
            "At least two different answers are needed.", "For example: --answers billing,delivery,other"
        )
    if len(answers) > len(KEYS):
        raise UserError(
            f"{len(answers)} answers are more than there are keys ({len(KEYS)}).",
            "Ask for groups of answers first, then within each group.",
        )


class Session:
    """The questions of one sitting."""

    def __init__(self, texts: list[str], answers: list[str], kept: AnswerFile, *, seed: int) -> None:
        self.texts, self.answers, self.kept = texts, answers, kept
        self.place = {one: at for at, one in enumerate(texts)}
        self.reader = Reader(texts, seed=seed)
        self.rng = np.random.default_rng(seed + len(kept.rows))

    def run(self) -> None:
        """Ask until the person quits or no text is left."""
        try:
            self._ask_all()
        finally:
            self.reader.stop()

    def _ask_all(self) -> None:
        """Ask, keep, ask again."""
        again: str | None = None
        while True:
            question = again if again is not None else self._next()
            if question is None:
                typer.echo("No text is left.")
                return
            key = self._ask(question)
            if key == QUIT:
                return
            if key == UNDO:
                taken = self.kept.take_back()
                again = question if taken is None else taken
                continue
            again = None
            self.kept.add(question, "" if key == SKIP else self.answers[KEYS.index(key)])
            if key != SKIP and self.kept.given % JUDGED_EVERY == 0:
                self._judge()

    def _next(self) -> str | None:
        known = [(self.place[text], answer) for text, answer in self.kept.rows if text in self.place]
        positions, features = self.reader.features([place for place, _ in known])
        row_of = {int(place): row for row, place in enumerate(positions)}
        number = {name: at for at, name in enumerate(self.answers)}
        asked = [row_of[place] for place, _ in known]
        row = next_text(features, asked, [number.get(answer, -1) for _, answer in known], self.rng)
        if row < 0 and len(positions) < len(self.texts):
            return self.texts[int(self.reader.order[len(positions)])]
        return None if row < 0 else self.texts[int(positions[row])]

    def _ask(self, question: str) -> str:
        """The key that was pressed: one of the answers', skip, undo or quit."""
        parts = map(one_line, LINE_BREAK_TAG.sub("\n", question).splitlines())  # no text steers the terminal
        lines = [line for part in parts for line in textwrap.wrap(part, WIDTH) or [""]]
        more = ["…"] if len(lines) > MOST_LINES else []
        keys = [f"{key} {name}" for key, name in zip(KEYS, self.answers, strict=False)]
        typer.echo("─" * WIDTH)
        typer.echo("\n".join(lines[:MOST_LINES] + more))
        for line in textwrap.wrap("   ".join([*keys, "s skip", "u undo", "q quit"]), WIDTH):
            typer.secho(line, bold=True)
        allowed = [*KEYS[: len(self.answers)], SKIP, UNDO, QUIT]
        while True:
            key = _pressed()
            if key in allowed:
                return key
            typer.echo(f"Press one of: {' '.join(allowed)}")

    def _judge(self) -> None:
        given = [(text, answer) for text, answer in self.kept.rows if answer and text in self.place]
        positions, features = self.reader.features([self.place[text] for text, _ in given])
        row_of = {int(place): row for row, place in enumerate(positions)}
        rows = [row_of[self.place[text]] for text, _ in given]
        judged = how_good(features[rows], np.array([self.answers.index(answer) for _, answer in given]))
        if judged is not None:
            right, (low, high) = judged
            typer.echo(
                f"{len(given)} answers: a model of these would be right about {right:.0%} of the time "
                f"({low:.0%} to {high:.0%}) on texts as hard as these."
            )


def _pressed() -> str:
    """One key at a terminal, else one line; the end of the input is the end of the sitting."""
    if sys.stdin.isatty():
        return typer.getchar().lower()
    line = sys.stdin.readline()
    return line.strip().lower() if line else QUIT
