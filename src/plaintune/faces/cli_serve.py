"""The command serve: models answer over HTTP until told to stop."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UserError
from .app import Quiet, app

TOKEN_VARIABLE = "PLAINTUNE_TOKEN"


@app.command(epilog="Example: plaintune serve reviews-model")
def serve(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Folders that train wrote, or .plaintune files.")
    ],
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in: ask for a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"Ask for the token in FILE. [default: ${TOKEN_VARIABLE}, if set]"),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Take over a newer model by itself.")] = False,
    unsure: Annotated[
        float, typer.Option(metavar="P", min=0, max=1, help="Less sure than this is unsure.")
    ] = 0.8,
    log_unsure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the texts it was unsure of, for labelling.")
    ] = None,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="Put the texts into the log.")] = False,
    queue: Annotated[int, typer.Option(metavar="N", min=1, help="Texts that may wait.")] = 2000,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Texts answered at once, at most.")] = 64,
    most_texts: Annotated[int, typer.Option(metavar="N", min=1, help="Texts in a request.")] = 1000,
    most_characters: Annotated[int, typer.Option(metavar="N", min=1, help="Characters of a text.")] = 100_000,
    quiet: Quiet = False,
) -> None:
    """Answer over HTTP: an interface for programs, a page for people, figures for whoever watches it.

    A connection is closed where no request begins within 75 seconds; the body then has 60 to come.
    """
    from .served import Limits
    from .server import run

    run(
        _names(models),
        host=host, port=port, token=_token(token_file), watch=watch, unsure=unsure, log_unsure=log_unsure,
        log_texts=log_texts, quiet=quiet,
        limits=Limits(
            most_texts, most_characters, most_waiting=queue, batch_texts=batch,
            most_bytes=max(Limits.most_bytes, LONGEST_SPELLING * most_characters),
        ),
    )  # fmt: skip


LONGEST_SPELLING = 12  # bytes of a character in JSON, as two escaped halves


def _names(folders: list[Path]) -> dict[str, Path]:
    """What each model is called: as its folder."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = folder.absolute().name.removesuffix(".plaintune")
        if name in named:
            raise UserError(
                f"Two models are called {name}: {named[name]} and {folder}.", "Give one folder another name."
            )
        named[name] = folder
    return named


def _token(file: Path | None) -> str | None:
    """The token that requests must bear, None for none; it is never repeated."""
    if file is None:
        told, source = os.environ.get(TOKEN_VARIABLE), f"The variable {TOKEN_VARIABLE}"
    else:
        source = str(file)
        try:
            told = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{file} cannot be read ({type(error).__name__}).", "Name a file that holds the token."
            ) from None
    if told is None:
        return None
    token = told.strip()
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"{source} holds no token of 16 or more plain characters in one line.",
            f"Make one: openssl rand -hex 32 > {shlex.quote(str(file or 'token.txt'))}",
        )
    return token
