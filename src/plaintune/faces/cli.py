"""The command line. Every command here parses, calls one function of the house, and prints."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..core.errors import AmbiguousColumns, OutputExists, UserError, printable
from ..core.hardware import is_helper
from ..core.settings import DEFAULT_MINUTES, REPORT_PAGE, Settings
from .app import (
    Group,
    Json,
    LabelColumns,
    Minutes,
    NoTexts,
    OpenReport,
    Quiet,
    Seed,
    Separator,
    TaskOption,
    TextColumns,
    Time,
    Yes,
    app,
    default_name,
    open_page,
    print_json,
    terminal,
)
from .endings import INTERRUPTED, fail, heeding, interrupted, usage_error
from .forgotten import say_what_is_forgotten

if TYPE_CHECKING:
    from ..model.predict import Model

TRAIN_EPILOG = "Example: plaintune train reviews.csv --minutes 15"
Result = TypeVar("Result")


class Where(StrEnum):
    """On whose machine to train."""

    HERE = "here"
    CLOUD = "cloud"


@app.command(epilog=TRAIN_EPILOG)
def train(
    data: Annotated[
        str, typer.Argument(help="CSV, TSV, JSONL, Parquet, Excel, folder, archive or web address.")
    ],
    text: TextColumns = None,
    label: LabelColumns = None,
    test: Annotated[
        str | None, typer.Option(metavar="DATA", help="Labelled data to score on, once, at the end.")
    ] = None,
    group: Group = None,
    time: Time = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the model goes. [default: NAME-model]")
    ] = None,
    minutes: Minutes = DEFAULT_MINUTES,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME|DIR", help="Another pre-trained model: a folder or a hub name."),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(metavar="N", help="Tokens of a text that the network sees.")
    ] = None,
    seed: Seed = 0,
    task: TaskOption = None,
    separator: Separator = None,
    plan: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Repeat this model's run, choice by choice, however long it takes."),
    ] = None,
    corrections: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Answers that you mended in the report; may be repeated."),
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option(metavar="A=B", help="Take answer A for B; may be repeated.")
    ] = None,
    unlabeled: Annotated[
        str | None, typer.Option(metavar="DATA", help="More such texts, without an answer, to learn from.")
    ] = None,
    no_texts: NoTexts = False,
    open_report: OpenReport = False,
    on: Annotated[
        Where, typer.Option("--on", help="cloud rents a GPU for this run and ends it afterwards.")
    ] = Where.HERE,
    gpus: Annotated[
        int, typer.Option(metavar="N", min=1, help="Train on so many GPUs of a machine at once.")
    ] = 1,
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="The GPU to rent.")] = None,
    machines: Annotated[int, typer.Option(metavar="N", min=1, help="Rent so many, that train together.")] = 1,
    cloud: Annotated[str | None, typer.Option(metavar="NAME", help="The cloud to rent it from.")] = None,
    max_cost: Annotated[float, typer.Option(metavar="USD", help="Never pay more than this.")] = 2.0,
    on_demand: Annotated[
        bool, typer.Option("--on-demand", help="A machine that is not taken back; dearer.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Train a classifier on labelled texts, and say how good it is."""
    if is_helper():
        from ..learn.crew import help_out

        help_out()
    settings = Settings(
        tuple(text or ()),
        tuple(label or ()),
        group,
        time,
        minutes,
        backbone,
        max_length,
        seed,
        task,
        separator,
        plan,
        tuple(corrections or ()),
        tuple(merge or ()),
        unlabeled,
        not no_texts,
        gpus,
    )
    folder = out or Path(default_name(data))
    if on is Where.CLOUD:
        from ..compute.cloud import Wish
        from .cli_cloud import train_there

        if gpus > 1:
            raise UserError(
                "plaintune rents machines with one GPU each.",
                f"Rent several: --machines {gpus}, without --gpus",
            )
        wish = Wish(gpu, cloud, False if on_demand else None, max_cost, machines)
        prepare = partial(_asking, settings)
        model = train_there(prepare, source=data, test=test, out=folder, wish=wish, quiet=quiet, yes=yes)
    elif machines > 1:
        raise UserError(
            "--machines rents machines; here there is one.",
            "Add --on cloud, or start plaintune on machines of your own by torchrun: docs/many-machines.md",
        )
    else:
        model = _train(data, settings, folder, test=test, quiet=quiet, yes=yes)
    _print_trained(model, folder, as_json)
    if open_report:
        open_page(folder / REPORT_PAGE)


