"""Records the attention of one layer: the product of the picture's queries, for the images with the prompt.

    the layer begins     LayerRecorder.begin starts a watch (product.py)
    it attends           LayerRecorder.record gets the product, and adds the picture's attention to the running maps
    the layer ends       LayerRecorder.end ends the watch, and refuses a run without a product of the picture

Nothing is guessed. A layer that computes no product in a call, because a cache returns its earlier result, adds
nothing. Products of anything but the picture's positions do not count. A layer is refused if it computes products and
none is the picture's, or two are.

The sizes of a product say where the picture is in it: a `Cut` (cut.py), found once for each layer and sizes. It is made
in one or two steps. For example, in joint attention with guidance:

    the product            (2B, H, N + T, D) queries and as many keys, a mask
    cut_picture            (B, H, N, D) queries, (B, H, N + T, D) keys, a bias
    by_frames, for clips   (B · F, H, N / F, D) queries, (B · F, H, N / F + T, D) keys, a bias

Shape letters: B images, H heads, N the picture's positions, T columns of text, D channels per head, F frames.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import UserError
from ..models.hooks import Hook
from ..models.layers import KINDS, Kind, Layer, grid_at
from .calls import NetworkCall
from .cut import Cut, by_frames, columns_of_frame, cut_picture
from .product import Product, watch
from .recorder import AttentionRecorder


class NotThePicture(Exception):
    """Why a product of a layer is not the picture's."""


@dataclass(eq=False)
class LayerRecorder:
    """Records an attention module of the network. In each of the module's runs, it finds the picture's product among
    all that the module computes."""

    name: str
    layer: Layer
    """What the module attends to."""
    kinds: Collection[Kind]
    """Which of its kinds of attention to record."""
    attention: Any
    """The module."""
    recorder: AttentionRecorder
    call: NetworkCall | None = None
    """The network's call in which the module runs now; None between runs, and in calls that are not recorded."""
    has_picture: bool = False
    """Whether one of the run's products was the picture's."""
    why_not: str = ""
    """Why the run's latest other product was not the picture's; "" if there was none."""
    cuts: dict[tuple[Any, ...], Cut] = field(default_factory=dict)
    """The layout of the network's call, and the sizes of a product in it → what is the picture's."""

    def hook(self) -> list[Any]:
        """Register the module's hooks, and return their handles."""
        begin = self.attention.register_forward_pre_hook(Hook(self.begin))
        end = self.attention.register_forward_hook(
            Hook(lambda attention, _, output: self.end(attention, output)), always_call=True
        )
        return [begin, end]

    def begin(self, attention: Any, _args: Any) -> None:
        """Forward pre-hook: watch the module, if the network's call is recorded and is of this thread. attention: the
        module that begins, which may be a copy of the captured one."""
        call = self.recorder.call
        if call is None or call.thread != threading.get_ident() or attention is not self.attention:
            return
        self.call = call
        self.has_picture = False
        self.why_not = ""
        watch(self.record)

    def end(self, attention: Any, output: Any) -> None:
        """Forward hook: end the watch. attention: as in `begin`. output: the module's result; None if an error ended
        it."""
        call = self.call
        if call is None or attention is not self.attention or call.thread != threading.get_ident():
            return
        watch(None)
        self.call = None
        if output is not None and self.why_not and not self.has_picture:
            self.recorder.fail(UserError(self.name, self.why_not, "draw without it"))

    def record(self, make_product: Callable[[], Product]) -> None:
        """Add a product to the running maps, if it is the picture's. make_product: returns it, or raises UserError."""
        if torch.is_grad_enabled():
            with torch.no_grad():
                return self.record(make_product)
        try:
            if self.recorder.error is None:
                self._record(make_product())
        except NotThePicture as why:
            self.why_not = str(why)
        except Exception as error:
            self.recorder.fail(error, self.name)

    def _record(self, product: Product) -> None:
        """Add the picture's product to the running maps. Raises NotThePicture for any other product, and UserError for
        a second one of the picture."""
        # 1. Where the picture is in it
        call = self.call
        assert call is not None
        sizes = call.layout, product.query.shape, product.key.shape
        if sizes not in self.cuts:
            self.cuts[sizes] = self.find(product, call)
        cut = self.cuts[sizes]
        if self.has_picture:
            problem = "computes attention of the image's positions twice in one call (regional prompts?)"
            raise UserError(self.name, problem, "draw without that: only one of the two belongs to the prompt")
        self.has_picture = True

        # 2. Its scores
        recorder = self.recorder
        scores = cut_picture(product, cut)
        if recorder.text_states is not None and self.layer.is_cross:
            scores = scores._replace(key=self._keys_of(recorder.text_states), bias=None)
        if call.frames_in_member > 1:
            scores = by_frames(scores, cut.spans, call.frames_in_member)
        recorder.running.add(call.step, self.name, cut, scores)

    def find(self, product: Product, call: NetworkCall) -> Cut:
        """What is the picture's in a product. call: the call of the network. Raises NotThePicture for a product of
        anything else."""
        queries, columns = product.query.shape[2], product.key.shape[2]
        positions = call.positions(self.layer.level)
        spans = self.layer.find(queries, columns, positions, call.text_columns, call.other_columns)
        if spans is None:
            sizes = f"computes attention of {queries} positions to {columns}"
            raise NotThePicture(f"{sizes}, and the image has {positions} (token merging or tiles?)")
        count = len(product.query)
        members = call.recorded_members(count)
        if members is None:
            raise NotThePicture(f"computes attention of a batch of {count} instead of {call.members}")
        _, image, text = columns_of_frame(spans, positions, call.frames_in_member)
        spans_of = zip(KINDS, (image, text), strict=True)
        chosen: dict[Kind, slice] = {kind: span for kind, span in spans_of if span is not None and kind in self.kinds}
        return Cut(members, spans, grid_at(call.lattice, self.layer.level), chosen)

    def _keys_of(self, states: torch.Tensor) -> torch.Tensor:
        """The keys (B, H, T, D) that the module would have for another text. Its parts compute them, without running
        their hooks. states: (B, T, C), the text encoder's."""
        attention = self.attention
        key = attention.to_k.forward(states).unflatten(2, (attention.heads, -1)).transpose(1, 2)
        return key if attention.norm_k is None else attention.norm_k.forward(key)
