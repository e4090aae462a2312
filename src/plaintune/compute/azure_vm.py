"""Microsoft Azure's own interface, asked without SkyPilot: what runs under our tag, and ending it.

Run by the Python of the cloud environment; plaintune itself never imports this file. It needs none of Azure's
packages: the `az` program gives a token, and plain requests do the rest. It answers the questions of `ec2.py`
in the same words. SkyPilot makes a resource group for each machine; an ``id`` is "group/name".

    python azure_vm.py list '{"regions": null}'

Exit codes: 0 and JSON on stdout; 3 where nobody is logged in, or is refused; 1 for anything else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from .asking import Refused, answer, each_of
else:  # run as a file, it finds its neighbours so
    from asking import Refused, answer, each_of

TAG = "plaintune-rental"
OURS = re.compile(r"(plaintune-[0-9a-f]{8})-\d+-.*")  # groups that SkyPilot makes for machines of ours
MANAGER = os.environ.get("AZURE_RESOURCE_MANAGER", "https://management.azure.com")
COMPUTE, SKUS = "2024-07-01", "2021-07-01"  # versions of the interface's parts
RESOURCES, AUTHORIZATION = "2021-04-01", "2022-04-01"
MACHINES = "Microsoft.Compute/virtualMachines"
SERVICES = ("Microsoft.Compute", "Microsoft.Network", "Microsoft.ManagedIdentity")
MAY_END_MACHINES = (  # the roles "Contributor" and "Owner", which have the same numbers everywhere
    "b24988ac-6180-42a0-ab88-20f7382dd24c", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
)  # fmt: skip
STATES = {
    "starting": "pending", "running": "running", "stopping": "stopping", "deallocating": "stopping",
    "deallocated": "stopped",
    "stopped": "off but paid for",  # from within; `clouds.PAID_THOUGH_OFF`
}  # fmt: skip
QUOTAS = {
    "on_demand_cpus": "standardncasv3_t4family", "spot_cpus": "lowprioritycores", "all_cpus": "cores",
}  # fmt: skip
SECONDS = 30  # for one answer
NO_NETWORK = ("NewConnectionError", "Max retries exceeded", "Connection aborted", "Failed to resolve")
WORK_SECONDS = 80  # for what Azure does after it has answered
LOOK_SECONDS = float(os.environ.get("AZURE_LOOK_SECONDS", "2"))
NEW_SECONDS = 1800  # a group younger than this may be waiting for its machine


class NotLoggedIn(Exception):
    """There is no `az`, or it gives no token."""


@cache
def login() -> tuple[str, str]:
    """A token, and the subscription that it is for. Raises NotLoggedIn, RequestException."""
    command = ["az", "account", "get-access-token", "--resource", "https://management.azure.com/"]
    try:
        done = subprocess.run(
            [*command, "--output", "json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=True,
        )  # fmt: skip
        said = json.loads(done.stdout)
        return said["accessToken"], said["subscription"]
    except subprocess.TimeoutExpired as error:
        raise requests.Timeout(f"the az program does not answer: {error}") from error
    except OSError as error:
        raise NotLoggedIn(f"the az program does not run: {error}") from error
    except subprocess.CalledProcessError as error:
        if any(sign in error.stderr for sign in NO_NETWORK):  # as az words it
            raise requests.ConnectionError(error.stderr) from error
        raise NotLoggedIn(error.stderr) from error
    except (ValueError, KeyError) as error:
        raise NotLoggedIn("az gave no token") from error


def send(method: str, url: str, body: Any = None, **query: str) -> requests.Response:
    """One request, to a path or a whole address. Raises Refused, RequestException."""
    answered = requests.request(
        method, url if "://" in url else MANAGER + url, params=query, json=body, timeout=SECONDS,
        headers={"Authorization": f"Bearer {login()[0]}"},
    )  # fmt: skip
    if answered.status_code >= 400:
        raise Refused(answered.status_code, _reason(answered))
    return answered


def _reason(answered: requests.Response) -> str:
    try:
        error = answered.json()["error"]
        return f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return str(answered.reason)


def get(path: str, version: str, **query: str) -> dict[str, Any]:
    said: dict[str, Any] = send("GET", path, **{"api-version": version, **query}).json()
    return said


def pages(path: str, version: str, **query: str) -> Iterator[dict[str, Any]]:
    """Every thing of a list."""
    said = get(path, version, **query)
    while True:
        yield from said["value"]
        if not said.get("nextLink"):
            return
        said = send("GET", said["nextLink"]).json()


def subscription() -> str:
    return f"/subscriptions/{login()[1]}"


def group(name: str) -> str:
    return f"{subscription()}/resourceGroups/{name}"


def at(id: str) -> str:
    """Where a machine is."""
    within, _, name = id.partition("/")
    return f"{group(within)}/providers/{MACHINES}/{name}"


def group_of(path: str) -> str:
    """The resource group of something; Azure writes it in capitals or not as it pleases."""
    return path.split("/")[4].lower()


def list_instances(regions: list[str] | None, rental: str | None = None) -> dict[str, Any]:
    """The subscription, what of ours is there, and the regions that did not say all, as in `ec2.py`.

    Azure has one list for all regions: it answers, or it does not.
    """
    found, silent = [], {}
    for each in pages(f"{subscription()}/providers/{MACHINES}", COMPUTE):
        tags, region = each.get("tags") or {}, each["location"]
        if TAG not in tags or rental not in (None, tags[TAG]) or not (regions is None or region in regions):
            continue
        machine = f"{group_of(each['id'])}/{each['name']}"
        try:
            state = state_of(machine, each["properties"].get("provisioningState", ""))
        except Refused as error:
            if error.status == 404:  # gone since
                continue
            state, silent[region] = "running", f"{machine}: {error}"  # paid for, until the contrary is known
        found.append({
            "id": machine, "region": region, "zone": region, "state": state, "tags": tags,
            "type": each["properties"]["hardwareProfile"]["vmSize"],
            "spot": each["properties"].get("priority") == "Spot",
            "since": moment(each["properties"].get("timeCreated")),  # of its last start Azure says nothing
        })  # fmt: skip
    return {**account(), "found": found, "closed": {}, "silent": silent}


def state_of(machine: str, provisioning: str) -> str:
    """In the words of `ec2.py`. Raises Refused."""
    if provisioning == "Deleting":
        return "ending"
    codes = [each.get("code", "") for each in get(f"{at(machine)}/instanceView", COMPUTE)["statuses"]]
    power = next((code.removeprefix("PowerState/") for code in codes if code.startswith("PowerState/")), "")
    return STATES.get(power, "pending")


def moment(written: str | None) -> float:
    """Seconds since 1970; now, where Azure does not say when."""
    return time.time() if written is None else datetime.fromisoformat(written).timestamp()


def terminate(instances: list[dict[str, str]]) -> list[str]:
    """End machines, with their whole resource groups: disk, address, network and identity."""
    each_of(instances, end)
    return each_of(instances, lambda machine: until(machine, "gone"))


def end(machine: str) -> None:
    """A group that is not of SkyPilot's making, or that may not be deleted, is left alone."""
    if OURS.fullmatch(machine.partition("/")[0]):
        try:
            delete_group(machine)
            return
        except Refused as error:
            if error.status == 404:
                raise
    delete_machine(machine)


