"""Kill it anywhere; the same command goes on. No pickles: safetensors and a line of JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..core.events import Listener, note, warn
from ..core.files import file_sha256, write_text
from ..core.linear import NgramModel
from ..core.settings import PLAN
from .steps import Seen

OTHER_RUN = "The unfinished run of before had other data, settings or release: this one starts anew."
NGRAMS = "ngrams.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # the first is fewer than the steps where some were skipped


@dataclass(frozen=True)
class Checkpoint:
    """A folder beside the output that holds the plan of a run and how far it has come."""

    folder: Path
    listener: Listener
    when_done: bool = True  # whether the last state is kept as well, for what comes after training

    def load_plan(self, key: str) -> dict[str, Any] | None:
        """The plan of an earlier, unfinished run of the same command on the same data, if any."""
        try:
            plan: dict[str, Any] = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
            if plan.get("key") == key:
                return plan
            note(self.listener, OTHER_RUN)
            return None
        except OSError:
            return None
        except (ValueError, AttributeError):
            warn(self.listener, "The plan of an unfinished run is damaged; training starts anew.")
            return None

    def save_plan(self, plan: dict[str, Any]) -> None:
        """Begin a run: what an earlier run left is removed, the plan is written."""
        self.remove()
        self.folder.mkdir(parents=True)
        write_text(self.folder / PLAN, json.dumps(plan, indent=1))

    def amend_plan(self, plan: dict[str, Any]) -> None:
        """Put ``plan`` in the place of the one that was written, and keep everything else."""
        written = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        write_text(self.folder / PLAN, json.dumps({**written, **plan}, indent=1))

    def ngrams(self, make: Callable[[], NgramModel]) -> NgramModel:
        """The n-gram model that was put by here; where there is none, or a damaged one, it is made."""
        file = self.folder / NGRAMS
        checksum = file.with_suffix(".sha256")  # written last
        try:
            if checksum.read_text(encoding="utf-8") != file_sha256(file):
                raise ValueError("its contents have changed")
            return NgramModel.load(file)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self._set_aside(file, checksum)
            warn(self.listener, f"The counted words of before are damaged ({error}); they are set aside.")
        make().save(file)
        write_text(checksum, file_sha256(file))
        return NgramModel.load(file)

    def save(
        self,
        network: nn.Module,
        optimizer: torch.optim.AdamW,
        scaler: torch.amp.GradScaler,
        *,
        step: int,
        steps: int,
        seen: list[Seen],
    ) -> None:
        """Write the state aside, then point to it; the state before it goes last."""
        arrays = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                arrays[f"weight/{name}"] = parameter.detach().cpu().contiguous()
                for moment in MOMENTS:
                    if moment in optimizer.state[parameter]:
                        value = optimizer.state[parameter][moment]
                        arrays[f"{moment}/{name}"] = value.detach().cpu().contiguous()
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"step-{step:08d}.safetensors"
        aside = file.with_suffix(".part")
        save_file(arrays, aside)
        aside.replace(file)
        state = {
            "file": file.name,
            "sha256": file_sha256(file),
            "step": step,
            "steps": steps,
            "seen": [(one.loss, one.right) for one in seen],
            "scaler": scaler.state_dict(),
        }
        write_text(self.folder / "state.json", json.dumps(state))
        for other in self.folder.glob("step-*"):
            if other != file:
                other.unlink()

    def load(
        self, network: nn.Module, optimizer: torch.optim.AdamW, scaler: torch.amp.GradScaler
    ) -> tuple[int, int, list[Seen]] | None:
        """Put weights, moments and scale back; gives (step, steps, seen). A damaged state is set aside."""
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            file = self.folder / state["file"]
            if file_sha256(file) != state["sha256"]:
                raise ValueError("its contents have changed")
            seen = [Seen(*one) for one in state["seen"]]
            arrays = load_file(file)
            if state.get("scaler"):  # empty where it was saved in another number format
                scaler.load_state_dict(state["scaler"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            self._set_aside(self.folder / "state.json", *self.folder.glob("step-*"))
            warn(
                self.listener, f"The checkpoint is damaged ({error}); it is set aside, training starts anew."
            )
            return None
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if f"weight/{name}" not in arrays:
                    continue
                parameter.copy_(arrays[f"weight/{name}"])
                moments = {
                    moment: arrays[f"{moment}/{name}"].to(parameter.device)
                    for moment in MOMENTS
                    if f"{moment}/{name}" in arrays  # none before the first step
                }
                if moments:
                    optimizer.state[parameter] = moments
        return state["step"], state["steps"], seen

    def _set_aside(self, *files: Path) -> None:
        damaged = self.folder / "damaged"
        damaged.mkdir(exist_ok=True)
        for file in files:
            file.replace(damaged / file.name)

    def remove(self) -> None:
        """The run is done, or another begins."""
        shutil.rmtree(self.folder, ignore_errors=True)
