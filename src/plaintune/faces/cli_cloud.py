"""`plaintune cloud …`: what GPUs cost, and the machines that are rented."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from .app import Json, app, print_json

if TYPE_CHECKING:
    from ..compute.prices import Offer, PriceList

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