def delete_group(id: str) -> None:
    """The group of a machine, or the group of this name."""
    query = {"api-version": RESOURCES, "forceDeletionTypes": MACHINES}
    send("DELETE", group(id.partition("/")[0]), None, **query)


def delete_machine(machine: str) -> None:
    send("DELETE", at(machine), None, **{"api-version": COMPUTE, "forceDeletion": "true"})


def until(machine: str, wanted: str) -> None:
    """Wait for a state; "gone" is none at all. Raises Refused: 404 once it is gone, 504 too late."""
    deadline = time.monotonic() + WORK_SECONDS
    while (state := state_of(machine, "")) != wanted:
        if time.monotonic() > deadline:
            raise Refused(504, f"{machine} is not {wanted} but {state} after {WORK_SECONDS} s")
        time.sleep(LOOK_SECONDS)


def die_on_shutdown(instances: list[dict[str, str]]) -> list[str]:
    """Make sure that each machine may end itself: `end_at_azure.sh` asks Azure in the machine's own name.

    SkyPilot gives it an identity with all rights on its resource group. Raises Refused where that is missing.
    """

    def require_rights(machine: str) -> None:
        identities = get(at(machine), COMPUTE).get("identity", {}).get("userAssignedIdentities", {})
        names = {each["principalId"] for each in identities.values()}
        given = pages(
            f"{group(machine.partition('/')[0])}/providers/Microsoft.Authorization/roleAssignments",
            AUTHORIZATION,
        )
        roles = [each["properties"] for each in given if each["properties"]["principalId"] in names]
        if not any(role["roleDefinitionId"].endswith(MAY_END_MACHINES) for role in roles):
            raise Refused(403, f"{machine} has no right to end itself")

    return each_of(instances, require_rights)


def stop(instances: list[dict[str, str]]) -> list[str]:
    """Switch off and give back, so that only the disk is paid for."""

    def give_back(machine: str) -> None:
        send("POST", f"{at(machine)}/deallocate", None, **{"api-version": COMPUTE})
        until(machine, "stopped")

    return each_of(instances, give_back)


