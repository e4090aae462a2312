"""Options that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.tasks import Task

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the result.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Replace what is there without asking.")]
Minutes = Annotated[float, typer.Option(help="The whole command ends within this time.")]
Seed = Annotated[int, typer.Option(help="Another seed draws another test part and another order.")]
TextColumns = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="COL", help="Column of the text; repeat it to join several."),
]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COL", help="Column of the answer; repeat it for columns of yes and no."),
]
Group = Annotated[str | None, typer.Option(metavar="COL", help="Keep a film, a customer… on one side.")]
Time = Annotated[str | None, typer.Option(metavar="COL", help="Score on the latest rows.")]
TaskOption = Annotated[
    Task | None, typer.Option(help="One answer a text, several, or a number. [default: by the data]")
]
Separator = Annotated[
    str | None, typer.Option(metavar="MARK", help="What parts several answers in one column.")
]
