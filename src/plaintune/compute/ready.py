"""Whether an account may rent a GPU at all: what stops beginners, looked up before anything is promised."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace

from ..core.errors import UserError
from .clouds import Cloud
from .engine import CloudAway, Engine
from .machine import account_of

WORDS = "I train small text models, one machine at a time, for minutes. Please allow {number} {unit}."


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


def steps_to(cloud: Cloud, engine: Engine, region: str | None) -> list[Step]:
    """Credentials, GPU quotas, and whether there is a way of paying."""
    engine, region = engine.on(cloud.name), region or cloud.usual_region
    paying = Step(cloud.name, "a way of paying", None, f"{cloud.trial}: {cloud.billing}")
    try:
        account = account_of(engine)
    except UserError as refused:
        unseen = (_quota_step(cloud, region, name, None) for name in cloud.quota_names.values())
        return [Step(cloud.name, "credentials", False, refused.fix), *unseen, paying]
    except (CloudAway, subprocess.TimeoutExpired):
        answer = f"an answer from {cloud.company}"
        return [Step(cloud.name, answer, False, "Look whether the network is there.")]
    try:
        quotas = engine.ask("gpu_quotas", region=region)
    except (CloudAway, subprocess.TimeoutExpired):
        quotas = {}
    return [
        Step(cloud.name, f"credentials (account {account})", True),
        *_services_step(cloud, engine),
        *(_quota_step(cloud, region, name, quotas.get(key)) for key, name in cloud.quota_names.items()),
        replace(paying, good=_is_paid(engine)),
    ]


def _services_step(cloud: Cloud, engine: Engine) -> list[Step]:
    """Whether the account has opened the parts of the cloud that a machine needs, where it has to."""
    if not cloud.services:
        return []
    what = "the services that a machine needs"
    try:
        off = engine.ask("services_off")
    except (CloudAway, subprocess.TimeoutExpired):
        return [Step(cloud.name, what, None)]
    return [Step(cloud.name, what, not off, f"Type: {cloud.services.format(names=' '.join(off))}")]


def _quota_step(cloud: Cloud, region: str, name: str, there: float | None) -> Step:
    fix = (
        f"Open {cloud.quotas}, choose {region} and '{name}', ask for {cloud.least_quota}, and write: "
        f"'{WORDS.format(number=cloud.least_quota, unit=cloud.quota_unit)}'"
    )
    if there is None:
        return Step(cloud.name, f"quota '{name}' in {region}", None, fix)
    return Step(cloud.name, f"quota '{name}' in {region}: {there:g}", there >= cloud.least_quota, fix)


def _is_paid(engine: Engine) -> bool | None:
    try:
        paid: bool | None = engine.ask("is_paid")
        return paid
    except (CloudAway, subprocess.TimeoutExpired):
        return None
