"""Renting from Microsoft: what ends a machine there, and what SkyPilot would order, without an account."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import plaintune
from cloud.azure_manager import SUBSCRIPTION, TOKEN, Azure, azure
from cloud.lab import ENVIRONMENT
from cloud.skypilot import NEEDS_SKYPILOT, SHIPPED_PRICES, order_of
from plaintune.compute import machine, own
from plaintune.compute.clouds import AZURE, CLOUDS, open_to_user
from plaintune.compute.doctor import end_wrong, examine
from plaintune.compute.ending import delete_disks, end
from plaintune.compute.engine import VERSION, CloudAway, Engine
from plaintune.compute.machine import account_of, explain_failure, is_running, secure
from plaintune.compute.own import State
from plaintune.compute.power import end_by_itself
from plaintune.compute.ready import steps_to
from plaintune.compute.records import OWN, RUN, Rental, write_rental
from plaintune.core.errors import UserError
from plaintune.core.events import silent

pytestmark = [pytest.mark.cloud, NEEDS_SKYPILOT]
RENTAL = "plaintune-12345678"
NAME = f"{RENTAL}-0-ab12cd34"  # as SkyPilot makes it, for a group and a machine
AZ = """#!/bin/sh
[ "$*" = "account get-access-token --resource https://management.azure.com/ --output json" ] || exit 2
[ -e "$AZURE_CONFIG_DIR/msal_token_cache.json" ] || { echo "ERROR: Please run 'az login'." >&2; exit 1; }
echo '{"accessToken": "TOKEN", "subscription": "SUBSCRIPTION"}'
"""
Playing = tuple[Azure, Engine]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Playing]:
    """Azure, and SkyPilot's environment for somebody whose only account is there; `az` only gives a token."""
    for variable in [one for one in os.environ if one.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_"))]:
        monkeypatch.delenv(variable)
    (tmp_path / "user" / ".azure").mkdir(parents=True)
    (tmp_path / "user" / ".azure" / "msal_token_cache.json").write_text("{}")
    programs = tmp_path / "engine" / "bin"
    programs.mkdir(parents=True)
    lines = {"az": AZ.replace("TOKEN", TOKEN).replace("SUBSCRIPTION", SUBSCRIPTION)}
    lines |= {name: f'#!/bin/sh\nexec "{ENVIRONMENT}/bin/{name}" "$@"\n' for name in ("python", "sky")}
    for name, written in lines.items():
        (programs / name).write_text(written)
        (programs / name).chmod(0o755)
    with azure(tmp_path / "user") as (books, address):
        monkeypatch.setenv("HOME", str(tmp_path / "user"))
        monkeypatch.setenv("AZURE_RESOURCE_MANAGER", address)
        monkeypatch.setenv("AZURE_LOOK_SECONDS", "0")
        monkeypatch.setenv("PLAINTUNE_HOME", str(tmp_path / "plaintune"))
        home = tmp_path / "plaintune" / "cloud" / "home"
        home.mkdir(parents=True)
        yield books, Engine(tmp_path / "engine", home).on("azure")


def rented(purpose: str = RUN, *, spot: bool = True, left: float = 3600.0, **more: Any) -> Rental:
    now = time.time()
    return Rental(
        RENTAL, purpose, "azure", "T4", spot, 0.06, 0.6, now, now + left, "", region="eastus",
        cluster=f"{RENTAL}-0", machines=1, account=SUBSCRIPTION, machine="Standard_NC4as_T4_v3", secured=True,
        **more,
    )  # fmt: skip


def tags(purpose: str = RUN, left: float = 3600.0, name: str = RENTAL) -> dict[str, str]:
    return {
        "plaintune-rental": name, "plaintune-purpose": purpose,
        "plaintune-deadline": str(int(time.time() + left)),
    }  # fmt: skip


def powering_off(rental: Rental, books: Azure, until: Callable[[], bool]) -> None:
    """What the service on the machine does when it goes down, until that has had its effect."""
    whole = end_by_itself(rental, time.time())
    script = whole.split("plaintune-end >/dev/null <<'END'\n")[1].split("END\n")[0]
    address = os.environ["AZURE_RESOURCE_MANAGER"]
    with subprocess.Popen(
        ["sh", "-c", script],
        env={**os.environ, "METADATA": address, "MANAGER": address, "PAUSE": "0.2"},
        stdout=subprocess.DEVNULL,
    ) as service:
        deadline = time.monotonic() + 30
        try:
            while not until() and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            service.kill()
    assert until(), books.asked


def test_who_has_an_account_at_azure_only_is_known(cloud: Playing) -> None:
    assert open_to_user() == ("azure",)
    assert account_of(cloud[1]) == SUBSCRIPTION


def test_the_doctor_ends_what_is_past_its_deadline_and_gives_back_what_is_kept(cloud: Playing) -> None:
    books, engine = cloud
    late = books.rent(NAME, **tags(left=-60))
    books.rent("somebody-elses")
    kept = books.rent("plaintune-87654321-0-ab12cd34", region="westus3", spot=False,
                      **tags(OWN, left=-60, name="plaintune-87654321"))  # fmt: skip
    seen = examine(engine)
    assert [(one.id, one.why_not, one.keeps_disk, one.zone) for one in seen.machines] == [
        (late, "past its deadline", False, "eastus"),
        (kept, "past its deadline", True, "westus3"),
    ]
    left = end_wrong(engine, seen)
    assert [(one.id, one.state, one.why_not) for one in left.machines] == [(kept, "stopped", "")]
    assert books.machines[kept]["power"] == "deallocated"
    assert late.partition("/")[0] not in books.others
    assert "somebody-elses-eastus/somebody-elses-1a2b-0" in books.machines


def test_a_machine_that_only_powered_off_is_not_taken_for_one_that_costs_nothing(cloud: Playing) -> None:
    books, engine = cloud
    off = books.rent(NAME, spot=False, power="stopped", **tags(OWN))
    (seen,) = examine(engine).machines
    assert (seen.state, seen.why_not) == ("off but paid for", "it powered off and does not end by that")
    assert State(rented(OWN, spot=False), off, "eastus", seen.state).is_paid
    assert is_running(engine, rented(OWN, spot=False)) is False
    end_wrong(engine, examine(engine))
    assert books.machines[off]["power"] == "deallocated"


def test_stop_gives_back_a_machine_that_only_powered_off(
    cloud: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    books, engine = cloud
    off = books.rent(NAME, spot=False, power="stopped", **tags(OWN))
    monkeypatch.setattr(own, "_tell_sky_to_stop", lambda *_: None)
    monkeypatch.setattr(Engine, "stop_server", lambda *_, **__: None)
    assert own.stop(engine, write_rental(rented(OWN, spot=False)), silent).since is None
    assert books.machines[off]["power"] == "deallocated"


def test_what_is_left_in_a_group_without_a_machine_is_found_and_deleted(cloud: Playing) -> None:
    books, engine = cloud
    now = datetime.now(UTC).isoformat()
    books.leave(f"{NAME}-eastus")
    books.leave("plaintune-87654321-0-ab12cd34-eastus", created=now)  # waits for its machine
    books.leave("plaintune-notes-eastus")
    kept = books.rent("plaintune-11111111-0-ab12cd34", spot=False, power="deallocated",
                      **tags(OWN, name="plaintune-11111111"))  # fmt: skip
    seen = examine(engine)
    assert [(disk["id"], disk["what"]) for disk in seen.disks] == [(f"{NAME}-eastus", "a resource group")]
    left = end_wrong(engine, seen)
    assert left.disks == ()
    assert set(books.others) == {
        "plaintune-87654321-0-ab12cd34-eastus", "plaintune-notes-eastus", kept.partition("/")[0],
    }  # fmt: skip
    delete_disks(engine, "plaintune-87654321")
    assert account_of(engine)
    books.answer("GET", "/subscriptions/none", {}, None)
    assert "plaintune-87654321-0-ab12cd34-eastus" not in books.others


def test_a_machine_that_powers_off_deletes_its_whole_group_however_often_azure_refuses(
    cloud: Playing,
) -> None:
    books, _ = cloud
    at = books.rent(NAME, **tags())
    books.refusals = 4  # twice the group, twice the machine
    powering_off(rented(), books, lambda: at not in books.machines)
    assert books.others == {}


def test_a_group_that_may_not_be_deleted_keeps_no_machine_alive(cloud: Playing) -> None:
    books, engine = cloud
    at = books.rent(NAME, **tags())
    books.refusals = 1
    engine.ask("terminate", instances=[{"id": at, "region": "eastus"}])
    assert (at in books.machines, f"{NAME}-eastus" in books.others) == (False, True)


def test_a_machine_that_is_kept_is_given_back_when_it_powers_off(cloud: Playing) -> None:
    books, _ = cloud
    at = books.rent(NAME, spot=False, **tags(OWN))
    books.refusals = 2
    asked = rented(OWN, spot=False)
    powering_off(asked, books, lambda: books.machines[at]["power"] in ("deallocating", "deallocated"))
    assert not any(line.startswith("DELETE") for line in books.asked)


def test_a_run_is_ended_and_counts_as_ended_only_when_azure_shows_it_gone(cloud: Playing) -> None:
    books, engine = cloud
    at = books.rent(NAME, **tags())
    books.mute.add(at)
    assert is_running(engine, rented()) is True
    assert end(engine, write_rental(rented()), silent).ended is not None
    assert (books.machines, books.others) == ({}, {})
    engine.stop_server(log=engine.home / "log")


def test_a_machine_without_the_right_to_end_itself_is_not_kept(
    cloud: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    books, engine = cloud
    at = books.rent(NAME, spot=False, **tags(OWN))
    there: list[str] = []

    def runs(_: object, cluster: str, shell: str, **more: object) -> bool:
        there.append(shell)
        return False

    monkeypatch.setattr(machine, "runs_there", runs)
    monkeypatch.setattr(machine, "SECURE_WAIT_SECONDS", 0.0)
    with pytest.raises(UserError, match="did not get the service that ends it"):
        secure(engine, rented(OWN, spot=False), silent)
    assert "systemctl -q is-active plaintune-end" in there[0]
    monkeypatch.setattr(machine, "runs_there", lambda *_, **__: True)
    assert secure(engine, rented(OWN, spot=False), silent).secured
    books.rights[at.partition("/")[0]] = []
    with pytest.raises(CloudAway, match="has no right to end itself"):
        secure(engine, rented(OWN, spot=False), silent)


def test_deadline_and_gpu_of_a_kept_machine_are_changed(cloud: Playing) -> None:
    books, engine = cloud
    at = books.rent(NAME, spot=False, **tags(OWN))
    where = [{"id": at, "region": "eastus"}]
    engine.ask("tag", instances=where, tags={"plaintune-deadline": "5"})
    assert books.machines[at]["tags"]["plaintune-deadline"] == "5"
    assert books.machines[at]["tags"]["plaintune-rental"] == RENTAL
    wanted = {"type": "Standard_NC24ads_A100_v4", "gpu": "A100-80GB"}
    with pytest.raises(CloudAway, match="not deallocated"):
        engine.ask("change_type", instances=where, **wanted)
    engine.ask("stop", instances=where)
    engine.ask("change_type", instances=where, **wanted)
    assert books.machines[at]["properties"]["hardwareProfile"]["vmSize"] == "Standard_NC24ads_A100_v4"


def test_quotas_services_and_a_way_of_paying_are_looked_up(cloud: Playing) -> None:
    said = [str(step) for step in steps_to(AZURE, cloud[1], None)]
    assert said[0] == f"azure: credentials (account {SUBSCRIPTION}): ok"
    assert "services that a machine needs: MISSING. Type: for s in Microsoft.Network; do az" in said[1]
    assert "quota 'Total Regional Spot vCPUs' in eastus: 3: MISSING" in said[2]
    assert "quota 'Standard NCASv3_T4 Family vCPUs' in eastus: 0: MISSING" in said[3]
    assert "quota 'Total Regional vCPUs' in eastus: 10: ok" in said[4]
    assert "a way of paying: MISSING. A free trial gets no GPU until" in said[5]


def test_refusals_say_what_to_do(cloud: Playing) -> None:
    books, engine = cloud
    books.rent(NAME, **tags())
    (Path.home() / ".azure" / "msal_token_cache.json").unlink()
    with pytest.raises(UserError, match="Microsoft's cloud does not accept your credentials") as refused:
        account_of(engine)
    assert "az login" in refused.value.fix
    said = "(OperationNotAllowed) exceeding approved standardNCASv3_T4Family Cores quota."
    assert "portal.azure.com" in getattr(explain_failure(said, rented()), "fix", "")
    said = "(AuthorizationFailed) no authorization for 'Microsoft.Authorization/roleAssignments/write'"
    assert "'Owner'" in getattr(explain_failure(said, rented()), "fix", "")
    sold_out = explain_failure("(SkuNotAvailable) The requested size is not available", rented())
    assert isinstance(sold_out, machine.NoCapacity)


def test_a_region_is_asked_for_its_gpus_by_the_command_line(cloud: Playing) -> None:
    _, engine = cloud
    (engine.folder / "ready").touch()
    (Path(os.environ["PLAINTUNE_HOME"]) / "cloud" / f"skypilot-{VERSION}").symlink_to(engine.folder)

    def ask(region: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "plaintune", "cloud", "test-zone", region, "T4"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    there = ask("eastus")
    assert "Microsoft has the T4 (Standard_NC4as_T4_v3) in eastus." in there.stdout, there
    assert "Microsoft does not have the T4" in ask("westus").stderr
    assert "Microsoft does not have the T4" in ask("westus2").stderr


def test_every_question_is_answered_at_every_cloud() -> None:
    folder = Path(plaintune.__file__).parent / "compute"
    known = {}
    for cloud in CLOUDS:
        written = (folder / CLOUDS[cloud].interface).read_text()
        known[cloud] = set(re.findall(r'^    "(\w+)": ', written.partition("\nQUESTIONS")[2], re.MULTILINE))
    assert known["azure"] - {"services_off"} == known["aws"] == known["gcp"]


@pytest.mark.parametrize(
    ("gpu", "kind", "spot", "purpose"),
    [
        ("T4", "Standard_NC4as_T4_v3", True, RUN),
        ("A100-80GB", "Standard_NC24ads_A100_v4", False, RUN),
        ("T4", "Standard_NC4as_T4_v3", False, OWN),
    ],
)
def test_skypilot_would_order_a_tagged_machine_in_a_group_of_its_own_without_keys(
    gpu: str, kind: str, spot: bool, purpose: str, tmp_path: Path
) -> None:
    rental = replace(rented(purpose, spot=spot), gpu=gpu, machine=kind, region=None)
    (tmp_path / ".azure").mkdir()
    for name in ("azureProfile.json", "clouds.config", "config", "msal_token_cache.json"):
        (tmp_path / ".azure" / name).write_text("{}")
    prices = tmp_path / "prices.csv"  # the shipped list has no spot prices of Azure's
    prices.write_text(SHIPPED_PRICES.read_text().replace(",28,0.526,,", ",28,0.526,0.2,"))
    order = order_of(rental, tmp_path, prices)
    node = order["available_node_types"]["ray.head.default"]["node_config"]
    asked, provider = node["azure_arm_parameters"], order["provider"]
    assert (asked["vmSize"], asked.get("priority")) == (kind, "Spot" if spot else None)
    assert (node["tags"]["plaintune-rental"], node["tags"]["plaintune-purpose"]) == (RENTAL, purpose)
    assert provider["resource_group"].startswith(RENTAL)
    assert provider["use_external_resource_group"] is False
    assert order["hooks"][0]["run"] == "sudo shutdown -P now"  # how SkyPilot ends a machine without use
    assert not [path for path in order["file_mounts"] if "azure" in path.lower()]
