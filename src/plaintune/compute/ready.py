"""Whether an account may rent a GPU at all: what stops beginners, looked up before anything is promised."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError
from .engine import CloudAway, Engine
from .machine import account_of

CORES_NEEDED = 4  # of the smallest machine with a GPU
AWS_QUOTAS = "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"
AWS_WORDS = "I train small text models, one machine at a time, for minutes. Please allow 4 vCPUs."
GCP_QUOTAS = "https://console.cloud.google.com/iam-admin/quotas"


@dataclass(frozen=True)
class Step:
    """One thing that must be right, whether it is, and what to do where it is not."""

    cloud: str
    what: str
    good: bool | None  # None: it cannot be seen from here
    fix: str = ""

    def __str__(self) -> str:
        mark = {True: "ok", False: "MISSING", None: "look yourself"}[self.good]
        return f"{self.cloud}: {self.what}: {mark}" + (f". {self.fix}" if self.fix and not self.good else "")


def aws_steps(engine: Engine, region: str) -> list[Step]:
    """Credentials, GPU quotas, and where to see the bill."""
    try:
        account = account_of(engine)
    except UserError as refused:
        return [Step("aws", "credentials", False, refused.fix)]
    except (CloudAway, subprocess.TimeoutExpired):
        return [Step("aws", "an answer from Amazon", False, "Look whether the network is there.")]
    steps = [Step("aws", f"credentials (account {account})", True)]
    try:
        quotas = engine.ask_aws("gpu_quotas", region=region)
    except (CloudAway, subprocess.TimeoutExpired):
        quotas = {"spot_cpus": None, "on_demand_cpus": None}
    names = {"spot_cpus": "All G and VT Spot Instance Requests",
             "on_demand_cpus": "Running On-Demand G and VT instances"}  # fmt: skip
    for key, name in names.items():
        steps.append(_quota_step(region, name, quotas[key]))
    bill = "https://console.aws.amazon.com/billing"
    return [*steps, Step("aws", "a way of paying", None, f"New accounts may have a trial credit: {bill}")]


def _quota_step(region: str, name: str, cores: float | None) -> Step:
    fix = f"Open {AWS_QUOTAS}, choose {region} and '{name}', ask for {CORES_NEEDED}, and write: '{AWS_WORDS}'"
    if cores is None:
        return Step("aws", f"quota '{name}' in {region}", None, fix)
    return Step("aws", f"quota '{name}' in {region}: {cores:g} cores", cores >= CORES_NEEDED, fix)


def gcp_steps() -> list[Step]:
    """What can be seen without asking Google, and what a beginner trips over there."""
    key = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    return [
        Step("gcp", "credentials", key.exists(), "Type: gcloud auth application-default login"),
        Step("gcp", "quota GPUS_ALL_REGIONS of at least 1", None,
             f"It is 0 in a new account: open {GCP_QUOTAS}, choose GPUS_ALL_REGIONS, ask for 1"),
        Step("gcp", "a paid account", None,
             "A trial account gets no GPU until you press 'Upgrade' on https://console.cloud.google.com/billing"),
        Step("gcp", "renting through plaintune", False, "Only from aws so far; quotes show Google's prices"),
    ]  # fmt: skip
