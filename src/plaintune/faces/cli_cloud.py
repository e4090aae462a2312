"""`plaintune cloud …`: what GPUs cost, and the machines that are rented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.settings import DEFAULT_MINUTES
from .app import (
    Json,
    LabelColumns,
    Quiet,
    TextColumns,
    Yes,
    app,
    default_name,
    print_json,
    terminal,
)

if TYPE_CHECKING:
    from ..compute.cloud import Wish
    from ..compute.doctor import Examined
    from ..compute.errand import Errand
    from ..compute.prices import Offer, PriceList
    from ..core.settings import Settings
    from ..model.predict import Model

cloud_app = typer.Typer(
    name="cloud",
    help="Rent a GPU by the minute, and see to it that nothing is left running.",
    epilog="Start with: plaintune cloud gpus",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(cloud_app)

GpuOption = Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="Only this GPU, e.g. T4.")]
CloudOption = Annotated[
    str | None, typer.Option("--cloud", metavar="NAME", help="Only this cloud: aws, gcp, azure…")
]


@cloud_app.command(epilog="Example: plaintune cloud gpus --gpu T4")
def gpus(
    gpu: GpuOption = None,
    cloud: CloudOption = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch today's prices first.")] = False,
    as_json: Json = False,
) -> None:
    """What GPUs cost by the hour, cheapest first; needs no account."""
    from ..compute.prices import fetch_prices, kept_prices, known_prices
    from ..compute.rented import FREE

    prices = fetch_prices(kept_prices(), today=date.today()) if refresh else known_prices()
    offers = _one_each(prices, gpu, cloud, every_zone=gpu is not None)
    if as_json:
        print_json({"taken": prices.taken, "offers": [asdict(offer) for offer in offers]})
        return
    for line in _table(offers):
        typer.echo(line)
    typer.echo(str(prices))
    typer.echo("Spot is spare capacity: cheaper, and the cloud may take it back at any moment.")
    typer.echo(FREE)
    if gpu is None:
        typer.echo("Every zone of one GPU: plaintune cloud gpus --gpu T4")


def _one_each(prices: PriceList, gpu: str | None, cloud: str | None, *, every_zone: bool) -> list[Offer]:
    """The cheapest place of each GPU and cloud, or every place."""
    seen: dict[tuple[str, ...], Offer] = {}
    for offer, _ in prices.cheapest(gpu=gpu, cloud=cloud):
        key = (offer.cloud, offer.gpu, offer.place) if every_zone else (offer.cloud, offer.gpu)
        seen.setdefault(key, offer)
    return list(seen.values())


def _table(offers: list[Offer]) -> list[str]:
    from ..compute.gpus import BY_NAME

    lines = [f"{'GPU':<9} {'memory':>7}  {'cloud':<7} {'zone':<16} {'spot':>9} {'on demand':>11}"]
    for offer in offers:
        card = BY_NAME.get(offer.gpu)
        memory = "" if card is None else f"{card.memory_gib} GB"
        spot = "—" if offer.spot_usd is None else f"${offer.spot_usd:.3f}/h"
        price = f"${offer.on_demand_usd:.3f}/h"
        lines.append(f"{offer.gpu:<9} {memory:>7}  {offer.cloud:<7} {offer.place:<16} {spot:>9} {price:>11}")
    return lines


@cloud_app.command(epilog="Example: plaintune cloud doctor --end")
def doctor(
    end: Annotated[bool, typer.Option("--end", help="End what should not be running.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What is rented right now, what it has cost, and what should not be there."""
    from ..compute.doctor import end_wrong, examine
    from ..compute.engine import engine, silence_in_words

    with silence_in_words(), terminal(quiet) as listener:
        rented = engine(listener)
        examined = examine(rented)
        if end:
            examined = end_wrong(rented, examined)
    if as_json:
        print_json(asdict(examined))
        return
    for line in _told(examined, ended=end):
        typer.echo(line)


def _told(examined: Examined, *, ended: bool) -> list[str]:
    lines = [str(machine) for machine in examined.machines]
    lines += [
        f"{disk['id']} in {disk['region']}: {disk.get('what', 'a disk')} without a machine"
        for disk in examined.disks
    ]
    if not lines:
        lines = ["Nothing is seen that is rented." if examined.unseen else "Nothing is rented."]
    if examined.unseen:
        lines.append(f"These regions did not say what they hold: {', '.join(examined.unseen)}.")
    if not ended and (examined.wrong or examined.disks):
        lines.append("To end what should not be there: plaintune cloud doctor --end")
    return lines


