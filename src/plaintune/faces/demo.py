"""The bundled sample, and its mistakes shown honestly."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import typer

from ..core.metrics import sureness
from ..data.read import read_examples
from ..model.predict import Model

SHOWN = 8


def sample_file(name: str) -> Path:
    """Where a file of the bundled sample lies."""
    return Path(str(resources.files("plaintune") / "sample" / name))


def print_mistakes(model: Model) -> None:
    """The test messages it got wrong, those it was surest of first."""
    test = read_examples(
        sample_file("messages-test.csv"), text=("message",), label="team", classes=model.classes
    )
    answers = model.predict(list(test.texts))
    wrong = [
        (answer.confidence, answer.answer, model.classes[label], str(text))
        for answer, label, text in zip(answers, test.labels, test.texts, strict=True)
        if answer.answer != model.classes[label]
    ]
    typer.echo(f"It got {len(wrong)} of {len(answers)} test messages wrong. The ones it was surest of:")
    for confidence, given, truth, text in sorted(wrong, reverse=True)[:SHOWN]:
        shown = text if len(text) <= 90 else text[:89] + "…"
        typer.echo(f"  said {given} ({sureness(confidence)}), was {truth}: {' '.join(shown.split())}")
    typer.echo("")
