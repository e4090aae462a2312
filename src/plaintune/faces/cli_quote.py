"""The command `quote`: what training would take and bring, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import (
    Group,
    Json,
    LabelColumns,
    Quiet,
    Seed,
    Separator,
    TaskOption,
    TextColumns,
    Time,
    app,
    print_json,
    terminal,
)

if TYPE_CHECKING:
    from ..compute.quote import Quote


@app.command(epilog="Example: plaintune quote reviews.csv")
def quote(
    data: Annotated[str, typer.Argument(help="Labelled texts, in any form that train takes.")],
    test: Annotated[str | None, typer.Option(metavar="DATA", help="Test data of your own.")] = None,
    text: TextColumns = None,
    label: LabelColumns = None,
    group: Group = None,
    time: Time = None,
    task: TaskOption = None,
    separator: Separator = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how long training would take on this machine, and how good it would get."""
    from ..api import quote as quote_for

    with terminal(quiet) as listener:
        told = quote_for(
            data,
            test=test, text=tuple(text or ()), label=tuple(label or ()), group=group, time=time, task=task,
            separator=separator, seed=seed, listener=listener,
        )  # fmt: skip
    if as_json:
        print_json(told.as_json())
    else:
        for line in _lines(told):
            typer.echo(line)


def _lines(told: Quote) -> list[str]:
    """A line or two for each way."""
    from ..learn.trial import in_minutes, should

    lines = [f"On this machine ({told.machine}), for {told.rows:,} examples:"]
    for way in told.ways:
        good = "" if way.low is None or way.high is None else should(told.task, way.low, way.high)
        took = f"{in_minutes(way.expected_minutes)} min" if way.expected_minutes >= 1 else "under 1 min"
        lines.append(f"  {way.name:<9} {took:>11}   should {good}" if good else f"  {way.name:<9} {took:>11}")
        lines.append(f"              {way.command}")
    return [*lines, *_rented_lines(told)]


def _rented_lines(told: Quote) -> list[str]:
    """What a rented GPU would take, where that is less."""
    here = told.ways[-1].expected_minutes
    faster = [quote for quote in told.rented if quote.minutes < here]
    if not faster:
        return ["A rented GPU would not be done earlier: setting one up takes some minutes."]
    lines = ["The thorough way on a rented GPU:", *(f"  {quote}" for quote in faster)]
    return [*lines, f"  {told.ways[-1].command} --on cloud   (asks before it rents)", told.prices]
