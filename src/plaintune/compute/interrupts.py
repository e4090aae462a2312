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


class PassedOver:
    """A handler that only notes a signal, for the one outside of it as well.

    Not SIG_IGN: the programs that are started here would inherit it, and SkyPilot's server stay.
    """

    def __init__(self) -> None:
        outer = signal.getsignal(signal.SIGINT)
        self._outer = outer if isinstance(outer, PassedOver) else None
        self.any = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.any = True
        if self._outer is not None:
            self._outer(number, frame)


@contextmanager
def undisturbed() -> Iterator[PassedOver]:
    """What is done here is done to its end: a Ctrl-C, hang-up or polite kill is only noted."""
    passed_over = PassedOver()
    with handled([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], passed_over):
        yield passed_over


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
