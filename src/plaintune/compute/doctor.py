"""What is rented at this moment, what it cost, and what should not be there: by the clouds' own account.

It trusts tags on the machines, not SkyPilot's notes nor ours: what another computer or a lost disk has rented
is found as well.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..core.errors import UserError
from .clouds import CLOUDS, PAID_THOUGH_OFF, open_to_user
from .ending import LOOK_AGAIN_SECONDS, delete_disks
from .engine import CloudAway, Engine
from .machine import DEADLINE_TAG, PURPOSE_TAG, TAG, clock
from .records import OWN, RUN, Rental, close, cloud_folder, is_looked_after, open_rentals, rentals


@dataclass(frozen=True)
class Found:
    """A machine under our tag that is not gone for good."""

    cloud: str
    id: str
    region: str
    zone: str
    state: str
    rental: str
    hours: float
    cost_usd: float | None  # None where its price is not on record here
    deadline: float | None
    own: bool  # the user's own machine, which may be on without a command that looks after it
    keeps_disk: bool  # it is stopped where others are ended
    known: bool  # it is on record here
    why_not: str  # why it should not be there; empty where all is well

    def __str__(self) -> str:
        cost = "cost unknown" if self.cost_usd is None else f"${self.cost_usd:.2f} so far"
        verdict = self.why_not or ("in use" if self.known else self._of_elsewhere())
        return f"{self.id} in {self.zone}: {self.state} for {60 * self.hours:.0f} min, {cost}; {verdict}"

    def _of_elsewhere(self) -> str:
        until = "" if self.deadline is None else f"; it ends itself {clock(self.deadline)}"
        return f"rented from another computer, or its record is lost{until}"


@dataclass(frozen=True)
class Examined:
    """Everything of ours in the cloud."""

    machines: tuple[Found, ...] = ()
    disks: tuple[dict[str, Any], ...] = ()  # that belong to no machine
    unseen: tuple[str, ...] = ()  # regions that did not say what they hold, with the reason

    @property
    def wrong(self) -> tuple[Found, ...]:
        """The machines that should not be there."""
        return tuple(one for one in self.machines if one.why_not)


def examine(engine: Engine) -> Examined:
    """Look in every region of every cloud there are credentials for. Raises CloudAway, UserError.

    A rental that nobody looks after may just be on order: SkyPilot's server goes on without the command that
    asked it. It is stopped first, and a record is closed only where two looks, seconds apart, find nothing.
    """
    _stop_idle_server(engine)
    clouds = _clouds()
    seen, silent = Examined(), []
    for cloud in clouds:
        try:
            there = _look_into(engine.on(cloud), cloud)
        except (CloudAway, subprocess.TimeoutExpired, UserError) as silence:
            silent.append(silence)
            there = Examined(unseen=(f"all of {CLOUDS[cloud].company} ({silence})",))
        seen = Examined(seen.machines + there.machines, seen.disks + there.disks, seen.unseen + there.unseen)
    if len(silent) == len(clouds):
        raise silent[0]
    return seen


def _clouds() -> tuple[str, ...]:
    """Those that something is on record at, and those that there are credentials for."""
    return tuple(dict.fromkeys((*(rental.cloud for rental in open_rentals()), *open_to_user())))


def _look_into(engine: Engine, cloud: str) -> Examined:
    told = engine.ask("list", regions=None)
    if _missing(told, cloud):
        time.sleep(LOOK_AGAIN_SECONDS)
        told = engine.ask("list", regions=None)
        for rental in _missing(told, cloud):
            close(rental)
    known = {rental.name: rental for rental in rentals()}
    now = time.time()
    machines = tuple(_found(one, cloud, known, now) for one in told["found"])
    disks = tuple({"cloud": cloud, **disk} for disk in engine.ask("leftover_volumes", regions=None))
    unseen = tuple(f"{region} ({why})" for region, why in {**told["closed"], **told["silent"]}.items())
    return Examined(machines, disks, unseen)


def _stop_idle_server(engine: Engine) -> None:
    """End what SkyPilot may be about to rent for a command that is no more; others share the server."""
    open_ones = open_rentals()
    ordered = any(rental.purpose == RUN or not rental.secured for rental in open_ones)
    if ordered and not any(is_looked_after(rental) for rental in open_ones):
        engine.stop_server(log=cloud_folder() / "doctor.log")


def _missing(told: dict[str, Any], cloud: str) -> list[Rental]:
    """Rentals that can be closed: nobody is at work on them, and the account that rented has no machine."""
    if told["silent"]:
        return []
    running = {one["tags"][TAG] for one in told["found"]}
    open_ones = open_rentals()
    held = {rental.name for rental in open_ones if is_looked_after(rental)}
    return [
        rental
        for rental in open_ones
        if rental.cloud == cloud
        and rental.name not in running | held
        and (rental.secured or not held)  # else SkyPilot's server was not stopped and may be renting it
        and rental.account in (None, told["account"])
        and rental.region not in told["closed"]
    ]


def _found(instance: dict[str, Any], cloud: str, known: dict[str, Rental], now: float) -> Found:
    name, written = instance["tags"][TAG], instance["tags"].get(DEADLINE_TAG, "")
    rental = known.get(name)
    own = instance["tags"].get(PURPOSE_TAG) == OWN
    hours = (now - instance["since"]) / 3600
    deadline = float(written) if written.isdigit() else None
    return Found(
        cloud=cloud, id=instance["id"], region=instance["region"], zone=instance["zone"],
        state=instance["state"],
        rental=name, hours=hours,
        cost_usd=None if rental is None else _cost(rental, instance["state"], hours, now),
        deadline=deadline, own=own,
        keeps_disk=own and (not instance["spot"] or CLOUDS[cloud].stops_spot), known=rental is not None,
        why_not=_why_not(rental, own, instance["state"], deadline, now),
    )  # fmt: skip


def _cost(rental: Rental, state: str, hours: float, now: float) -> float:
    """Dollars for one machine: by the hour since it was started, unless it is off and costs nothing now."""
    off = state in ("stopping", "stopped")
    return (rental.cost_usd(now) if off else hours * rental.price_usd) / rental.nodes


def _why_not(rental: Rental | None, own: bool, state: str, deadline: float | None, now: float) -> str:
    stopped_by_choice = own and state in ("stopping", "stopped")
    if deadline is not None and now > deadline and not stopped_by_choice:
        return "past its deadline"
    if state == PAID_THOUGH_OFF:
        return "it powered off and does not end by that"
    if rental is None or own:
        return ""
    if rental.ended is not None:
        return "should have ended"
    return "" if is_looked_after(rental) else "no plaintune looks after it any more"


def end_wrong(engine: Engine, examined: Examined) -> Examined:
    """End the machines that should not be there and delete disks that belong to none; gives what is left.

    A machine of the user's own is stopped only, where it can be: what is on its disk may be dear to them.
    """
    wrong: dict[tuple[str, str], list[dict[str, str]]] = {}
    for one in examined.wrong:
        what = "stop" if one.keeps_disk else "terminate"
        wrong.setdefault((one.cloud, what), []).append({"id": one.id, "region": one.region})
    for (cloud, what), instances in wrong.items():
        with suppress(CloudAway, UserError, subprocess.TimeoutExpired):  # what is still there is told
            engine.on(cloud).ask(what, instances=instances)
    for cloud in _clouds():  # a disk may outlive the machine that has just been ended
        with suppress(CloudAway, UserError, subprocess.TimeoutExpired):  # one that knows no such user
            delete_disks(engine.on(cloud), None)
    return examine(engine)
