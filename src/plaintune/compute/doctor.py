"""What is rented at this moment, what it has cost, and what should not be there: by the cloud's own account.

It trusts tags on the machines, not SkyPilot's notes nor ours: what another computer or a lost disk has rented
is found as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .machine import DEADLINE_TAG, PURPOSE_TAG, TAG, delete_disks
from .records import OWN, Rental, close, cloud_folder, is_looked_after, rentals


@dataclass(frozen=True)
class Found:
    """A machine under our tag that is not gone for good."""

    id: str
    region: str
    zone: str
    state: str
    rental: str
    hours: float
    cost_usd: float | None  # None where its price is not on record here
    deadline: float | None
    own: bool  # the user's own machine: its disk is kept
    why_not: str  # why it should not be there; empty where all is well

    def __str__(self) -> str:
        cost = "cost unknown" if self.cost_usd is None else f"${self.cost_usd:.2f} so far"
        verdict = self.why_not or "in use"
        return f"{self.id} in {self.zone}: {self.state} for {60 * self.hours:.0f} min, {cost}; {verdict}"


@dataclass(frozen=True)
class Examined:
    """Everything of ours in the cloud."""

    machines: tuple[Found, ...]
    disks: tuple[dict[str, Any], ...]  # that belong to no machine

    @property
    def wrong(self) -> tuple[Found, ...]:
        """The machines that should not be there."""
        return tuple(one for one in self.machines if one.why_not)


def examine(engine: Engine) -> Examined:
    """Look in every region. Raises CloudAway, UserError."""
    known = {rental.name: rental for rental in rentals()}
    now = time.time()
    machines = tuple(_found(one, known, now) for one in engine.ask_aws("list", regions=None))
    running = {one.rental for one in machines}
    for rental in known.values():
        if rental.ended is None and rental.name not in running and not is_looked_after(rental):
            close(rental)
    return Examined(machines, tuple(engine.ask_aws("leftover_volumes", regions=None)))


def _found(instance: dict[str, Any], known: dict[str, Rental], now: float) -> Found:
    name, written = instance["tags"][TAG], instance["tags"].get(DEADLINE_TAG, "")
    rental = known.get(name)
    own = instance["tags"].get(PURPOSE_TAG) == OWN and not instance["spot"]
    hours = (now - instance["since"]) / 3600
    deadline = float(written) if written.isdigit() else None
    return Found(
        id=instance["id"], region=instance["region"], zone=instance["zone"], state=instance["state"],
        rental=name, hours=hours,
        cost_usd=None if rental is None else hours * rental.price_usd / rental.nodes,
        deadline=deadline, own=own, why_not=_why_not(rental, own, instance["state"], deadline, now),
    )  # fmt: skip


def _why_not(rental: Rental | None, own: bool, state: str, deadline: float | None, now: float) -> str:
    stopped_by_choice = own and state in ("stopping", "stopped")
    if deadline is not None and now > deadline and not stopped_by_choice:
        return "past its deadline"
    if rental is None or own:
        return ""
    if rental.ended is not None:
        return "should have ended"
    return "" if is_looked_after(rental) else "no plaintune looks after it any more"


def end_wrong(engine: Engine, examined: Examined) -> Examined:
    """End the machines that should not be there and delete disks that belong to none; gives what is left.

    A machine of the user's own is stopped only: what is on its disk may be dear to them.
    """
    for what, own in (("terminate", False), ("stop", True)):
        wrong = [{"id": one.id, "region": one.region} for one in examined.wrong if one.own is own]
        if wrong:
            engine.ask_aws(what, instances=wrong)
    delete_disks(engine, None)
    engine.stop_server(log=cloud_folder() / "doctor.log")  # a command that was killed may have left it
    return examine(engine)
