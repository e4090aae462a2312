"""The network that is fine-tuned: pre-trained encoder, pooling, one linear layer per answer."""

from __future__ import annotations

import copy
import os
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import UserError, one_line
from ..core.hardware import Machine
from ..core.settings import Choice
from ..data.encode import Tokens, batches, mean_by_text, padded
from .backbone import Backbone
from .packed import PackedLayers

EVAL_TOKENS_PER_BATCH = 4096
KEPT_PRIMITIVES = "24"  # of 1,024 by default: each shape of batch kept memory, 1 GB after 60 steps on IMDB


@dataclass(frozen=True)
class Device:
    """Where the network runs and in which number format."""

    torch_device: torch.device
    number_format: torch.dtype
    choice: Choice

    def autocast(self) -> AbstractContextManager[object]:
        """Matrix products in the chosen number format, the rest in float32."""
        if self.number_format == torch.float32:
            return nullcontext()
        return torch.autocast(self.torch_device.type, dtype=self.number_format)

    def within(self, machine: Machine) -> str:
        """What computes, in words: the machine, and before it its GPU where that is used."""
        return str(machine) if self.torch_device.type == "cpu" else f"{self.choice.value}, {machine}"


class Network(nn.Module):
    """Token ids → logits. Pooling is mean, maximum and first token, side by side.

    For a ``sentence`` encoder it is the mean alone, brought to length one, as such models were trained:
    with 8 to 128 examples a class the last layer was 1 to 8 points better on it (docs/experiments.md).
    """

    def __init__(self, encoder: nn.Module, hidden: int, outputs: int, *, sentence: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.packed: PackedLayers | None = None  # the same layers as training wants them
        self.sentence = sentence
        self.head = nn.Linear(hidden if sentence else 3 * hidden, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def words(self, input_ids: Tensor) -> Tensor:
        """What stands for each token before anything is made of it, (batch, tokens, hidden)."""
        encoder: Any = self.encoder
        found: Tensor = encoder.get_input_embeddings()(input_ids)
        return found.detach()

    def features(self, input_ids: Tensor, attention_mask: Tensor, words: Tensor | None = None) -> Tensor:
        """What the head sees, float32. Shapes (batch, tokens) → (batch, head inputs).

        Of other ``words`` (batch, tokens, hidden) than the ids', where there are any.
        """
        if self.packed is not None:
            hidden = self.packed(input_ids, attention_mask, words)
        else:
            given = {"input_ids": input_ids} if words is None else {"inputs_embeds": words}
            hidden = self.encoder(**given, attention_mask=attention_mask).last_hidden_state
        hidden = hidden.float()  # (batch, tokens, hidden)
        kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * kept).sum(dim=1) / kept.sum(dim=1)
        if self.sentence:
            return nn.functional.normalize(mean, dim=-1)
        largest = (hidden + (kept - 1.0) * 1e4).amax(dim=1)
        return torch.cat([mean, largest, hidden[:, 0]], dim=-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, words: Tensor | None = None) -> Tensor:
        """Logits in float32, of what `features` takes. Shapes (batch, tokens) → (batch, outputs)."""
        features = self.features(input_ids, attention_mask, words)
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features)
            return logits

    @property
    def trained(self) -> list[nn.Parameter]:
        """The parameters that learn."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def unchanged(self) -> AbstractContextManager[None]:
        """While this lasts no weight changes: to be told so makes answers quicker."""
        return nullcontext() if self.packed is None else self.packed.unchanged()

    def plain(self) -> Network:
        """A copy in float32 on the processor, every operation as the pre-trained model's authors wrote it."""
        found = copy.deepcopy(self).cpu().float().eval()
        found.packed = None
        return found


def load_network(backbone: Backbone, outputs: int, device: Device, *, sentence: bool = False) -> Network:
    """The encoder of ``backbone`` without dropout, its embeddings frozen, and an empty head.

    Raises UserError as `open_encoder`.
    """
    return with_head(open_encoder(backbone, device), outputs, device, sentence=sentence)


def open_encoder(backbone: Backbone, device: Device) -> nn.Module:
    """The pre-trained layers, on the processor, their embeddings frozen.

    Raises UserError for a model that transformers cannot open without running its own code.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    attention = "eager" if device.torch_device.type == "cpu" else "sdpa"
    options = {
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
        "dtype": torch.float32,
    }
    try:
        try:
            encoder = transformers.AutoModel.from_pretrained(
                backbone.folder, attn_implementation=attention, **options
            )
        except ValueError:  # a family with an attention of its own, such as DeBERTa
            encoder = transformers.AutoModel.from_pretrained(backbone.folder, **options)
    except Exception as error:
        raise UserError(
            f"The model '{backbone.name}' could not be opened ({type(error).__name__}: {error}).",
            "Choose a model of the BERT, RoBERTa, DeBERTa or ModernBERT families, or leave --backbone out.",
        ) from error
    if getattr(encoder.config, "is_encoder_decoder", False):
        raise UserError(
            f"The model '{backbone.name}' is an encoder-decoder; plaintune fine-tunes encoders.",
            "Choose a model of the BERT, RoBERTa, DeBERTa or ModernBERT families.",
        )
    if hasattr(encoder, "pooler"):
        encoder.pooler = None
    for parameter in encoder.get_input_embeddings().parameters():
        parameter.requires_grad_(False)
    if hasattr(encoder, "embeddings"):
        for parameter in encoder.embeddings.parameters():
            parameter.requires_grad_(False)
    found: nn.Module = encoder
    return found


def with_head(encoder: Any, outputs: int, device: Device, *, sentence: bool) -> Network:
    """The network that ``encoder`` becomes a part of.

    Dropout is off and the embeddings stay as they are: both cost time on a CPU (a third of a step) and
    one to three passes over the data do not overfit a pre-trained encoder.
    """
    network = Network(encoder, int(encoder.config.hidden_size), outputs, sentence=sentence)
    if device.torch_device.type == "cpu":
        network.packed = PackedLayers.of(encoder, device.number_format)
    return network.eval().to(device.torch_device)  # eval: no dropout, also while training


def choose_device(machine: Machine) -> Device:
    """A GPU where there is one that torch can use; else the CPU."""
    torch.set_num_threads(machine.cores)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_PRIMITIVES)
    if torch.cuda.is_available():
        fault = gpu_fault()
        if not fault:
            return _gpu()
        found = _processor(machine)
        return replace(found, choice=replace(found.choice, reason=f"{fault}; {found.choice.reason}"))
    if torch.backends.mps.is_available():
        choice = Choice("device", "Apple GPU", "faster than the processor; numbers in float32")
        return Device(torch.device("mps"), torch.float32, choice)
    return _processor(machine)


def gpu_fault() -> str:
    """Why torch cannot compute on the GPU that it sees; empty where it can.

    It sees GPUs that it was not built for as well: those fail at the first product.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say of old GPUs is said below
            _product_on_gpu()
        return ""
    except RuntimeError as error:
        said = one_line(str(error).strip().split("\n")[0])
    if "image is available for execution" not in said:  # as CUDA puts it that nothing was built for this GPU
        return f"the GPU cannot be used ({said})"
    name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    known = ", ".join(torch.cuda.get_arch_list())
    return f"the GPU, {name}, is of kind sm_{major}{minor}, but this torch is built for {known} alone"


