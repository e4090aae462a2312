"""What clouds ask for a machine with a GPU: a dated list that ships with plaintune, or one fetched since.

Both have the columns of SkyPilot's public catalogue. The shipped one was copied from it (version 8, commits
00148f2 for AWS, 006059e for Google, 0f40703 for Lambda; the copies do not record their own day), some of the
regions only. Azure's part is renewed by hand and seldom: its rows here are of version 6, commit 098741e,
without the V100, which Azure has given up since, and without spot prices, which would be years old. On Google
a card and its host are one row here.
"""

from __future__ import annotations

import csv
import io
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import write_text
from ..data.fetch import cache_folder
from .gpus import BY_NAME

SHIPPED_DATE = "2026-11-24"
CATALOGUE = (
    "https://raw.githubusercontent.com/skypilot-org/skypilot-catalog/master/catalogs/v8/{cloud}/vms.csv"
)
CLOUDS = {"aws": "Amazon (AWS)", "gcp": "Google Cloud", "azure": "Microsoft Azure", "lambda": "Lambda"}
GCP_HOSTS = {"T4": "n1-standard-4", "V100": "n1-standard-4", "L4": "g2-standard-4"}
COLUMNS = (
    "Cloud", "InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB",
    "Price", "SpotPrice", "Region", "AvailabilityZone",
)  # fmt: skip
FETCH_SECONDS = 60


@dataclass(frozen=True)
class Offer:
    """A machine with one GPU in one place, in dollars an hour; ``spot_usd`` is None if not sold so."""

    cloud: str
    machine: str
    gpu: str
    region: str
    zone: str
    on_demand_usd: float
    spot_usd: float | None

    def price_usd(self, *, spot: bool) -> float | None:
        """Dollars an hour."""
        return self.spot_usd if spot else self.on_demand_usd

    @property
    def place(self) -> str:
        """The zone, or the region of a cloud without zones."""
        return self.zone or self.region


@dataclass(frozen=True)
class PriceList:
    """Offers and the day they were written down."""

    offers: tuple[Offer, ...]
    taken: str  # an ISO date
    fetched: bool  # by the user, rather than shipped

    def __str__(self) -> str:
        origin = "fetched from" if self.fetched else "copied from"
        return (
            f"Prices: SkyPilot's public catalogue, {origin} it on {self.taken}; spot prices move by the hour."
        )

    def cheapest(
        self, *, gpu: str | None = None, cloud: str | None = None, spot: bool | None = None
    ) -> list[tuple[Offer, bool]]:
        """(offer, whether as spot), cheapest first; raises UserError for a GPU or cloud nobody here sells."""
        self._check(gpu, cloud)
        kinds = (True, False) if spot is None else (spot,)
        found = [
            (price, offer, kind)
            for offer in self.offers
            for kind in kinds
            if (price := offer.price_usd(spot=kind)) is not None
            and gpu in (None, offer.gpu)
            and cloud in (None, offer.cloud)
        ]
        return [(offer, kind) for _, offer, kind in sorted(found, key=lambda one: (one[0], one[1].place))]

    def _check(self, gpu: str | None, cloud: str | None) -> None:
        gpus, clouds = {o.gpu for o in self.offers}, {o.cloud for o in self.offers}
        if gpu is not None and gpu not in gpus:
            raise UserError(
                f"No cloud in the price list has a GPU called '{gpu}'.{nearest(gpu, gpus)}",
                f"Those there are: {', '.join(sorted(gpus))}.",
            )
        if cloud is not None and cloud not in clouds:
            raise UserError(
                f"The price list has no cloud called '{cloud}'.{nearest(cloud, clouds)}",
                f"Those there are: {', '.join(sorted(clouds))}.",
            )


