"""`plaintune cloud …`: what GPUs cost, and the machines that are rented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import Json, Quiet, app, print_json, terminal

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
    str | None, typer.Option("--cloud", metavar="NAME", help="Only this cloud: aws, gcp…")
]


@cloud_app.command(epilog="Example: plaintune cloud gpus --gpu T4")
def gpus(
    gpu: GpuOption = None,
    cloud: CloudOption = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch today's prices first.")] = False,
    as_json: Json = False,
) -> None:
    """What GPUs cost by the hour, cheapest first; needs no account."""
    from ..compute.prices import fetch_prices, price_list
    from ..data.fetch import cache_folder

    kept = cache_folder() / "prices.csv"
    prices = fetch_prices(kept, today=date.today()) if refresh else price_list(kept)
    offers = _one_each(prices, gpu, cloud, every_zone=gpu is not None)
    if as_json:
        print_json({"taken": prices.taken, "offers": [asdict(offer) for offer in offers]})
        return
    for line in _table(offers):
        typer.echo(line)
    typer.echo(str(prices))
    typer.echo("Spot is spare capacity: cheaper, and the cloud may take it back at any moment.")
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

    lines = [f"{'GPU':<6} {'memory':>7}  {'cloud':<7} {'zone':<16} {'spot':>9} {'on demand':>11}"]
    for offer in offers:
        card = BY_NAME.get(offer.gpu)
        memory = "" if card is None else f"{card.memory_gib} GB"
        spot = "—" if offer.spot_usd is None else f"${offer.spot_usd:.3f}/h"
        price = f"${offer.on_demand_usd:.3f}/h"
        lines.append(f"{offer.gpu:<6} {memory:>7}  {offer.cloud:<7} {offer.place:<16} {spot:>9} {price:>11}")
    return lines


@cloud_app.command(epilog="Example: plaintune cloud doctor --end")
def doctor(
    end: Annotated[bool, typer.Option("--end", help="End what should not be running.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What is rented right now, what it has cost, and what should not be there."""
    from ..compute.doctor import end_wrong, examine
    from ..compute.engine import CloudAway, engine
    from ..core.errors import UserError

    try:
        with terminal(quiet) as listener:
            rented = engine(listener)
            examined = examine(rented)
            if end:
                examined = end_wrong(rented, examined)
    except CloudAway as away:
        raise UserError(
            f"The cloud does not answer ({away}).", "Look whether the network is there, then try again."
        ) from away
    if as_json:
        print_json({"machines": [asdict(one) for one in examined.machines], "disks": list(examined.disks)})
        return
    for line in _told(examined, ended=end):
        typer.echo(line)


def _told(examined: Examined, *, ended: bool) -> list[str]:
    lines = [str(machine) for machine in examined.machines]
    lines += [f"{disk['id']} in {disk['region']}: a disk without a machine" for disk in examined.disks]
    if not lines:
        return ["Nothing is rented."]
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
    from ..compute.prices import price_list
    from ..data.fetch import cache_folder
    from .terminal import confirm

    with terminal(quiet) as listener:
        errand = prepare(lambda settings: read_errand(source, test, settings, listener))

    def agree(question: str) -> bool:
        return yes or confirm(question)

    with terminal(quiet) as listener:
        return train_on_cloud(
            errand,
            out=out, wish=wish, prices=price_list(cache_folder() / "prices.csv"), agree=agree,
            replace_existing=yes, listener=listener,
        )  # fmt: skip