def _product_on_gpu() -> None:
    ones = torch.ones(8, 8, device="cuda")
    float((ones @ ones).sum())


def _gpu() -> Device:
    name = torch.cuda.get_device_name()
    modern = torch.cuda.get_device_capability() >= (8, 0)  # older ones, such as the T4, only imitate bf16
    number_format = torch.bfloat16 if modern else torch.float16
    choice = Choice("device", name, "a GPU is many times faster than the processor")
    return Device(torch.device("cuda"), number_format, choice)


def _processor(machine: Machine) -> Device:
    """The CPU, in the number format that is faster in a short test."""
    forced = os.environ.get("PLAINTUNE_NUMBER_FORMAT")  # so that both can be measured on one machine
    if forced in ("float32", "bf16"):
        return _cpu(machine, bf16=forced == "bf16", reason="PLAINTUNE_NUMBER_FORMAT asks for it")
    ratio = _bf16_speedup()
    if ratio > 1.3:
        units = f" on its {machine.matrix_units} units" if machine.matrix_units else ""
        return _cpu(machine, bf16=True, reason=f"bf16 multiplied {ratio:.1f} times as fast as float32{units}")
    return _cpu(machine, bf16=False, reason=f"bf16 multiplied only {ratio:.1f} times as fast as float32 here")


def _cpu(machine: Machine, *, bf16: bool, reason: str) -> Device:
    name = "bf16" if bf16 else "float32"
    choice = Choice("numbers", f"{name} on {machine.cores} CPU cores", reason)
    return Device(torch.device("cpu"), torch.bfloat16 if bf16 else torch.float32, choice)


def _bf16_speedup() -> float:
    """How many times as fast a product is in bf16 as in float32: the best of several turns of each."""
    fastest = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(15):
        for number_format in fastest:
            rows = torch.ones(1024, 384, dtype=number_format)
            weights = torch.ones(1536, 384, dtype=number_format)
            started = time.perf_counter()
            nn.functional.linear(rows, weights)
            fastest[number_format] = min(fastest[number_format], time.perf_counter() - started)
    return fastest[torch.float32] / fastest[torch.bfloat16]


@torch.no_grad()
def text_features(network: Network, device: Device, tokens: Tokens, *, pad_id: int) -> NDArray[np.float32]:
    """What the head sees of every text, on average over its windows. Shape (texts, head inputs)."""
    seen, text_of = tokens.windows()
    found: NDArray[np.float32] | None = None
    with network.unchanged():
        for chosen in batches(seen.lengths, rows_per_batch=256, tokens_per_batch=EVAL_TOKENS_PER_BATCH):
            ids, mask = to_torch(*padded(seen, chosen, pad_id=pad_id), device)
            with device.autocast():
                features = network.features(ids, mask).float().cpu().numpy()
            if found is None:
                found = np.zeros((len(seen), features.shape[1]), dtype=np.float32)
            found[chosen] = features
    if found is None:
        return np.zeros((0, network.head.in_features), np.float32)
    return mean_by_text(found, text_of, len(tokens))


@torch.no_grad()
def logits_of(network: Network, device: Device, tokens: Tokens, *, pad_id: int) -> NDArray[np.float32]:
    """What the network says of every text, by torch. Shape (texts, outputs)."""
    features = text_features(network, device, tokens, pad_id=pad_id)
    head = network.head.cpu().float() if device.torch_device.type != "cpu" else network.head
    found: NDArray[np.float32] = head(torch.from_numpy(features)).numpy()
    network.head.to(device.torch_device)
    return found


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, for `restore`."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def restore(network: nn.Module, kept: dict[str, Tensor]) -> None:
    """Put the weights ``kept`` back, in place."""
    for name, value in network.state_dict().items():
        value.copy_(kept[name])


def to_torch(ids: NDArray[np.int64], mask: NDArray[np.int64], device: Device) -> tuple[Tensor, Tensor]:
    """Both arrays as tensors on the device."""
    return torch.from_numpy(ids).to(device.torch_device), torch.from_numpy(mask).to(device.torch_device)
