"""One rented machine: start it and find it. Each step is on disk before the next costs money.

Three things end a machine, and none needs the others: our own process; the machine itself, by a shutdown
timer that is set at its first start and made to mean "terminate"; and `plaintune cloud doctor`, by the tags.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.events import Listener, note, stage
from .clouds import CLOUDS, NoCredentials
from .engine import CloudAway, Engine, SkyFailed, runs_there, settings_file
from .parcel import PROGRESS, SETUP, SETUP_SAID
from .power import ENDS_ITSELF, at_every_start, end_by_itself, timer
from .records import OWN, Rental, write_rental

TAG, DEADLINE_TAG, PURPOSE_TAG = "plaintune-rental", "plaintune-deadline", "plaintune-purpose"
IDLE_MINUTES, OWN_IDLE_MINUTES = 10, 60  # SkyPilot's own timer, beside ours
LAUNCH_SECONDS = 1500
SECURE_TRIES, SECURE_WAIT_SECONDS = 3, 5.0
SETUP_TRIES = 36  # the first lines of the set-up run some time after SkyPilot has given the machine back
DISK_GIB = 50

RUN = "~/plaintune-env/bin/python -m plaintune.compute.worker"
CREW_PORT = 29555
THE_NETWORK = "$(awk '$2 ~ /^0+$/ { print $1; exit }' /proc/net/route)"  # that the default route takes
RUN_TOGETHER = (  # the first machine works, the others help it: `learn/crew.py`
    f"export GLOO_SOCKET_IFNAME={THE_NETWORK}; "  # by the machine's name it might only find itself
    "~/plaintune-env/bin/python -m torch.distributed.run --nnodes $SKYPILOT_NUM_NODES --nproc-per-node 1 "
    '--node-rank $SKYPILOT_NODE_RANK --master-addr $(echo "$SKYPILOT_NODE_IPS" | head -n1) '
    f"--master-port {CREW_PORT} -m plaintune.compute.worker"
)
KILLED = '"The training there was ended from outside (status $?; 137 is often a lack of memory)."'
# Whatever fails on the machine is a line of its progress: silence there means that the cloud took it back.
TELL = f"""\
tell() {{ python3 -c 'import json, sys
print("\\n" + json.dumps({{"kind": "failed", "problem": sys.argv[1]}}))' "$1" >>{PROGRESS}; exit 1; }}
"""


class NoCapacity(Exception):
    """The cloud has none of these machines to give now."""


def launch(engine: Engine, rental: Rental, parcel: Path, listener: Listener) -> Rental:
    """Start a machine with the parcel on it, and the work.

    Raises NoCapacity, CloudAway, UserError for what the user can mend; whatever happens, `end` must follow.
    """
    engine = engine.on(rental.cloud)
    kind = "spot" if rental.spot else "on demand"
    stage(listener, f"Renting a machine: {rental.gpu}, {kind}, about ${rental.price_usd:.2f} an hour")
    now = time.time()
    cluster = f"{rental.name}-{rental.orders}"
    counted = replace(rental, orders=rental.orders + 1, machines=rental.machines + 1)
    rental = write_rental(replace(counted, cluster=cluster, since=now, secured=False))
    task = settings_file(rental.folder / "task.yaml", task_of(rental, parcel, now))
    config = settings_file(rental.folder / "config.yaml", config_of(rental, now))
    try:
        engine.enable(log=rental.log)
        engine.sky(
            "launch", "--yes", "--detach-run", "--config", str(config), "--cluster", cluster, str(task),
            log=rental.log, seconds=LAUNCH_SECONDS,
        )  # fmt: skip
    except SkyFailed as failed:
        raise explain_failure(str(failed), rental) from failed
    except subprocess.TimeoutExpired as slow:
        raise NoCapacity("no machine within 25 minutes") from slow
    for _ in range(SECURE_TRIES - 1):
        with suppress(CloudAway, subprocess.TimeoutExpired):
            return secure(engine, rental, listener)
        time.sleep(SECURE_WAIT_SECONDS)
    return secure(engine, rental, listener)


def secure(engine: Engine, rental: Rental, listener: Listener) -> Rental:
    """Make powering off mean the end of the machine, and note where it stands.

    Raises CloudAway, and UserError where a machine that is paid for when it is off would not end itself.
    """
    instances = instances_of(engine, rental)
    if not instances:
        raise NoCapacity("the machine was taken back at once")
    if rental.must_see_to_its_end:
        engine.ask("die_on_shutdown", instances=instances)
    if CLOUDS[rental.cloud].off_is_paid and not _all_told(engine, rental, ENDS_ITSELF, tries=SETUP_TRIES):
        raise UserError(
            "The machine did not get the service that ends it, so it is ended now.",
            f"What SkyPilot said is in {rental.log}; type the same again.",
        )
    first = instances[0]
    verb = "stops" if rental.keeps_disk else "ends"
    note(
        listener,
        f"The machine is {first['id']} in {first['zone']}; it {verb} itself at the latest "
        f"{clock(rental.deadline)}, whatever happens here.",
    )
    price = _spot_price(engine, first) if rental.spot else None
    price = rental.price_usd if price is None else rental.nodes * price
    return write_rental(
        replace(rental, region=first["region"], machine=first["type"], price_usd=price, secured=True)
    )


def _spot_price(engine: Engine, instance: dict[str, Any]) -> float | None:
    """Dollars an hour; None where the account may not ask, which is no reason to end a paid run."""
    with suppress(CloudAway, subprocess.TimeoutExpired, UserError):
        where = {"region": instance["region"], "zone": instance["zone"]}
        price: float | None = engine.ask("spot_price", **where, type=instance["type"])
        return price
    return None


def task_of(rental: Rental, parcel: Path, now: float) -> dict[str, Any]:
    """The machine and its work, as SkyPilot wants it told."""
    own = rental.purpose == OWN
    cloud, idle = CLOUDS[rental.cloud], OWN_IDLE_MINUTES if own else IDLE_MINUTES
    task: dict[str, Any] = {
        "name": rental.name,
        "workdir": str(parcel),
        "resources": {
            "infra": "/".join(filter(None, (rental.cloud, rental.region, rental.zone))),
            "accelerators": f"{rental.gpu}:1",
            **({} if rental.machine is None else {"instance_type": rental.machine}),  # not a larger one
            "use_spot": rental.spot,
            "disk_size": DISK_GIB,
            "labels": {
                TAG: rental.name, PURPOSE_TAG: rental.purpose, DEADLINE_TAG: str(int(rental.deadline))
            },
            "autostop": {"idle_minutes": idle, "down": not rental.keeps_disk},
        },
    }  # fmt: skip
    if cloud.off_is_paid:  # SkyPilot's end of the idle has no credentials there, powering off the machine's
        task["config"] = {"hooks": [{"run": "sudo shutdown -P now", "events": ["stop", "down"]}]}
    first = end_by_itself(rental, now) if cloud.ends_in_setup else ""
    if own:
        return {**task, "setup": f"{first}bash {SETUP}"}
    said = f"\"Setting up the rented machine failed: $(tail -n 3 {SETUP_SAID} | tr '\\n' ' ')\""
    setup = f"{first}{TELL}bash {SETUP} >{SETUP_SAID} 2>&1 || tell {said}"
    run = f"{TELL}{RUN if rental.nodes == 1 else RUN_TOGETHER} || tell {KILLED}"
    return {**task, "num_nodes": rental.nodes, "setup": setup, "run": run}


def config_of(rental: Rental, now: float) -> dict[str, Any]:
    """No keys of the user's on the machine; a shutdown timer before anything else runs there.

    A machine that is kept gets one at every later start as well, however it was started.
    """
    nothing = {"remote_identity": "NO_UPLOAD"}
    commands = [timer(rental.deadline, now)]
    if rental.keeps_disk:
        commands.append(at_every_start(rental.deadline, now))
    aws = {"remote_identity": "SERVICE_ACCOUNT", "post_provision_runcmd": commands}
    return {"aws": aws, "gcp": nothing, "azure": nothing, "kubernetes": nothing}


def set_timer(engine: Engine, rental: Rental) -> bool:
    """Move the timers and tags of a rental's running machines to its deadline; gives whether that worked."""
    now = time.time()
    there = instances_of(engine, rental)
    engine.on(rental.cloud).ask("tag", instances=there, tags={DEADLINE_TAG: str(int(rental.deadline))})
    shell = f"sudo shutdown -c 2>/dev/null; {timer(rental.deadline, now, 'sudo shutdown')}"
    return _all_told(engine, rental, shell, tries=SECURE_TRIES)


def _all_told(engine: Engine, rental: Rental, shell: str, *, tries: int) -> bool:
    """Whether a line of shell succeeds on each machine of a rental."""
    assert rental.cluster is not None
    names = [rental.cluster, *(f"{rental.cluster}-worker{number}" for number in range(1, rental.nodes))]
    return all(_tell(engine, rental.cluster, name, shell, tries) for name in names)


def _tell(engine: Engine, cluster: str, machine: str, shell: str, tries: int) -> bool:
    """`runs_there`, of a machine that may just be starting its sshd."""
    for _ in range(tries):
        if runs_there(engine, cluster, shell, machine=machine, seconds=60):
            return True
        time.sleep(SECURE_WAIT_SECONDS)
    return False


def account_of(engine: Engine) -> str:
    """The account or project that rents. Raises CloudAway, UserError where the cloud knows no such user."""
    return str(engine.ask("account")["account"])


def instances_of(engine: Engine, rental: Rental) -> list[dict[str, Any]]:
    """What of the rental has not been ended, by the cloud's own account.

    Raises CloudAway, also where a region that might hold something of it does not answer, and UserError.
    """
    told = look(engine, rental)
    found: list[dict[str, Any]] = told["found"]
    if not found and told["silent"]:
        raise CloudAway(", ".join(f"{region}: {why}" for region, why in told["silent"].items()))
    return found


def look(engine: Engine, rental: Rental) -> dict[str, Any]:
    """The answer to `ec2.list_instances`. Raises UserError for the credentials of another account."""
    regions = None if rental.region is None else [rental.region]
    told: dict[str, Any] = engine.on(rental.cloud).ask("list", regions=regions, rental=rental.name)
    if rental.account not in (None, told["account"]):
        cloud = CLOUDS[rental.cloud]
        raise UserError(
            f"The machine was rented by {cloud.company} account {rental.account}; these credentials are of "
            f"{told['account']}.",
            f"Use the credentials it was rented with, for example: {cloud.other_account}",
        )
    return told


def is_running(engine: Engine, rental: Rental) -> bool | None:
    """Whether the machine is there, each of them where they are several; None where nobody can tell.

    Credentials that are no longer accepted tell nothing of a machine that was rented with them: its ssh has
    keys of its own.
    """
    try:
        there = [one for one in instances_of(engine, rental) if one["state"] in ("pending", "running")]
        return len(there) >= rental.nodes
    except (CloudAway, NoCredentials, subprocess.TimeoutExpired):
        return None


NO_QUOTA = ("quota", "limitexceeded", "maxspotinstancecount")
NO_RIGHTS = ("roleassignments/write",)
NO_WAY_IN = ("no cloud access", "credentials", "is not enabled")
SOLD_OUT = (
    "zone_resource_pool_exhausted",
    "does not have enough resources",
    "insufficientinstancecapacity",
    "do not have sufficient",
    "insufficient capacity",
    "no spot capacity",
    "skunotavailable",
    "allocationfailed",
    "overconstrained",
)
NOT_TO_BE_HAD = ("resourcesunavailable", "capacity", "failed to acquire", "failed to prov")


def explain_failure(said: str, rental: Rental) -> Exception:
    """What SkyPilot's words mean for the user.

    It names each region it tried: one that was sold out shows that the account may rent, whatever quota is
    missing in another.
    """

    def has(words: Sequence[str]) -> bool:
        return any(word in said.lower() for word in words)

    if has(SOLD_OUT):
        return NoCapacity(last_line(said))
    if has(NO_QUOTA):
        return UserError(
            f"Your {rental.cloud} account may not rent a {rental.gpu} yet: its quota is too small.",
            CLOUDS[rental.cloud].quota,
        )
    if has(NO_RIGHTS):
        return UserError(
            f"Your {rental.cloud} account may not give a machine the right to end itself.",
            "Ask the owner of the subscription for the role 'Owner', or 'User Access Administrator' besides.",
        )
    if has(NO_WAY_IN):
        return UserError(
            f"SkyPilot finds no way into {rental.cloud} with these credentials.",
            CLOUDS[rental.cloud].log_in,
        )
    if has(NOT_TO_BE_HAD):
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
