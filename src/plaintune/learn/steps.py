"""One training step: a batch in, the weights moved a little."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.tasks import Task
from ..data.encode import Tokens, even_parts, like_lengths, padded, shuffled_batches
from .crew import ALONE, Crew
from .network import Device, Network, to_torch
from .workers import side_by_side, workers

LAYER_DECAY = 0.9  # each layer learns at this share of the rate of the one above it
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
MOVED = 0.1  # of a word's length: how far the words of a text are moved to make it harder
MULTI_LOSS_WEIGHT = 2.0  # a mean over classes alone would be a small loss beside the weight decay
HANDFUL = 96  # rows; with fewer, some things are not worth their time (docs/experiments.md)
CONTRASTED_CLASSES, CONTRASTED_ROWS, CONTRASTED_TOKENS = 8, 16, 128  # of a batch, all at once
GPU_TOKENS_AT_ONCE = 65_536
TOKENS_AT_ONCE = 2048  # a batch goes through in parts, so that length does not decide the peak of memory
TOKENS_IN_ALL = 4096  # of the parts that go through side by side
WORKER_TOKENS = 512  # for fewer another worker is not worth adding up its gradients
WORKERS_GRADIENTS = 50_000_000  # numbers, 4 bytes each: for a large network more workers would take too much
PART_COST, GPU_PART_COST = 112, 16_384  # tokens that take as long as one part more
LAYER_NUMBER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")

Gradients = list[Any] | None  # a tensor or None for each trained parameter; None before the first part


@dataclass(frozen=True)
class Seen:
    """What was seen of a batch before learning from it."""

    loss: float  # in nats, the mean of its texts
    right: float  # share of its texts with the right answer, or the right set of them; nan for numbers


@dataclass(frozen=True)
class Batch:
    """The texts that a step learns from."""

    tokens: Tokens
    labels: NDArray[Any]


@dataclass(frozen=True)
class Stepper:
    """The training texts and how to learn from a batch of them."""

    tokens: Tokens
    labels: NDArray[Any]  # as in `Task`, or how likely each answer is; numbers in standard units
    pad_id: int
    device: Device
    task: Task = Task.SINGLE
    scaling: Mapping[str, Any] = field(default_factory=dict)  # what `scaler` begins with, as it tells itself

    @cached_property
    def scaler(self) -> torch.amp.GradScaler:
        """Keeps small gradients from vanishing in float16; does nothing in any other number format."""
        half = self.device.number_format is torch.float16
        scaler = torch.amp.GradScaler(self.device.torch_device.type, enabled=half)
        if self.scaling:
            scaler.load_state_dict(dict(self.scaling))
        return scaler

    def for_helpers(self) -> Stepper:
        """The same for another process, which has to scale gradients as they are scaled here by now."""
        return replace(self, scaling=self.scaler.state_dict())

    def _sides(self, network: Network, lengths: NDArray[np.int64]) -> list[list[NDArray[np.int64]]]:
        """The texts of a batch, as positions: for each worker, those that go through the network together."""
        if self.device.torch_device.type != "cpu":
            return [like_lengths(lengths, tokens_at_once=GPU_TOKENS_AT_ONCE, part_cost=GPU_PART_COST)]
        if network.packed is not None:
            numbers = sum(parameter.numel() for parameter in network.trained)
            sides = workers(min(int(lengths.sum()) // WORKER_TOKENS, WORKERS_GRADIENTS // numbers))
            most = min(TOKENS_AT_ONCE, TOKENS_IN_ALL // sides)
            return even_parts(lengths, tokens_at_once=most, sides=sides) or [[]]
        return [like_lengths(lengths, tokens_at_once=TOKENS_AT_ONCE, part_cost=PART_COST)]

    def epoch(self, *, rows_per_batch: int, seed: int) -> Iterator[Batch]:
        """The batches of one pass over the texts, a window of each."""
        seen = self.tokens.drawn(seed)
        for chosen in shuffled_batches(seen.lengths, rows_per_batch=rows_per_batch, seed=seed):
            yield Batch(seen.take(chosen), self.labels[chosen])

    def endless_batches(self, *, rows_per_batch: int, seed: int) -> Iterator[Batch]:
        """Pass after pass, each in a new order that only ``seed`` and its number decide."""
        passes = 0
        while True:
            yield from self.epoch(rows_per_batch=rows_per_batch, seed=seed + 1000 * passes)
            passes += 1

    def optimizer(self, network: Network) -> torch.optim.AdamW:
        """AdamW with layer-wise rates (Howard and Ruder 2018): each group carries its ``share``."""
        layers = 1 + max([_layer(name) or 0 for name, _ in network.named_parameters()])
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:
                continue
            layer = _layer(name)
            shared = layers if name.startswith("encoder.") else 0  # by all layers (DeBERTa's positions)
            depth = shared if layer is None else layers - layer
            decay = WEIGHT_DECAY if parameter.ndim > 1 else 0.0
            groups.setdefault((LAYER_DECAY**depth, decay), []).append(parameter)
        described = [
            {"params": parameters, "share": share, "weight_decay": decay}
            for (share, decay), parameters in groups.items()
        ]
        return torch.optim.AdamW(described, lr=0.0, betas=(0.9, 0.99), eps=1e-6, fused=True)

    def step(
        self,
        network: Network,
        optimizer: torch.optim.AdamW,
        batch: Batch,
        *,
        rate: float,
        adversarial: bool = False,
        crew: Crew = ALONE,
    ) -> Seen:
        """Learn from ``batch`` at ``rate``, of which each of ``crew`` takes a share.

        Gives what was seen of its texts before the step. Where it is ``adversarial``, each text is learned
        once as it is and once with its words moved a little to where the answer is hardest to see (Miyato et
        al. 2017, "Adversarial training methods for semi-supervised text classification").
        """
        rows = len(batch.labels)
        mine = np.arange(rows)[crew.share(rows)]

        def learn(parts: list[NDArray[np.int64]]) -> tuple[float, float, Gradients]:
            total, right, gradients = 0.0, 0.0, None
            for part in parts:
                some = self._part(batch, mine[part])
                loss, known, found = self._learned(network, *some, rows=rows, adversarial=adversarial)
                gradients = _added(gradients, found)
                total += loss
                right += known
            return total, right, gradients

        sides = self._sides(network, batch.tokens.lengths[mine])
        with network.unchanged():
            totals, rights, gradients = zip(*side_by_side(learn, sides), strict=True)
        _keep(network, gradients)
        total, right = crew.add_up(network, [sum(totals), sum(rights)])
        self._apply(network, optimizer, rate)
        return Seen(total, right / rows)

    def contrast(
        self, network: Network, optimizer: torch.optim.AdamW, chosen: NDArray[np.int64], *, rate: float
    ) -> float:
        """Move texts of one class together and of different classes apart; gives the loss before the step.

        The cosine of every pair in the batch is drawn to 1 or 0, as in SetFit (Tunstall et al. 2022), whose
        batches hold single pairs: n texts here give n² of them for the cost of n.
        """
        sides = self._sides(network, self.tokens.lengths[chosen])
        with network.unchanged():
            seen = side_by_side(lambda side: [self._features(network, chosen[part]) for part in side], sides)
        leaves = [[features.detach().requires_grad_() for features in side] for side in seen]
        order = np.concatenate([part for side in sides for part in side])
        labels = torch.from_numpy(self.labels[chosen[order]]).to(self.device.torch_device)
        loss = _contrast(torch.cat([part for side in leaves for part in side]), labels)
        self.scaler.scale(loss).backward()

        def learn(side: tuple[list[torch.Tensor], list[torch.Tensor]]) -> Gradients:
            gradients: Gradients = None
            for part, leaf in zip(*side, strict=True):
                gradients = _added(gradients, _gradients(network, part, leaf.grad))
            return gradients

        _keep(network, side_by_side(learn, zip(seen, leaves, strict=True)))
        self._apply(network, optimizer, rate)
        return float(loss.detach())

    def _features(self, network: Network, part: NDArray[np.int64]) -> torch.Tensor:
        ids, mask = to_torch(*padded(self.tokens, part, pad_id=self.pad_id), self.device)
        with self.device.autocast():
            return network.features(ids, mask).float()

    def balanced_batches(self, *, seed: int) -> Iterator[NDArray[np.int64]]:
        """Without end: a few texts of each of a few classes, for `contrast`."""
        rng = np.random.default_rng(seed)
        members = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        classes = min(CONTRASTED_CLASSES, len(members))
        each = CONTRASTED_ROWS // classes
        while True:
            drawn = [members[at] for at in rng.choice(len(members), classes, replace=False)]
            yield np.concatenate([rng.choice(rows, min(each, len(rows)), replace=False) for rows in drawn])

    def _apply(self, network: Network, optimizer: torch.optim.AdamW, rate: float) -> None:
        """Move the weights along the gradients that have been gathered."""
        self.scaler.unscale_(optimizer)
        length = nn.utils.clip_grad_norm_(network.trained, LARGEST_GRADIENT)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        if self.scaler.is_enabled() or bool(length.isfinite()):  # one overflow would spoil every weight
            self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def _part(self, batch: Batch, part: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A few texts of a batch: their tokens, which of these are no padding, and their labels."""
        ids, mask = to_torch(*padded(batch.tokens, part, pad_id=self.pad_id), self.device)
        truth = torch.from_numpy(batch.labels[part])
        if truth.is_floating_point():
            truth = truth.float()  # some devices know no more digits
        return ids, mask, truth.to(self.device.torch_device)

    def _learned(
        self, network: Network, ids: torch.Tensor, mask: torch.Tensor, truth: torch.Tensor,
        *, rows: int, adversarial: bool,
    ) -> tuple[float, float, Gradients]:  # fmt: skip
        """The loss of a few of ``rows`` texts as they are, how many are right, and the gradients."""

        def ask(words: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
            with self.device.autocast():
                logits = network(ids, mask, words).float()
            return logits.detach(), self._loss(logits, truth) / rows

        words = network.words(ids).requires_grad_() if adversarial else None
        logits, loss = ask(words)
        seen = float(loss.detach()), self._right(logits, truth)
        if words is None:
            return *seen, _gradients(network, self.scaler.scale(loss))
        of_all = [*network.trained, words]
        *gradients, uphill = torch.autograd.grad(self.scaler.scale(loss / 2), of_all, allow_unused=True)
        with torch.no_grad():
            moved = words + _hardest(words, mask, uphill)
        _, harder = ask(moved)
        return *seen, _added(gradients, _gradients(network, self.scaler.scale(harder / 2)))

    def loss_of_silence(self, batch: Batch) -> float:
        """The loss of ``batch`` where each text is said to have the mean number; 1 where answers are classes.

        A few numbers differ by a third in it; classes that nothing is known of all cost the same.
        """
        if self.task is not Task.NUMBER:
            return 1.0
        truth = torch.from_numpy(batch.labels)
        return max(1e-6, float(self._loss(torch.zeros(len(truth), 1), truth)) / len(truth))

    def _loss(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The summed loss of a few texts, in nats."""
        if self.task is Task.SINGLE:
            return nn.functional.cross_entropy(logits, truth, reduction="sum")
        if self.task is Task.MULTI:
            each = nn.functional.binary_cross_entropy_with_logits(logits, truth.float(), reduction="sum")
            return each * (MULTI_LOSS_WEIGHT / truth.shape[1])
        return nn.functional.smooth_l1_loss(logits[:, 0], truth.float(), reduction="sum")

    def _right(self, logits: torch.Tensor, truth: torch.Tensor) -> float:
        if self.task is Task.NUMBER:
            return math.nan
        if self.task is Task.MULTI:
            return float(((logits > 0) == (truth >= 0.5)).all(dim=1).sum())
        if truth.ndim == 2:
            truth = truth.argmax(dim=1)
        return float((logits.argmax(dim=1) == truth).sum())


def _contrast(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How far the cosine of every pair is from 1, or from 0 where labels differ, each half by its mean."""
    cosines = features @ features.T
    same = (labels[:, None] == labels[None, :]).float()
    alike = same - torch.eye(len(labels), device=same.device)
    error = (cosines - same) ** 2
    loss = (error * alike).sum() / alike.sum().clamp(min=1)
    return loss + (error * (1 - same)).sum() / (1 - same).sum().clamp(min=1)


def _hardest(words: torch.Tensor, mask: torch.Tensor, uphill: torch.Tensor) -> torch.Tensor:
    """How to move ``words`` (texts, tokens, hidden) against the answer: along the gradient ``uphill``.

    The words of a text together so far as `MOVED` of what one of them is long on average.
    """
    steepness = uphill.flatten(1).norm(dim=1).clamp(min=torch.finfo(uphill.dtype).tiny)
    far = MOVED * (words.norm(dim=2) * mask).sum(dim=1) / mask.sum(dim=1)
    moved: torch.Tensor = uphill * (far / steepness)[:, None, None]
    return moved


def _gradients(network: Network, of: torch.Tensor, by: torch.Tensor | None = None) -> Gradients:
    """Of each trained parameter, None where ``of`` has nothing to do with it."""
    return list(torch.autograd.grad(of, network.trained, by, allow_unused=True))


def _added(first: Gradients, second: Gradients) -> Gradients:
    """The sums, in the place of ``first``."""
    if first is None or second is None:
        return second if first is None else first
    pairs = enumerate(zip(first, second, strict=True))
    known = [at for at, (one, other) in pairs if one is not None and other is not None]
    torch._foreach_add_([first[at] for at in known], [second[at] for at in known])
    return [other if one is None else one for one, other in zip(first, second, strict=True)]


def _keep(network: Network, gradients: Iterable[Gradients]) -> None:
    """Put the sums of all workers' gradients where the optimizer looks for them."""
    together = reduce(_added, gradients, None)
    for parameter, gradient in zip(network.trained, together or [], strict=False):
        parameter.grad = gradient


def _layer(parameter_name: str) -> int | None:
    found = LAYER_NUMBER.search(parameter_name)
    return int(found.group(1)) if found else None
