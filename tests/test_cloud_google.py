"""Renting from Google: what ends a machine there, and what SkyPilot would order, without an account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud.google import PROJECT, TOKEN, Google, google
from cloud.lab import ENVIRONMENT
from cloud.skypilot import NEEDS_SKYPILOT, order_of
from plaintune.compute.clouds import GCP, open_to_user
from plaintune.compute.doctor import end_wrong, examine
from plaintune.compute.ending import end
from plaintune.compute.engine import VERSION, CloudAway, Engine
from plaintune.compute.machine import account_of
from plaintune.compute.power import end_by_itself
from plaintune.compute.ready import steps_to
from plaintune.compute.records import OWN, RUN, Rental, write_rental
from plaintune.core.errors import UserError
from plaintune.core.events import silent

pytestmark = [pytest.mark.cloud, NEEDS_SKYPILOT]
NAME = "plaintune-12345678"
Playing = tuple[Google, Engine]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Playing]:
    """Google, and SkyPilot's environment for somebody whose only account is there."""
    for variable in [one for one in os.environ if one.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_"))]:
        monkeypatch.delenv(variable)
    with google(tmp_path / "user") as (books, environment):
        for variable, value in {**environment, "PLAINTUNE_HOME": str(tmp_path / "plaintune")}.items():
            monkeypatch.setenv(variable, value)
        home = tmp_path / "plaintune" / "cloud" / "home"
        home.mkdir(parents=True)
        yield books, Engine(ENVIRONMENT, home).on("gcp")


def rented(purpose: str = RUN, *, spot: bool = True, left: float = 3600.0, **more: Any) -> Rental:
    now = time.time()
    return Rental(
        NAME, purpose, "gcp", "T4", spot, 0.2, 0.8, now, now + left, "", region="us-central1",
        cluster=f"{NAME}-0", machines=1, account=PROJECT, machine="n1-standard-4", secured=True, **more,
    )  # fmt: skip


def labels(purpose: str = RUN, left: float = 3600.0) -> dict[str, str]:
    return {
        "plaintune-rental": NAME, "plaintune-purpose": purpose,
        "plaintune-deadline": str(int(time.time() + left)),
    }  # fmt: skip


def test_who_has_an_account_at_google_only_is_known(cloud: Playing) -> None:
    assert open_to_user() == ("gcp",)
    assert account_of(cloud[1]) == PROJECT


def test_the_doctor_ends_what_is_past_its_deadline_and_stops_what_is_kept(cloud: Playing) -> None:
    books, engine = cloud
    books.rent(f"{NAME}-0-head", **labels(left=-60))
    books.rent("somebody-elses")
    kept = books.rent("plaintune-87654321-0-head", zone="europe-west4-a", **labels(OWN, left=-60))
    seen = examine(engine)
    assert [(one.id, one.why_not, one.keeps_disk) for one in seen.machines] == [
        (f"us-central1-a/{NAME}-0-head", "past its deadline", False),
        (kept, "past its deadline", True),
    ]
    left = end_wrong(engine, seen)
    assert [(one.id, one.state, one.why_not) for one in left.machines] == [(kept, "stopped", "")]
    assert "us-central1-a/somebody-elses" in books.machines


def test_a_disk_that_outlived_its_machine_is_found_and_deleted(cloud: Playing) -> None:
    books, engine = cloud
    at = books.rent(f"{NAME}-0-head", **labels(left=-60))
    books.rent("somebody-elses")
    end_wrong(engine, examine(engine))
    assert at not in books.machines
    left = end_wrong(engine, examine(engine))
    assert (left.disks, at in books.disks) == ((), False)
    assert "us-central1-a/somebody-elses" in books.disks


def test_a_machine_that_powers_off_deletes_itself_and_its_disk(cloud: Playing, tmp_path: Path) -> None:
    books, engine = cloud
    at = books.rent(f"{NAME}-0-head", **labels())
    engine.ask("die_on_shutdown", instances=[{"id": at}])
    script = (
        end_by_itself(rented(), time.time()).split("plaintune-end >/dev/null <<'END'\n")[1].split("END\n")[0]
    )
    answers = {
        "service-accounts/default/token": json.dumps({"access_token": TOKEN, "expires_in": 3599}),
        "zone": f"projects/{PROJECT}/zones/us-central1-a", "name": f"{NAME}-0-head",
    }  # fmt: skip
    metadata = tmp_path / "computeMetadata" / "v1" / "instance"
    for name, answer in answers.items():
        (metadata / name).parent.mkdir(parents=True, exist_ok=True)
        (metadata / name).write_text(answer)
    addresses = {
        "METADATA": f"file://{tmp_path}",
        "COMPUTE": os.environ["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"].rstrip("/"),
    }
    done = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **addresses}, capture_output=True, text=True, check=True
    )
    engine.ask("terminate", instances=[{"id": f"us-central1-a/{NAME}-9-none"}])  # gone is as good as ended
    books.answer("GET", f"/compute/v1/projects/{PROJECT}/zones/us-central1-a/operations/"
                 f"{json.loads(done.stdout)['name']}", {}, None)  # fmt: skip
    assert (at in books.machines, at in books.disks) == (False, False)


