"""What this machine is, as far as it matters for training; no torch in here."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a container: cgroup 2 or 1
MEETING = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what launchers of many processes set


@dataclass(frozen=True)
class Machine:
    """The processor and memory that this process may use."""

    processor: str
    cores: int  # that this process may use, container limits counted in
    memory_gib: float | None  # likewise
    matrix_units: str | None  # what speeds bf16 products up: "AMX", "AVX-512 BF16" or None

    def __str__(self) -> str:
        memory = "" if self.memory_gib is None else f", {self.memory_gib:.0f} GiB of memory"
        units = "" if self.matrix_units is None else f", {self.matrix_units}"
        return f"{self.processor}, {self.cores} cores{units}{memory}"


def inspect_machine() -> Machine:
    """Ask the operating system; what it does not say is None."""
    cpuinfo = _read(Path("/proc/cpuinfo"))
    flags = _field(cpuinfo, "flags").split()
    units = "AMX" if "amx_bf16" in flags else "AVX-512 BF16" if "avx512_bf16" in flags else None
    return Machine(
        processor=_field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        cores=usable_cores(),
        memory_gib=_memory_gib(),
        matrix_units=units,
    )


def usable_cores() -> int:
    """Cores this process may use: its affinity, the quota of its container (cgroup 1 or 2), OMP_NUM_THREADS.

    Ray and Spark tell each of their workers its share by that variable, and torch goes by it as well.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, told = _cgroup_quota(), os.environ.get("OMP_NUM_THREADS", "")
    limits = [
        affinity,
        *([] if quota is None else [round(quota)]),
        *([int(told)] if told.isdecimal() else []),
    ]
    return max(1, min(limits))


def started_by_launcher() -> bool:
    """Whether `torchrun` or the like started several processes, of which this is one."""
    return all(os.environ.get(name) for name in MEETING) and int(os.environ["WORLD_SIZE"]) > 1


def is_helper() -> bool:
    """Whether this process only helps another one to train."""
    return started_by_launcher() and os.environ["RANK"] != "0"


def _cgroup_quota() -> float | None:
    two = _read(Path("/sys/fs/cgroup/cpu.max")).split()
    if len(two) == 2 and two[0] != "max":
        return int(two[0]) / int(two[1])
    quota = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")).strip()
    period = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")).strip()
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _memory_gib() -> float | None:
    total = _field(_read(Path("/proc/meminfo")), "MemTotal").split()
    limits = [_read(Path("/sys/fs/cgroup") / name).strip() for name in MEMORY_LIMITS]
    known = [int(limit) / 2**30 for limit in limits if limit.isdecimal()]
    return min([*([int(total[0]) / 2**20] if total else []), *known], default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
