"""Azure's Resource Manager as far as plaintune asks it, and the address at which a machine asks about itself.

On this machine's loopback. It wants a token, does what it is asked at the second look after, gives lists in
pages, writes names of groups in capitals, and may refuse a power state or an order. Written by hand from
Microsoft's public description of its interface.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SUBSCRIPTION, TOKEN = "5ca1ab1e-0000-4000-8000-000000000001", "a-token"
MACHINE_TOKEN = "a-token-of-the-machine-itself"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
OLD = "2026-11-20T10:00:00.1234567+00:00"
PAGE = 2
LIMITS = {"Standard NCASv3_T4 Family": 0, "lowPriorityCores": 3, "cores": 10}


class Azure:
    """One subscription: machines by "group/name", and what else is in their groups."""

    def __init__(self) -> None:
        self.machines: dict[str, dict[str, Any]] = {}
        self.others: dict[str, list[dict[str, Any]]] = {}  # by group: disk, address…
        self.rights: dict[str, list[dict[str, Any]]] = {}  # by group
        self.going: set[str] = set()  # groups that are being deleted
        self.registered = {"Microsoft.Compute", "Microsoft.ManagedIdentity"}
        self.spending_limit = "On"
        self.mute: set[str] = set()  # machines whose power state is not told
        self.refusals = 0  # of the next orders
        self.asked: list[str] = []
        self._later: list[Callable[[], None]] = []

    def rent(self, name: str, *, region: str = "eastus", spot: bool = True, power: str = "running",
             created: str = OLD, **tags: str) -> str:  # fmt: skip
        """A machine in the group that SkyPilot would make, with a disk and an address; gives its id."""
        group = f"{name}-{region}"
        self.leave(group, region, created=created)
        self.rights[group] = [
            {"properties": {"principalId": f"identity of {group}", "roleDefinitionId": f"/x/{CONTRIBUTOR}"}}
        ]
        identity = {"userAssignedIdentities": {"/x": {"principalId": f"identity of {group}"}}}
        self.machines[at := f"{group}/{name}-1a2b-0"] = {
            "id": f"{_path(group.upper())}/providers/Microsoft.Compute/virtualMachines/{name}-1a2b-0",
            "name": f"{name}-1a2b-0", "location": region, "tags": tags, "identity": identity,
            "power": power,
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_NC4as_T4_v3"}, "provisioningState": "Succeeded",
                "timeCreated": OLD, **({"priority": "Spot"} if spot else {}),
            },
        }  # fmt: skip
        return at

    def leave(self, group: str, region: str = "eastus", *, created: str = OLD) -> None:
        """A group with a disk and an address in it."""
        self.others[group] = [
            {"id": f"{_path(group.upper())}/providers/{kind}/x", "type": kind, "location": region,
             "createdTime": created}
            for kind in ("Microsoft.Compute/disks", "Microsoft.Network/publicIPAddresses")
        ]  # fmt: skip

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """What Azure says: the status and JSON."""
        self.asked.append(f"{method} {path}")
        due, self._later = self._later, []
        for do in due:
            do()
        if method != "GET" and self.refusals > 0:
            self.refusals -= 1
            return 403, _error("AuthorizationFailed", "the client does not have authorization")
        within = path.removeprefix(f"/subscriptions/{SUBSCRIPTION}").strip("/")
        if within == "":
            return 200, {"state": "Enabled", "subscriptionPolicies": {"spendingLimit": self.spending_limit}}
        if found := re.fullmatch(r"providers/(Microsoft\.\w+)", within):
            state = "Registered" if found[1] in self.registered else "NotRegistered"
            return 200, {"registrationState": state}
        if within == "providers/Microsoft.Compute/virtualMachines":
            return 200, self._page([self._seen(one) for one in self.machines.values()], path, query)
        if within == "providers/Microsoft.Compute/locations/eastus/usages":
            return 200, {"value": [{"name": {"value": name}, "limit": n} for name, n in LIMITS.items()]}
        if within == "providers/Microsoft.Compute/skus":
            return 200, {"value": self._kinds(query["$filter"])}
        if within == "resources":
            there = [one for several in self.others.values() for one in several]
            return 200, self._page(there, path, query)
        return self._of_group(
            method, *within.removeprefix("resourceGroups/").partition("/")[::2], body, query
        )

    def _of_group(
        self, method: str, name: str, rest: str, body: Any, query: dict[str, str]
    ) -> tuple[int, Any]:
        group = name.lower()
        if group not in self.others:
            return 404, _error("ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if rest == "":
            if method == "DELETE":
                assert query["forceDeletionTypes"] == "Microsoft.Compute/virtualMachines"
                self.going.add(group)
                self._later.append(lambda: self._gone(group))
                return 202, {}
            state = "Deleting" if group in self.going else "Succeeded"
            return 200, {"properties": {"provisioningState": state}}
        if rest.endswith("roleAssignments"):
            return 200, {"value": self.rights[group]}
        kind, _, machine = rest.removeprefix("providers/Microsoft.Compute/").partition("/")
        assert kind == "virtualMachines", rest
        if not machine:
            return 200, {"value": [one for at, one in self.machines.items() if at.startswith(f"{group}/")]}
        name, _, verb = machine.partition("/")
        return self._of_machine(method, f"{group}/{name}", verb, body)

    def _of_machine(self, method: str, at: str, verb: str, body: Any) -> tuple[int, Any]:
        if at not in self.machines:
            return 404, _error("ResourceNotFound", f"The Resource '{at}' was not found.")
        machine = self.machines[at]
        if verb == "instanceView" and at in self.mute:
            return 500, _error("InternalServerError", "an internal execution error occurred")
        if verb == "instanceView":
            codes = ("ProvisioningState/succeeded", f"PowerState/{machine['power']}")
            return 200, {"statuses": [{"code": code} for code in codes]}
        if verb == "deallocate":
            machine["power"] = "deallocating"
            self._later.append(lambda: machine.update(power="deallocated"))
            return 202, {}
        if verb.endswith("tags/default"):
            assert body["operation"] == "Merge"
            machine["tags"].update(body["properties"]["tags"])
            return 200, {}
        if method == "DELETE":
            self._later.append(lambda: self.machines.pop(at, None))
            return 202, {}
        if method == "PATCH":
            if machine["power"] != "deallocated":
                return 409, _error("OperationNotAllowed", "The machine is not deallocated.")
            machine["properties"].update(body["properties"])
        return 200, self._seen(machine)

    def _gone(self, group: str) -> None:
        self.going.discard(group)
        self.others.pop(group, None)
        for at in [one for one in self.machines if one.startswith(f"{group}/")]:
            del self.machines[at]

    @staticmethod
    def _seen(machine: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in machine.items() if name != "power"}

    @staticmethod
    def _kinds(wanted: str) -> list[dict[str, Any]]:
        shut = [{"type": "Location", "reasonCode": "NotAvailableForSubscription"}]
        kind = {"resourceType": "virtualMachines", "name": "Standard_NC4as_T4_v3"}
        sold = {"eastus": [{**kind, "restrictions": []}], "westus": [{**kind, "restrictions": shut}]}
        return sold.get(wanted.split("'")[1], [])

    @staticmethod
    def _page(every: list[Any], path: str, query: dict[str, str]) -> dict[str, Any]:
        first = int(query.get("skip", 0))
        more = {"nextLink": f"{path}?skip={first + PAGE}"} if first + PAGE < len(every) else {}
        return {"value": every[first : first + PAGE], **more}


def _path(group: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@contextmanager
def azure(folder: Path) -> Iterator[tuple[Azure, str]]:
    """Azure, and its address; a machine that asks about itself there is told it is the first one."""
    cloud = Azure()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        do_POST = do_PATCH = do_DELETE = do_GET

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            if asked.path.startswith("/metadata/"):
                status, said = self._about_itself(asked.path)
            elif self.headers.get("Authorization") not in (f"Bearer {TOKEN}", f"Bearer {MACHINE_TOKEN}"):
                status, said = 401, _error("InvalidAuthenticationToken", "The access token is invalid.")
            else:
                status, said = cloud.answer(
                    self.command, asked.path, query, json.loads(sent) if sent else None
                )
                if isinstance(said, dict) and "nextLink" in said:
                    said = {**said, "nextLink": f"http://{self.headers['Host']}{said['nextLink']}"}
            written = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def _about_itself(self, path: str) -> tuple[int, Any]:
            if self.headers.get("Metadata") != "true":
                return 400, {"error": "Bad request. Required metadata header not specified"}
            if path == "/metadata/identity/oauth2/token":
                return 200, {"access_token": MACHINE_TOKEN, "expires_in": "86399", "token_type": "Bearer"}
            return 200, str(next(iter(cloud.machines.values()))["id"])

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield cloud, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
