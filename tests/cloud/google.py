"""Google's Compute Engine as far as plaintune asks it, on this machine's loopback: books of machines, disks.

It wants a signed request, does what it is asked a moment later, gives lists in pages, and may have zones that
do not answer. Written by hand from Google's public description of its interface: there is no moto for it.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT, TOKEN = "reviews-1234", "a-token"
ZONES = ("us-central1-a", "us-central1-b", "europe-west4-a")
PAGE = 2  # zones on a page
QUOTAS = {"GPUS_ALL_REGIONS": 0.0, "NVIDIA_T4_GPUS": 1.0, "PREEMPTIBLE_NVIDIA_T4_GPUS": 1.0}
CARDS = {"us-central1-a": ("nvidia-tesla-t4", "nvidia-l4")}


class Google:
    """One project; ``silent`` zones do not say what they hold."""

    def __init__(self) -> None:
        self.machines: dict[str, dict[str, Any]] = {}  # by "zone/name"
        self.disks: dict[str, dict[str, Any]] = {}
        self.silent: set[str] = set()
        self.refuses = False
        self.asked: list[str] = []
        self._later: dict[str, Any] = {}

    def rent(self, name: str, *, zone: str = ZONES[0], spot: bool = True, **labels: str) -> str:
        """A machine that runs, and its disk; gives its id."""
        scheduling = {"provisioningModel": "SPOT" if spot else "STANDARD"}
        disk = {
            "deviceName": "persistent-disk-0",
            "autoDelete": False,
            "source": f"zones/{zone}/disks/{name}",
        }
        self.machines[f"{zone}/{name}"] = {
            "name": name, "status": "RUNNING", "scheduling": scheduling, "labels": labels,
            "labelFingerprint": "1", "machineType": f"https://x/zones/{zone}/machineTypes/n1-standard-4",
            "creationTimestamp": "2026-11-20T10:00:00.000-08:00", "disks": [disk],
        }  # fmt: skip
        self.disks[f"{zone}/{name}"] = {
            "name": name,
            "sizeGb": "50",
            "users": [f"zones/{zone}/instances/{name}"],
        }
        return f"{zone}/{name}"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """What Google says: the status and JSON."""
        self.asked.append(f"{method} {path}")
        if self.refuses:
            return 403, {"error": {"message": "Compute Engine API has not been used in project before"}}
        if path == f"/billing/v1/projects/{PROJECT}/billingInfo":
            return 200, {"billingEnabled": False}
        within = path.removeprefix(f"/compute/v1/projects/{PROJECT}").strip("/")
        if within in ("", "regions/us-central1"):
            return 200, {"quotas": [{"metric": name, "limit": limit} for name, limit in QUOTAS.items()]}
        if found := re.fullmatch(r"aggregated/(instances|disks)", within):
            return 200, self._all(found[1], query)
        zone, kind, name, verb = (*within.removeprefix("zones/").split("/"), "")[:4]
        if kind == "operations":
            if (do := self._later.pop(name, None)) is not None:
                do()
            return 200, {"name": name, "status": "DONE"}
        if kind == "acceleratorTypes":
            return (200, {}) if name in CARDS.get(zone, ()) else (404, {"error": {"message": "not found"}})
        books = self.machines if kind == "instances" else self.disks
        if (at := f"{zone}/{name}") not in books:
            return 404, {"error": {"message": f"The resource '{at}' was not found"}}
        if method == "GET":
            return 200, books[at]
        return self._order(method, books, at, verb, query, body)

    def _all(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        first = int(query.get("pageToken", 0))
        books = self.machines if kind == "instances" else self.disks
        items: dict[str, Any] = {}
        for zone in ZONES[first : first + PAGE]:
            there = [one for at, one in books.items() if at.startswith(zone) and _fits(one, query["filter"])]
            items[f"zones/{zone}"] = {kind: there} if there else {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
            if zone in self.silent:
                items[f"zones/{zone}"] = {"warning": {"code": "UNREACHABLE"}}
        more = {"nextPageToken": str(first + PAGE)} if first + PAGE < len(ZONES) else {}
        return {"items": items, **more}

    def _order(
        self, method: str, books: dict[str, Any], at: str, verb: str, query: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        machine = books[at]
        if verb == "setLabels" and body["labelFingerprint"] != machine["labelFingerprint"]:
            return 412, {"error": {"message": "Labels fingerprint either invalid or out of date"}}

        def do() -> None:
            if method == "DELETE":
                books.pop(at, None)
                if books is self.machines and all(disk["autoDelete"] for disk in machine["disks"]):
                    self.disks.pop(at, None)
                elif at in self.disks:
                    self.disks[at]["users"] = []
            elif verb == "stop":
                machine["status"] = "TERMINATED"
            elif verb == "setDiskAutoDelete":
                machine["disks"][0]["autoDelete"] = query["autoDelete"] == "true"
            else:
                machine.update(body)

        self._later[name := f"operation-{len(self.asked)}"] = do
        return 200, {"name": name, "status": "RUNNING"}


def _fits(one: dict[str, Any], wanted: str) -> bool:
    if wanted.startswith("name eq "):
        return re.fullmatch(wanted.removeprefix("name eq ").strip('"'), one["name"]) is not None
    label, _, value = wanted.removeprefix("labels.").partition("=")
    return one["labels"].get(label) == value if value else label.removesuffix(":*") in one["labels"]


@contextmanager
def google(folder: Path) -> Iterator[tuple[Google, dict[str, str]]]:
    """Google, and the environment of somebody with an account there; what it needs is put into ``folder``."""
    cloud = Google()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = urlsplit(self.path)
            if asked.path == "/token":
                status, said = 200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, said = 401, {"error": {"message": "Request had invalid authentication credentials."}}
            else:
                query = {name: values[0] for name, values in parse_qs(asked.query).items()}
                status, said = cloud.answer(
                    self.command, asked.path, query, json.loads(sent) if sent else None
                )
            written = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield (
            cloud,
            {
                "HOME": str(folder),
                "GOOGLE_APPLICATION_CREDENTIALS": str(_account(folder / "account.json", address)),
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{address}/compute/v1/",
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING": f"{address}/billing/",
            },
        )
    finally:
        server.shutdown()
        server.server_close()


def _account(file: Path, address: str) -> Path:
    """The key of a service account, whose tokens come from ``address``."""
    made = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    key = subprocess.run(made, capture_output=True, text=True, check=True).stdout
    written = {
        "type": "service_account", "project_id": PROJECT, "private_key_id": "1", "private_key": key,
        "client_email": f"tests@{PROJECT}.example", "client_id": "1", "token_uri": f"{address}/token",
    }  # fmt: skip
    file.write_text(json.dumps(written))
    return file
