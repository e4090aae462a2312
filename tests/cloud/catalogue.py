"""A price list in SkyPilot's own form, small and made up, so that it fetches none and knows what moto sells.

Without a checksum beside them SkyPilot takes the files for the user's own and leaves them alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

VERSION = "v8"  # sky.skylet.constants.CATALOG_SCHEMA_VERSION of SkyPilot 0.14
AMI = "ami-12c6146b"  # one that moto knows
IMAGE_TAGS = ("skypilot:custom-gpu-ubuntu-cuda13", "skypilot:custom-gpu-ubuntu", "skypilot:custom-cpu-ubuntu")
ZONES = {"us-east-1": ("use1-az1", "use1-az2"), "us-west-2": ("usw2-az1",)}
# machine, card, its memory in MiB, cores, GiB, dollars an hour on demand and as spot
MACHINES = (
    ("m6i.large", "", 0, 2, 8, 0.096, 0.035),
    ("m6i.2xlarge", "", 0, 8, 32, 0.384, 0.14),
    ("g4dn.xlarge", "T4", 16384, 4, 16, 0.526, 0.19),
    ("g6.xlarge", "L4", 24576, 4, 16, 0.805, 0.30),
)
COLUMNS = (
    "InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "GpuInfo", "Price",
    "SpotPrice", "Region", "AvailabilityZone", "Arch", "LocalDiskType", "NVMeSupported", "LocalDiskSize",
    "LocalDiskCount",
)  # fmt: skip


def seed_catalogue(home: Path) -> None:
    """Write the catalogue where a SkyPilot with this home folder looks for it."""
    root = home / ".sky" / "catalogs" / VERSION
    _write(root / "aws" / "vms.csv", COLUMNS, _rows())
    columns = ("Tag", "Region", "OS", "OSVersion", "ImageId", "CreationDate", "BaseImageId")
    images = ((tag, region, "ubuntu", "22.04", AMI, "20241104", "") for tag in IMAGE_TAGS for region in ZONES)
    _write(root / "aws" / "images.csv", columns, images)
    quotas = ("InstanceType", "OnDemandInstanceCode", "SpotInstanceCode")
    _write(root / "aws" / "instance_quota_mapping.csv", quotas, ())
    _write(root / "common" / "accelerators.csv", ("AcceleratorName", "Clouds"), ())


def gpu_info(card: str, memory_mib: int) -> str:
    """What SkyPilot wants to read about a machine's one card: a literal of Python's."""
    one = {"Name": card, "Manufacturer": "NVIDIA", "Count": 1, "MemoryInfo": {"SizeInMiB": memory_mib}}
    return str({"Gpus": [one], "TotalGpuMemoryInMiB": memory_mib})


def _rows() -> Iterable[tuple[object, ...]]:
    for region, zones in ZONES.items():
        for rank, zone in enumerate(zones):
            for machine, card, memory, cores, gib, price, spot in MACHINES:
                gpu = (card, 1, cores, gib, gpu_info(card, memory)) if card else ("", "", cores, gib, "")
                yield (machine, *gpu, price, round(spot + rank / 100, 3), region, zone, "x86_64", *[""] * 4)


def _write(path: Path, columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
