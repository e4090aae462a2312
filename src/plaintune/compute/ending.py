"""End what is rented, by asking the cloud itself, and make sure that it is gone."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..core.errors import UserError
from ..core.events import Listener, stage, warn
from .engine import CloudAway, Engine, SkyFailed
from .interrupts import unbreakable, undisturbed
from .machine import clock, instances_of, look
from .records import Rental, close

DOWN_SECONDS = 300
END_TRIES = 3
LOOK_AGAIN_SECONDS = 10.0  # a cloud's list may be seconds behind an order


def end(engine: Engine, rental: Rental, listener: Listener) -> Rental:
    """End every machine of the rental, and make sure of it; where that fails, say what to do.

    The cloud is asked first, so that a SkyPilot that fails or still launches keeps nothing alive. Nothing
    that happens here meanwhile stops it: signals, a terminal that is gone, a full disk.
    """
    engine, listener = engine.on(rental.cloud), unbreakable(listener)
    with undisturbed():
        stage(listener, "Ending the rented machine")
        seen = _terminate_known(engine, rental)
        engine.stop_server(log=rental.log)
        gone = _terminate_all(engine, rental, seen=seen)
        if rental.cluster is not None:
            with suppress(SkyFailed, subprocess.TimeoutExpired, OSError):
                engine.sky("down", "--yes", rental.cluster, log=rental.log, seconds=DOWN_SECONDS)
        if gone:
            return close(rental)
        warn(
            listener,
            "It could not be made sure that the rented machine is gone. It ends itself "
            f"{clock(rental.deadline)} at the latest. When the network is back: plaintune cloud doctor --end",
        )
        return rental


def _terminate_known(engine: Engine, rental: Rental) -> int:
    """How many machines were ended where the rental is known to be: one short question, before all else."""
    if not rental.secured or rental.region is None:
        return 0
    with suppress(CloudAway, subprocess.TimeoutExpired, UserError, OSError):
        there = instances_of(engine, rental)
        if there:
            engine.ask("terminate", instances=there)
        return len(there)
    return 0


def _terminate_all(engine: Engine, rental: Rental, *, seen: int) -> bool:
    """Whether nothing of the rental is left anywhere, after asking the cloud to end what there is.

    A list without it counts once where all its machines have been seen and ended, else twice: what was
    ordered a moment ago may not be on the list yet.
    """
    empty = 0
    for tried in range(END_TRIES + 1):
        with suppress(CloudAway, subprocess.TimeoutExpired, UserError, OSError):
            told = look(engine, replace(rental, region=None))
            if told["found"]:
                engine.ask("terminate", instances=told["found"])
                seen, empty = seen + len(told["found"]), 0
            elif not _may_hide(told, rental, all_seen=seen >= rental.nodes):
                empty += 1
        if empty == (1 if seen >= rental.nodes else 2):
            with suppress(CloudAway, subprocess.TimeoutExpired, UserError, OSError):
                delete_disks(engine, rental.name)
            return True
        time.sleep(LOOK_AGAIN_SECONDS if empty else 2**tried)
    return False


def _may_hide(told: dict[str, Any], rental: Rental, *, all_seen: bool) -> bool:
    """Whether a region that did not say what it holds might hold something of the rental."""
    if rental.region in (*told["silent"], *told["closed"]):
        return True
    return bool(told["silent"]) and not all_seen


def delete_disks(engine: Engine, rental: str | None) -> None:
    """Disks whose machine is gone; they go with it by themselves, unless something went wrong."""
    disks = engine.ask("leftover_volumes", regions=None, rental=rental)
    if disks:
        engine.ask("delete_volumes", volumes=disks)