def test_a_run_is_ended_and_a_zone_that_does_not_answer_is_no_proof_of_it(cloud: Playing) -> None:
    books, engine = cloud
    books.rent(f"{NAME}-0-head", **labels())
    books.silent.add("us-central1-b")
    assert end(engine, write_rental(rented()), silent).ended is None
    assert books.machines == {}
    books.silent.clear()
    assert end(engine, write_rental(rented()), silent).ended is not None
    engine.stop_server(log=engine.home / "log")


def test_deadline_and_gpu_of_a_kept_machine_are_changed(cloud: Playing) -> None:
    books, engine = cloud
    at = books.rent(f"{NAME}-0-head", spot=False, **labels(OWN))
    engine.ask("tag", instances=[{"id": at}], tags={"plaintune-deadline": "5"})
    assert books.machines[at]["labels"]["plaintune-deadline"] == "5"
    assert books.machines[at]["labels"]["plaintune-rental"] == NAME
    engine.ask("change_type", instances=[{"id": at}], type="n1-standard-4", gpu="V100")
    (card,) = books.machines[at]["guestAccelerators"]
    assert card["acceleratorType"].endswith("nvidia-tesla-v100")
    with pytest.raises(CloudAway, match="does not let n1-standard-4 become g2-standard-4"):
        engine.ask("change_type", instances=[{"id": at}], type="g2-standard-4", gpu="L4")


def test_quotas_and_a_way_of_paying_are_looked_up(cloud: Playing) -> None:
    said = [str(step) for step in steps_to(GCP, cloud[1], None)]
    assert said[0] == f"gcp: credentials (account {PROJECT}): ok"
    assert "quota 'GPUS_ALL_REGIONS' in us-central1: 0: MISSING" in said[1]
    assert "PREEMPTIBLE_NVIDIA_T4_GPUS' in us-central1: 1: ok" in said[2]
    assert "a way of paying: MISSING. A trial account gets no GPU until" in said[4]


def test_refusals_say_what_to_do(cloud: Playing, monkeypatch: pytest.MonkeyPatch) -> None:
    books, engine = cloud
    books.refuses = True
    with pytest.raises(CloudAway, match="API has not been used"):
        engine.ask("list", regions=None)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with pytest.raises(UserError, match="Google's cloud does not accept your credentials") as refused:
        account_of(engine)
    assert "gcloud auth application-default login" in refused.value.fix


def test_a_zone_is_asked_for_its_gpus_by_the_command_line(cloud: Playing) -> None:
    folder = Path(os.environ["PLAINTUNE_HOME"]) / "cloud" / f"skypilot-{VERSION}"
    (ENVIRONMENT / "ready").touch()
    folder.symlink_to(ENVIRONMENT)

    def ask(zone: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "plaintune", "cloud", "test-zone", zone, "T4"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    assert "Google has the T4 (n1-standard-4) in us-central1-a." in (there := ask("us-central1-a")).stdout, (
        there
    )
    assert "Google does not have the T4" in ask("us-central1-b").stderr


@pytest.mark.parametrize(("gpu", "machine"), [("T4", "n1-standard-4"), ("L4", "g2-standard-4")])
def test_skypilot_would_order_a_machine_that_is_labelled_and_goes_with_its_disk_and_gets_no_keys(
    gpu: str, machine: str, tmp_path: Path
) -> None:
    rental = Rental(NAME, RUN, "gcp", gpu, True, 0.2, 0.8, 1000.0, 4600.0, "", machine=machine)
    for name in ("credentials.db", "access_tokens.db", "application_default_credentials.json"):
        (tmp_path / ".config" / "gcloud").mkdir(parents=True, exist_ok=True)
        (tmp_path / ".config" / "gcloud" / name).write_text("{}")
    order = order_of(rental, tmp_path)
    node = order["available_node_types"]["ray_head_default"]["node_config"]
    assert (node["machineType"], node["labels"]["plaintune-rental"]) == (machine, NAME)
    assert (node["disks"][0]["autoDelete"], node["scheduling"]["instanceTerminationAction"]) == (
        True,
        "DELETE",
    )
    assert not [path for path in order["file_mounts"] if "gcloud" in path]
