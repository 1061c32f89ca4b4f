"""Records the attention of one layer: the product of the picture's queries, for the images with the prompt.

    the layer begins     CapturedLayer.begin makes a LayerRun and starts a watch for it (product.py)
    it attends           the watch gives the product to LayerRun.record, which adds the picture's attention to the maps
    the layer ends       CapturedLayer.end ends the watch, and refuses a run without a product of the picture

Nothing is guessed. A layer that computes no product in a call, because a cache returns its earlier result, adds
nothing. Products of anything but the picture's positions do not count. A layer is refused if it computes products and
none is the picture's, or two are.

The sizes of a product say where the picture is in it, which is found once for each layer and sizes (place.py). Then it
is cut out in one or two steps. For example, in joint attention with guidance:

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
from ..models.families.inputs import Hook
from ..models.layers import Kind, Layer
from .calls import NetworkCall
from .maps import grid_at
from .place import Place, by_frames, cut_picture
from .product import Product, watch
from .recorder import AttentionRecorder


@dataclass(eq=False)
class CapturedLayer:
    """An attention module of the network, while it is captured."""

    name: str
    layer: Layer
    """What the module attends to."""
    kinds: Collection[Kind]
    """Which of its kinds of attention to record."""
    attention: Any
    """The module."""
    recorder: AttentionRecorder
    run: LayerRun | None = None
    """The run in progress; None between runs, and in calls that are not recorded."""
    places: dict[tuple[Any, ...], Place | str] = field(default_factory=dict)
    """The network's call, and the sizes of a product in it → where the picture is, or why it is not the picture's."""

    def hook(self) -> list[Any]:
        """Register the module's hooks, and return their handles."""
        begin = self.attention.register_forward_pre_hook(Hook(self.begin))
        end = self.attention.register_forward_hook(
            Hook(lambda attention, _, output: self.end(attention, output)), always_call=True
        )
        return [begin, end]

    def begin(self, attention: Any, _args: Any) -> None:
        """Forward pre-hook: watch the layer, if the network's call is recorded and is of this thread. attention: the
        module that begins, which may be a copy of the captured one."""
        call = self.recorder.call
        if call is None or call.thread != threading.get_ident() or attention is not self.attention:
            return
        self.run = LayerRun(self, call)
        watch(self.run.record)

    def end(self, attention: Any, output: Any) -> None:
        """Forward hook: end the watch. attention: as in `begin`. output: the layer's result; None if an error ended the
        layer."""
        run = self.run
        if run is None or attention is not self.attention or run.call.thread != threading.get_ident():
            return
        watch()
        self.run = None
        if output is not None and run.products and not run.has_picture:
            self.recorder.fail(UserError(self.name, run.why_not, "draw without it"))

    def find(self, product: Product, call: NetworkCall) -> Place | str:
        """Where the picture is in a product; if it is not the picture's, why. call: the call of the network."""
        # 1. In the product
        queries, columns = product.query.shape[2], product.key.shape[2]
        positions, count = call.positions(self.layer.level), len(product.query)
        members = call.recorded_members(count)
        spans = self.layer.find(queries, columns, positions, call.texts, call.others)
        if spans is None:
            texts = 0
            if self.layer.is_joint:
                texts = (call.texts or 0) + call.others
            # The first of the two lengths that differs from the picture's.
            others = next((size - texts for size in (queries, columns) if size - texts != positions), positions)
            return f"attends over {others} positions instead of {positions} (token merging or tiles?)"
        if members is None:
            return f"computes attention of a batch of {count} instead of {call.members}"

        # 2. In its scores
        _, image, text = spans
        frames = call.frames_in_member
        if frames > 1:
            before_text = 0
            if image is not None:
                before_text = positions // frames
                image = slice(before_text)
            if text is not None:
                text = slice(before_text, None)
        of_kinds: dict[Kind, slice | None] = {"self": image, "cross": text}
        chosen: dict[Kind, slice] = {
            kind: span for kind, span in of_kinds.items() if span is not None and kind in self.kinds
        }
        grid = grid_at(call.latent_size, self.layer.level)
        return Place(members, spans, grid, chosen)


@dataclass(eq=False)
class LayerRun:
    """One run of a layer in a call of the network. It finds the picture's product among all that the layer computes."""

    captured: CapturedLayer
    call: NetworkCall
    has_picture: bool = False
    """Whether one of the products was the picture's."""
    why_not: str = "computes a part of its attention in a way that is not known"
    """Why the latest product was not the picture's."""
    products: int = 0
    """How many have come so far."""

    def record(self, read: Callable[[], Product]) -> None:
        """Add a product to the running maps, if it is the picture's. read: returns it, or raises UserError."""
        if torch.is_grad_enabled():
            with torch.no_grad():
                return self.record(read)
        try:
            self.products += 1
            if self.captured.recorder.error is None:
                self._record(read())
        except Exception as error:
            self.captured.recorder.fail(error, self.captured.name)

    def _record(self, product: Product) -> None:
        """Add a product to the running maps, if it is the picture's. Raises UserError for a second one."""
        # 1. Whether it is the picture's
        captured, call = self.captured, self.call
        sizes = call, product.query.shape, product.key.shape, product.mask is None
        place = captured.places.get(sizes)
        if place is None:
            place = captured.places[sizes] = captured.find(product, call)
        if isinstance(place, str):
            self.why_not = place
            return
        if self.has_picture:
            problem = "computes attention of the image's positions twice in one call (regional prompts?)"
            raise UserError(captured.name, problem, "draw without that: only one of the two belongs to the prompt")
        self.has_picture = True

        # 2. Its scores
        recorder = captured.recorder
        scores = cut_picture(product, place)
        if recorder.text_states is not None and captured.layer.is_cross:
            scores = scores._replace(key=self._keys_of(recorder.text_states), bias=None)
        if call.frames_in_member > 1:
            scores = by_frames(scores, place.spans, call.frames_in_member)
        recorder.running.add(call.step, captured.name, place, scores)

    def _keys_of(self, states: torch.Tensor) -> torch.Tensor:
        """The keys (B, H, T, D) that the layer would have for another text. Its modules compute them, without running
        their hooks. states: (B, T, C), the text encoder's."""
        attention = self.captured.attention
        key = attention.to_k.forward(states).unflatten(2, (attention.heads, -1)).transpose(1, 2)
        return key if attention.norm_k is None else attention.norm_k.forward(key)