def change_type(instances: list[dict[str, str]], type: str, gpu: str) -> list[str]:
    """Another kind of machine, which has its card in it, for a stopped one; the disk stays."""

    def change(machine: str) -> None:
        wanted = {"properties": {"hardwareProfile": {"vmSize": type}}}
        work = send("PATCH", at(machine), wanted, **{"api-version": COMPUTE})
        deadline = time.monotonic() + WORK_SECONDS
        while follow := work.headers.get("Azure-AsyncOperation"):
            said = send("GET", follow).json()
            if said["status"] == "Succeeded":
                return
            if said["status"] in ("Failed", "Canceled") or time.monotonic() > deadline:
                raise Refused(400, said.get("error", {}).get("message", f"{machine} is not a {type} yet"))
            time.sleep(LOOK_SECONDS)

    return each_of(instances, change)


def tag(instances: list[dict[str, str]], tags: dict[str, str]) -> list[str]:
    body = {"operation": "Merge", "properties": {"tags": tags}}

    def add(machine: str) -> None:
        where = f"{at(machine)}/providers/Microsoft.Resources/tags/default"
        send("PATCH", where, body, **{"api-version": RESOURCES})

    return each_of(instances, add)


def sold_in(region: str, zone: str, type: str, gpu: str) -> bool:
    """Whether a region has this kind of machine for this subscription."""
    offers = pages(
        f"{subscription()}/providers/Microsoft.Compute/skus", SKUS,
        **{"$filter": f"location eq '{region}'"},
    )  # fmt: skip
    same = [each for each in offers if each["resourceType"] == "virtualMachines" and each["name"] == type]
    shut = [
        limit for each in same for limit in each.get("restrictions", ()) if limit.get("type") == "Location"
    ]
    return bool(same) and not shut


def zone_name(region: str, zone: str) -> None:
    """SkyPilot knows no zones of Azure's."""


def leftover_volumes(regions: list[str] | None, rental: str | None = None) -> list[dict[str, Any]]:
    """Resource groups of ours without a machine: a disk or an address in them is paid for.

    One that SkyPilot has just made waits for its machine: that is left out unless its ``rental`` is named.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in pages(f"{subscription()}/resources", RESOURCES, **{"$expand": "createdTime"}):
        name = group_of(each["id"])
        if (ours := OURS.fullmatch(name)) is not None and rental in (None, ours[1]):
            groups.setdefault(name, []).append(each)
    old = time.time() - NEW_SECONDS
    return [
        {"id": name, "region": there[0]["location"], "what": "a resource group"}
        for name, there in groups.items()
        if (rental is not None or all(moment(each.get("createdTime")) < old for each in there))
        and (regions is None or there[0]["location"] in regions)
        and is_left(name)
    ]


def is_left(name: str) -> bool:
    """Whether a group has no machine, and nobody is deleting it."""
    try:
        if get(group(name), RESOURCES)["properties"]["provisioningState"] == "Deleting":
            return False
        return not any(True for _ in pages(f"{group(name)}/providers/{MACHINES}", COMPUTE))
    except Refused as error:
        if error.status == 404:
            return False
        raise


def delete_volumes(volumes: list[dict[str, str]]) -> list[str]:
    return each_of(volumes, delete_group)


def spot_price(region: str, zone: str, type: str) -> None:
    """This interface tells no prices; the catalogue has those of Azure's public list."""


def account() -> dict[str, str]:
    return {"account": login()[1]}


def gpu_quotas(region: str) -> dict[str, float | None]:
    """How many processor cores the subscription may have at once; None where it is not said."""
    used = pages(f"{subscription()}/providers/Microsoft.Compute/locations/{region}/usages", COMPUTE)
    limits = {each["name"]["value"].replace(" ", "").lower(): each["limit"] for each in used}
    return {name: limits.get(code) for name, code in QUOTAS.items()}


def is_paid() -> bool | None:
    """Whether the subscription has a way of paying; a free trial has a spending limit."""
    said = get(subscription(), "2022-12-01")
    limit = said.get("subscriptionPolicies", {}).get("spendingLimit")
    return None if limit is None else limit == "Off" and said.get("state") == "Enabled"


def services_off() -> list[str]:
    """The parts of Azure that a machine needs and that this subscription has not been opened to."""
    states = {
        name: get(f"{subscription()}/providers/{name}", RESOURCES)["registrationState"] for name in SERVICES
    }
    return [name for name, state in states.items() if state != "Registered"]


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
    "services_off": services_off,
}

if __name__ == "__main__":
    answer(QUESTIONS, no_credentials=(NotLoggedIn,), away=(requests.RequestException,))
