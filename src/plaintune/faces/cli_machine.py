"""`plaintune cloud create|start|stop|destroy|status|ssh|jupyter`: a machine of one's own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import UserError, nearest
from .app import Json, Quiet, Yes, print_json, terminal
from .cli_cloud import cloud_app

if TYPE_CHECKING:
    from ..compute.engine import Engine
    from ..compute.prices import PriceList
    from ..core.events import Listener

Hours = Annotated[float, typer.Option(metavar="N", min=0.1, help="It switches itself off after so long.")]
Gpu = Annotated[str, typer.Option(metavar="NAME", help="The GPU.")]


@contextmanager
def _at_work(quiet: bool) -> Iterator[tuple[Engine, Listener]]:
    """The engine and a listener; a closed terminal is heard as Ctrl-C, a silent cloud is said in words."""
    from ..compute.engine import engine, silence_in_words
    from ..compute.interrupts import signals_as_interrupts

    with silence_in_words(), signals_as_interrupts(), terminal(quiet) as listener:
        yield engine(listener), listener


def _prices() -> PriceList:
    from ..compute.prices import known_prices

    return known_prices()


@cloud_app.command(epilog="Example: plaintune cloud create --gpu T4 --hours 3")
def create(
    gpu: Gpu = "T4",
    region: Annotated[str | None, typer.Option(metavar="NAME", help="Only there.")] = None,
    hours: Hours = 4,
    spot: Annotated[
        bool, typer.Option("--spot", help="Cheaper; it can only be ended, not stopped, but for Google's.")
    ] = False,
    cloud: Annotated[
        str | None, typer.Option("--cloud", metavar="NAME", help="aws, gcp or azure. [default: the cheapest]")
    ] = None,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Rent a machine of your own: `stop` keeps its disk, `destroy` ends it."""
    from ..compute import own
    from ..compute.clouds import CLOUDS, open_to_user
    from .terminal import confirm

    if (already := own.my_machine()) is not None:
        raise UserError(
            f"You have a machine already ({already.gpu}).",
            "See: plaintune cloud status. To rent another, end it first: plaintune cloud destroy",
        )
    prices = _prices()
    if cloud not in (None, *CLOUDS):
        raise UserError(f"plaintune does not rent from '{cloud}'.", f"Take one of: {', '.join(CLOUDS)}")
    clouds = open_to_user() if cloud is None else (cloud,)
    offer = own.cheapest_offer(prices, gpu, clouds, spot=spot, region=region)
    price = (offer.spot_usd if spot else None) or offer.on_demand_usd
    kept = f"stopped, its disk costs ${own.disk_usd_per_hour(offer.cloud):.4f} an hour"
    if spot and not CLOUDS[offer.cloud].stops_spot:
        kept = "a spot machine cannot be stopped, only ended with its disk"
    company = CLOUDS[offer.cloud].company
    asked = (
        f"Rent a {gpu} from {company} for about ${price:.2f} an hour? It switches itself off after "
        f"{hours:g} hours; {kept}."
    )
    if not (yes or confirm(asked)):
        raise UserError("Nothing was rented.", "Add --yes to rent without being asked.")
    with _at_work(quiet) as (rented, listener):
        own.create(rented, offer, spot=spot, hours=hours, region=region, listener=listener)
        rented.stop_server(log=own.require_machine().log)
    typer.echo("Your machine is ready. Next: plaintune cloud ssh, or: plaintune cloud jupyter")


