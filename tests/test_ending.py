"""Never leave a bill running: what ends a machine, with the cloud and its answers played by these tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plaintune.compute import cloud, doctor, own
from plaintune.compute.cloud import Run, Wish, open_to_us
from plaintune.compute.clouds import NoCredentials
from plaintune.compute.doctor import end_wrong, examine
from plaintune.compute.ending import end
from plaintune.compute.engine import CloudAway, Engine
from plaintune.compute.errand import Errand
from plaintune.compute.follow import Finished, Preempted
from plaintune.compute.interrupts import undisturbed
from plaintune.compute.machine import NoCapacity, is_running
from plaintune.compute.prices import price_list
from plaintune.compute.records import OWN, RUN, Rental, as_written, looking_after, rentals, write_rental
from plaintune.compute.rented import Work, rented_quotes
from plaintune.core.errors import UserError
from plaintune.core.events import Event, silent
from plaintune.core.settings import Settings

NOW = 1_000_000.0
RENTAL = Rental(
    "plaintune-1", RUN, "aws", "T4", True, 0.2, 0.8, NOW, NOW + 3600, "", since=NOW, cluster="plaintune-1-0",
    machines=1, account="1", machine="g4dn.xlarge",
)  # fmt: skip
SECURED = replace(RENTAL, secured=True, region="us-east-1")
QUOTES = list(rented_quotes(Work(1_000_000, 3.0), price_list(), gpu="T4", cloud="aws", spot=True))


def instance(*, purpose: str = RUN, spot: bool = True, state: str = "running") -> dict[str, Any]:
    tags = {
        "plaintune-rental": "plaintune-1", "plaintune-purpose": purpose,
        "plaintune-deadline": str(int(NOW + 3600)),
    }  # fmt: skip
    return {
        "id": "i-1", "region": "us-east-1", "zone": "us-east-1a", "type": "g4dn.xlarge", "state": state,
        "spot": spot, "since": NOW, "tags": tags,
    }  # fmt: skip


def overdue() -> dict[str, Any]:
    """An instance whose deadline is nine seconds past."""
    tags = {"plaintune-rental": "plaintune-1", "plaintune-deadline": str(int(NOW) - 9)}
    return {**instance(), "tags": tags}


def told(*instances: dict[str, Any], account: str = "1", **regions: dict[str, str]) -> dict[str, Any]:
    return {"found": list(instances), "account": account, "silent": {}, "closed": {}, **regions}


class Cloud:
    """Amazon and SkyPilot: gives the lists it was made with, the last one for ever; notes what is asked."""

    lacks = ""  # nothing of SkyPilot has to be installed

    def __init__(self, *lists: dict[str, Any] | Exception) -> None:
        self.lists = list(lists)
        self.asked: list[str] = []
        self.clouds: list[str] = []
        self.disk_left = False
        self.meanwhile: Callable[[], None] = lambda: None

    def on(self, cloud: str) -> Cloud:
        self.clouds.append(cloud)
        return self

    def enable(self, *, log: Path) -> None:
        pass

    def ask(self, what: str, **request: Any) -> Any:
        if what == "account":
            return {"account": "1"}
        if what == "leftover_volumes":
            return [{"id": "vol-1", "region": "us-east-1", "size_gib": 50}] if self.disk_left else []
        if what != "list":
            self.asked.append(what)
            return []
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sky(self, *arguments: str, log: Path, seconds: float | None = None) -> str:
        self.asked.append(f"sky {arguments[0]}")
        return ""

    def stop_server(self, *, log: Path) -> None:
        self.asked.append("stop server")
        self.meanwhile()


@pytest.fixture(autouse=True)
def waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nothing is waited for; what would have been."""
    monkeypatch.setenv("PLAINTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.time", lambda: NOW)
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


def ended(amazon: Any, rental: Rental, listener: Callable[[Event], None] = silent) -> bool:
    return end(amazon, write_rental(rental), listener).ended is not None


def test_amazon_is_asked_before_anything_else_and_one_look_is_enough_after_it() -> None:
    amazon = Cloud(told(instance()), told())
    assert ended(amazon, SECURED)
    assert amazon.asked == ["terminate", "stop server", "sky down"]
    assert as_written(RENTAL).ended is not None


def test_a_machine_that_was_only_just_ordered_is_not_taken_for_gone(waits: list[float]) -> None:
    amazon = Cloud(told(), told(instance()), told())
    assert ended(amazon, RENTAL)
    assert "terminate" in amazon.asked
    assert waits[0] == 10


