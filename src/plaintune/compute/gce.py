"""Google's own interface, asked without SkyPilot: what runs under our label, and ending it.

Run by the Python of the cloud environment, which has google-auth; plaintune itself never imports this file.
It answers the questions of `ec2.py` in the same words, so that nobody else need know which cloud it is. An
``id`` is "zone/name": that is what Google takes.

    python gce.py list '{"regions": null}'

Exit codes: 0 and JSON on stdout; 3 where the credentials or the project are missing or refused; 1 for
anything else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import google.auth
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from requests import RequestException

if TYPE_CHECKING:
    from .asking import Refused, answer, each_of
else:  # run as a file, it finds its neighbours so
    from asking import Refused, answer, each_of

LABEL = "plaintune-rental"
NAMES = "plaintune-"  # of machines, and of their disks, which have no labels
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
COMPUTE = os.environ.get(
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "https://compute.googleapis.com/compute/v1/"
)
BILLING = os.environ.get(
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING", "https://cloudbilling.googleapis.com/"
)
CARDS = {"T4": "nvidia-tesla-t4", "V100": "nvidia-tesla-v100", "L4": "nvidia-l4"}
FAMILY_WITH_ITS_OWN_CARD = "g2"  # its machines come with an L4; into those of n1 a card is put
STATES = {
    "PROVISIONING": "pending", "STAGING": "pending", "RUNNING": "running", "REPAIRING": "running",
    "STOPPING": "stopping", "PENDING_STOP": "stopping", "SUSPENDING": "stopping", "SUSPENDED": "stopped",
    "TERMINATED": "stopped",
}  # fmt: skip
SECONDS = 30  # for one answer
WORK_SECONDS = 90  # for what Google does after it has answered
LOOK_SECONDS = 2.0


class NoProject(Exception):
    """There are credentials, but nothing says for which project."""


@cache
def session() -> tuple[AuthorizedSession, str]:
    """A session that signs its requests, and the project that they are for."""
    credentials, project = google.auth.default(scopes=[SCOPE])
    if not project:
        raise NoProject("no project is set; type: gcloud config set project NAME")
    return AuthorizedSession(credentials), project


def ask(method: str, url: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
    """One request. Raises Refused, RequestException."""
    answer = session()[0].request(method, url, params=query, json=body, timeout=SECONDS)
    try:
        said: dict[str, Any] = answer.json()
    except ValueError:
        said = {}
    if answer.status_code >= 400:
        raise Refused(answer.status_code, said.get("error", {}).get("message") or answer.reason)
    return said


def compute(method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
    """A request about the project's machines."""
    return ask(method, f"{COMPUTE}projects/{session()[1]}{path and '/'}{path}", body, **query)


def at(id: str, kind: str = "instances") -> str:
    """Where a machine, or a disk, is within the project."""
    zone, _, name = id.partition("/")
    return f"zones/{zone}/{kind}/{name}"


