"""The energy a run has used, where the processor counts it and the system lets us read (Linux, RAPL)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .events import Event, Listener

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Adds up what the processor packages' counters say; they wrap around, so ask now and then."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._packages = [p for p in sorted(root.glob("intel-rapl:*")) if p.name.count(":") == 1]
        self._last = self._read()
        self._microjoules = 0

    @property
    def joules(self) -> float | None:
        """What was used since the meter was made, None where it cannot be read."""
        self._update()
        return None if self._last is None else self._microjoules / 1e6

    def beside(self, listener: Listener) -> Listener:
        """``listener``, with the meter asked at each event of the run."""

        def hear(event: Event) -> None:
            self._update()
            listener(event)

        return hear if self._last is not None else listener

    def _update(self) -> None:
        now = self._read()
        if now is None or self._last is None:
            self._last = None
            return
        for (count, full), (before, _) in zip(now, self._last, strict=True):
            self._microjoules += count - before if count >= before else count - before + full
        self._last = now

    def _read(self) -> list[tuple[int, int]] | None:
        """(count, where it wraps) of each package, in microjoules; None where there is nothing to read."""
        with suppress(OSError, ValueError):
            return [
                (int((p / "energy_uj").read_text()), int((p / "max_energy_range_uj").read_text()))
                for p in self._packages
            ] or None
        return None