@pytest.mark.parametrize(
    "answer",
    [
        CloudAway("no network"),
        told(account="2"),
        told(silent={"eu-west-1": "ConnectTimeoutError"}),
        told(closed={"us-east-1": "UnauthorizedOperation"}),
    ],
)
def test_what_amazon_did_not_say_is_no_proof_that_the_machine_is_gone(answer: Any) -> None:
    said: list[Event] = []
    assert not ended(Cloud(answer), SECURED, said.append)
    assert "plaintune cloud doctor --end" in said[-1].message
    assert as_written(RENTAL).ended is None


def test_a_region_without_an_answer_matters_no_more_once_the_machine_was_ended() -> None:
    assert ended(Cloud(told(instance()), told(silent={"eu-west-1": "ConnectTimeoutError"})), SECURED)


def test_neither_signals_nor_a_terminal_that_is_gone_keep_a_machine_from_being_ended() -> None:
    def gone(event: Event) -> None:
        raise OSError("Input/output error")

    def signals() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    amazon = Cloud(told(instance()), told())
    amazon.meanwhile = signals
    assert ended(amazon, SECURED, gone)
    assert signal.getsignal(signal.SIGTERM) is before


def test_whoever_ends_a_run_while_a_machine_is_being_ended_gets_no_other(tmp_path: Path) -> None:
    amazon = Cloud(told(instance()), told())
    going = run(amazon, tmp_path / "model")
    assert going._gone(write_rental(SECURED)).cluster is None
    amazon.lists = [told(instance()), told()]
    amazon.meanwhile = lambda: os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        going._gone(write_rental(SECURED))
    left = as_written(SECURED)
    assert (left.cluster, left.since) == (None, None)
    with undisturbed() as passed_over, undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
    assert passed_over.any


def test_a_disk_that_takes_no_log_does_not_stop_the_end(tmp_path: Path) -> None:
    Engine(tmp_path / "engine", tmp_path / "home").stop_server(log=tmp_path / "no" / "log")


def test_the_doctor_does_not_close_the_record_of_a_machine_that_is_being_rented(waits: list[float]) -> None:
    write_rental(RENTAL)
    amazon: Any = Cloud(told(), told(instance()))
    examined = examine(amazon)
    assert amazon.asked == ["stop server"]
    assert waits == [10]
    assert [one.why_not for one in examined.machines] == ["no plaintune looks after it any more"]
    assert as_written(RENTAL).ended is None
    examine(Cloud(told()))
    assert as_written(RENTAL).ended is not None


def test_the_doctor_leaves_the_server_to_a_run_that_uses_it() -> None:
    write_rental(RENTAL)
    write_rental(replace(SECURED, name="plaintune-2"))
    amazon: Any = Cloud(told())
    with looking_after(as_written(replace(RENTAL, name="plaintune-2"))):
        examine(amazon)
    assert amazon.asked == []
    assert as_written(RENTAL).ended is None


def test_the_doctor_closes_no_record_of_another_account() -> None:
    write_rental(RENTAL)
    examine(Cloud(told(account="2")))
    assert as_written(RENTAL).ended is None


