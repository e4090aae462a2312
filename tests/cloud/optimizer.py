"""What SkyPilot's own optimiser would rent, on the price list that ships with plaintune, and would order.

    HOME=EMPTY python optimizer.py prices.csv                # with SkyPilot's Python; needs no account
    HOME=EMPTY python optimizer.py prices.csv task.json      # the order that this would become

A dry run: the clouds are taken for enabled, nothing is asked of them. On Google SkyPilot wants hosts and
cards priced apart; here the host is free and the card has the price of both. Google's T4 is not compared: of
the hosts that it can be put into, SkyPilot takes a larger one by itself than the one our orders name.
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

IMAGES = ("skypilot:custom-gpu-ubuntu-2204-cuda13", "skypilot:custom-gpu-ubuntu-2204")
AZURE_COLUMNS = (*COLUMNS[:9], "Generation")
AZURE_IMAGES = ("skypilot:custom-gpu-ubuntu-v2", "skypilot:custom-cpu-ubuntu-v2", "skypilot:gpu-ubuntu-2204")


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
    larger = {"InstanceType": "n1-highmem-4", "MemoryGiB": 26, "Price": 9, "SpotPrice": 9}
    hosts += [{**row, **larger} for row in hosts if row["InstanceType"] == "n1-standard-4"]
    once = {(row["InstanceType"], row["AvailabilityZone"]): row for row in hosts}
    _write(root / "gcp" / "vms.csv", GCP_COLUMNS, [*once.values(), *cards])
    images = [
        {"Tag": tag, "OS": "ubuntu", "ImageId": f"projects/x/global/images/{n}"}
        for n, tag in enumerate(IMAGES)
    ]
    _write(
        root / "gcp" / "images.csv", ("Tag", "Region", "OS", "OSVersion", "ImageId", "CreationDate"), images
    )
    machines = [{**row, "Generation": "V2"} for row in rows if row["Cloud"] == "azure"]
    _write(root / "azure" / "vms.csv", AZURE_COLUMNS, machines)
    images = [
        {"Tag": tag, "OS": "ubuntu", "ImageId": f"/CommunityGalleries/x/Images/{n}"}
        for n, tag in enumerate(AZURE_IMAGES)
    ]
    _write(root / "azure" / "images.csv", ("Tag", "Region", "OS", "OSVersion", "ImageId"), images)
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

    one = {"aws": sky.AWS, "gcp": sky.GCP, "azure": sky.Azure}[cloud]()
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


def order(described: dict[str, Any]) -> dict[str, Any]:
    """What SkyPilot would hand to the part of it that asks the cloud: machine, disks, labels, files."""
    import sky
    import yaml
    from sky import check, optimizer
    from sky.backends import backend_utils, cloud_vm_ray_backend

    asked = described["resources"]["infra"].partition("/")[0]
    cloud = {"gcp": sky.GCP, "azure": sky.Azure}[asked]()
    check.get_cached_enabled_clouds_or_refresh = lambda *_, **__: [cloud]
    name = described["name"]
    task = sky.Task.from_yaml_config(described)
    with sky.Dag() as dag:
        dag.add(task)
    optimizer.Optimizer.optimize(dag, quiet=True)
    chosen = task.best_resources
    written = backend_utils.write_cluster_config(
        chosen, 1, cloud_vm_ray_backend._get_cluster_config_template(cloud), name,
        Path("wheel"), "hash", region=sky.clouds.Region(chosen.region),
        zones=None if asked == "azure" else [sky.clouds.Zone(f"{chosen.region}-a")], dryrun=True,
        keep_launch_fields_in_existing_config=True,
    )  # fmt: skip
    ordered: dict[str, Any] = yaml.safe_load(Path(written["ray"]).read_text(encoding="utf-8"))
    return {**ordered, "hooks": chosen.hooks}


if __name__ == "__main__":
    seed(Path.home(), Path(sys.argv[1]))
    if len(sys.argv) > 2:
        print(json.dumps(order(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))))
        sys.exit()
    cards = ("aws", "T4"), ("aws", "L4"), ("gcp", "L4"), ("azure", "T4")
    asked = [
        (cloud, gpu, spot)
        for cloud, gpu in cards
        for spot in (True, False)
        if not (spot and cloud == "azure")  # the shipped list has none of Azure's spot prices
    ]
    print(json.dumps([[*one, best(one[0], one[1], spot=one[2])] for one in asked]))
