"""BERT's layers on a processor: texts one after another without padding, in few shapes, backwards as well.

The usual way, transformers' modules under autocast, is a third to a half slower (docs/experiments.md): a
matrix unit prepares every new shape of a product for 5 ms, padding is multiplied too, queries, keys and
values are three small products, and attention goes through float32. So texts of about one length are joined
to groups of few shapes, and a whole layer is one operation with a backward pass of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FAMILIES = ("bert", "camembert", "roberta", "xlm-roberta")  # whose layers are the same
KEPT_SHAPES = "512"
GROUP_TOKENS = 2048  # of texts that are attended to at once
HIDDEN = -1e4  # added to the score of padding
NORMS = (4, 5, 10, 11)  # of the twelve copies of a layer, those that stay in float32
SHORT_TEXT = 64  # tokens; up to here lengths lie closer together
ROW_STEPS = ((256, 32), (1024, 64), (sys.maxsize, 128))  # up to so many rows, in steps of so many

Matrices = tuple[Tensor, ...]


@dataclass(frozen=True)
class _Group:
    """Texts of about one length, one after another, padded to the same while they are attended to."""

    rows: slice
    texts: int
    tokens: int  # of each, padding included
    filled: Tensor | None = None  # places that are no padding, of texts x tokens; None where all are
    padding: Tensor | None = None  # added to the scores, (texts, 1, 1, tokens)


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of a few texts lie in a matrix with a row for each."""

    rows: int
    groups: tuple[_Group, ...]
    taken: Tensor  # (tokens,) where in the padded texts those of the first rows come from

    @property
    def used(self) -> int:
        """Rows that hold a token."""
        return len(self.taken)


