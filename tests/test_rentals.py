"""Around a rental, without a cloud: records, parcels, money, and what failures mean for the user."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Cli, review_rows, write_csv
from plaintune.compute import doctor
from plaintune.compute.cloud import Wish, affordable
from plaintune.compute.errand import Errand, prepare
from plaintune.compute.machine import NoCapacity, config_of, explain_failure, task_of
from plaintune.compute.parcel import JOB, fingerprint, pack, requirements
from plaintune.compute.prices import price_list
from plaintune.compute.records import (
    OWN,
    RUN,
    Rental,
    close,
    forgotten,
    is_looked_after,
    looking_after,
    unfinished,
    write_rental,
)
from plaintune.compute.rented import Work
from plaintune.compute.worker import settings_from_json
from plaintune.core.errors import UserError
from plaintune.core.events import silent
from plaintune.core.settings import Settings
from plaintune.core.tasks import Task

RENTAL = Rental("plaintune-1", RUN, "aws", "T4", True, 0.2, 0.5, 1000.0, 4600.0, "/here/model", since=1000.0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAINTUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def errand(tokens: int) -> Errand:
    return Errand("reviews.csv", None, Settings(), Work(tokens, 3.0), "")


def hold(seconds: float) -> None:
    with looking_after(RENTAL):
        time.sleep(seconds)


def test_a_rental_whose_process_was_killed_is_found_and_a_living_one_is_left_alone() -> None:
    write_rental(RENTAL)
    process = multiprocessing.get_context("fork").Process(target=hold, args=(60,))
    process.start()
    while not (RENTAL.folder / "lock").exists() or forgotten():
        time.sleep(0.05)
    process.kill()
    process.join()
    assert forgotten() == [RENTAL]
    close(RENTAL)
    assert forgotten() == []


def test_the_next_command_says_that_a_machine_may_be_running(cli: Cli, tmp_path: Path) -> None:
    write_rental(RENTAL)
    said = cli("glossary", "GPU", cwd=tmp_path)
    assert said.returncode == 0
    assert said.stderr.startswith("Careful: a rented T4 may still be running and costing money")
    assert "plaintune cloud doctor" in said.stderr


def test_a_machine_of_ones_own_that_is_kept_is_not_forgotten() -> None:
    write_rental(replace(RENTAL, purpose=OWN, secured=True))
    assert forgotten() == []


def test_a_machine_of_ones_own_whose_order_was_cut_off_is_not_kept_in_silence() -> None:
    cut_off = write_rental(replace(RENTAL, purpose=OWN))
    assert forgotten() == [cut_off]


def test_who_looks_whether_a_rental_is_looked_after_is_not_taken_for_its_keeper() -> None:
    write_rental(RENTAL)
    (RENTAL.folder / "lock").touch()
    with (RENTAL.folder / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_looked_after(RENTAL)
    with looking_after(RENTAL):
        assert is_looked_after(RENTAL)


def test_a_second_keeper_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with looking_after(RENTAL), pytest.raises(UserError, match="at work on this"), looking_after(RENTAL):
        pass


def test_a_second_run_waits_for_the_first() -> None:
    write_rental(RENTAL)
    with looking_after(RENTAL), pytest.raises(UserError, match="Another plaintune is training /here/model"):
        unfinished(Path("/elsewhere"))
    assert unfinished(Path("/elsewhere")) is None
    assert unfinished(Path("/here/model")) == RENTAL


def test_no_copy_of_the_data_outlives_the_machine() -> None:
    write_rental(RENTAL)
    (RENTAL.folder / "parcel").mkdir()
    close(RENTAL)
    assert not (RENTAL.folder / "parcel").exists()


def test_what_a_rental_costs_is_counted_over_all_its_machines() -> None:
    assert RENTAL.cost_usd(now=1000.0 + 1800) == pytest.approx(0.1)
    assert replace(RENTAL, spent_usd=0.5).cost_usd(now=1000.0 + 1800) == pytest.approx(0.6)
    assert replace(RENTAL, since=None, spent_usd=0.5).cost_usd(now=9e9) == 0.5


def test_only_quotes_that_fit_at_the_highest_price_are_offered() -> None:
    prices = price_list()
    quotes = affordable(errand(1_000_000), Wish(max_cost_usd=0.15), prices)
    assert all(quote.offer.on_demand_usd * quote.minutes / 60 <= 0.15 for quote in quotes)
    with pytest.raises(UserError, match=r"Nothing fits into \$0.01. The cheapest would be") as refused:
        affordable(errand(1_000_000), Wish(max_cost_usd=0.01), prices)
    assert "--max-cost" in refused.value.fix


def test_a_cloud_where_the_end_of_a_machine_is_not_tested_is_not_rented_from() -> None:
    with pytest.raises(UserError, match="does not rent from lambda"):
        affordable(errand(1_000_000), Wish(cloud="lambda"), price_list())


def test_a_machine_ends_itself_before_the_money_is_gone_and_gets_no_keys() -> None:
    config = config_of(RENTAL, now=1000.0)
    (timer,) = config["aws"].pop("post_provision_runcmd")
    assert timer.endswith("m=60; shutdown -P +$m")
    assert config.pop("aws") == {"remote_identity": "SERVICE_ACCOUNT"}
    assert set(config) == {"gcp", "azure", "kubernetes"}
    assert all(cloud == {"remote_identity": "NO_UPLOAD"} for cloud in config.values())
    kept = config_of(replace(RENTAL, purpose=OWN, spot=False), now=1000.0)["aws"]["post_provision_runcmd"]
    assert kept[1] == "echo '@reboot root /sbin/shutdown -P +60' | tee /etc/cron.d/plaintune >/dev/null"
    resources = task_of(replace(RENTAL, machine="g4dn.xlarge"), Path("parcel"), 1000.0)["resources"]
    assert resources["instance_type"] == "g4dn.xlarge"
    assert resources["labels"]["plaintune-rental"] == "plaintune-1"
    assert resources["labels"]["plaintune-deadline"] == "4600"
    assert resources["autostop"]["down"] is True


def test_several_machines_cost_as_many_times_as_much_and_meet_at_the_first() -> None:
    one = affordable(errand(1_000_000), Wish(gpu="T4", spot=True, max_cost_usd=5), price_list())[0]
    two = affordable(errand(1_000_000), Wish(gpu="T4", spot=True, max_cost_usd=5, machines=2), price_list())[
        0
    ]
    assert two.price_usd == pytest.approx(2 * one.price_usd)
    assert one.minutes / 2 < two.minutes < one.minutes
    assert two.cost_usd == pytest.approx(two.price_usd * two.minutes / 60)
    assert str(two).startswith("2 × T4 spot")
    task = task_of(replace(RENTAL, nodes=2), Path("parcel"), 1000.0)
    assert task["num_nodes"] == 2
    assert "torch.distributed.run --nnodes $SKYPILOT_NUM_NODES" in task["run"]
    assert "torch.distributed" not in task_of(RENTAL, Path("parcel"), 1000.0)["run"]


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("... MaxSpotInstanceCountExceeded ...", "its quota is too small"),
        ("VcpuLimitExceeded: You have requested more vCPU", "its quota is too small"),
        ("NoCloudAccessError: No cloud access is set up", "no way into aws"),
        ("ResourcesUnavailableError: Found no quota for g4dn.xlarge spot in us-east-1", "quota is too small"),
        (
            "VcpuLimitExceeded: You have requested more vCPU capacity than your limit of 0",
            "quota is too small",
        ),
        ("Something odd\nat the end", "could not be rented: at the end"),
    ],
)
def test_what_skypilot_says_becomes_what_the_user_can_do(said: str, meaning: str) -> None:
    failure = explain_failure(said, RENTAL)
    assert isinstance(failure, UserError)
    assert meaning in failure.problem


@pytest.mark.parametrize(
    "said",
    [
        "sky.exceptions.ResourcesUnavailableError: Failed to provision all possible launchable resources.",
        "Found no quota for g4dn.xlarge in us-west-2.\n(InsufficientInstanceCapacity) in us-east-1",
    ],
)
def test_a_zone_without_capacity_is_no_error_of_the_users(said: str) -> None:
    assert isinstance(explain_failure(said, RENTAL), NoCapacity)


def test_the_parcel_holds_all_that_the_machine_needs_and_installs_anywhere(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    settings = Settings(minutes=7, label=("sentiment",), task=Task.SINGLE)
    folder = pack(tmp_path / "parcel", str(data), None, settings)
    job = json.loads((folder / JOB).read_text())
    assert (folder / job["source"]).read_text() == data.read_text()
    assert settings_from_json(job["settings"]) == settings
    assert any(line.startswith("torch") for line in requirements())
    assert not any(line.startswith("pytest") for line in requirements())
    (wheel,) = folder.glob("*.whl")
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel],
        check=True,
    )
    assert (target / "plaintune" / "compute" / "worker.py").exists()
    assert (target / "plaintune" / "compute" / "prices.csv").exists()


def test_a_gitignore_among_the_data_keeps_nothing_from_the_machine(tmp_path: Path) -> None:
    data = tmp_path / "texts"
    data.mkdir()
    (data / ".gitignore").write_text("*.csv\n")
    write_csv(data / "reviews.csv", ["review", "sentiment"], review_rows())
    folder = pack(tmp_path / "parcel", str(data), None, Settings())
    assert (folder / ".skyignore").read_text() == ""  # SkyPilot takes it in the place of .gitignore


def test_private_data_and_the_size_of_the_work_are_known_before_anything_is_rented(tmp_path: Path) -> None:
    rows = [(f"{text}, mail {n}@example.org", label) for n, (text, label) in enumerate(review_rows())]
    data = write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], rows)
    known = prepare(str(data), None, Settings(), silent)
    assert known.private == "120 of 120 texts looked at hold what looks like private data (e-mail)."
    assert 1_000 < known.work.tokens < 4_000


@pytest.mark.parametrize(
    ("rental", "own", "state", "now", "verdict"),
    [
        (RENTAL, False, "running", 4700.0, "past its deadline"),
        (RENTAL, False, "running", 2000.0, "no plaintune looks after it any more"),
        (replace(RENTAL, ended=1500.0), False, "running", 2000.0, "should have ended"),
        (None, False, "running", 2000.0, ""),
        (None, False, "running", 4700.0, "past its deadline"),
        (replace(RENTAL, purpose=OWN), True, "stopped", 4700.0, ""),
        (replace(RENTAL, purpose=OWN), True, "running", 4700.0, "past its deadline"),
        (replace(RENTAL, purpose=OWN, spot=True), True, "running", 2000.0, ""),
        (replace(RENTAL, purpose=OWN, spot=True), True, "running", 4700.0, "past its deadline"),
    ],
)
def test_the_doctor_knows_what_should_not_be_there(
    rental: Rental | None, own: bool, state: str, now: float, verdict: str
) -> None:
    assert doctor._why_not(rental, own, state, 4600.0, now) == verdict


def test_a_machine_that_ends_itself_costs_nothing_after_its_deadline() -> None:
    assert replace(RENTAL, secured=True).cost_usd(now=9e9) == pytest.approx(0.2)
    assert RENTAL.cost_usd(now=1000.0 + 7200) == pytest.approx(0.4)  # nobody has seen that it will


def test_a_machine_that_is_off_is_not_billed_by_the_hour() -> None:
    off = replace(RENTAL, purpose=OWN, since=None, spent_usd=0.5, secured=True)
    assert doctor._cost(off, "stopped", 168.0, 9e9) == 0.5
    assert doctor._cost(RENTAL, "running", 2.0, 2000.0) == pytest.approx(0.4)


def test_the_next_machine_of_a_run_gets_the_data_that_the_run_began_with(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())
    as_begun = data.read_text()
    pack(tmp_path / "parcel", str(data), None, Settings(minutes=7))
    data.write_text("half saved")
    folder = pack(tmp_path / "parcel", str(data), None, Settings(minutes=5))
    job = json.loads((folder / JOB).read_text())
    assert (folder / job["source"]).read_text() == as_begun
    assert job["settings"]["minutes"] == 5


def test_other_data_or_settings_are_another_run_and_other_minutes_are_not(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", ["review", "sentiment"], review_rows())

    def asked(**said: object) -> str:
        return fingerprint(str(data), None, Settings(**said))  # type: ignore[arg-type]

    first = asked()
    assert asked(minutes=5) == first
    assert asked(label=("sentiment",)) != first
    data.write_text(data.read_text().replace("lovely", "awful", 1) + "One more,positive\n")
    assert asked() != first


def test_what_is_sent_away_lies_where_nobody_else_may_look(home: Path) -> None:
    write_rental(RENTAL)
    assert (home / "cloud").stat().st_mode & 0o777 == 0o700
