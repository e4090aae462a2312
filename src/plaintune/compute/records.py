"""What is rented, written down before it is rented, so that a command killed in between is found by the next.

One folder for each rental: `rental.json` is the record, `lock` is held by the process that looks after it.
The operating system lets go of the lock however that process ends.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ..core.errors import UserError
from .clouds import CLOUDS

RUN, OWN = "run", "machine"  # what a machine is rented for: one training, or to be kept by the user
RECORD, LOCK = "rental.json", "lock"
LOCK_TRIES = 20  # a tenth of a second apart: somebody may just be looking


@dataclass(frozen=True)
class Rental:
    """A machine that may be running and cost money."""

    name: str  # the tag on everything that belongs to it
    purpose: str  # RUN or OWN
    cloud: str
    gpu: str
    spot: bool
    price_usd: float  # dollars an hour of all machines there are, as far as is known
    most_usd: float  # what an hour can cost at most: spot never costs more than on demand
    started: float  # seconds since 1970, as all times here
    deadline: float  # it must be gone by then
    out: str  # where the model is to go
    region: str | None = None  # known once there is a machine, or wanted
    zone: str | None = None  # as the cloud names it in this account, where it is wanted
    cluster: str | None = None  # SkyPilot's name of the machine there is now
    orders: int = 0  # of machines, so far; some may have found none
    machines: int = 0  # had so far, one after the other
    spent_usd: float = 0.0  # for machines of this rental that are gone
    since: float | None = None  # of the machine there is now
    ended: float | None = None
    nodes: int = 1  # machines at the same time, that train together
    machine: str | None = None  # the cloud's name of this kind of machine
    account: str | None = None  # at the cloud, whose credentials rent it
    secured: bool = False  # the cloud has shown the machine there is now, and it will end itself
    asked_minutes: float = 0.0  # of training, by the user
    minutes: float = 0.0  # what the job is given of them
    fingerprint: str = ""  # of the data and settings of the run

    def cost_usd(self, now: float) -> float:
        """What it has cost so far, about; one that ends itself costs nothing after its deadline."""
        until = min(now, self.deadline) if self.secured else now
        running = 0.0 if self.since is None else (self.ended or until) - self.since
        return self.spent_usd + self.price_usd * max(0.0, running) / 3600

    @property
    def keeps_disk(self) -> bool:
        """Whether switching it off leaves its disk; most clouds' spot machines cannot be stopped."""
        return self.purpose == OWN and (not self.spot or CLOUDS[self.cloud].stops_spot)

    @property
    def must_see_to_its_end(self) -> bool:
        """Whether powering off alone would leave more of it to pay for than a disk that is to be kept."""
        return not self.keeps_disk or CLOUDS[self.cloud].off_is_paid

    @property
    def folder(self) -> Path:
        """Where its record, its log and what was sent lie."""
        return rentals_folder() / self.name

    @property
    def log(self) -> Path:
        """What SkyPilot said."""
        return self.folder / "log.txt"


def cloud_folder() -> Path:
    """Where plaintune keeps what must not be lost: $PLAINTUNE_HOME, or where Linux wants such things.

    The same on macOS, whose own place has a space in its name, which SkyPilot's ssh does not bear (seen).
    """
    if home := os.environ.get("PLAINTUNE_HOME"):
        return Path(home).expanduser() / "cloud"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "plaintune" / "cloud"


def rentals_folder() -> Path:
    """A folder for each rental."""
    return cloud_folder() / "rentals"


def write_rental(rental: Rental) -> Rental:
    """Put the record on disk; it is there when this returns."""
    from ..core.files import write_text  # with numpy, which every command would else wait for

    rental.folder.mkdir(parents=True, exist_ok=True)
    cloud_folder().chmod(0o700)  # what is sent is copied there: nobody else's business
    write_text(rental.folder / RECORD, json.dumps(asdict(rental), indent=1))
    return rental


def rentals() -> list[Rental]:
    """Every rental there is a record of, the latest first."""
    known = {field.name for field in fields(Rental)}
    found = []
    for file in rentals_folder().glob(f"*/{RECORD}"):
        with suppress(OSError, ValueError, TypeError):  # a folder that is just being removed
            written = json.loads(file.read_text(encoding="utf-8"))
            found.append(Rental(**{name: value for name, value in written.items() if name in known}))
    return sorted(found, key=lambda rental: -rental.started)


def open_rentals() -> list[Rental]:
    """The rentals that are not known to have ended."""
    return [rental for rental in rentals() if rental.ended is None]


def unfinished(out: Path) -> Rental | None:
    """A rental of an earlier command for the same model that may still be at work.

    Raises UserError where another process is at work on a rented machine: the two would share SkyPilot.
    """
    for rental in open_rentals():
        if rental.purpose != RUN:
            continue
        if is_looked_after(rental):
            raise UserError(
                f"Another plaintune is training {rental.out} on a rented machine right now.",
                "Wait until it has ended; plaintune cloud doctor shows the machine.",
            )
        if rental.out == str(out.absolute()):
            return rental
    return None


def as_written(rental: Rental) -> Rental:
    """The record of the rental as it is on disk; ``rental`` itself where there is none."""
    return next((one for one in rentals() if one.name == rental.name), rental)


def close(rental: Rental) -> Rental:
    """It is known that nothing of it runs any more: the copy of the data goes as well."""
    for copied in ("parcel", "checkpoint"):
        shutil.rmtree(rental.folder / copied, ignore_errors=True)
    now = time.time()
    return write_rental(replace(rental, spent_usd=rental.cost_usd(now), since=None, ended=now, cluster=None))


@contextmanager
def looking_after(rental: Rental) -> Iterator[None]:
    """While this process lives, nobody else takes the rental for forgotten.

    Raises UserError where another process has it.
    """
    rental.folder.mkdir(parents=True, exist_ok=True)
    with (rental.folder / LOCK).open("w") as file:
        for _ in range(LOCK_TRIES):
            if _is_ours(file.fileno(), shared=False):
                break
            time.sleep(0.1)
        else:
            raise UserError(
                "Another plaintune is at work on this rented machine right now.",
                "Wait until it has ended; plaintune cloud doctor shows the machine.",
            )
        yield


def is_looked_after(rental: Rental) -> bool:
    """Whether a living process has it."""
    try:
        with (rental.folder / LOCK).open("r") as file:
            return not _is_ours(file.fileno(), shared=True)  # two who look do not take each other for it
    except FileNotFoundError:
        return False


def _is_ours(file: int, *, shared: bool) -> bool:
    import fcntl  # not on Windows, where nothing is ever rented

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def forgotten() -> list[Rental]:
    """Rentals that may be running although no process looks after them.

    A machine of the user's own is kept on purpose, but not where the command that rents it was cut off.
    """
    if not rentals_folder().is_dir():
        return []
    at_work = [rental for rental in open_rentals() if rental.purpose == RUN or not rental.secured]
    return [rental for rental in at_work if not is_looked_after(rental)]