def rounded(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lengths of texts as they are attended to, in tokens: there are few of them."""
    step = np.where(lengths <= SHORT_TEXT, 16, 32)
    return np.maximum(step, (lengths + step - 1) // step * step)


def keep_shapes(family: str) -> None:
    """Before the first product: let oneDNN remember every shape that a model of ``family`` meets here.

    For other families few: each batch has new shapes, and a thousand of them took 1 GB.
    """
    if family in FAMILIES:
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_SHAPES)


class PackedLayers:
    """The layers of a BERT-like encoder, its own parameters, worked out in ``number_format``."""

    def __init__(self, encoder: nn.Module, number_format: torch.dtype) -> None:
        self.encoder = encoder
        self.number_format = number_format
        self._copies: list[Matrices] | None = None

    @classmethod
    def of(cls, encoder: Any, number_format: torch.dtype) -> PackedLayers | None:
        """None where the encoder is of a family that works in another way."""
        config = encoder.config
        usual = config.model_type in FAMILIES and config.hidden_act == "gelu"
        usual = usual and getattr(config, "position_embedding_type", "absolute") == "absolute"
        return cls(encoder, number_format) if usual and not config.is_decoder else None

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, words: Tensor | None = None) -> Tensor:
        """What the last layer says of each token; anything at padding.

        Shapes (texts, tokens) → (texts, tokens, hidden). The embeddings learn nothing; ``words``
        (texts, tokens, hidden) are taken in their place.
        """
        encoder: Any = self.encoder
        layout = _lay_out(attention_mask, self.number_format)
        with torch.autocast("cpu", enabled=False):
            given = {"input_ids": input_ids} if words is None else {"inputs_embeds": words}
            embedded = encoder.embeddings(**given).flatten(0, 1)
            empty = embedded.new_zeros(layout.rows - layout.used, embedded.shape[1])
            hidden = torch.cat([embedded[layout.taken], empty])
            size = encoder.config.hidden_size // encoder.config.num_attention_heads
            copied = self._copies or self._copied_all()
            for layer, copies in zip(encoder.encoder.layer, copied, strict=True):
                hidden = _Layer.apply(hidden, layout, size, layer.output.LayerNorm.eps, copies, *_own(layer))
            nothing = hidden.new_zeros(embedded.shape)
            said = nothing.index_copy(0, layout.taken, hidden[: layout.used])
            shaped: Tensor = said.unflatten(0, input_ids.shape)
            return shaped

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """While this lasts no weight changes, so that one copy of each serves all calls."""
        self._copies = self._copied_all()
        try:
            yield
        finally:
            self._copies = None

    def _copied_all(self) -> list[Matrices]:
        return [self._copied(_own(layer)) for layer in self.encoder.encoder.layer]  # type: ignore[union-attr]

    def _copied(self, own: Matrices) -> Matrices:
        plain = [parameter.detach() for parameter in own]
        stacked = [torch.cat(plain[:3]), torch.cat(plain[3:6])]
        return tuple(
            p if at in NORMS else p.to(self.number_format) for at, p in enumerate([*stacked, *plain[6:]])
        )


def _own(layer: Any) -> Matrices:
    """The 16 parameters of a layer: query, key and value, their biases, and pairs of weight and bias."""
    attention, after = layer.attention.self, layer.attention.output
    three = (attention.query, attention.key, attention.value)
    pairs = (
        after.dense,
        after.LayerNorm,
        layer.intermediate.dense,
        layer.output.dense,
        layer.output.LayerNorm,
    )
    weights = [part.weight for part in three] + [part.bias for part in three]
    return (*weights, *(parameter for part in pairs for parameter in (part.weight, part.bias)))


def _lay_out(mask: Tensor, number_format: torch.dtype) -> _Layout:
    """By a mask (texts, tokens) that is 1 for the first tokens of each text, 0 for the others."""
    lengths = mask.sum(dim=1).numpy()
    order = np.argsort(-lengths, kind="stable")
    sizes = rounded(lengths[order])
    groups: list[_Group] = []
    row = at = 0
    while at < len(order):
        tokens = int(sizes[at])
        alike = int((sizes == tokens).sum()) - sum(group.texts for group in groups if group.tokens == tokens)
        texts = 1 << (min(alike, max(1, GROUP_TOKENS // tokens)).bit_length() - 1)  # few different numbers
        groups.append(_group(row, lengths[order[at : at + texts]], tokens, number_format))
        row, at = groups[-1].rows.stop, at + texts
    step = next(step for most, step in ROW_STEPS if row <= most)
    place = np.concatenate([np.arange(length) for length in lengths[order]])
    taken = np.repeat(order, lengths[order]) * mask.shape[1] + place
    return _Layout(-(-row // step) * step, tuple(groups), torch.from_numpy(taken))


def _group(row: int, lengths: NDArray[np.int64], tokens: int, number_format: torch.dtype) -> _Group:
    rows = slice(row, row + int(lengths.sum()))
    filled = np.arange(tokens) < lengths[:, None]
    if filled.all():
        return _Group(rows, len(lengths), tokens)
    padding = torch.from_numpy(~filled * np.float32(HIDDEN)).to(number_format)[:, None, None]
    return _Group(rows, len(lengths), tokens, torch.from_numpy(np.flatnonzero(filled)), padding)


class _Layer(torch.autograd.Function):
    """A layer: attention and what is added to it, then the two products around GELU, each with its norm.

    What goes from layer to layer stays in float32: numbers to be told exactly were lost in 16 bits.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, layout: _Layout, size: int, epsilon: float, copies: Matrices, *own: Tensor
    ) -> Tensor:
        w_in, b_in, w_mix, b_mix, g_mix, c_mix, w_up, b_up, w_down, b_down, g_out, c_out = copies
        width, linear = [x.shape[1]], nn.functional.linear
        x_low = x.to(w_in.dtype)
        mixed, attended = _attend(linear(x_low, w_in, b_in), layout, size)
        a = x + linear(mixed, w_mix, b_mix)
        y, *moments_mix = torch.native_layer_norm(a, width, g_mix, c_mix, epsilon)
        y_low = y.to(w_up.dtype)
        u = linear(y_low, w_up, b_up)
        z = nn.functional.gelu(u)
        f = y + linear(z, w_down, b_down)
        out, *moments_out = torch.native_layer_norm(f, width, g_out, c_out, epsilon)
        ctx.save_for_backward(x_low, mixed, a, *moments_mix, y_low, u, z, f, *moments_out)
        ctx.layout, ctx.size, ctx.copies, ctx.attended = layout, size, copies, attended
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_out,) = gradients
        x, mixed, a, mean_mix, scale_mix, y, u, z, f, mean_out, scale_out = ctx.saved_tensors
        w_in, _, w_mix, _, g_mix, c_mix, w_up, _, w_down, _, g_out, c_out = ctx.copies
        width, norm = [x.shape[1]], torch.ops.aten.native_layer_norm_backward
        d_f, dg_out, dc_out = norm(d_out, f, width, mean_out, scale_out, g_out, c_out, [True] * 3)
        f_low = d_f.to(w_down.dtype)
        d_u = torch.ops.aten.gelu_backward(f_low @ w_down, u)
        d_y = d_f + d_u @ w_up
        d_a, dg_mix, dc_mix = norm(d_y, a, width, mean_mix, scale_mix, g_mix, c_mix, [True] * 3)
        a_low = d_a.to(w_mix.dtype)
        d_in = _attend_backward(a_low @ w_mix, ctx.attended, ctx.layout, ctx.size)
        ctx.attended = None
        d_x = d_a + d_in @ w_in if ctx.needs_input_grad[0] else None
        dw_in, db_in = d_in.t() @ x, d_in.sum(dim=0)
        own = (*dw_in.chunk(3), *db_in.chunk(3), a_low.t() @ mixed, a_low.sum(dim=0), dg_mix, dc_mix)
        own += (d_u.t() @ y, d_u.sum(dim=0), f_low.t() @ z, f_low.sum(dim=0), dg_out, dc_out)
        return (d_x, None, None, None, None, *own)