def work(method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> None:
    """Ask for something to be done in a zone, and wait until it is. Raises Refused."""
    operation = compute(method, path, body, **query)
    zone = path.split("/")[1]
    deadline = time.monotonic() + WORK_SECONDS
    while operation["status"] != "DONE":
        if time.monotonic() > deadline:
            raise Refused(504, f"{method} {path} is not done after {WORK_SECONDS} s")
        time.sleep(LOOK_SECONDS)
        operation = compute("GET", f"zones/{zone}/operations/{operation['name']}")
    for error in operation.get("error", {}).get("errors", ()):
        raise Refused(400, error.get("message", error.get("code", "refused")))


def in_all_zones(kind: str, silent: dict[str, str], **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(zone, thing) of every zone; those that do not answer are put into ``silent``, with the reason."""
    page: dict[str, str] = {}
    while True:
        said = compute("GET", f"aggregated/{kind}", None, returnPartialSuccess="true", **query, **page)
        for scope, content in said.get("items", {}).items():
            zone = scope.rpartition("/")[2]
            code = content.get("warning", {}).get("code", "NO_RESULTS_ON_PAGE")
            if code != "NO_RESULTS_ON_PAGE":
                silent[zone] = code
            for thing in content.get(kind, ()):
                yield zone, thing
        silent.update({scope.rpartition("/")[2]: "UNREACHABLE" for scope in said.get("unreachables", ())})
        if not said.get("nextPageToken"):
            return
        page = {"pageToken": said["nextPageToken"]}


def region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def list_instances(regions: list[str] | None, rental: str | None = None) -> dict[str, Any]:
    """The project, what of ours is there, and the regions that did not say all, as `ec2.list_instances`."""
    silent: dict[str, str] = {}
    wanted = f"labels.{LABEL}:*" if rental is None else f"labels.{LABEL}={rental}"
    found = [
        {
            "id": f"{zone}/{each['name']}",
            "region": region_of(zone),
            "zone": zone,
            "type": last(each["machineType"]),
            "state": STATES.get(each["status"], each["status"].lower()),
            "spot": each.get("scheduling", {}).get("provisioningModel") == "SPOT",
            "since": datetime.fromisoformat(
                each.get("lastStartTimestamp", each["creationTimestamp"])
            ).timestamp(),
            "tags": each.get("labels", {}),
        }
        for zone, each in in_all_zones("instances", silent, filter=wanted)
        if regions is None or region_of(zone) in regions
    ]
    unseen = {region_of(zone): f"{zone}: {why}" for zone, why in silent.items()}
    asked = {region: why for region, why in unseen.items() if regions is None or region in regions}
    return {**account(), "found": found, "closed": {}, "silent": asked}


def last(address: str) -> str:
    """The name at the end of one of Google's addresses."""
    return address.rpartition("/")[2]


def terminate(instances: list[dict[str, str]]) -> list[str]:
    return each_of(instances, lambda machine: work("DELETE", at(machine)))


def die_on_shutdown(instances: list[dict[str, str]]) -> list[str]:
    """The machine deletes itself when it powers off (`end_with_power.sh`); its disks must go with it."""

    def disks_too(machine: str) -> None:
        for disk in instance(machine)["disks"]:
            if not disk.get("autoDelete"):
                order = f"{at(machine)}/setDiskAutoDelete"
                work("POST", order, autoDelete="true", deviceName=disk["deviceName"])

    return each_of(instances, disks_too)


def instance(machine: str) -> dict[str, Any]:
    return compute("GET", at(machine))


def stop(instances: list[dict[str, str]]) -> list[str]:
    return each_of(instances, lambda machine: work("POST", f"{at(machine)}/stop"))


def change_type(instances: list[dict[str, str]], type: str, gpu: str) -> list[str]:
    """Another kind of machine, with another card, for a stopped instance; the disk stays."""

    def change(machine: str) -> None:
        zone, _, _ = machine.partition("/")
        now = last(instance(machine)["machineType"])
        if FAMILY_WITH_ITS_OWN_CARD in {now.partition("-")[0], type.partition("-")[0]} and now != type:
            raise Refused(400, f"Google does not let {now} become {type}; move to another zone instead")
        if now != type:
            work(
                "POST", f"{at(machine)}/setMachineType", {"machineType": f"zones/{zone}/machineTypes/{type}"}
            )
        if not type.startswith(FAMILY_WITH_ITS_OWN_CARD):
            card = f"zones/{zone}/acceleratorTypes/{CARDS[gpu]}"
            cards = [{"acceleratorType": card, "acceleratorCount": 1}]
            work("POST", f"{at(machine)}/setMachineResources", {"guestAccelerators": cards})

    return each_of(instances, change)


def tag(instances: list[dict[str, str]], tags: dict[str, str]) -> list[str]:
    def label(machine: str) -> None:
        now = instance(machine)
        labels = {**now.get("labels", {}), **tags}
        wanted = {"labels": labels, "labelFingerprint": now["labelFingerprint"]}
        work("POST", f"{at(machine)}/setLabels", wanted)

    return each_of(instances, label)


def sold_in(region: str, zone: str, type: str, gpu: str) -> bool:
    """Whether a zone has this card at all."""
    try:
        compute("GET", f"zones/{zone}/acceleratorTypes/{CARDS[gpu]}")
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True


def zone_name(region: str, zone: str) -> str:
    """On Google a zone has the same name for everybody."""
    return zone


def leftover_volumes(regions: list[str] | None, rental: str | None = None) -> list[dict[str, Any]]:
    """Disks of ours that belong to no machine, in the zones that answer."""
    begins = f"{NAMES}[0-9a-f]{{8}}-.*" if rental is None else f"{rental}-.*"
    return [
        {"id": f"{zone}/{each['name']}", "region": region_of(zone), "size_gib": int(each["sizeGb"])}
        for zone, each in in_all_zones("disks", {}, filter=f'name eq "{begins}"')
        if not each.get("users") and (regions is None or region_of(zone) in regions)
    ]


def delete_volumes(volumes: list[dict[str, str]]) -> list[str]:
    return each_of(volumes, lambda disk: work("DELETE", at(disk, "disks")))


def spot_price(region: str, zone: str, type: str) -> float | None:
    """Google's interface does not tell prices of machines; they change once a day at most."""
    return None


def account() -> dict[str, str]:
    return {"account": session()[1]}


def gpu_quotas(region: str) -> dict[str, float | None]:
    """How many cards the project may have at once: in all, and of the usual one in a region."""
    found = {each["metric"]: each["limit"] for each in compute("GET", "").get("quotas", ())}
    there = {each["metric"]: each["limit"] for each in compute("GET", f"regions/{region}").get("quotas", ())}
    return {
        "all_regions": found.get("GPUS_ALL_REGIONS"),
        "on_demand_cards": there.get("NVIDIA_T4_GPUS"),
        "spot_cards": there.get("PREEMPTIBLE_NVIDIA_T4_GPUS"),
    }


def is_paid() -> bool | None:
    """Whether the project has a way of paying; None where these credentials may not see that."""
    try:
        return bool(ask("GET", f"{BILLING}v1/projects/{session()[1]}/billingInfo").get("billingEnabled"))
    except Refused:
        return None


QUESTIONS: dict[str, Callable[..., Any]] = {
    "list": list_instances,
    "terminate": terminate,
    "die_on_shutdown": die_on_shutdown,
    "stop": stop,
    "change_type": change_type,
    "tag": tag,
    "sold_in": sold_in,
    "zone_name": zone_name,
    "leftover_volumes": leftover_volumes,
    "delete_volumes": delete_volumes,
    "spot_price": spot_price,
    "account": account,
    "gpu_quotas": gpu_quotas,
    "is_paid": is_paid,
}

if __name__ == "__main__":
    answer(QUESTIONS, no_credentials=(GoogleAuthError, NoProject), away=(RequestException, TransportError))