def train_there(
    prepare: Callable[[Callable[[Settings], Errand]], Errand],
    *,
    out: Path,
    test: str | None,
    source: str,
    wish: Wish,
    quiet: bool,
    yes: bool,
) -> Model:
    """`train --on cloud`: read here, ask, then rent."""
    from ..compute.cloud import train_on_cloud
    from ..compute.errand import prepare as read_errand
    from ..compute.prices import known_prices
    from .terminal import confirm

    with terminal(quiet) as listener:
        errand = prepare(lambda settings: read_errand(source, test, settings, listener))

    def agree(question: str) -> bool:
        return yes or confirm(question)

    with terminal(quiet) as listener:
        return train_on_cloud(
            errand,
            out=out, wish=wish, prices=known_prices(), agree=agree,
            replace_existing=yes, listener=listener,
        )  # fmt: skip


@cloud_app.command(epilog="Example: plaintune cloud ready --cloud aws")
def ready(
    cloud: CloudOption = None,
    region: Annotated[str | None, typer.Option(metavar="NAME", help="Where to look up quotas.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Whether you may rent a GPU: credentials, quotas, billing; and what to click or type where not."""
    from ..compute.clouds import CLOUDS
    from ..compute.engine import engine
    from ..compute.ready import steps_to
    from ..core.errors import UserError

    if cloud not in (None, *CLOUDS):
        raise UserError(f"plaintune cannot look into '{cloud}'.", f"Take one of: {', '.join(CLOUDS)}")
    wanted = [one for name, one in CLOUDS.items() if cloud in (None, name)]
    with terminal(quiet) as listener:
        rented = engine(listener)
        steps = [step for one in wanted for step in steps_to(one, rented, region)]
    if as_json:
        print_json({"steps": [asdict(step) for step in steps]})
        return
    for step in steps:
        typer.echo(str(step))


@cloud_app.command(epilog="Example: plaintune cloud zones --gpu L4")
def zones(
    gpu: Annotated[str, typer.Option(metavar="NAME", help="The GPU.")] = "T4",
    cloud: CloudOption = None,
    as_json: Json = False,
) -> None:
    """Where a GPU is sold, the cheapest zone first."""
    gpus(gpu=gpu, cloud=cloud, refresh=False, as_json=as_json)


@cloud_app.command(name="test-zone", epilog="Example: plaintune cloud test-zone use1-az1 T4")
def zone_test(
    zone: Annotated[str, typer.Argument(help="As `plaintune cloud zones` names it.")],
    gpu: Annotated[str, typer.Argument(help="The GPU.")],
    quiet: Quiet = False,
) -> None:
    """Ask the cloud whether a zone has a GPU at all; only renting shows whether one is free."""
    from ..compute.clouds import CLOUDS
    from ..compute.engine import engine, silence_in_words
    from ..compute.prices import known_prices
    from ..core.errors import UserError, nearest

    offers = [offer for offer, _ in known_prices().cheapest(gpu=gpu) if offer.cloud in CLOUDS]
    offer = next((offer for offer in offers if offer.place == zone), None)
    if offer is None:
        known = {offer.place for offer in offers}
        raise UserError(
            f"The price list has no {gpu} in a zone called '{zone}'.{nearest(zone, known)}",
            f"Where there are: plaintune cloud zones --gpu {gpu}",
        )
    with silence_in_words(), terminal(quiet) as listener:
        asked = engine(listener).on(offer.cloud)
        sold = asked.ask("sold_in", region=offer.region, zone=zone, type=offer.machine, gpu=gpu)
    company = CLOUDS[offer.cloud].company
    if not sold:
        raise UserError(
            f"{company} does not have the {gpu} ({offer.machine}) in {zone}.",
            f"Where there are: plaintune cloud zones --gpu {gpu}",
        )
    typer.echo(
        f"{company} has the {gpu} ({offer.machine}) in {zone}. Whether one is free, only renting shows."
    )


@app.command(epilog="Example: plaintune colab reviews.csv")
def colab(
    data: Annotated[str, typer.Argument(help="One file of labelled texts.")],
    text: TextColumns = None,
    label: LabelColumns = None,
    minutes: Annotated[float, typer.Option(help="Of training, in the notebook.")] = DEFAULT_MINUTES,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes. [default: NAME-colab]")
    ] = None,
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Write a notebook that trains on a free GPU of Google's Colab."""
    from ..compute.colab import write_colab

    folder = out or Path(default_name(data).removesuffix("-model") + "-colab")
    packed = write_colab(
        data, folder, replace_existing=yes, text=tuple(text or ()), label=tuple(label or ()), minutes=minutes
    )
    if as_json:
        print_json({name: str(path) for name, path in asdict(packed).items()})
        return
    typer.echo(f"Open https://colab.research.google.com, choose Upload, and give it {packed.notebook}.")
    typer.echo(f"Its first cell then asks for two files: {packed.wheel} and {data}.")
