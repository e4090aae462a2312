"""The command export: a model as a folder to deploy, or as one file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .app import Json, Yes, app, print_json


@app.command(epilog="Example: plaintune export reviews-model reviews-service")
def export(
    model: Annotated[Path, typer.Argument(help="The folder that train wrote.")],
    out: Annotated[Path, typer.Argument(help="Where it goes.")],
    single_file: Annotated[
        bool, typer.Option("--single-file", help="The model as one .plaintune file instead.")
    ] = False,
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Make a folder to deploy: model, pinned requirements, Dockerfile, compose, systemd unit, client.

    Over an earlier export, --yes replaces what that wrote; what you put there (venv, .env) stays.
    """
    from ..model.export import export_file, export_service
    from ..model.predict import Model

    loaded = Model.load(model)
    make = export_file if single_file else export_service
    made = make(loaded, out, replace_existing=yes)
    if as_json:
        print_json({"out": str(made), "single_file": single_file})
        return
    place = shlex.quote(str(made))
    if single_file:
        typer.echo(f"The model is in {made}, {made.stat().st_size / 1e6:.0f} MB, without any of your texts.")
        typer.echo(f'Next: plaintune predict {place} "some text"')
    else:
        typer.echo(f"Ready to deploy: {made}, without any of your texts. Its README.md says how.")
        typer.echo(f"Next: cd {place} && docker compose up --build")
