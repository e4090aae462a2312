"""One rented machine: start it, find it, end it. Each step is on disk before the next costs money.

Three things end a machine, and none needs the others: our own process; the machine itself, by a shutdown
timer that is set at its first start and made to mean "terminate"; and `plaintune cloud doctor`, by the tags.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.events import Listener, note, stage, warn
from .engine import CloudAway, Engine, SkyFailed, settings_file
from .parcel import SETUP
from .records import OWN, Rental, close, write_rental

TAG, DEADLINE_TAG, PURPOSE_TAG = "plaintune-rental", "plaintune-deadline", "plaintune-purpose"
IDLE_MINUTES, OWN_IDLE_MINUTES = 10, 60  # SkyPilot's own timer, beside ours
LAUNCH_SECONDS = 1500
DOWN_SECONDS = 300
END_TRIES = 3
DISK_GIB = 50

RUN = "~/plaintune-env/bin/python -m plaintune.compute.worker"
CREW_PORT = 29555
RUN_TOGETHER = (  # the first machine works, the others help it: `learn/crew.py`
    "~/plaintune-env/bin/python -m torch.distributed.run --nnodes $SKYPILOT_NUM_NODES --nproc-per-node 1 "
    '--node-rank $SKYPILOT_NODE_RANK --master-addr $(echo "$SKYPILOT_NODE_IPS" | head -n1) '
    f"--master-port {CREW_PORT} -m plaintune.compute.worker"
)


class NoCapacity(Exception):
    """The cloud has none of these machines to give now."""


def launch(engine: Engine, rental: Rental, parcel: Path, listener: Listener) -> Rental:
    """Start a machine with the parcel on it, and the work.

    Raises NoCapacity, and UserError for what the user can mend; whatever happens, `end` must follow.
    """
    kind = "spot" if rental.spot else "on demand"
    stage(listener, f"Renting a machine: {rental.gpu}, {kind}, about ${rental.price_usd:.2f} an hour")
    now = time.time()
    cluster = f"{rental.name}-{rental.machines}"
    rental = write_rental(replace(rental, cluster=cluster, machines=rental.machines + 1, since=now))
    task = settings_file(rental.folder / "task.yaml", task_of(rental, parcel))
    config = settings_file(rental.folder / "config.yaml", config_of(rental, now))
    try:
        engine.sky(
            "launch", "--yes", "--detach-run", "--config", str(config), "--cluster", cluster, str(task),
            log=rental.log, seconds=LAUNCH_SECONDS,
        )  # fmt: skip
    except SkyFailed as failed:
        raise explain_failure(str(failed), rental) from failed
    except subprocess.TimeoutExpired as slow:
        raise NoCapacity("no machine within 25 minutes") from slow
    return secure(engine, rental, listener)


def secure(engine: Engine, rental: Rental, listener: Listener) -> Rental:
    """Make powering off mean the end of the machine, and note where it stands."""
    instances = instances_of(engine, rental)
    if not instances:
        raise NoCapacity("the machine was taken back at once")
    if not rental.keeps_disk:
        engine.ask_aws("die_on_shutdown", instances=instances)
    first = instances[0]
    verb = "stops" if rental.keeps_disk else "ends"
    note(
        listener,
        f"The machine is {first['id']} in {first['zone']}; it {verb} itself at the latest "
        f"{clock(rental.deadline)}, whatever happens here.",
    )
    price = None
    if rental.spot:
        price = engine.ask_aws("spot_price", region=first["region"], zone=first["zone"], type=first["type"])
    price = rental.price_usd if price is None else rental.nodes * price
    return write_rental(replace(rental, region=first["region"], price_usd=price))


def task_of(rental: Rental, parcel: Path) -> dict[str, Any]:
    """The machine and its work, as SkyPilot wants it told."""
    own = rental.purpose == OWN
    idle = OWN_IDLE_MINUTES if own else IDLE_MINUTES
    task: dict[str, Any] = {
        "name": rental.name,
        "workdir": str(parcel),
        "resources": {
            "infra": "/".join(filter(None, (rental.cloud, rental.region, rental.zone))),
            "accelerators": f"{rental.gpu}:1",
            "use_spot": rental.spot,
            "disk_size": DISK_GIB,
            "labels": {
                TAG: rental.name, PURPOSE_TAG: rental.purpose, DEADLINE_TAG: str(int(rental.deadline))
            },
            "autostop": {"idle_minutes": idle, "down": not rental.keeps_disk},
        },
        "setup": f"bash {SETUP}",
    }  # fmt: skip
    if own:
        return task
    return {**task, "num_nodes": rental.nodes, "run": RUN if rental.nodes == 1 else RUN_TOGETHER}


def config_of(rental: Rental, now: float) -> dict[str, Any]:
    """No keys of the user's on the machine; a shutdown timer before anything else runs there."""
    minutes = max(1, int((rental.deadline - now) / 60))
    timer = f"shutdown -P +{minutes}"
    return {"aws": {"remote_identity": "SERVICE_ACCOUNT", "post_provision_runcmd": [timer]}}


