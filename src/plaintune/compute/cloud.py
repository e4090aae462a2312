"""`train --on cloud`: the same `fit` on a rented GPU, and the machine switched off whatever happens."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from ..core.errors import UserError
from ..core.events import Listener, note, stage, warn
from ..core.files import file_sha256
from ..model.folder import checkpoint_folder, publish, require_free, staging_folder
from ..model.predict import Model
from .clouds import CLOUDS, open_to_user
from .ending import end
from .engine import Engine, complete, engine, made_engine, silence_in_words
from .errand import Errand
from .follow import HOME_MARGIN, STATE, Finished, OutOfTime, Preempted, bring_checkpoint, bring_model, follow
from .homecoming import Bill, settle_in
from .interrupts import signals_as_interrupts, unbreakable, undisturbed
from .machine import NoCapacity, account_of, is_running, launch, set_timer
from .names import Names
from .parcel import pack
from .prices import PriceList
from .records import RUN, Rental, as_written, close, looking_after, rentals, unfinished, write_rental
from .rented import SETUP_MINUTES, RentedQuote, rented_quotes

DEFAULT_MAX_COST_USD = 2.0
MARGIN_MINUTES = 10.0  # beyond what was asked for, to bring the model home
MOST_MACHINES = 5  # spot machines taken back one after the other
MOST_IN_VAIN = 2  # of them, without a new checkpoint: that is no bad luck
UNKNOWN_PLACE = 2.0  # times the dearest known price, where the price list does not have the region
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
    same = earlier is not None and earlier.fingerprint in ("", errand.fingerprint)
    with silence_in_words():
        if earlier is not None and earlier.secured and same:
            with signals_as_interrupts():
                return Run(engine(listener), errand, out, wish, prices, listener).taken_up(earlier)
        quotes = affordable(errand, wish, prices)
        if (made := made_engine()) is not None:
            quotes = open_to_us(made, quotes, listener)  # who may not rent need not be asked whether to
        _say_private(errand, listener)
        _say_prices(quotes, prices, listener)
        if not agree(question(quotes[0], wish)):
            raise UserError("Nothing was rented.", "Add --yes to rent without being asked.")
        with signals_as_interrupts():
            run = Run(engine(listener), errand, out, wish, prices, listener)
            if earlier is not None:
                if not same:
                    note(listener, "What is left of an earlier run, of other data or settings, ends now.")
                run.clear_away(earlier)
            return run.from_start(quotes if made else open_to_us(run.engine, quotes, listener))


def affordable(errand: Errand, wish: Wish, prices: PriceList) -> list[RentedQuote]:
    """The quotes within --max-cost where plaintune rents, cheapest first. Raises UserError for none."""
    quotes = rented_quotes(
        errand.work, prices,
        gpu=wish.gpu, cloud=wish.cloud, spot=wish.spot, machines=wish.machines,
        within=open_to_user() if wish.cloud is None else CLOUDS,
    )  # fmt: skip
    if wish.cloud is not None and wish.cloud not in CLOUDS:
        raise UserError(
            f"plaintune does not rent from {wish.cloud}: it could not make sure that the machine ends.",
            f"Take another: {' or '.join(f'--cloud {name}' for name in CLOUDS)}",
        )
    least_hours = (SETUP_MINUTES + 1) / 60 + HOME_MARGIN / 3600  # for a minute of training, anywhere
    within = [
        quote
        for quote in quotes
        if quote.most_usd <= wish.max_cost_usd and least_hours * dearest(quote, prices) <= wish.max_cost_usd
    ]
    if within:
        return within
    cheapest = min(quotes, key=lambda quote: quote.cost_usd, default=None)
    why = "No such machine is for sale." if cheapest is None else f"The cheapest would be {cheapest}."
    fix = "Allow more, for example: --max-cost 5"
    raise UserError(f"Nothing fits into ${wish.max_cost_usd:.2f}. {why}", fix)


def dearest(quote: RentedQuote, prices: PriceList) -> float:
    """The highest price of an hour that SkyPilot may take where the cheap places have none to give."""
    offers = prices.cheapest(gpu=quote.offer.gpu, cloud=quote.offer.cloud, spot=False)
    same = [offer.on_demand_usd for offer, _ in offers if offer.machine == quote.offer.machine]
    return quote.machines * max(same, default=quote.offer.on_demand_usd)


def open_to_us(engine: Engine, quotes: list[RentedQuote], listener: Listener) -> list[RentedQuote]:
    """The quotes of the clouds that know the user. Raises CloudAway, and UserError where none does."""
    refused: dict[str, UserError] = {}
    for cloud in dict.fromkeys(quote.offer.cloud for quote in quotes):
        try:
            account_of(engine.on(cloud))
        except UserError as error:
            refused[cloud] = error
    known = [quote for quote in quotes if quote.offer.cloud not in refused]
    if not known:
        raise next(iter(refused.values()))
    for why in refused.values():
        note(listener, f"{why.problem} {why.fix}")
    return known


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
        """Go on with a run whose command was cut off; where nobody answers, wait until somebody does."""
        with looking_after(rental):
            try:
                if is_running(self.engine, rental) is False:
                    raise UserError(
                        "The rented machine of the earlier command is gone.",
                        "Type the same command again: it rents another and goes on from the last checkpoint.",
                    )
                note(self.listener, "Taking up the run that goes on on the rented machine.")
                return self._finish(rental)
            finally:
                self._end(rental)

    def clear_away(self, rental: Rental) -> None:
        """End what an earlier command may have rented before it was cut off. Raises UserError if unsure."""
        with looking_after(rental):
            self._end(rental)
        _require_ended(as_written(rental))

    def _order(self, quote: RentedQuote, *, earlier: Rental | None = None) -> Rental:
        """The record of a machine to be rented; its deadline is what time and money allow at worst."""
        complete(self.engine.on(quote.offer.cloud), self.listener)
        now = time.time()
        most_usd = dearest(quote, self.prices)
        spent = 0.0 if earlier is None else earlier.spent_usd
        affordable_seconds = 3600 * (self.wish.max_cost_usd - spent) / most_usd
        wanted_seconds = 60 * (self.errand.settings.minutes + MARGIN_MINUTES + quote.minutes)
        order = Rental(
            f"plaintune-{secrets.token_hex(4)}", RUN, quote.offer.cloud, quote.offer.gpu, quote.spot,
            quote.price_usd, most_usd, now, now + min(affordable_seconds, wanted_seconds),
            str(self.out.absolute()), spent_usd=spent, nodes=quote.machines, machine=quote.offer.machine,
            asked_minutes=self.errand.settings.minutes, minutes=self._job_minutes(affordable_seconds / 60),
            fingerprint=self.errand.fingerprint,
        )  # fmt: skip
        if earlier is not None:
            order = replace(order, name=earlier.name, started=earlier.started)
            order = replace(order, orders=earlier.orders, machines=earlier.machines)
            if order.cloud == earlier.cloud:
                return replace(order, account=earlier.account)
        return replace(order, account=account_of(self.engine.on(order.cloud)))

    def _job_minutes(self, affordable: float) -> float:
        """Minutes of training for the job: those asked for, or what of the affordable ones is left for it.

        A checkpoint is for so many minutes: the run that left it here goes on with the same.
        """
        asked = self.errand.settings.minutes
        last = next((one for one in rentals() if one.out == str(self.out.absolute()) and one.minutes), None)
        if last is not None and last.asked_minutes == asked and checkpoint_folder(self.out).is_dir():
            return last.minutes
        return min(asked, max(1.0, float(int(affordable - SETUP_MINUTES - MARGIN_MINUTES))))

    def _first_to_be_had(self, rental: Rental, quotes: list[RentedQuote]) -> Rental:
        for quote in quotes:
            rental = write_rental(self._order(quote, earlier=rental))
            try:
                return self._launch(rental)
            except NoCapacity as none:
                note(self.listener, f"None to be had: {quote.offer.gpu} on {quote.offer.cloud} ({none}).")
                looked_for = replace(as_written(rental), since=None, machines=rental.machines)
                write_rental(looked_for)  # the search itself costs nothing
                rental = self._gone(rental)
        raise UserError(
            "No machine that fits is to be had anywhere at the moment.",
            "Try again in an hour, allow more (--max-cost 5), or name another GPU: plaintune cloud gpus",
        )

    def _launch(self, rental: Rental) -> Rental:
        stage(self.listener, "Packing the data")
        settings = replace(self.errand.settings, minutes=rental.minutes or self.errand.settings.minutes)
        if settings.minutes < self.errand.settings.minutes:
            note(self.listener, f"The money is for {settings.minutes:.0f} minutes of training.")
        parcel = pack(
            rental.folder / "parcel", self.errand.source, self.errand.test, settings,
            checkpoint=checkpoint_folder(self.out),
        )  # fmt: skip
        return self._within_means(launch(self.engine, rental, parcel, self.listener))

    def _within_means(self, rental: Rental) -> Rental:
        """Price and deadline by the place that SkyPilot took in truth. UserError where that is too dear."""
        most_usd = rental.nodes * self._dearest_at(rental)
        if not rental.spot and self._prices_at(rental, rental.region):
            rental = write_rental(replace(rental, price_usd=most_usd))
        if most_usd <= rental.most_usd:
            return rental
        now = time.time()
        deadline = now + 3600 * (self.wish.max_cost_usd - rental.cost_usd(now)) / most_usd
        rental = write_rental(replace(rental, most_usd=most_usd))
        if deadline >= rental.deadline:
            return rental
        needed = SETUP_MINUTES + (rental.minutes if rental.machines == 1 else 0)
        if deadline < now + 60 * needed:
            raise UserError(
                f"The machine is in {rental.region}, where it may cost ${most_usd:.2f} an hour: too much.",
                "Allow more, for example: --max-cost 5",
            )
        rental = write_rental(replace(rental, deadline=deadline))
        if not set_timer(self.engine, rental):
            raise UserError("The machine's own timer could not be set.", "Type the same again.")
        return rental

    def _dearest_at(self, rental: Rental) -> float:
        """Dollars an hour of one machine of this kind where it is, on demand."""
        if here := self._prices_at(rental, rental.region):
            return max(here)
        return UNKNOWN_PLACE * max(self._prices_at(rental, None), default=rental.most_usd / rental.nodes)

    def _prices_at(self, rental: Rental, region: str | None) -> list[float]:
        """Dollars an hour that one such machine is listed for in ``region``, or anywhere, on demand."""
        kind = (rental.cloud, rental.machine, rental.gpu)  # on Google one machine takes several cards
        same = [one for one in self.prices.offers if (one.cloud, one.machine, one.gpu) == kind]
        return [one.on_demand_usd for one in same if region in (None, one.region)]

    def _finish(self, rental: Rental) -> Model:
        """Follow the run to its end, on another machine where one is taken back."""
        checkpoint = checkpoint_folder(self.out)
        in_vain = 0
        while True:
            before = _state(checkpoint)
            try:
                return self._home(rental, follow(self.engine, rental, checkpoint, self._names, self.listener))
            except Preempted:
                in_vain = in_vain + 1 if _state(checkpoint) == before else 0
                rental = self._again(self._gone(rental), in_vain=in_vain)
            except OutOfTime:
                self._out_of_time(rental, checkpoint)

    @property
    def _names(self) -> Names:
        """What all is called on the machine."""
        return Names.of(self.errand.source, self.errand.test, self.errand.settings, out=self.out)

    def _home(self, rental: Rental, finished: Finished) -> Model:
        stage(self.listener, "Bringing the model home")
        with staging_folder(self.out) as staged:
            bring_model(self.engine, rental, finished, staged)
            Model.load(staged)
            publish(staged, self.out)
        bill = Bill.of(rental, time.time())
        settle_in(self.out, self._names, bill, self.listener)  # a fault here costs no model any more
        shutil.rmtree(checkpoint_folder(self.out), ignore_errors=True)
        return Model.load(self.out)

    def _again(self, rental: Rental, *, in_vain: int) -> Rental:
        """Another machine of the same kind, for what is left of time and money."""
        if not rental.spot:
            raise UserError(
                "The rented machine is gone, though it was not one that the cloud takes back.",
                "Unless you ended it, type the same command again: it goes on from the last checkpoint.",
            )
        if rental.machines >= MOST_MACHINES or in_vain >= MOST_IN_VAIN:
            raise UserError(
                f"{rental.machines} machines have gone before the training was done, the last {in_vain} "
                "without a new checkpoint.",
                "Rent one that is not taken back, at a higher price: --on-demand. The checkpoint is kept.",
            )
        left = 3600 * (self.wish.max_cost_usd - rental.spent_usd) / rental.most_usd
        deadline = min(rental.deadline, time.time() + left)
        if deadline < time.time() + 60 * SETUP_MINUTES + HOME_MARGIN:
            raise self._used_up(rental)
        note(
            self.listener,
            "The cloud took the machine back. Renting another; it goes on from the last checkpoint.",
        )
        try:
            return self._launch(write_rental(replace(rental, deadline=deadline)))
        except NoCapacity as none:
            raise UserError(
                f"The cloud took the machine back and has no other {rental.gpu} to give now ({none}).",
                "Type the same command again: it rents what there is and goes on from the last checkpoint.",
            ) from none

    def _gone(self, rental: Rental) -> Rental:
        """End what is left of a machine and put its price on the bill; the rental itself goes on.

        Raises UserError where it is not sure that it ended: two at once may cost more than was agreed;
        KeyboardInterrupt where one came meanwhile: no other is rented then.
        """
        with undisturbed() as passed_over:
            ended = _require_ended(end(self.engine, as_written(rental), self.listener))
            gone = replace(ended, ended=None, cluster=None, since=None, region=None, secured=False)
            write_rental(gone)
        if passed_over.any:
            raise KeyboardInterrupt
        return gone

    def _out_of_time(self, rental: Rental, checkpoint: Path) -> NoReturn:
        bring_checkpoint(self.engine, rental, checkpoint)
        raise self._used_up(rental)

    def _used_up(self, rental: Rental) -> UserError:
        return UserError(
            f"The run has reached what it may cost or take (${rental.cost_usd(time.time()):.2f}).",
            "Type the same again, with a higher --max-cost if that was the limit: it goes on from the last "
            "checkpoint.",
        )

    def _end(self, rental: Rental) -> None:
        """Whatever happened: nothing of it may go on costing money."""
        with undisturbed():
            latest = as_written(rental)
            if latest.ended is not None:
                return
            ordered = latest.cluster is not None  # else nothing was, or what was has been ended
            ended = end(self.engine, latest, self.listener) if ordered else close(latest)
            if latest.orders == 0:
                return
            self.engine.stop_server(log=latest.log)
            if ended.ended is not None and latest.machines > 0:
                cost = f"It cost about ${ended.spent_usd:.2f}."
                note(unbreakable(self.listener), f"The machine is gone. {cost}")


def _require_ended(rental: Rental) -> Rental:
    if rental.ended is None:
        raise UserError(
            "A machine that was rented may still be there, so no other is rented.",
            "When the network is back: plaintune cloud doctor --end",
        )
    return rental


def _state(checkpoint: Path) -> str:
    """Tells the states of a checkpoint apart; empty where there is none."""
    state = checkpoint / STATE
    return file_sha256(state) if state.exists() else ""
