"""What SkyPilot's own optimiser would rent, on the price list that ships with plaintune.

    HOME=EMPTY python optimizer.py prices.csv      # with SkyPilot's Python; needs no account

A dry run: the clouds are taken for enabled, nothing is asked of them. On Google SkyPilot wants hosts and
cards priced apart; here the host is free and the card has the price of both. Google's T4 is left out: of the
hosts that it can be put into, SkyPilot takes a larger one than our list.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catalogue import COLUMNS, VERSION, gpu_info

GCP_COLUMNS = (
    "InstanceType", "vCPUs", "MemoryGiB", "AcceleratorName", "AcceleratorCount", "GpuInfo", "Region",
    "AvailabilityZone", "Price", "SpotPrice",
)  # fmt: skip


def seed(home: Path, prices: Path) -> None:
    """Write the shipped list where SkyPilot looks for its own."""
    with prices.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    root = home / ".sky" / "catalogs" / VERSION
    _write(root / "aws" / "vms.csv", COLUMNS, [row for row in rows if row["Cloud"] == "aws"])
    google = [row for row in rows if row["Cloud"] == "gcp"]
    hosts = [
        {**row, "AcceleratorName": "", "AcceleratorCount": "", "Price": 0, "SpotPrice": 0} for row in google
    ]
    cards = [
        {
            **row,
            "InstanceType": "",
            "vCPUs": "",
            "MemoryGiB": "",
            "GpuInfo": gpu_info(row["AcceleratorName"], 0),
        }
        for row in google
    ]
    once = {(row["InstanceType"], row["AvailabilityZone"]): row for row in hosts}
    _write(root / "gcp" / "vms.csv", GCP_COLUMNS, [*once.values(), *cards])
    _write(root / "common" / "accelerators.csv", ("AcceleratorName", "Clouds"), ())


def _write(path: Path, columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, tuple(columns), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def best(cloud: str, gpu: str, *, spot: bool) -> dict[str, Any]:
    """Machine, region and dollars an hour that the optimiser settles on."""
    import sky
    from sky import check, optimizer

    one = {"aws": sky.AWS, "gcp": sky.GCP}[cloud]()
    check.get_cached_enabled_clouds_or_refresh = lambda *_, **__: [one]
    with sky.Dag() as dag:
        task = sky.Task(run="true")
        task.set_resources(sky.Resources(infra=cloud, accelerators=f"{gpu}:1", use_spot=spot))
    optimizer.Optimizer.optimize(dag, quiet=True)
    chosen = task.best_resources
    return {
        "machine": chosen.instance_type,
        "region": chosen.region,
        "usd": chosen.get_cost(3600),
    }


if __name__ == "__main__":
    seed(Path.home(), Path(sys.argv[1]))
    asked = [
        (cloud, gpu, spot)
        for cloud, gpu in (("aws", "T4"), ("aws", "L4"), ("gcp", "L4"))
        for spot in (True, False)
    ]
    print(json.dumps([[*one, best(one[0], one[1], spot=one[2])] for one in asked]))
