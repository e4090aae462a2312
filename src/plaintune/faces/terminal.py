"""A run's events as a person reads them: lines for what happens, a bar for what takes long."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..core.errors import printable
from ..core.events import Event


class Terminal:
    """A listener that writes to stderr; use it as a context manager, so that the bar is taken down."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet
        self._bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else answers on their way to a file would go to the screen
            disable=quiet or not self.console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Terminal:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self.quiet and event.kind != "warning":
            return
        match event.kind:
            case "stage":
                self._begin(event)
            case "progress":
                self._advance(event)
            case "choice":
                self._say(f"  · {event.message}")
            case "warning":
                self._say(f"Careful: {event.message}")
            case _:
                self._say(event.message)

    def _begin(self, event: Event) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(printable(event.message), total=event.total or None, detail="")
        if self._bar.disable:
            self._say(f"{event.message} …")

    def _advance(self, event: Event) -> None:
        if self._task is not None:
            loss = event.values.get("loss")
            detail = "" if loss is None else f"loss {loss:.3f}"
            self._bar.update(self._task, completed=event.step, total=event.total or None, detail=detail)

    def _say(self, line: str) -> None:
        self.console.print(
            printable(line), markup=False, style="yellow" if line.startswith("Careful") else None
        )


def ask(question: str, options: tuple[str, ...]) -> str | None:
    """One of ``options``, chosen by number or name at the terminal; None where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    console = Console(stderr=True, highlight=False)
    console.print(question, markup=False)
    for number, option in enumerate(options, start=1):
        console.print(f"  {number}  {option}", markup=False)
    while True:
        console.print(f"Which one? [1-{len(options)}] ", end="", markup=False)
        answer = input().strip()
        if answer in options:
            return answer
        if answer.isdigit() and 1 <= int(answer) <= len(options):
            return options[int(answer) - 1]


def confirm(question: str) -> bool:
    """Yes or no at the terminal; no where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    Console(stderr=True, highlight=False).print(f"{question} [y/N] ", end="", markup=False)
    return input().strip().lower() in ("y", "yes")