@pytest.mark.parametrize(("spot", "now", "what"), [
    (True, NOW, []), (True, NOW + 4000, ["terminate"]), (False, NOW, []), (False, NOW + 4000, ["stop"]),
])  # fmt: skip
def test_a_machine_of_ones_own_is_left_alone_within_its_time(
    spot: bool, now: float, what: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rental(replace(SECURED, purpose=OWN, spot=spot))
    monkeypatch.setattr("time.time", lambda: now)
    amazon: Any = Cloud(told(instance(purpose=OWN, spot=spot)))
    end_wrong(amazon, examine(amazon))
    assert amazon.asked == what


def test_a_machine_that_is_not_on_record_here_is_not_said_to_be_in_use() -> None:
    (machine,) = examine(Cloud(told(instance(), silent={"eu-west-1": "timeout"}))).machines
    assert "rented from another computer, or its record is lost; it ends itself at" in str(machine)


def test_a_machine_of_ones_own_that_gets_no_timer_is_switched_off_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = write_rental(replace(SECURED, purpose=OWN, spot=False, since=None))
    monkeypatch.setattr(own, "set_timer", lambda engine, rental: False)
    amazon: Any = Cloud(told(instance(purpose=OWN, spot=False, state="stopped")))
    with pytest.raises(UserError, match="timer could not be set"):
        own.start(amazon, mine, offer=None, hours=1, listener=silent)
    assert amazon.asked == ["tag", "sky stop", "sky start", "stop server", "stop"]


def test_the_cloud_switches_a_machine_of_ones_own_off_before_skypilot_is_asked_and_without_its_help() -> None:
    class BrokenSky(Cloud):
        def sky(self, *arguments: str, log: Path, seconds: float | None = None) -> str:
            super().sky(*arguments, log=log)
            raise subprocess.TimeoutExpired("sky", seconds or 0.0)

    mine = write_rental(replace(SECURED, purpose=OWN, spot=False))
    on, off = (instance(purpose=OWN, spot=False, state=state) for state in ("running", "stopped"))
    amazon: Any = BrokenSky(told(on), told(off))
    assert own.stop(amazon, mine, silent).since is None
    assert amazon.asked == ["stop", "sky stop", "stop server"]


def test_what_a_machine_cost_before_it_switched_itself_off_stays_on_the_bill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = write_rental(replace(SECURED, purpose=OWN, spot=False))  # on since NOW, for an hour
    monkeypatch.setattr("time.time", lambda: NOW + 100_000)
    monkeypatch.setattr(own, "set_timer", lambda engine, rental: True)
    amazon: Any = Cloud(told(instance(purpose=OWN, spot=False, state="stopped")))
    assert own.start(amazon, mine, offer=None, hours=1, listener=silent).spent_usd == pytest.approx(0.2)


def run(amazon: Any, out: Path, *, minutes: float = 30, max_cost_usd: float = 2) -> Run:
    errand = Errand("reviews.csv", None, Settings(minutes=minutes), Work(1_000_000, 3.0), "")
    return Run(amazon, errand, out, Wish(max_cost_usd=max_cost_usd), price_list(), silent)


def ordered(rental: Rental) -> Rental:
    """As `launch` writes it down before it asks SkyPilot."""
    orders, machines = rental.orders + 1, rental.machines + 1
    return replace(rental, orders=orders, machines=machines, cluster="c", since=NOW)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Rental]:
    """Every machine that is rented; renting is played."""
    rented: list[Rental] = []

    def launch(engine: Any, rental: Rental, parcel: Path, listener: Any) -> Rental:
        rental = replace(ordered(rental), secured=True)
        rented.append(write_rental(replace(rental, region="us-east-1")))
        return rented[-1]

    monkeypatch.setattr(cloud, "launch", launch)
    monkeypatch.setattr(cloud, "pack", lambda folder, *given, **named: folder)
    return rented


def taken_back(*given: Any) -> None:
    raise Preempted


def test_after_two_machines_that_brought_no_new_checkpoint_no_third_is_rented(
    launched: list[Rental], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "follow", taken_back)
    with pytest.raises(UserError, match=r"2 machines have gone .* the last 2 without a new checkpoint"):
        run(Cloud(told()), tmp_path / "model").from_start(QUOTES)
    assert len(launched) == 2
    assert rentals()[0].ended is not None