def price_list(kept: Path | None = None) -> PriceList:
    """The list that was fetched to ``kept``, if it can be read and is no older; else the shipped one."""
    if kept is not None:
        try:
            taken, _, rows = kept.read_text(encoding="utf-8").partition("\n")
            offers = tuple(_offers(csv.DictReader(io.StringIO(rows))))
            if offers and date.fromisoformat(taken) >= date.fromisoformat(SHIPPED_DATE):
                return PriceList(offers, taken, fetched=True)
        except (OSError, ValueError, KeyError):
            pass
    shipped = resources.files("plaintune").joinpath("compute", "prices.csv").read_text(encoding="utf-8")
    return PriceList(tuple(_offers(csv.DictReader(io.StringIO(shipped)))), SHIPPED_DATE, fetched=False)


def kept_prices() -> Path:
    """Where fetched prices are kept."""
    return cache_folder() / "prices.csv"


def known_prices() -> PriceList:
    """The prices that were fetched last, or those that ship."""
    return price_list(kept_prices())


def fetch_prices(kept: Path, *, today: date) -> PriceList:
    """Fetch today's prices into ``kept``. Raises UserError where the catalogue cannot be reached."""
    offers = [offer for cloud in CLOUDS for offer in offers_of_catalogue(cloud, _download(cloud))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for offer in offers:
        spot = "" if offer.spot_usd is None else offer.spot_usd
        price = (offer.on_demand_usd, spot, offer.region, offer.zone)
        writer.writerow((offer.cloud, offer.machine, offer.gpu, 1, "", "", *price))
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_text(kept, f"{today.isoformat()}\n{text.getvalue()}")
    return price_list(kept)


def offers_of_catalogue(cloud: str, text: str) -> list[Offer]:
    """The machines with one GPU of a SkyPilot catalogue; on Google each card with the host it goes on."""
    rows = list(csv.DictReader(io.StringIO(text)))
    hosts = {(row["InstanceType"], row.get("AvailabilityZone")): row for row in rows if row["InstanceType"]}
    merged = []
    for row in rows:
        if row["AcceleratorName"] not in BY_NAME or float(row["AcceleratorCount"] or 0) != 1:
            continue
        if cloud == "gcp":
            host = hosts.get((GCP_HOSTS.get(row["AcceleratorName"], ""), row["AvailabilityZone"]))
            if host is None:
                continue
            row = _together(row, host)
        merged.append({"Cloud": cloud, "AvailabilityZone": "", **row})
    return _smallest(_offers(merged))


def _together(card: dict[str, str], host: dict[str, str]) -> dict[str, str]:
    spot = f"{float(card['SpotPrice']) + float(host['SpotPrice'])}" if card["SpotPrice"] else ""
    price = f"{float(card['Price']) + float(host['Price'])}"
    return {**card, "InstanceType": host["InstanceType"], "Price": price, "SpotPrice": spot}


def _smallest(offers: Iterable[Offer]) -> list[Offer]:
    """Of the machines with the same card in the same place, the cheapest: the model needs no big host."""
    best: dict[tuple[str, str], Offer] = {}
    for offer in offers:
        key = (offer.gpu, offer.place)
        if key not in best or offer.on_demand_usd < best[key].on_demand_usd:
            best[key] = offer
    return list(best.values())


def _offers(rows: Iterable[dict[str, str]]) -> Iterator[Offer]:
    for row in rows:
        if float(row["Price"] or 0) > 0:  # nothing is free: the catalogue does not know the price
            yield Offer(
                cloud=row["Cloud"],
                machine=row["InstanceType"],
                gpu=row["AcceleratorName"],
                region=row["Region"],
                zone=row["AvailabilityZone"],
                on_demand_usd=float(row["Price"]),
                spot_usd=float(row["SpotPrice"]) if row["SpotPrice"] else None,
            )


def _download(cloud: str) -> str:
    url = CATALOGUE.format(cloud=cloud)
    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            text: str = answer.read().decode("utf-8")
            return text
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise UserError(
            f"The price catalogue cannot be reached ({error}).",
            f"Leave --refresh out: the list of {SHIPPED_DATE} that ships with plaintune is used then.",
        ) from error
