"""Machines for moto's books: an instance that is running has power, a stopped one only its disk.

    python rack.py DIR      # in PID, mount and network namespaces of its own: ending it ends every machine

moto_server keeps the books of EC2; this looks at them once a second. A machine that powers itself off is
stopped or terminated as its instance's shutdown behaviour says, as on EC2. Each machine has the two addresses
that moto made up for it, on a network of theirs, which slirp4netns joins to the internet.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import yaml
from account import open_account
from catalogue import ZONES

HERE = Path(__file__).resolve().parent
SECONDS_TO_START = 60
OUTSIDE, INSIDE = "172.31.0.2", "172.31.0.100"  # the way into the internet; where machines find moto


@dataclass(frozen=True)
class Instance:
    """A line of moto's books."""

    id: str
    region: str
    state: str  # EC2's word
    role: str  # the instance profile's name, or ""
    private: str  # address
    public: str


def say(*words: object) -> None:
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def books(clients: dict[str, Any]) -> list[Instance]:
    return [
        Instance(
            found["InstanceId"],
            region,
            found["State"]["Name"],
            found.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            found.get("PrivateIpAddress", ""),
            found.get("PublicIpAddress", ""),
        )
        for region, ec2 in clients.items()
        for page in ec2.get_paginator("describe_instances").paginate()
        for reservation in page["Reservations"]
        for found in reservation["Instances"]
    ]


def user_data(ec2: Any, instance_id: str) -> str:
    """What cloud-init would read at the first start."""
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    return base64.b64decode(answer["UserData"].get("Value", "")).decode(errors="replace")


def first_commands(data: str) -> str:
    """The shell commands that cloud-init would run."""
    found = re.search(r"^runcmd:\n(?:[ \t]*-.*\n?)+", data, re.M)
    return "\n".join(yaml.safe_load(found.group())["runcmd"]) + "\n" if found else ""


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def open_street() -> None:
    """The network that machines stand at, with the two links that were put into this namespace."""
    _, cloud, public = os.environ["LAB_LINK"].split()
    while subprocess.run(["ip", "link", "show", "internet"], capture_output=True, check=False).returncode:
        time.sleep(0.1)
    for words in (
        "link set lo up", f"address add {cloud}/30 dev here", "link set here up",
        "link add street type bridge", "link set internet master street", "link set internet up",
        "link set street up", f"address add {INSIDE}/16 dev street", f"route add {public} dev street",
    ):  # fmt: skip
        ip(words)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")  # of this namespace


class Rack:
    """The machines that have power, and the disks of those that are off."""

    def __init__(self, root: Path, clients: dict[str, Any]) -> None:
        self.root, self.clients = root, clients
        self.powered: dict[str, subprocess.Popen[bytes]] = {}

    def power_on(self, instance: Instance) -> None:
        folder = self.root / instance.id
        folder.mkdir(parents=True, exist_ok=True)
        data = user_data(self.clients[instance.region], instance.id)
        keys = re.findall(r"ssh-(?:rsa|ed25519) \S+", data)
        (folder / "authorized_keys").write_text("\n".join(keys) + "\n", encoding="utf-8")
        (folder / "first-commands").write_text(first_commands(data), encoding="utf-8")
        with (folder / "console.log").open("ab") as log:
            machine = self.powered[instance.id] = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--net", "--fork", "--uts", "--kill-child",
                 str(HERE / "machine.sh"), "boot", str(folder), instance.id, instance.region, instance.role],
                env={**os.environ, "LAB_ADDRESSES": f"{instance.private}/16 {instance.public}/32",
                     "LAB_OUTSIDE": OUTSIDE, "LAB_INSIDE": INSIDE},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        while os.readlink(f"/proc/{machine.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        plug = f"m{machine.pid}"
        ip(f"link add {plug} type veth peer name eth0 netns {machine.pid}")
        ip(f"link set {plug} master street up")
        say(instance.id, "on")

    def watch(self, instance: Instance) -> None:
        """A machine that has powered itself off ends as its instance's shutdown behaviour says."""
        if self.powered[instance.id].poll() is None:
            return
        ec2 = self.clients[instance.region]
        asked = {"InstanceId": instance.id, "Attribute": "instanceInitiatedShutdownBehavior"}
        behaviour = ec2.describe_instance_attribute(**asked)["InstanceInitiatedShutdownBehavior"]["Value"]
        say(instance.id, "powered itself off:", behaviour)
        getattr(ec2, f"{behaviour}_instances")(InstanceIds=[instance.id])

    def power_off(self, instance_id: str) -> None:
        machine = self.powered.pop(instance_id, None)
        if machine is None:
            return
        for first in psutil.Process(machine.pid).children() if machine.poll() is None else ():
            first.kill()  # its PID namespace goes with it
        machine.wait()
        say(instance_id, "off")

    def scrap(self, instance_id: str) -> None:
        """Power off and throw the disk away; the console's log stays."""
        self.power_off(instance_id)
        folder = self.root / instance_id
        if (folder / "authorized_keys").exists():
            for part in ("disk", "work", "root", "image"):
                shutil.rmtree(folder / part, ignore_errors=True)
            (folder / "authorized_keys").unlink()
            say(instance_id, "scrapped")

    def obey(self) -> None:
        """Bring every machine to its instance's state."""
        for instance in books(self.clients):
            if instance.state == "terminated":
                self.scrap(instance.id)
            elif instance.state != "running":
                self.power_off(instance.id)
            elif instance.id in self.powered:
                self.watch(instance)
            else:
                self.power_on(instance)


def start_moto(log: Path, port: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        moto = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(port)],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    for _ in range(SECONDS_TO_START * 5):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return moto
        time.sleep(0.2)
    raise SystemExit("moto_server does not answer: read moto.log")


def main(root: Path) -> None:
    open_street()
    moto = start_moto(root / "moto.log", int(os.environ["LAB_MOTO_PORT"]))
    open_account(list(ZONES))
    rack = Rack(root / "machines", {region: boto3.client("ec2", region_name=region) for region in ZONES})
    (root / "ready").touch()
    while moto.poll() is None:
        rack.obey()
        time.sleep(1)
    raise SystemExit("moto_server ended: read moto.log")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
