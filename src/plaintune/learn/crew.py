"""Several processes learn one network: each takes its share of every batch, and the gradients are added up.

The first process, the lead, runs the whole command; the others only help it with the training steps. They
meet by torch.distributed (NCCL between GPUs, gloo elsewhere): on one machine the lead starts its helpers
itself, on several machines `torchrun` starts a process each and says in RANK, WORLD_SIZE, MASTER_ADDR and
MASTER_PORT which is which.
"""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import nn

from ..core.errors import UserError
from ..core.hardware import MEETING, inspect_machine, started_by_launcher
from .network import Device, Network, choose_device

MEETING_WAIT = timedelta(minutes=10)  # of the lead, for its helpers
LONGEST_WAIT = timedelta(days=7)  # helpers sleep while the lead reads, counts words and scores
LEAVE_SECONDS = 10
THE_END = -1.0  # in the place of a learning rate


@dataclass(frozen=True)
class Crew:
    """The processes that learn together, as seen by number ``rank`` of ``size``; number 0 leads."""

    rank: int = 0
    size: int = 1
    talk: Any = None  # the group of processes that hears what the lead says
    gradients: Any = None  # the same processes, between their GPUs where they have some

    def set_to_work(self, network: nn.Module, optimizer: torch.optim.Optimizer, task: Any) -> None:
        """The lead gives everybody the network as it is, and whatever else they need for the steps."""
        if self.size > 1:
            self._tell((copy.deepcopy(network).cpu(), optimizer.state_dict(), task))

    def next_step(self, rate: float) -> None:
        """The lead says that a step comes, at ``rate``; or `THE_END` of these steps."""
        if self.size > 1:
            with _lost_helpers():
                dist.broadcast(torch.tensor([rate], dtype=torch.float64), src=0, group=self.talk)

    def share(self, rows: int) -> slice:
        """Which rows of a batch this process learns from."""
        return slice(self.rank, rows, self.size)

    def add_up(self, network: Network, figures: list[float]) -> list[float]:
        """Everybody's gradients and ``figures``, summed; the former stay in the network."""
        if self.size == 1:
            return figures
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.trained]
        parts.append(torch.tensor(figures, dtype=torch.float32, device=parts[0].device))
        together = nn.utils.parameters_to_vector(parts)
        with _lost_helpers():
            dist.all_reduce(together, group=self.gradients)
        nn.utils.vector_to_parameters(together, parts)
        for parameter, gradient in zip(network.trained, parts, strict=False):
            parameter.grad = gradient
        return [float(figure) for figure in parts[-1]]

    def hear(self) -> Any:
        """What the lead gives this helper to work on; None where nothing more is to be done."""
        message: list[Any] = [None]
        dist.broadcast_object_list(message, src=0, group=self.talk)
        return message[0]

    def _tell(self, message: Any) -> None:
        with _lost_helpers():
            dist.broadcast_object_list([message], src=0, group=self.talk)


ALONE = Crew()


@contextmanager
def gathered(processes: int, device: Device) -> Iterator[Crew]:
    """A crew of ``processes`` for as long as this lasts: helpers started here, or those of the launcher.

    Raises UserError where this machine has fewer GPUs.
    """
    if not started_by_launcher() and processes == 1:
        yield ALONE
        return
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        if started_by_launcher():
            crew = _join(device, MEETING_WAIT)
        else:
            _require_gpus(processes, device)
            port = _free_port()
            helpers += [_hire(rank, processes, port) for rank in range(1, processes)]
            crew = _join(device, MEETING_WAIT, f"tcp://127.0.0.1:{port}", rank=0, size=processes)
        yield crew
        with suppress(UserError):
            crew._tell(None)
    finally:
        if dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()
        for helper in helpers:
            _dismiss(helper)


def help_out() -> NoReturn:
    """Help the lead with every training it begins, until it needs no more help or is gone; then exit."""
    from .steps import Stepper
    from .train import Schedule, from_step

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the lead's: it dismisses its helpers
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    device = choose_device(inspect_machine())
    stepper: Stepper
    schedule: Schedule
    with suppress(RuntimeError, UserError):  # the lead is gone
        crew = _join(device, LONGEST_WAIT)
        while (message := crew.hear()) is not None:
            network, moments, (stepper, schedule, step) = message
            network = network.to(device.torch_device)
            here = replace(device, number_format=stepper.device.number_format)
            stepper = replace(stepper, device=here)
            optimizer = stepper.optimizer(network)
            optimizer.load_state_dict(moments)
            for batch in from_step(stepper, schedule, step):
                told = torch.zeros(1, dtype=torch.float64)
                dist.broadcast(told, src=0, group=crew.talk)
                if (rate := float(told)) == THE_END:
                    break
                stepper.step(
                    network, optimizer, batch, rate=rate, adversarial=schedule.adversarial, crew=crew
                )
    sys.stdout.flush()
    os._exit(0)  # the group's threads would wait for a lead that is gone


def _join(device: Device, wait: timedelta, where: str = "env://", *, rank: int = -1, size: int = -1) -> Crew:
    """Meet the others: by the launcher's variables, or at the address and by the number that are given."""
    with _lost_helpers():
        dist.init_process_group("gloo", where, rank=rank, world_size=size, timeout=wait)
        backend = "nccl" if device.torch_device.type == "cuda" else "gloo"
        talk = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
        gradients = dist.new_group(backend=backend, timeout=LONGEST_WAIT)
    return Crew(dist.get_rank(), dist.get_world_size(), talk, gradients)


def _hire(rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    meeting = dict(zip(MEETING, map(str, (rank, size, "127.0.0.1", port)), strict=True))
    return subprocess.Popen(
        [sys.executable, "-c", "from plaintune.learn.crew import help_out; help_out()"],
        env={**os.environ, **meeting, "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": str(_threads(size))},
        stdin=subprocess.DEVNULL,
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _threads(size: int) -> int:
    return max(1, inspect_machine().cores // size)


def _dismiss(helper: subprocess.Popen[bytes]) -> None:
    try:
        helper.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        helper.kill()
        helper.wait()


def _require_gpus(wanted: int, device: Device) -> None:
    found = torch.cuda.device_count() if device.torch_device.type == "cuda" else 0
    if wanted > found:
        raise UserError(
            f"--gpus {wanted}: this machine has {found} GPU{'' if found == 1 else 's'} that torch can use.",
            "Leave --gpus out: one GPU, or the processor, does the same training.",
        )


@contextmanager
def _lost_helpers() -> Iterator[None]:
    """What torch says when a process of the crew is gone, in words."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:100]
        raise UserError(
            f"A process that helped with the training has ended ({reason}).",
            "Type the same command again: it goes on from the last checkpoint; or with fewer --gpus.",
        ) from error