@app.command(epilog="Example: plaintune demo")
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model goes.")] = Path("demo-model"),
    as_json: Json = False,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Train on the bundled sample (messages to a shop, for six teams), offline, in two minutes."""
    from .demo import print_mistakes, sample_file

    model = _train(
        str(sample_file("messages.csv")),
        Settings(minutes=1.9),
        out,
        test=str(sample_file("messages-test.csv")),
        quiet=quiet,
        yes=yes,
    )
    if not as_json and not quiet:
        print_mistakes(model)
    _print_trained(model, out, as_json)


def main() -> None:
    """Run the command; a UserError is two lines and exit code 2, Ctrl-C is 130."""
    from . import (  # noqa: F401  the other commands
        cli_answer,
        cli_cloud,
        cli_data,
        cli_explain,
        cli_export,
        cli_machine,
        cli_quote,
        cli_report,
        cli_serve,
    )

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # what is read by programs, everywhere
    with suppress(OSError, RuntimeError):  # where the home is not ours to look at, or there is none
        say_what_is_forgotten(sys.argv[1:])
    try:
        status = app(standalone_mode=False)
    except UserError as error:
        fail(error.problem, error.fix)
    except KeyboardInterrupt:
        interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.ENAMETOOLONG,
        ):
            raise
        where = f" ({error.filename})" if error.filename else ""
        fail(
            f"Writing failed: {error.strerror}{where}.",
            "Free some space there or choose another place: --out",
        )
    except Exception as error:
        usage_error(error)
    if status == INTERRUPTED:  # typer swallows Ctrl-C and gives this back
        interrupted()
    sys.exit(status if isinstance(status, int) else 0)


def _train(data: str, settings: Settings, folder: Path, *, test: str | None, quiet: bool, yes: bool) -> Model:
    """Train, asking at a terminal where a column or a folder in the way needs a decision."""
    from ..model.folder import require_free
    from .terminal import confirm

    try:
        require_free(folder, replace_existing=yes)
    except OutputExists as error:
        if not confirm(f"{error.problem} Replace it?"):
            raise
        yes = True
    fit = _training()

    def attempt(settings: Settings) -> Model:
        with terminal(quiet) as shown, heeding(shown) as listener:
            return fit(
                data, out=folder, settings=settings, test=test, replace_existing=yes, listener=listener
            )

    return _asking(settings, attempt)


def _asking(settings: Settings, attempt: Callable[[Settings], Result]) -> Result:
    """What ``attempt`` gives, after asking at a terminal which columns are meant, where that is open."""
    from .terminal import ask

    while True:
        try:
            return attempt(settings)
        except AmbiguousColumns as error:
            chosen = ask(error.problem, error.options)
            if chosen is None:
                raise
            settings = (
                replace(settings, text=(chosen,))
                if error.role == "text"
                else replace(settings, label=(chosen,))
            )


def _training() -> Callable[..., Model]:
    from ..api import require_training

    require_training()
    from ..pipeline import fit

    return fit


def _print_trained(model: Model, folder: Path, as_json: bool) -> None:
    from .summary import train_json, train_summary

    if as_json:
        print_json(train_json(model.manifest, folder))
    else:
        for line in train_summary(model.manifest, folder):
            typer.echo(printable(line))
