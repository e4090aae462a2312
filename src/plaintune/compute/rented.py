"""What a training run would take and cost on a rented machine: arithmetic on the price list, nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .gpus import BY_NAME
from .prices import Offer, PriceList

SETUP_MINUTES = 7.0  # an estimate: two or three until the machine answers, the rest for fetching torch
FREE = (
    "It may cost nothing: Google's Colab often lends a GPU for free (plaintune colab DATA), and new accounts "
    "at most clouds have a trial credit, though some allow no GPU on it."
)
GAIN_OF_A_MACHINE = 0.5  # an estimate: each step, machines of a crew exchange 43 MB of gradients
SCORING_SHARE = 0.4  # of the training time, for the sweep before it and for scoring after it


@dataclass(frozen=True)
class Work:
    """A training run in plain numbers."""

    tokens: int  # of all training texts, each counted once and as cut
    epochs: float  # passes over them
    other_seconds: float = 60.0  # on the processor: reading, counting words, writing the folder


@dataclass(frozen=True)
class RentedQuote:
    """One way to rent: about how long, about how much, and how old the price is."""

    offer: Offer
    spot: bool
    minutes: float  # set-up included
    cost_usd: float
    price_date: str
    machines: int = 1

    @property
    def price_usd(self) -> float:
        """Dollars an hour, of all machines together."""
        return self.machines * (self.offer.price_usd(spot=self.spot) or self.offer.on_demand_usd)

    @property
    def most_usd(self) -> float:
        """What it costs where the price of spot has risen to that on demand, which it never exceeds."""
        return self.machines * self.offer.on_demand_usd * self.minutes / 60

    def __str__(self) -> str:
        kind = "spot" if self.spot else "on demand"
        where = f"{self.offer.cloud} {self.offer.place}"
        several = f"{self.machines} × " if self.machines > 1 else ""
        return (
            f"{several}{self.offer.gpu} {kind} ({where}): about {self.minutes:.0f} min, ${self.cost_usd:.2f}"
        )


def minutes_on(gpu: str, work: Work, machines: int = 1) -> float:
    """About how long machines with this GPU are needed, from the order to the model."""
    training = work.tokens * work.epochs / BY_NAME[gpu].tokens_per_second
    training /= 1 + GAIN_OF_A_MACHINE * (machines - 1)
    return SETUP_MINUTES + (training * (1 + SCORING_SHARE) + work.other_seconds) / 60


def rented_quotes(
    work: Work,
    prices: PriceList,
    *,
    gpu: str | None = None,
    cloud: str | None = None,
    spot: bool | None = None,
    machines: int = 1,
    within: Collection[str] | None = None,
) -> tuple[RentedQuote, ...]:
    """A quote for the cheapest place of each GPU, as spot and on demand; cheapest run first.

    ``within`` are the clouds to choose from, where not one is named. Raises UserError for a ``gpu`` or
    ``cloud`` that the list does not have.
    """
    quotes: dict[tuple[str, str, bool], RentedQuote] = {}
    for offer, as_spot in prices.cheapest(gpu=gpu, cloud=cloud, spot=spot):
        key = (offer.cloud, offer.gpu, as_spot)
        if key in quotes or offer.gpu not in BY_NAME or not (within is None or offer.cloud in within):
            continue
        minutes = minutes_on(offer.gpu, work, machines)
        price = machines * (offer.price_usd(spot=as_spot) or 0.0)
        quotes[key] = RentedQuote(offer, as_spot, minutes, price * minutes / 60, prices.taken, machines)
    return tuple(sorted(quotes.values(), key=lambda quote: quote.cost_usd))
