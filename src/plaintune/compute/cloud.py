"""`train --on cloud`: the same `fit` on a rented GPU, and the machine switched off whatever happens."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ..core.errors import UserError
from ..core.events import Listener, note, stage, warn
from ..model.folder import checkpoint_folder, publish, remove_checkpoint, require_free, staging_folder
from ..model.predict import Model
from .engine import Engine, engine
from .errand import Errand
from .follow import Finished, OutOfTime, Preempted, bring_checkpoint, bring_model, follow
from .machine import NoCapacity, end, is_running, launch
from .parcel import pack
from .prices import PriceList
from .records import RUN, Rental, is_looked_after, looking_after, rentals, write_rental
from .rented import RENTABLE, RentedQuote, rented_quotes

DEFAULT_MAX_COST_USD = 2.0
MARGIN_MINUTES = 10.0  # beyond what was asked for, to bring the model home
MOST_MACHINES = 5  # spot machines taken back one after the other
Agree = Callable[[str], bool]


@dataclass(frozen=True)
class Wish:
    """What the user said about the machine; None means "choose for me"."""

    gpu: str | None = None
    cloud: str | None = None
    spot: bool | None = None
    max_cost_usd: float = DEFAULT_MAX_COST_USD
    machines: int = 1  # that train together


def train_on_cloud(
    errand: Errand,
    *,
    out: Path,
    wish: Wish,
    prices: PriceList,
    agree: Agree,
    replace_existing: bool,
    listener: Listener,
) -> Model:
    """Rent, train there, bring the model home, end the machine. Raises UserError.

    ``agree`` is asked once, with the price, before anything is rented. A run that this command left on a
    machine that still works is taken up again instead.
    """
    require_free(out, replace_existing=replace_existing)
    earlier = unfinished(out)
    if earlier is None:
        quotes = affordable(errand, wish, prices)
        _say_private(errand, listener)
        _say_prices(quotes, prices, listener)
        if not agree(question(quotes[0], wish)):
            raise UserError("Nothing was rented.", "Add --yes to rent without being asked.")
        with _signals_as_interrupts():
            rented = engine(listener)
            return Run(rented, errand, out, wish, prices, listener).from_start(quotes)
    with _signals_as_interrupts():
        return Run(engine(listener), errand, out, wish, prices, listener).taken_up(earlier)


def unfinished(out: Path) -> Rental | None:
    """A rental of an earlier command for the same model that may still be at work.

    Raises UserError where another process is at work on a rented machine: the two would share SkyPilot.
    """
    for rental in rentals():
        if rental.ended is not None or rental.purpose != RUN:
            continue
        if is_looked_after(rental):
            raise UserError(
                f"Another plaintune is training {rental.out} on a rented machine right now.",
                "Wait until it has ended; plaintune cloud doctor shows the machine.",
            )
        if rental.out == str(out.absolute()):
            return rental
    return None


def affordable(errand: Errand, wish: Wish, prices: PriceList) -> list[RentedQuote]:
    """The quotes within --max-cost where plaintune rents, cheapest first. Raises UserError for none."""
    cloud = wish.cloud or RENTABLE[0]
    quotes = rented_quotes(
        errand.work, prices, gpu=wish.gpu, cloud=cloud, spot=wish.spot, machines=wish.machines
    )
    if cloud not in RENTABLE:
        raise UserError(
            f"plaintune does not rent from {cloud} yet: it could not make sure that the machine ends.",
            f"Take another: --cloud {RENTABLE[0]}",
        )
    within = [quote for quote in quotes if quote.most_usd <= wish.max_cost_usd]
    if within:
        return within
    cheapest = min(quotes, key=lambda quote: quote.cost_usd, default=None)
    problem = "No such machine is for sale." if cheapest is None else f"The cheapest would be {cheapest}."
    raise UserError(
        f"Nothing fits into ${wish.max_cost_usd:.2f}. {problem}", "Allow more, for example: --max-cost 5"
    )


def question(quote: RentedQuote, wish: Wish) -> str:
    """What the user is asked before anything is rented."""
    return f"Rent {quote}? It ends before it can have cost ${wish.max_cost_usd:.2f}."


def _say_private(errand: Errand, listener: Listener) -> None:
    if errand.private:
        warn(listener, f"{errand.private} They would leave this machine for a rented one.")


def _say_prices(quotes: list[RentedQuote], prices: PriceList, listener: Listener) -> None:
    for quote in quotes[:3]:
        note(listener, f"  {quote}")
    note(listener, f"Times are estimates. {prices}")


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """A closed terminal and a polite kill end the machine as Ctrl-C does; what nohup ignores stays so."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    heard = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Run:
    """One training on rented machines, from the order to the last bill."""

    engine: Engine
    errand: Errand
    out: Path
    wish: Wish
    prices: PriceList
    listener: Listener

    def from_start(self, quotes: list[RentedQuote]) -> Model:
        """Rent the first of ``quotes`` that can be had."""
        rental = write_rental(self._order(quotes[0]))  # before anything costs money
        with looking_after(rental):
            try:
                return self._finish(self._first_to_be_had(rental, quotes))
            finally:
                self._end(rental)

    def taken_up(self, rental: Rental) -> Model:
        """Go on with a run whose command was cut off."""
        with looking_after(rental):
            try:
                if rental.cluster is None or not is_running(self.engine, rental):
                    raise UserError(
                        "The rented machine of the earlier command is gone.",
                        "Type the same command again: it rents another and goes on from the last checkpoint.",
                    )
                note(self.listener, "Taking up the run that goes on on the rented machine.")
                return self._finish(rental)
            finally:
                self._end(rental)

    def _order(self, quote: RentedQuote, *, earlier: Rental | None = None) -> Rental:
        """The record of a machine to be rented; its deadline is what time and money allow at worst."""
        now = time.time()
        most_usd = self._dearest(quote)
        spent = 0.0 if earlier is None else earlier.spent_usd
        affordable_seconds = 3600 * (self.wish.max_cost_usd - spent) / most_usd
        wanted_seconds = 60 * (self.errand.settings.minutes + MARGIN_MINUTES + quote.minutes)
        order = Rental(
            f"plaintune-{secrets.token_hex(4)}", RUN, quote.offer.cloud, quote.offer.gpu, quote.spot,
            quote.price_usd, most_usd, now, now + min(affordable_seconds, wanted_seconds),
            str(self.out.absolute()), spent_usd=spent, nodes=quote.machines,
        )  # fmt: skip
        if earlier is None:
            return order
        return replace(order, name=earlier.name, started=earlier.started, machines=earlier.machines)

    def _dearest(self, quote: RentedQuote) -> float:
        """The highest price of an hour that SkyPilot may take where the cheap places have none to give."""
        offers = self.prices.cheapest(gpu=quote.offer.gpu, cloud=quote.offer.cloud, spot=False)
        return quote.machines * max(offer.on_demand_usd for offer, _ in offers)

    def _first_to_be_had(self, rental: Rental, quotes: list[RentedQuote]) -> Rental:
        for quote in quotes:
            rental = write_rental(self._order(quote, earlier=rental))
            try:
                return self._launch(rental)
            except NoCapacity as none:
                note(self.listener, f"None to be had: {quote.offer.gpu} on {quote.offer.cloud} ({none}).")
                rental = self._gone(rental)
        raise UserError(
            "No machine that fits is to be had anywhere at the moment.",
            "Try again in an hour, allow more (--max-cost 5), or name another GPU: plaintune cloud gpus",
        )

    def _launch(self, rental: Rental) -> Rental:
        stage(self.listener, "Packing the data")
        parcel = pack(
            rental.folder / "parcel", self.errand.source, self.errand.test, self.errand.settings,
            checkpoint=checkpoint_folder(self.out),
        )  # fmt: skip
        return launch(self.engine, rental, parcel, self.listener)

    def _finish(self, rental: Rental) -> Model:
        """Follow the run to its end, on another machine where one is taken back."""
        checkpoint = checkpoint_folder(self.out)
        while True:
            try:
                return self._home(rental, follow(self.engine, rental, checkpoint, self.listener))
            except Preempted:
                rental = self._again(self._gone(rental))
            except OutOfTime:
                self._out_of_time(rental, checkpoint)

    def _home(self, rental: Rental, finished: Finished) -> Model:
        stage(self.listener, "Bringing the model home")
        with staging_folder(self.out) as staged:
            bring_model(self.engine, rental, finished, staged)
            Model.load(staged)
            publish(staged, self.out)
        remove_checkpoint(checkpoint_folder(self.out))
        return Model.load(self.out)

    def _again(self, rental: Rental) -> Rental:
        """Another machine of the same kind, for what is left of time and money."""
        if rental.machines >= MOST_MACHINES:
            raise UserError(
                f"The cloud took {MOST_MACHINES} machines back.",
                "Rent one that stays, at a higher price: --on-demand. The checkpoint is kept.",
            )
        note(
            self.listener,
            "The cloud took the machine back. Renting another; it goes on from the last checkpoint.",
        )
        left = 3600 * (self.wish.max_cost_usd - rental.spent_usd) / rental.most_usd
        deadline = min(rental.deadline, time.time() + left)
        return self._launch(write_rental(replace(rental, deadline=deadline)))

    def _gone(self, rental: Rental) -> Rental:
        """End what is left of a machine and put its price on the bill; the rental itself goes on."""
        ended = end(self.engine, rental, self.listener)
        return write_rental(replace(ended, ended=None, cluster=None, since=None, region=None))

    def _out_of_time(self, rental: Rental, checkpoint: Path) -> NoReturn:
        bring_checkpoint(self.engine, rental, checkpoint)
        raise UserError(
            f"The run has reached what it may cost or take (${rental.cost_usd(time.time()):.2f}).",
            "Type the same again with a higher --max-cost or --minutes: it goes on from the last checkpoint.",
        )

    def _end(self, rental: Rental) -> None:
        """Whatever happened: nothing of it may go on costing money."""
        latest = next((one for one in rentals() if one.name == rental.name), rental)
        if latest.ended is None:
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not stop this
            try:
                ended = end(self.engine, latest, self.listener)
                self.engine.stop_server(log=latest.log)
            finally:
                signal.signal(signal.SIGINT, before)
            if ended.ended is not None:
                note(self.listener, f"The machine is gone. It cost about ${ended.spent_usd:.2f}.")