Attended = list[tuple[Tensor, Tensor, Tensor, Tensor]]  # of each group: queries, keys, values, shares


def _attend(projected: Tensor, layout: _Layout, size: int) -> tuple[Tensor, Attended]:
    """What each token takes from the others of its text, (rows, hidden), and what `_attend_backward` needs.

    ``projected`` (rows, 3 x hidden) are queries, keys and values.
    """
    mixed = projected.new_empty(layout.rows, projected.shape[1] // 3)
    mixed[layout.used :] = 0
    attended: Attended = []
    for group in layout.groups:
        queries, keys, values = _by_head(projected[group.rows], group, size, 3)
        scores = torch.bmm(queries.mul_(size**-0.5), keys.transpose(1, 2))
        if group.padding is not None:
            scores.unflatten(0, (group.texts, -1)).add_(group.padding)
        shares = torch.softmax(scores, dim=-1)
        attended.append((queries, keys, values, shares))
        _put(mixed[group.rows], torch.bmm(shares, values), group, size)
    return mixed, attended


def _attend_backward(d_mixed: Tensor, attended: Attended, layout: _Layout, size: int) -> Tensor:
    """The gradient of what `_attend` was given, by that of what it gave."""
    hidden = d_mixed.shape[1]
    found = d_mixed.new_empty(layout.rows, 3 * hidden)
    found[layout.used :] = 0
    for group, (queries, keys, values, shares) in zip(layout.groups, attended, strict=True):
        (wanted,) = _by_head(d_mixed[group.rows], group, size, 1)
        d_queries, d_keys, d_values = found[group.rows].chunk(3, dim=1)
        _put(d_values, torch.bmm(shares.transpose(1, 2), wanted), group, size)
        d_shares = torch.bmm(wanted, values.transpose(1, 2))
        d_scores = torch._softmax_backward_data(d_shares, shares, -1, shares.dtype)
        _put(d_queries, torch.bmm(d_scores, keys).mul_(size**-0.5), group, size)
        _put(d_keys, torch.bmm(d_scores.transpose(1, 2), queries), group, size)
    return found


def _by_head(rows: Tensor, group: _Group, size: int, parts: int) -> Tensor:
    """Rows of tokens → (parts, texts x heads, tokens, size), 0 at padding."""
    if group.filled is not None:
        nothing = rows.new_zeros(group.texts * group.tokens, rows.shape[1])
        rows = nothing.index_copy_(0, group.filled, rows)
    apart = rows.view(group.texts, group.tokens, parts, -1, size).permute(2, 0, 3, 1, 4)
    return apart.reshape(parts, -1, group.tokens, size)


def _put(rows: Tensor, by_head: Tensor, group: _Group, size: int) -> None:
    """Write (texts x heads, tokens, size) into the rows of a group, (tokens, hidden)."""
    apart = by_head.unflatten(0, (group.texts, -1)).transpose(1, 2)
    if group.filled is None:
        rows.unflatten(1, (-1, size)).unflatten(0, (group.texts, group.tokens)).copy_(apart)
    else:
        rows.copy_(apart.reshape(group.texts * group.tokens, -1).index_select(0, group.filled))
