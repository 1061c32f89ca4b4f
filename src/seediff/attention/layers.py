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

import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from ..errors import UserError
from ..models.families.layers import Layer, Spans
from ..models.layer_choice import Kind
from .calls import NetworkCall
from .maps import grid_at
from .place import Place, by_frames, cut_picture
from .probabilities import ALL
from .product import Product
from .recorder import AttentionRecorder


class Hook(partial[Any]):
    """A hook of a module. In a copy of the module, pickled or not, it does nothing."""

    def __reduce__(self) -> Any:
        return Hook, (_do_nothing,)


def _do_nothing(*_: Any) -> None: ...


def given_text(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a layer of cross-attention is given as text, in the arguments of its `forward`."""
    return kwargs.get("encoder_hidden_states", args[1] if len(args) > 1 else None)


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
    hook_number: int = -1
    """The number of its own among the module's pre-hooks."""
    places: dict[tuple[Any, ...], Place | str] = field(default_factory=dict)
    """The network's call, and the sizes of a product in it → where the picture is, or why it is not the picture's."""

    def hook(self) -> list[Any]:
        """Register the module's hooks, and return their handles."""
        begin = self.attention.register_forward_pre_hook(Hook(self.begin), with_kwargs=True)
        end = self.attention.register_forward_hook(
            Hook(lambda attention, _, output: self.end(attention, output)), always_call=True
        )
        self.hook_number = begin.id
        return [begin, end]

    def see(self, read: Callable[[], Product], text: Any) -> None:
        """Record a product that compiled code is about to compute (inside_compiled.py), if the network's call is
        recorded and is of this thread. read: as in `LayerRun.record`. text: as in `check_text` of the recorder."""
        call = self.recorder.call
        if call is None or call.thread != threading.get_ident():
            return
        if self.run is None or self.run.call is not call:
            self.recorder.ran.add(self.name)
            self.run = LayerRun(self, call)
        try:
            if self.layer.is_cross:
                self.recorder.check_text(self.name, text)
        except Exception as error:
            self.recorder.fail(error, self.name)
        self.run.record(read)

    def begin(self, attention: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook: watch the layer, if the network's call is recorded and is of this thread. attention: the
        module that begins, which may be a copy of the captured one. args, kwargs: what it is given: states of the
        picture, and of the text."""
        call = self.recorder.call
        if call is None or call.thread != threading.get_ident() or attention is not self.attention:
            return
        self.recorder.ran.add(self.name)
        self.run = LayerRun(self, call)
        try:
            if self.layer.is_cross:
                self.recorder.check_text(self.name, given_text(args, kwargs))
            self.recorder.begin_layer(attention, self.run.record)
        except Exception as error:
            self.recorder.fail(error, self.name)

    def end(self, attention: Any, output: Any) -> None:
        """Forward hook: end the watch. attention: as in `begin`. output: the layer's result; None if an error ended the
        layer."""
        watch, run = self.recorder.watch, self.run
        if watch is None or run is None or not watch.runs_here or attention is not self.attention:
            return
        watch.pause()
        self.run = None
        if output is not None and watch.count and not run.has_picture:
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

        if self.recorder.shown is not None:
            return self._place_shown(call, spans, members, self.recorder.shown)

        # 2. In its scores
        puts_first = self.layer.padding_last and product.mask is not None
        if puts_first:
            spans = Spans(ALL, slice(positions), slice(positions, None))
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
        return Place(members, spans, positions, frames, puts_first, grid, chosen)

    def _place_shown(self, call: NetworkCall, spans: Spans, members: Sequence[int], number: int) -> Place:
        """Where a shown picture's queries and the text's columns are. number: which of the shown pictures, from 0;
        their rows follow those of the drawn one. spans: where that one and the text are."""
        assert spans.image is not None
        assert spans.text is not None
        grid = call.shown[number]
        begin = spans.image.stop + sum(map(math.prod, call.shown[:number]))
        rows = slice(begin, begin + math.prod(grid))
        return Place(members, Spans(rows, None, spans.text), math.prod(grid), 1, False, grid, {"cross": spans.text})


@dataclass(eq=False)
class LayerRun:
    """One run of a layer in a call of the network. It finds the picture's product among all that the layer computes."""

    captured: CapturedLayer
    call: NetworkCall
    has_picture: bool = False
    """Whether one of the products was the picture's."""
    why_not: str = "computes a part of its attention in a way that is not known"
    """Why the latest product was not the picture's."""
    pieces: list[Product] = field(default_factory=list[Product])
    """The pieces that have come so far, if the layer computes a product in pieces."""

    def record(self, read: Callable[[], Product]) -> None:
        """Add a product to the running maps, if it is the picture's and all its pieces are there. read: returns it, or
        raises UserError."""
        if torch.is_grad_enabled():
            with torch.no_grad():
                return self.record(read)
        try:
            product = self._whole(read())
            if product is not None and self.captured.recorder.error is None:
                self._record(product)
        except Exception as error:
            self.captured.recorder.fail(error, self.captured.name)

    def _whole(self, product: Product) -> Product | None:
        """The product, with a dimension for the heads. If it is a piece, the product that all pieces make together;
        None until the last piece has come. Raises UserError for pieces that make no product of the whole batch."""
        if product.query.ndim == 4:
            return product
        self.pieces.append(product)
        queries, keys, masks, *_ = zip(*self.pieces, strict=True)
        heads, rows = self.captured.attention.heads, sum(map(len, queries))
        needed = heads * self.call.members
        if rows < needed:
            return None
        shapes = {(query.shape[1:], key.shape[1:]) for query, key in zip(queries, keys, strict=True)}
        if rows > needed or len(shapes) > 1:
            problem = "computes attention in pieces that are no product of the whole batch (regional prompts?)"
            raise UserError(self.captured.name, problem, "draw without that")
        mask = None
        if product.mask is not None:
            pairs = zip(masks, queries, strict=True)
            mask = torch.cat([mask.expand(len(query), -1, -1) for mask, query in pairs]).unflatten(0, (-1, heads))
        self.pieces = []
        query, key = (torch.cat(pieces).unflatten(0, (-1, heads)) for pieces in (queries, keys))
        return Product(query, key, mask, product.scale)

    def _record(self, product: Product) -> None:
        """Add a whole product to the running maps, if it is the picture's. Raises UserError for a second one."""
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
            problem = "computes attention of the picture's positions twice in one call (regional prompts?)"
            raise UserError(captured.name, problem, "draw without that: only one of the two belongs to the prompt")
        self.has_picture = True

        # 2. Its scores
        recorder = captured.recorder
        scores = cut_picture(product, place)
        if recorder.text_states is not None and captured.layer.is_cross:
            scores = scores._replace(key=self._keys_of(recorder.text_states), bias=None)
        if place.frames > 1:
            scores = by_frames(scores, place)
        recorder.running.add(call.step, captured.name, place, scores)

    def _keys_of(self, states: torch.Tensor) -> torch.Tensor:
        """The keys (B, H, T, D) that the layer would have for another text. Its modules compute them, without running
        their hooks. states: (B, T, C), the text encoder's."""
        attention = self.captured.attention
        key = attention.to_k.forward(states).unflatten(2, (attention.heads, -1)).transpose(1, 2)
        return key if attention.norm_k is None else attention.norm_k.forward(key)
