"""A machine of one's own: its disk outlives `stop`, and the next `start` may give it another GPU."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from ..core.errors import UserError
from ..core.events import Listener, note, stage
from .clouds import CLOUDS, PAID_THOUGH_OFF
from .ending import DOWN_SECONDS, end
from .engine import CloudAway, Engine, SkyFailed, complete, ssh_command
from .interrupts import undisturbed
from .machine import (
    DEADLINE_TAG,
    DISK_GIB,
    LAUNCH_SECONDS,
    OWN_IDLE_MINUTES,
    NoCapacity,
    account_of,
    clock,
    explain_failure,
    instances_of,
    launch,
    set_timer,
)
from .parcel import pack_plaintune
from .prices import Offer, PriceList
from .records import OWN, Rental, looking_after, open_rentals, write_rental

HOURS_PER_MONTH = 730
JUPYTER_SECONDS, JUPYTER_PORT = 300, 8888  # to install it and to start; its port on the machine

# Bound to the machine's own loopback and behind a token: the tunnel is the only way in. The token is in a
# file there: on a command line, here or there, everybody with a terminal would see it.
NEW_TOKEN = """\
umask 077
od -An -tx1 -N24 /dev/urandom | tr -d ' \\n' > "$HOME/.jupyter-token"
cat "$HOME/.jupyter-token"
"""
JUPYTER = """\
set -e
export PATH="$HOME/.local/bin:$PATH"
environment=$HOME/plaintune-env
[ -x "$environment/bin/jupyter-lab" ] || uv pip install --quiet --python "$environment/bin/python" jupyterlab
cd ~
export JUPYTER_TOKEN_FILE="$HOME/.jupyter-token"
exec "$environment/bin/jupyter-lab" --no-browser --ip 127.0.0.1 --port {port} --ServerApp.port_retries=0
"""


@dataclass(frozen=True)
class State:
    """The machine as the cloud tells it."""

    rental: Rental
    id: str
    zone: str
    state: str  # running, stopped…

    @property
    def is_on(self) -> bool:
        """Whether it can be used, or soon."""
        return self.state in ("pending", "running")

    @property
    def is_paid(self) -> bool:
        """Whether the GPU is being paid for."""
        return self.is_on or self.state == PAID_THOUGH_OFF


def disk_usd_per_hour(cloud: str) -> float:
    """What a stopped machine costs."""
    return DISK_GIB * CLOUDS[cloud].disk_usd_per_gib_month / HOURS_PER_MONTH


def my_machine() -> Rental | None:
    """The record of it, if there is one."""
    return next((one for one in open_rentals() if one.purpose == OWN), None)


def require_machine() -> Rental:
    """The record of it. Raises UserError."""
    machine = my_machine()
    if machine is None:
        raise UserError("You have no machine.", "Rent one: plaintune cloud create --gpu T4")
    return machine


def state_of(engine: Engine, rental: Rental) -> State:
    """Ask the cloud. Raises UserError where the machine is gone, CloudAway where nobody answers."""
    found = instances_of(engine, rental)
    if not found:
        raise UserError(
            "Your machine is gone: the cloud has ended it, or somebody has.",
            "Remove what is noted of it: plaintune cloud destroy. Then: plaintune cloud create",
        )
    return State(rental, found[0]["id"], found[0]["zone"], found[0]["state"])


def create(
    engine: Engine,
    offer: Offer,
    *,
    spot: bool,
    hours: float,
    region: str | None,
    zone: str | None = None,
    listener: Listener,
) -> Rental:
    """Rent it and set plaintune up on it. Raises UserError; nothing is left behind then."""
    engine = complete(engine.on(offer.cloud), listener)
    now = time.time()
    account = account_of(engine)
    rental = write_rental(
        Rental(
            f"plaintune-{secrets.token_hex(4)}", OWN, offer.cloud, offer.gpu, spot,
            (offer.spot_usd if spot else None) or offer.on_demand_usd, offer.on_demand_usd, now,
            now + 3600 * hours, out="", region=region, zone=zone, machine=offer.machine, account=account,
        )
    )  # fmt: skip
    with looking_after(rental):
        try:
            return launch(engine, rental, pack_plaintune(rental.folder / "parcel"), listener)
        except NoCapacity as none:
            end(engine, rental, listener)
            raise UserError(
                f"No {offer.gpu} is to be had at the moment ({none}).",
                "Try again later, or another: plaintune cloud gpus",
            ) from none
        except BaseException:
            end(engine, rental, listener)
            raise


def stop(engine: Engine, rental: Rental, listener: Listener) -> Rental:
    """Switch it off and keep its disk. Raises UserError for a spot machine, which cannot be stopped."""
    if not rental.keeps_disk:
        raise UserError(
            f"{CLOUDS[rental.cloud].company}'s spot machines cannot be stopped, only ended with their disk.",
            "Bring home what you need, then: plaintune cloud destroy. One that can be stopped is rented by "
            "plaintune cloud create without --spot",
        )
    stage(listener, "Stopping your machine")
    engine = engine.on(rental.cloud)
    if (machine := state_of(engine, rental)).is_paid:
        engine.ask("stop", instances=[_where(machine)])
    _until(engine, rental, "stopped")
    rental = write_rental(_off(rental))
    _tell_sky_to_stop(engine, rental)  # last, so that nothing that is wrong with SkyPilot keeps it on
    engine.stop_server(log=rental.log)
    return rental


def _tell_sky_to_stop(engine: Engine, rental: Rental) -> None:
    """Let SkyPilot see that a machine is off, which it would else take for one that is on."""
    with suppress(SkyFailed, subprocess.TimeoutExpired, OSError):
        engine.enable(log=rental.log)
        engine.sky("stop", "--yes", _name(rental), log=rental.log, seconds=DOWN_SECONDS)


def _off(rental: Rental) -> Rental:
    """The record of a machine that is off; one that switched itself off did so by its deadline."""
    spent = rental.cost_usd(min(time.time(), rental.deadline))
    return replace(rental, spent_usd=spent, since=None, secured=True)


def start(engine: Engine, rental: Rental, *, offer: Offer | None, hours: float, listener: Listener) -> Rental:
    """Switch it on again, for so many hours; with ``offer`` on another GPU, with the same disk.

    Raises UserError; a machine that cannot be given its timer is switched off again.
    """
    with looking_after(rental):
        return _start(engine, rental, offer, hours, listener)


def _start(engine: Engine, rental: Rental, offer: Offer | None, hours: float, listener: Listener) -> Rental:
    engine = engine.on(rental.cloud)
    machine = state_of(engine, rental)
    if machine.is_on:
        if offer is not None:
            raise UserError(
                "Your machine is on, and its GPU can be changed only while it is off.",
                f"First: plaintune cloud stop, then: plaintune cloud start --gpu {offer.gpu}",
            )
        note(listener, "Your machine is on already.")
        return _put_off(engine, rental, hours, listener)
    if machine.state == "stopping":
        _until(engine, rental, "stopped")
    if offer is not None:
        engine.ask("change_type", instances=[_where(machine)], type=offer.machine, gpu=offer.gpu)
    rental = write_rental(_switched_on(rental, offer, hours, now=time.time()))
    stage(listener, f"Starting your machine ({rental.gpu}, ${rental.price_usd:.2f} an hour)")
    deadline = {DEADLINE_TAG: str(int(rental.deadline))}
    engine.ask("tag", instances=[_where(machine)], tags=deadline)
    try:
        _boot(engine, rental)
        return _put_off(engine, rental, hours, listener)
    except BaseException:
        with undisturbed(), suppress(CloudAway, subprocess.TimeoutExpired, UserError, OSError):
            engine.stop_server(log=rental.log)
            engine.ask("stop", instances=[_where(machine)])
            write_rental(_off(rental))
        raise


def _switched_on(rental: Rental, offer: Offer | None, hours: float, *, now: float) -> Rental:
    """The record of a machine that is switched on now: what it cost before is put on the bill."""
    if rental.since is not None:  # it had switched itself off
        rental = _off(rental)
    if offer is not None:
        price = offer.on_demand_usd
        rental = replace(rental, gpu=offer.gpu, machine=offer.machine, price_usd=price, most_usd=price)
    return replace(rental, since=now, deadline=now + 3600 * hours, secured=False)


def _boot(engine: Engine, rental: Rental) -> None:
    name = _name(rental)
    idle = [] if CLOUDS[rental.cloud].off_is_paid else ["-i", str(OWN_IDLE_MINUTES)]
    _tell_sky_to_stop(engine, rental)  # it may have switched itself off
    try:
        engine.sky("start", "--yes", *idle, name, log=rental.log, seconds=LAUNCH_SECONDS)
    except SkyFailed as failed:
        raise _as_user_error(explain_failure(str(failed), rental)) from failed


def destroy(engine: Engine, rental: Rental, listener: Listener) -> Rental:
    """End it, and its disk."""
    with looking_after(rental):
        return end(engine, rental, listener)


@contextmanager
def jupyter(engine: Engine, rental: Rental, *, port: int, listener: Listener) -> Iterator[str]:
    """The address of a Jupyter on the machine; a tunnel from this machine's loopback leads to it."""
    _require_free(port)
    stage(listener, "Starting Jupyter on your machine")
    name = _name(rental)
    token = _new_token(engine, name)
    remote, way = JUPYTER.format(port=JUPYTER_PORT), f"127.0.0.1:{port}:127.0.0.1:{JUPYTER_PORT}"
    tunnel = [*ssh_command(engine, name), "-tt", "-o", "ExitOnForwardFailure=yes",
              "-L", way, name, f"bash -c {_quoted(remote)}"]  # fmt: skip
    with (rental.folder / "jupyter.log").open("wb") as log:
        process = subprocess.Popen(
            tunnel, env=engine.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for_answer(port, process, rental)
        yield f"http://127.0.0.1:{port}/lab?token={token}"
    finally:
        process.terminate()  # with -tt its end hangs up on Jupyter
        process.wait(timeout=30)


def _new_token(engine: Engine, name: str) -> str:
    """What lets one into the next Jupyter there, and into no other."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [*ssh_command(engine, name), name, NEW_TOKEN], env=engine.environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60, start_new_session=True,
        )  # fmt: skip
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    raise UserError("Your machine does not let anybody in.", "Look: plaintune cloud status")


def _wait_for_answer(port: int, process: subprocess.Popen[bytes], rental: Rental) -> None:
    import urllib.error
    import urllib.request

    deadline = time.monotonic() + JUPYTER_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(1)
    raise UserError(
        "Jupyter does not answer.", f"What it said is in {rental.folder / 'jupyter.log'}; then try again."
    )


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"Port {port} of this machine is taken.", f"Take another: --port {port + 1}")


def _put_off(engine: Engine, rental: Rental, hours: float, listener: Listener) -> Rental:
    """Move the machine's own timer, the tag that the doctor reads, and the record."""
    rental = replace(rental, deadline=time.time() + 3600 * hours)
    if not set_timer(engine, rental):
        raise UserError(
            "The machine's own timer could not be set, so nothing but you would stop it.",
            "Stop it: plaintune cloud stop",
        )
    note(listener, f"It stops itself {clock(rental.deadline)}; plaintune cloud start puts that off.")
    return write_rental(replace(rental, secured=True))


def _until(engine: Engine, rental: Rental, wanted: str) -> None:
    for _ in range(120):
        if state_of(engine, rental).state == wanted:
            return
        time.sleep(2)
    raise UserError(f"Your machine is not {wanted} after four minutes.", "Look: plaintune cloud status")


def _as_user_error(error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    return UserError(
        f"The cloud cannot start your machine now ({error}).",
        "Try again later, or on another GPU: plaintune cloud start --gpu L4",
    )


def _where(machine: State) -> dict[str, str]:
    return {"id": machine.id, "region": machine.rental.region or machine.zone[:-1]}


def _name(rental: Rental) -> str:
    return rental.cluster or rental.name


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def cheapest_offer(
    prices: PriceList, gpu: str, clouds: tuple[str, ...], *, spot: bool, region: str | None
) -> Offer:
    """The cheapest place for a GPU in one of ``clouds``. Raises UserError."""
    sold = [offer for offer, _ in prices.cheapest(gpu=gpu, spot=spot) if offer.cloud in clouds]
    found = [offer for offer in sold if region in (None, offer.region)]
    if not found:
        raise UserError(
            f"The price list has no {gpu} in {region or ' or '.join(clouds)}.",
            f"Where there are: plaintune cloud gpus --gpu {gpu}",
        )
    return found[0]
