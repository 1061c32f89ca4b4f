"""Records the attention of one layer: its product for the picture's positions, in the rows with the prompt.

    begin ─▶ AttentionRecorder.begin_watch (recorder.py), for a new LayerRun
                 LayerRun.record, once a product ─▶ the picture's part of it (picture_part.py) ─▶ RunningMaps.add
    end   ─▶ AttentionRecorder.end_watch; refuses a run whose products were all of something else

Nothing is guessed. A layer that computes no product in a call, because a cache returns its earlier result, adds
nothing. Products for something other than the picture's positions do not count. A layer is refused if it computes
products, but not one for the picture's positions, or two.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import torch

from ..errors import UserError
from ..models.families.layers import Layer
from ..models.layer_choice import Kind
from .calls import NetworkCall
from .maps import grid_at
from .picture_part import by_frames, cut_picture
from .product import Product, ProductReader
from .recorder import AttentionRecorder


class CapturedLayer:
    """An attention module of the network, while it is captured. kinds: which of the picture's attention to record, to
    itself or to the text."""

    def __init__(
        self, name: str, layer: Layer, kinds: Collection[Kind], attention: Any, recorder: AttentionRecorder
    ) -> None:
        self.name, self.layer, self.kinds, self.attention, self.recorder = name, layer, kinds, attention, recorder
        self._run: LayerRun | None = None
        """The run to which the recorder's watch reports; None between runs."""

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
        call = self.recorder.call
        if call is None or call.thread != threading.get_ident() or attention is not self.attention:
            return
        self.recorder.ran.add(self.name)
        self._run = LayerRun(self, call)
        try:
            self.recorder.begin_watch(attention, self._run.record)
        except Exception as error:
            self.recorder.fail(error, self.name)

    def end(self, attention: Any, output: Any) -> None:
        """End the watch, because the layer has ended. output: None if an error ended it."""
        watch, run = self.recorder.watch, self._run
        if watch is None or run is None or not watch.is_here or attention is not self.attention:
            return
        self.recorder.end_watch()
        self._run = None
        if output is not None and watch.count and not run.has_picture:
            self.recorder.fail(UserError(self.name, run.why_not, "draw without it"))


class LayerRun:
    """One run of a layer in a call of the network: finds the picture's product among those that the layer computes."""

    def __init__(self, captured: CapturedLayer, call: NetworkCall) -> None:
        self.captured, self.call = captured, call
        self.has_picture = False
        """Whether the picture's product has come."""
        self.why_not = "computes a part of its attention in a way that is not known"
        """Why the latest product was not the picture's."""
        self._pieces: list[Product] = []

    def record(self, read: ProductReader, *args: Any, **kwargs: Any) -> None:
        """Record a product, if it is the picture's."""
        try:
            with torch.no_grad():
                product = self._whole(read(*args, **kwargs))
                if product is not None and self.captured.recorder.error is None:
                    self._record(product)
        except Exception as error:
            self.captured.recorder.fail(error, self.captured.name)

    def _whole(self, product: Product) -> Product | None:
        """The product, with a dimension for the heads. None: it is a piece of a product, and more pieces will
        follow."""
        if product.query.ndim == 4:
            return product
        self._pieces.append(product)
        queries, keys = ([getattr(piece, name) for piece in self._pieces] for name in ("query", "key"))
        heads, shape = self.captured.attention.heads, (product.query.shape[1:], product.key.shape[1:])
        found, needed = sum(map(len, queries)), heads * self.call.members
        if found < needed:
            return None
        if found > needed or any((q.shape[1:], k.shape[1:]) != shape for q, k in zip(queries, keys, strict=True)):
            problem = "computes attention in pieces that are no product of the whole batch (regional prompts?)"
            raise UserError(self.captured.name, problem, "draw without that")
        mask = product.mask
        if mask is not None:
            masks = [piece.mask.expand(len(piece.query), -1, -1) for piece in self._pieces]  # type: ignore[union-attr]
            mask = torch.cat(masks).unflatten(0, (-1, heads))
        self._pieces = []
        query, key = (torch.cat(pieces).unflatten(0, (-1, heads)) for pieces in (queries, keys))
        return Product(query, key, mask, product.scale)

    def _record(self, product: Product) -> None:
        captured, call, recorder = self.captured, self.call, self.captured.recorder
        layer = captured.layer

        # 1. Whether it is the picture's
        queries, columns = product.query.shape[2], product.key.shape[2]
        positions, members = call.positions(layer.level), call.recorded_members(len(product.query))
        spans = layer.find(queries, columns, positions, call.texts)
        if spans is None:
            self.why_not = self._other_positions(queries, columns, positions)
            return
        if members is None:
            self.why_not = f"computes attention of a batch of {len(product.query)} instead of {call.members}"
            return
        if self.has_picture:
            problem = "computes attention of the picture's positions twice in one call (regional prompts?)"
            raise UserError(captured.name, problem, "draw without that: only one of the two belongs to the prompt")
        self.has_picture = True

        # 2. Its scores
        scores, spans = cut_picture(product, members, spans, positions, layer.behind_text)
        if recorder.text_states is not None and layer.kinds == ("cross",):
            key = self._keys_of(recorder.text_states, scores.query.shape[1])
            scores = scores._replace(key=key, bias=None, sums=None)
        if call.frames_in_member > 1:
            scores, spans = by_frames(scores, spans, call.frames)

        # 3. Their columns
        both: dict[Kind, slice | None] = {"self": spans.image, "cross": spans.text}
        wanted: dict[Kind, slice] = {
            kind: part for kind, part in both.items() if part is not None and kind in captured.kinds
        }
        recorder.running.add(call.step, captured.name, grid_at(call.latent_size, layer.level), wanted, scores)

    def _other_positions(self, queries: int, columns: int, positions: int) -> str:
        """Why a product of this many queries and columns is not of the picture's positions."""
        texts = 0
        if self.captured.layer.is_joint:
            texts = self.call.texts or 0
        there = next((count - texts for count in (queries, columns) if count - texts != positions), positions)
        return f"attends over {there} positions instead of {positions} (token merging or tiles?)"

    def _keys_of(self, states: torch.Tensor, heads: int) -> torch.Tensor:
        """The keys (B, H, T, D) of another text's states, computed by the layer's own modules without their hooks."""
        attention = self.captured.attention
        key = attention.to_k.forward(states).unflatten(2, (heads, -1)).transpose(1, 2)
        return key if attention.norm_k is None else attention.norm_k.forward(key)
