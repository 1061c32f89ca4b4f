"""Records the attention of one layer: its product for the picture's positions, in the rows with the prompt.

    begin ─▶ Watch (product.py) ─▶ record, once a product ─▶ AttentionRecorder.add (recorder.py)
    end   ─▶ ends the watch, and refuses a layer whose products were all of something else

Nothing is guessed. A layer that computes no product in a call, because a cache returns its earlier result, adds
nothing. Products for something other than the picture's positions do not count. A layer is refused if it computes
products, but not one for the picture's positions, or two.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from typing import Any

import torch

from ..errors import UserError
from ..models.families.layers import Layer, Spans
from ..models.layer_choice import Kind
from .product import PatchPoint, Product, ProductReader, Watch
from .recorder import AttentionRecorder


class CapturedLayer:
    """An attention module of the network, while it is captured. kinds: which of the picture's attention to record, to
    itself or to the text. points: from `patch_points`."""

    def __init__(
        self,
        name: str,
        layer: Layer,
        kinds: Collection[Kind],
        attention: Any,
        recorder: AttentionRecorder,
        points: list[PatchPoint],
    ) -> None:
        self.name, self.layer, self.kinds, self.attention = name, layer, kinds, attention
        self.recorder, self.points = recorder, points
        self._reset()

    def _reset(self) -> None:
        self._taken = False
        self._pieces: list[Product] = []
        self._other = ""  # why a product was not the picture's

    def hook(self) -> list[Any]:
        """Register the module's hooks, and return their handles. Hooks are functions, because a copy of the module that
        somebody makes meanwhile shares them, and does not copy the recorder."""
        begin = self.attention.register_forward_pre_hook(lambda attention, _: self.begin(attention))
        end = self.attention.register_forward_hook(
            lambda attention, _, output: self.end(attention, output), always_call=True
        )
        return [begin, end]

    def begin(self, attention: Any) -> None:
        """Watch the layer, which begins."""
        recorder = self.recorder
        if not recorder.runs_here or attention is not self.attention:
            return
        if any(recorder.wants(kind, self.layer.level) for kind in self.kinds):
            self._reset()
            recorder.ran.add(self.name)
            recorder.end_watch()
            try:
                recorder.watch = Watch(attention, self.record, self.points)
            except Exception as error:
                recorder.fail(error, self.name)

    def end(self, attention: Any, output: Any) -> None:
        """End the watch, because the layer has ended. output: None if an error ended it."""
        watch = self.recorder.watch
        if watch is None or not watch.is_here or attention is not self.attention:
            return
        self.recorder.end_watch()
        if output is not None and watch.count and not self._taken:
            other = self._other or "computes a part of its attention in a way that is not known"
            self.recorder.fail(UserError(self.name, other, "draw without it"))
        self._reset()

    def record(self, read: ProductReader, *args: Any, **kwargs: Any) -> None:
        """Record a product, if it is the picture's."""
        try:
            with torch.no_grad() if torch.is_grad_enabled() else nullcontext():
                self._record(read(*args, **kwargs))
        except Exception as error:
            self.recorder.fail(error, self.name)

    def _record(self, product: Product) -> None:
        recorder, layer = self.recorder, self.layer
        whole = self._whole(product)
        if whole is None or recorder.error is not None:
            return
        query, key, mask, scale, sums = whole

        # 1. Whether it is the picture's
        rows, positions = recorder.rows_of_product(len(query)), recorder.positions(layer.level)
        spans = layer.find(query.shape[2], key.shape[2], positions, recorder.texts)
        if rows is None or spans is None:
            self._other = self._explain(query, key, positions, spans is None)
            return
        if self._taken:
            problem = "computes attention of the picture's positions twice in one call (regional prompts?)"
            raise UserError(self.name, problem, "draw without that: only one of the two belongs to the prompt")
        self._taken = True

        # 2. The rows with the prompt, and the picture's queries
        query, key = recorder.choose(query, rows), recorder.choose(key, rows)
        if mask is not None:
            mask = mask[(None,) * (4 - mask.ndim)]
            mask = mask if len(mask) == 1 else recorder.choose(mask, rows)
        if layer.behind_text and mask is not None:
            order = _image_first(mask, positions)
            query = query.take_along_dim(order[:, None, :positions, None], 2)
            key, mask = key.take_along_dim(order[:, None, :, None], 2), mask.take_along_dim(order[:, None, None], 3)
            spans = Spans(slice(None), slice(positions), slice(positions, None))
        query = query[:, :, spans.queries]
        if sums is not None:
            sums = recorder.choose(sums, rows)[:, :, spans.queries]
        bias = None if mask is None else _bias(mask, spans.queries)
        if recorder.text_states is not None and layer.kinds == ("cross",):
            key, bias, sums = self._keys_of(recorder.text_states, query.shape[1]), None, None
        if key.shape[1] < query.shape[1]:  # several heads of the queries share one of the keys
            key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        if bias is not None:
            bias = bias.expand(len(query), -1, -1, key.shape[2])

        # 3. Each frame of a clip, with its own positions and the text
        if recorder.frames_of_row > 1:
            query, key, bias, spans = _of_frames(recorder.frames, query, key, bias, spans)
            sums = None  # each frame attends to fewer columns
        columns: dict[Kind, slice | None] = {"self": spans.image, "cross": spans.text}
        parts: dict[Kind, slice | None] = {kind: columns[kind] for kind in self.kinds}
        recorder.add(self.name, parts, Product(query, key, bias, scale, sums), layer.level)

    def _whole(self, product: Product) -> Product | None:
        """The product, with a dimension for the heads. None: it is a piece of a product, and more pieces will
        follow."""
        if product.query.ndim == 4:
            return product
        self._pieces.append(product)
        queries, keys = ([getattr(piece, name) for piece in self._pieces] for name in ("query", "key"))
        heads, shape = self.attention.heads, (product.query.shape[1:], product.key.shape[1:])
        found, needed = sum(map(len, queries)), heads * self.recorder.rows_in_product
        if found < needed:
            return None
        if found > needed or any((q.shape[1:], k.shape[1:]) != shape for q, k in zip(queries, keys, strict=True)):
            problem = "computes attention in pieces that are no product of the whole batch (regional prompts?)"
            raise UserError(self.name, problem, "draw without that")
        mask = product.mask
        if mask is not None:
            masks = [piece.mask.expand(len(piece.query), -1, -1) for piece in self._pieces]  # type: ignore[union-attr]
            mask = torch.cat(masks).unflatten(0, (-1, heads))
        self._pieces = []
        query, key = (torch.cat(pieces).unflatten(0, (-1, heads)) for pieces in (queries, keys))
        return Product(query, key, mask, product.scale)

    def _explain(self, query: torch.Tensor, key: torch.Tensor, positions: int, of_others: bool) -> str:
        """Why a product is not the picture's. of_others: it has other positions, and not just another batch."""
        recorder = self.recorder
        if not of_others:
            return f"computes attention of a batch of {len(query)} instead of {recorder.rows_in_product}"
        texts = self.layer.is_joint and recorder.texts
        counts = [states.shape[2] - (texts or 0) for states in (query, key)]
        there = next((count for count in counts if count != positions), positions)
        return f"attends over {there} positions instead of {positions} (token merging or tiles?)"

    def _keys_of(self, states: torch.Tensor, heads: int) -> torch.Tensor:
        """The keys (B, H, T, D) of another text's states, computed by the layer's own modules without their hooks."""
        key = self.attention.to_k.forward(states).unflatten(2, (heads, -1)).transpose(1, 2)
        return key if self.attention.norm_k is None else self.attention.norm_k.forward(key)