def instances_of(engine: Engine, rental: Rental) -> list[dict[str, Any]]:
    """What of the rental has not been ended, by Amazon's own account. Raises CloudAway."""
    regions = None if rental.region is None else [rental.region]
    found: list[dict[str, Any]] = engine.ask_aws("list", regions=regions, rental=rental.name)
    return found


def is_running(engine: Engine, rental: Rental) -> bool | None:
    """Whether the machine is there, each of them where they are several; None where nobody answers."""
    try:
        there = [one for one in instances_of(engine, rental) if one["state"] in ("pending", "running")]
        return len(there) >= rental.nodes
    except (CloudAway, subprocess.TimeoutExpired):
        return None


def end(engine: Engine, rental: Rental, listener: Listener) -> Rental:
    """End every machine of the rental, and make sure of it; where that fails, say what to do.

    Amazon is asked first, so that a SkyPilot that fails or still launches keeps nothing alive.
    """
    stage(listener, "Ending the rented machine")
    engine.stop_server(log=rental.log)
    gone = _terminate_all(engine, replace(rental, region=None))
    if rental.cluster is not None:
        with suppress(SkyFailed, subprocess.TimeoutExpired):
            engine.sky("down", "--yes", rental.cluster, log=rental.log, seconds=DOWN_SECONDS)
    if gone:
        return close(rental)
    warn(
        listener,
        "It could not be made sure that the rented machine is gone. It ends itself "
        f"{clock(rental.deadline)} at the latest. When the network is back: plaintune cloud doctor --end",
    )
    return rental


def _terminate_all(engine: Engine, rental: Rental) -> bool:
    """Whether nothing of the rental is left, after asking Amazon to end what there is."""
    for tried in range(END_TRIES):
        with suppress(CloudAway, subprocess.TimeoutExpired, UserError):
            left = instances_of(engine, rental)
            if not left:
                delete_disks(engine, rental.name)
                return True
            engine.ask_aws("terminate", instances=left)
        time.sleep(2**tried)
    return False


def delete_disks(engine: Engine, rental: str | None) -> None:
    """Disks whose machine is gone; they go with it by themselves, unless something went wrong."""
    disks = engine.ask_aws("leftover_volumes", regions=None, rental=rental)
    if disks:
        engine.ask_aws("delete_volumes", volumes=disks)


def explain_failure(said: str, rental: Rental) -> Exception:
    """What SkyPilot's words mean for the user."""
    lower = said.lower()
    if "quota" in lower or "limitexceeded" in lower or "maxspotinstancecount" in lower:
        return UserError(
            f"Your {rental.cloud} account may not rent a {rental.gpu} yet: its quota is too small.",
            "Ask for 4 of 'All G and VT Spot Instance Requests' and 4 of 'Running On-Demand G and VT "
            "instances' at https://console.aws.amazon.com/servicequotas; it takes minutes to two days.",
        )
    if "no cloud access" in lower or "credentials" in lower or "is not enabled" in lower:
        return UserError(
            f"SkyPilot finds no way into {rental.cloud} with these credentials.",
            "Type: aws configure",
        )
    if any(
        words in lower
        for words in ("resourcesunavailable", "capacity", "failed to acquire", "failed to prov")
    ):
        return NoCapacity(last_line(said))
    return UserError(
        f"The machine could not be rented: {last_line(said)}", f"All that SkyPilot said is in {rental.log}"
    )


def last_line(said: str) -> str:
    """The last words that are not empty."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def clock(moment: float) -> str:
    """ "at 14:05", by the local clock."""
    return time.strftime("at %H:%M", time.localtime(moment))
