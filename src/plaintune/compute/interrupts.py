"""Signals and lost terminals while a machine costs money: they end it, and nothing stops the ending."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ..core.events import Event, Listener

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """A closed terminal and a polite kill end the machine as Ctrl-C does; what nohup ignores stays so."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    polite = (signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in polite if signal.getsignal(number) is not signal.SIG_IGN]
    with handled(heard, interrupt):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is done here is done to its end: a second Ctrl-C, hang-up or polite kill is not heard."""

    def pass_over(number: int, frame: FrameType | None) -> None:
        """Not SIG_IGN: the programs that are started here would inherit it, and SkyPilot's server stay."""

    with handled([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], pass_over):
        yield


def unbreakable(listener: Listener) -> Listener:
    """The same listener, but nobody stops because the terminal it writes to is gone."""

    def tell(event: Event) -> None:
        with suppress(OSError):
            listener(event)

    return tell


@contextmanager
def handled(numbers: list[signal.Signals], handler: Handler) -> Iterator[None]:
    """While this lasts, ``handler`` is told of the signals ``numbers``; what was there before comes back."""
    if threading.current_thread() is not threading.main_thread():  # signals are for that one only
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