def _bias(mask: torch.Tensor, rows: slice) -> torch.Tensor:
    """What a mask adds to the scores of some rows, in float32. mask: (B, H, N, T), of which any may be 1."""
    if mask.shape[2] > 1:
        mask = mask[:, :, rows]
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -torch.inf)
    return mask.float()


def _image_first(mask: torch.Tensor, positions: int) -> torch.Tensor:
    """Column indices (B or 1, S) that bring text, picture (N = positions), padding into the order picture, text,
    padding. mask: (B or 1, 1, 1, S), False where a column is padding."""
    if mask.dtype != torch.bool or mask.shape[1:3] != (1, 1):
        raise UserError("attention", "has a mask that does not say where the text ends", "draw without it")
    filled = mask[:, 0, 0].sum(1, keepdim=True)
    columns = torch.arange(mask.shape[3], device=mask.device)
    behind = torch.where(columns < filled, columns - positions, columns)
    return torch.where(columns < positions, columns + filled - positions, behind)


def _of_frames(
    frames: int, query: torch.Tensor, key: torch.Tensor, bias: torch.Tensor | None, spans: Spans
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, Spans]:
    """(queries, keys, bias, spans) with each frame of a clip as a row of its own, which attends to its own positions,
    then to the text."""
    rows, keys, biases = by_frame(query, frames), list[torch.Tensor](), list[torch.Tensor]()
    whole = None if bias is None else bias.expand(-1, -1, query.shape[2], -1)
    image, text = spans.image, spans.text
    if image is not None:
        keys.append(by_frame(key[:, :, image], frames))
        if whole is not None:  # (B, H, frames, N, frames, N)
            by_both = whole[..., image].unflatten(3, (frames, -1)).unflatten(2, (frames, -1))
            biases.append(by_both.diagonal(dim1=2, dim2=4).movedim(-1, 1).flatten(0, 1))
        image = slice(0, rows.shape[2])
    if text is not None:
        keys.append(key[:, :, text].repeat_interleave(frames, 0))
        if whole is not None:
            biases.append(by_frame(whole[..., text], frames))
        text = slice(rows.shape[2] if image else 0, None)
    return rows, torch.cat(keys, 2), torch.cat(biases, 3) if biases else None, Spans(slice(None), image, text)


def by_frame(states: torch.Tensor, frames: int) -> torch.Tensor:
    """The states (B, H, frames · N, D), each frame as a row of its own: (B · frames, H, N, D)."""
    return states.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)