@cloud_app.command(epilog="Example: plaintune cloud start --gpu L4 --hours 2")
def start(
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="Another GPU, the same disk.")] = None,
    hours: Hours = 4,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Switch your machine on again, or put off when it switches itself off."""
    from ..compute import own
    from .terminal import confirm

    machine = own.require_machine()
    offer = None
    if gpu is not None:
        offer = own.cheapest_offer(_prices(), gpu, (machine.cloud,), spot=False, region=machine.region)
        asked = f"Start it as a {gpu} for about ${offer.on_demand_usd:.2f} an hour?"
        if not (yes or confirm(asked)):
            raise UserError("Nothing was started.", "Add --yes to start it without being asked.")
    with _at_work(quiet) as (rented, listener):
        own.start(rented, machine, offer=offer, hours=hours, listener=listener)
        rented.stop_server(log=machine.log)
    typer.echo("Your machine is on. Next: plaintune cloud ssh, or: plaintune cloud jupyter")


@cloud_app.command(epilog="Example: plaintune cloud stop")
def stop(quiet: Quiet = False) -> None:
    """Switch your machine off and keep its disk."""
    from ..compute import own

    machine = own.require_machine()
    with _at_work(quiet) as (rented, listener):
        machine = own.stop(rented, machine, listener)
    typer.echo(
        f"Your machine is off; it has cost about ${machine.spent_usd:.2f}. "
        f"Its disk costs ${own.disk_usd_per_hour(machine.cloud):.4f} an hour until: plaintune cloud destroy"
    )


@cloud_app.command(epilog="Example: plaintune cloud destroy")
def destroy(quiet: Quiet = False, yes: Yes = False) -> None:
    """End your machine, and its disk with everything on it."""
    from ..compute import own
    from .terminal import confirm

    machine = own.require_machine()
    if not (yes or confirm("End your machine? Everything on its disk is lost.")):
        raise UserError("Nothing was ended.", "Add --yes to end it without being asked.")
    with _at_work(quiet) as (rented, listener):
        ended = own.destroy(rented, machine, listener)
        rented.stop_server(log=machine.log)
    if ended.ended is not None:
        typer.echo(f"Your machine is gone. It cost about ${ended.spent_usd:.2f}, without its disk.")


@cloud_app.command(epilog="Example: plaintune cloud move usw2-az1")
def move(
    zone: Annotated[str, typer.Argument(help="As `plaintune cloud zones` names it.")],
    hours: Hours = 4,
    quiet: Quiet = False,
    yes: Yes = False,
) -> None:
    """Take your machine, with its home folder, to another zone."""
    from ..compute import moving, own
    from ..compute.clouds import CLOUDS
    from .terminal import confirm

    machine = own.require_machine()
    offers = [one for one, _ in _prices().cheapest(gpu=machine.gpu, cloud=machine.cloud)]
    offer = next((one for one in offers if one.place == zone), None)
    if offer is None:
        raise UserError(
            f"The price list has no {machine.gpu} in '{zone}'.{nearest(zone, {one.place for one in offers})}",
            f"Where there are: plaintune cloud zones --gpu {machine.gpu}",
        )
    if not (yes or confirm(f"Move to {zone}? {CLOUDS[machine.cloud].leaving}")):
        raise UserError("Nothing was moved.", "Add --yes to move without being asked.")
    with _at_work(quiet) as (rented, listener):
        moving.move(rented, machine, offer, hours=hours, listener=listener)
        rented.stop_server(log=own.require_machine().log)
    typer.echo("Your machine has moved. Next: plaintune cloud ssh")


@cloud_app.command(epilog="Example: plaintune cloud status")
def status(as_json: Json = False) -> None:
    """Your machine: whether it is on, what it costs, when it switches itself off."""
    from ..compute import own
    from ..compute.machine import clock

    machine = own.require_machine()
    with _at_work(quiet=True) as (rented, _):
        state = own.state_of(rented, machine)
    cost, disk = machine.cost_usd(time.time()), own.disk_usd_per_hour(machine.cloud)
    if as_json:
        print_json({**asdict(state), "cost_usd": cost, "disk_usd_per_hour": disk})
        return
    typer.echo(f"{machine.gpu} in {state.zone} ({state.id}): {state.state}")
    typer.echo(f"It has cost about ${cost:.2f}; the disk costs ${disk:.4f} an hour.")
    if state.is_on:
        verb = "stops" if machine.keeps_disk else "ends"
        typer.echo(
            f"On, it costs ${machine.price_usd:.2f} an hour. It {verb} itself {clock(machine.deadline)}."
        )


@cloud_app.command(epilog="Example: plaintune cloud ssh", context_settings={"allow_extra_args": True})
def ssh(context: typer.Context) -> None:
    """A terminal on your machine; or, behind --, one command."""
    from ..compute import own
    from ..compute.engine import ssh_command

    machine = own.require_machine()
    with _at_work(quiet=True) as (rented, _):
        pass
    name = machine.cluster or machine.name
    os.execvpe("ssh", [*ssh_command(rented, name), name, *context.args], rented.environment())


@cloud_app.command(epilog="Example: plaintune cloud jupyter")
def jupyter(port: Annotated[int, typer.Option(help="Of this machine.")] = 8899, quiet: Quiet = False) -> None:
    """Jupyter on your machine, through a tunnel: only you can reach it. Ctrl-C ends it, not the machine."""
    from ..compute import own

    machine = own.require_machine()
    with _at_work(quiet) as (rented, listener), own.jupyter(
        rented, machine, port=port, listener=listener
    ) as address:  # fmt: skip
        typer.echo(address)
        typer.echo("Ctrl-C ends Jupyter. The machine stays on until: plaintune cloud stop", err=True)
        while True:
            time.sleep(3600)