def test_where_another_machine_is_sold_out_the_user_is_told_so(
    launched: list[Rental], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sold_out(*given: Any) -> Rental:
        raise NoCapacity("none left")

    def then_none(*given: Any) -> None:
        monkeypatch.setattr(cloud, "launch", sold_out)
        raise Preempted

    monkeypatch.setattr(cloud, "follow", then_none)
    with pytest.raises(UserError, match=r"has no other T4 to give now \(none left\)"):
        run(Cloud(told()), tmp_path / "model").from_start(QUOTES)


def test_no_machine_is_rented_while_another_may_still_be_there(
    launched: list[Rental], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "follow", taken_back)
    with pytest.raises(UserError, match="may still be there, so no other is rented"):
        run(Cloud(CloudAway("no network")), tmp_path / "model").from_start(QUOTES)
    assert len(launched) == 1


def test_what_a_failed_order_left_is_ended_by_its_own_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(engine: Any, rental: Rental, *given: Any) -> Rental:
        write_rental(ordered(rental))
        raise NoCapacity("none left")

    monkeypatch.setattr(cloud, "launch", fails)
    monkeypatch.setattr(cloud, "pack", lambda folder, *given, **named: folder)
    amazon = Cloud(told())
    with pytest.raises(UserError, match="to be had anywhere"):
        run(amazon, tmp_path / "model").from_start(QUOTES[:1])
    assert amazon.asked == ["stop server", "sky down", "stop server"]


def test_where_one_cloud_has_none_to_give_the_next_is_tried_with_its_own_account(
    launched: list[Rental], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Both(Cloud):
        def ask(self, what: str, **request: Any) -> Any:
            mine = {"account": f"of {self.clouds[-1]}"}
            return {**super().ask(what, **request), **mine} if what in ("account", "list") else []

    def only_google(engine: Any, rental: Rental, *given: Any) -> Rental:
        if rental.cloud == "aws":
            raise NoCapacity("sold out")
        return replace(launch(engine, rental, *given), region="us-central1")

    launch = cloud.launch
    monkeypatch.setattr(cloud, "launch", only_google)
    monkeypatch.setattr(cloud, "follow", lambda *given: Finished({}))
    monkeypatch.setattr(Run, "_home", lambda self, rental, finished: rental)
    google = rented_quotes(Work(1_000_000, 3.0), price_list(), gpu="T4", cloud="gcp", spot=True)
    rental: Any = run(Both(told()), tmp_path / "model").from_start([QUOTES[0], google[0]])
    assert (rental.cloud, rental.account, rental.machine) == ("gcp", "of gcp", "n1-standard-4")
    assert [one.cloud for one in launched] == ["gcp"]


def test_a_cloud_that_does_not_know_the_user_is_left_out_unless_none_does(tmp_path: Path) -> None:
    class OnlyAmazon(Cloud):
        def ask(self, what: str, **request: Any) -> Any:
            if self.clouds[-1] == "gcp":
                raise UserError("Google's cloud does not accept your credentials.", "gcloud init")
            return super().ask(what, **request)

    known = rented_quotes(Work(1_000_000, 3.0), price_list(), gpu="T4", spot=True, within=("aws", "gcp"))
    quotes = list(known)
    said: list[Event] = []
    amazon: Any = OnlyAmazon(told())
    assert [quote.offer.cloud for quote in open_to_us(amazon, quotes, said.append)] == ["aws"]
    assert "Google's cloud does not accept" in str(said)
    with pytest.raises(UserError, match="Google's cloud does not accept"):
        open_to_us(amazon, [quote for quote in quotes if quote.offer.cloud == "gcp"], silent)


def test_the_doctor_looks_into_every_cloud_and_one_that_is_silent_keeps_none_from_being_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoGoogle(Cloud):
        def ask(self, what: str, **request: Any) -> Any:
            if self.clouds[-1] == "gcp":
                raise CloudAway("no network")
            return super().ask(what, **request)

    monkeypatch.setattr(doctor, "open_to_user", lambda: ("aws", "gcp"))
    late = overdue()
    clouds: Any = NoGoogle(told(late), told())
    seen = examine(clouds)
    assert [(one.cloud, one.why_not) for one in seen.machines] == [("aws", "past its deadline")]
    assert seen.unseen == ("all of Google (no network)",)
    end_wrong(clouds, seen)
    assert "terminate" in clouds.asked
    with pytest.raises(CloudAway, match="no network"):
        examine(NoGoogle(CloudAway("no network")))  # type: ignore[arg-type]


def test_a_cloud_that_does_not_know_the_user_keeps_no_other_from_being_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stranger(Cloud):
        def ask(self, what: str, **request: Any) -> Any:
            if self.clouds[-1] == "aws":
                raise NoCredentials("Amazon's cloud does not accept your credentials.", "aws configure")
            self.asked.append(what)
            return super().ask(what, **request)

    monkeypatch.setattr(doctor, "open_to_user", lambda: ("aws", "gcp"))
    late = overdue()
    clouds: Any = Stranger(told(late), told())
    end_wrong(clouds, examine(clouds))
    assert "terminate" in clouds.asked


def test_credentials_that_are_no_longer_accepted_do_not_end_a_run() -> None:
    refused = NoCredentials("Amazon's cloud does not accept your credentials.", "aws configure")
    amazon: Any = Cloud(refused)
    assert is_running(amazon, SECURED) is None
    other: Any = Cloud(told(instance(), account="2"))
    with pytest.raises(UserError, match="account 1; these credentials are of 2"):
        is_running(other, SECURED)


def test_a_search_that_finds_nothing_costs_nothing(
    launched: list[Rental], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(engine: Any, rental: Rental, parcel: Path, listener: Any) -> Rental:
        write_rental(replace(ordered(rental), since=NOW - 1200))
        raise NoCapacity("sold out")

    monkeypatch.setattr(cloud, "launch", none)
    with pytest.raises(UserError, match="No machine that fits"):
        run(Cloud(told()), tmp_path / "model").from_start(QUOTES[:2])
    assert rentals()[0].spent_usd == 0.0


def test_an_order_that_found_nothing_is_not_counted_as_a_machine_that_was_taken_back(
    launched: list[Rental], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sold_out_at_first(engine: Any, rental: Rental, *given: Any) -> Rental:
        if rental.orders < 5:
            write_rental(ordered(rental))
            raise NoCapacity("sold out")
        return launch(engine, rental, *given)

    launch = cloud.launch
    monkeypatch.setattr(cloud, "launch", sold_out_at_first)
    monkeypatch.setattr(cloud, "follow", taken_back)
    with pytest.raises(UserError, match="2 machines have gone before"):
        run(Cloud(told()), tmp_path / "model").from_start(QUOTES[:1] * 6)
    assert [one.machines for one in launched] == [1, 2]


def test_a_disk_that_is_left_by_a_machine_the_doctor_ends_is_deleted_with_it() -> None:
    late = overdue()
    amazon: Any = Cloud(told(late), told())
    seen = examine(amazon)
    amazon.disk_left = True
    end_wrong(amazon, seen)
    assert amazon.asked == ["terminate", "delete_volumes"]


def test_a_cloud_that_does_not_end_a_machine_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(Cloud):
        def ask(self, what: str, **request: Any) -> Any:
            if what == "terminate" and self.clouds[-1] == "aws":
                raise CloudAway("not now")
            if what == "terminate":
                self.asked.append(f"terminate on {self.clouds[-1]}")
            return super().ask(what, **request)

    monkeypatch.setattr(doctor, "open_to_user", lambda: ("aws", "gcp"))
    late = overdue()
    clouds: Any = Stubborn(told(late))
    end_wrong(clouds, examine(clouds))
    assert "terminate on gcp" in clouds.asked


def test_without_credentials_nothing_is_noted_as_rented(tmp_path: Path) -> None:
    class Stranger(Cloud):
        def ask(self, what: str, **request: Any) -> Any:
            raise UserError("Amazon's cloud does not accept your credentials.", "aws configure")

    with pytest.raises(UserError, match="credentials"):
        run(Stranger(told()), tmp_path / "model").from_start(QUOTES)
    assert rentals() == []


def test_where_nobody_answers_the_machine_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[Rental] = []

    def follow(engine: Any, rental: Rental, *given: Any) -> None:
        followed.append(rental)
        raise UserError("seen", "enough")

    monkeypatch.setattr(cloud, "follow", follow)
    write_rental(SECURED)
    with pytest.raises(UserError, match="seen"):
        run(Cloud(CloudAway("no network")), tmp_path / "model").taken_up(SECURED)
    assert followed == [SECURED]


def test_a_machine_whose_order_was_cut_off_is_ended_before_another_is_rented(tmp_path: Path) -> None:
    amazon = Cloud(told(instance()), told())
    run(amazon, tmp_path / "model").clear_away(write_rental(RENTAL))
    assert "terminate" in amazon.asked
    assert as_written(RENTAL).ended is not None


def test_the_job_gets_the_minutes_that_the_money_is_for_and_goes_on_with_them(tmp_path: Path) -> None:
    out = tmp_path / "model"
    dearest = max(o.on_demand_usd for o, _ in price_list().cheapest(gpu="T4", cloud="aws", spot=False))
    poor = run(Cloud(told()), out, minutes=60, max_cost_usd=dearest * 40 / 60)
    order = write_rental(poor._order(QUOTES[0]))
    assert order.minutes == 23  # of 40, 7 for the set-up and 10 to come home
    rich = run(Cloud(told()), out, minutes=60, max_cost_usd=9)
    assert rich._order(QUOTES[0]).minutes == 60
    (tmp_path / "model.plaintune-checkpoint").mkdir()  # it is for 23 minutes
    assert rich._order(QUOTES[0]).minutes == 23


def test_where_the_machine_stands_decides_how_long_the_money_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "set_timer", lambda engine, rental: True)
    here = replace(SECURED, deadline=NOW + 36_000, minutes=30)
    one = run(Cloud(told()), tmp_path / "model")
    assert one._within_means(here) == here
    offers = [
        o for o in price_list().offers if (o.cloud, o.machine, o.gpu) == ("aws", here.machine, here.gpu)
    ]
    dear = max(offers, key=lambda offer: offer.on_demand_usd)
    rented = one._within_means(replace(here, spot=False, price_usd=0.1, region=dear.region))
    assert rented.price_usd == dear.on_demand_usd
    far = one._within_means(replace(here, region="mars-north-1"))
    assert far.deadline == pytest.approx(NOW + 3600 * 2 / far.most_usd)
    assert far.most_usd > here.most_usd
    with pytest.raises(UserError, match="in mars-north-1, where it may cost"):
        run(Cloud(told()), tmp_path / "model", max_cost_usd=0.5)._within_means(
            replace(here, region="mars-north-1")
        )
