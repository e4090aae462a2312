"""How a command ends when it does not end well."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..compute.interrupts import handled
from ..core.errors import one_line, printable
from ..core.events import Event, Listener

INTERRUPTED = 130  # the exit code of a command ended by Ctrl-C


def fail(problem: str, fix: str) -> None:
    """Two lines, exit code 2."""
    sys.stdout.flush()
    print(f"Error: {printable(problem)}\n{printable(fix)}", file=sys.stderr)
    sys.exit(2)


def interrupted() -> None:
    """What to type after Ctrl-C: training, downloads and files half answered go on where they were."""
    command = shlex.join(["plaintune", *sys.argv[1:]])
    print(
        f"\nStopped. What was kept of long work is gone on from when you type the same again: {command}",
        file=sys.stderr,
    )
    sys.exit(INTERRUPTED)


@contextmanager
def heeding(listener: Listener) -> Iterator[Listener]:
    """The same listener; a Ctrl-C that some library passed over is raised again when it is told something."""
    heard = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard = True
        raise KeyboardInterrupt

    def tell(event: Event) -> None:
        if heard:
            raise KeyboardInterrupt
        listener(event)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # nohup, or no Ctrl-C of ours
        yield listener
        return
    with handled([signal.SIGINT], interrupt):
        yield tell


def usage_error(error: Exception) -> None:
    """A wrong option or a missing argument in two lines; anything else is a fault of ours and is raised."""
    kind = {parent.__name__ for parent in type(error).__mro__}
    if "Abort" in kind:
        interrupted()
    if "ClickException" not in kind:
        raise error
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "plaintune"
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        sys.exit(2)
    fail(one_line(error.format_message()), f"See: {command} --help")  # type: ignore[attr-defined]
