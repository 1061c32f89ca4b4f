"""Records the attention of one layer: the product of the picture's queries, for the images with the prompt.

    the layer begins     CapturedLayer.begin makes a LayerRun and starts a watch for it (product.py)
    it attends           the watch gives the product to LayerRun.record, which adds the picture's attention to the maps
    the layer ends       CapturedLayer.end ends the watch, and refuses a run without a product of the picture

Nothing is guessed. A layer that computes no product in a call, because a cache returns its earlier result, adds
nothing. Products of anything but the picture's positions do not count. A layer is refused if it computes products and
none is the picture's, or two are.

What belongs to the picture is cut out of a product in one or two steps. For example, in joint attention with guidance:

    the product            (2B, H, N + T, D) queries and as many keys, a mask
    cut_picture            (B, H, N, D) queries, (B, H, N + T, D) keys, a bias
    by_frames, for clips   (B · F, H, N / F, D) queries, (B · F, H, N / F + T, D) keys, a bias

Shape letters: B images, H heads, N the picture's positions, T columns of text, D channels per head, F frames.
"""

from __future__ import annotations

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
from .probabilities import Scores
from .product import Product
from .recorder import AttentionRecorder


class Hook(partial[Any]):
    """A hook of a module. In a copy of the module, pickled or not, it does nothing."""

    def __reduce__(self) -> Any:
        return Hook, (_do_nothing,)


def _do_nothing(*_: Any) -> None: ...


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

    def hook(self) -> list[Any]:
        """Register the module's hooks, and return their handles."""
        begin = self.attention.register_forward_pre_hook(Hook(self.begin), with_kwargs=True)
        end = self.attention.register_forward_hook(
            Hook(lambda attention, _, output: self.end(attention, output)), always_call=True
        )
        return [begin, end]

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
            if self.layer.kinds == ("cross",):
                self.recorder.check_text(self.name, kwargs.get("encoder_hidden_states", next(iter(args[1:]), None)))
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


@dataclass(eq=False)
class LayerRun:
    """One run of a layer in a call of the network. It finds the picture's product among all that the layer computes."""

    captured: CapturedLayer
    call: NetworkCall
    has_picture: bool = False
    """Whether one of the products was the picture's."""
    why_not: str = "computes a part of its attention in a way that is not known"
    """Why the latest product was not the picture's."""
    pieces: list[Product] = field(default_factory=list)
    """The pieces that have come so far, if the layer computes a product in pieces."""

    def record(self, read: Callable[[], Product]) -> None:
        """Record a product, if it is the picture's. read: returns it, or raises UserError."""
        try:
            with torch.no_grad():
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
        captured, call = self.captured, self.call
        layer, recorder = captured.layer, captured.recorder

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
        scores, spans = cut_picture(product, members, spans, positions, layer.padding_last)
        if recorder.text_states is not None and layer.kinds == ("cross",):
            key = self._keys_of(recorder.text_states)
            scores = scores._replace(key=key, bias=None)
        if call.frames_in_member > 1:
            scores, spans = by_frames(scores, spans, call.frames)

        # 3. Their columns
        both: dict[Kind, slice | None] = {"self": spans.image, "cross": spans.text}
        columns_of: dict[Kind, slice] = {
            kind: span for kind, span in both.items() if span is not None and kind in captured.kinds
        }
        recorder.running.add(call.step, captured.name, grid_at(call.latent_size, layer.level), columns_of, scores)

    def _other_positions(self, queries: int, columns: int, positions: int) -> str:
        """The error's text for a product with this many queries and columns, instead of the picture's positions."""
        texts = 0
        if self.captured.layer.is_joint:
            texts = self.call.texts or 0
        # The first of the two lengths that differs from the picture's.
        others = next((count - texts for count in (queries, columns) if count - texts != positions), positions)
        return f"attends over {others} positions instead of {positions} (token merging or tiles?)"

    def _keys_of(self, states: torch.Tensor) -> torch.Tensor:
        """The keys (B, H, T, D) that the layer would have for another text. Its modules compute them, without running
        their hooks. states: (B, T, C), the text encoder's."""
        attention = self.captured.attention
        key = attention.to_k.forward(states).unflatten(2, (attention.heads, -1)).transpose(1, 2)
        return key if attention.norm_k is None else attention.norm_k.forward(key)


def cut_picture(
    product: Product, members: Sequence[int], spans: Spans, positions: int, padding_last: bool
) -> tuple[Scores, Spans]:
    """(scores, spans): the scores of the picture's queries, and where picture and text are among their columns.

    product: the whole batch's. members: the members of the batch to keep. spans: where picture and text are in the
    product. positions: N. padding_last: as in `Layer`: each picture follows its own text directly, so the mask must say
    where the text ends. Raises UserError if the mask does not say it.
    """
    # 1. The members with the prompt
    query, key, mask, scale = product
    query, key = choose(query, members), choose(key, members)
    if mask is not None:
        while mask.ndim < 4:
            mask = mask[None]
        if len(mask) > 1:
            mask = choose(mask, members)

    # 2. The picture first
    if padding_last and mask is not None:
        order = _picture_first(mask, positions)
        query = query.take_along_dim(order[:, None, :positions, None], 2)
        key, mask = key.take_along_dim(order[:, None, :, None], 2), mask.take_along_dim(order[:, None, None], 3)
        spans = Spans(slice(None), slice(positions), slice(positions, None))

    # 3. The picture's queries
    query = query[:, :, spans.queries]
    if key.shape[1] < query.shape[1]:  # several heads of the queries share one of the keys
        key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    bias = None
    if mask is not None:
        bias = _bias(mask, spans.queries).expand(len(query), -1, -1, key.shape[2])
    return Scores(query, key, scale, bias), spans


def choose(states: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
    """Some members of the states (B, …): (len(members), …). Members that follow each other are not copied."""
    if members == range(len(states)):
        return states
    if isinstance(members, range):
        return states[members.start : members.stop]
    return torch.stack([states[member] for member in members])  # indices would be copied to the GPU at each call


def _bias(mask: torch.Tensor, queries: slice) -> torch.Tensor:
    """What a mask adds to the scores of some queries, in float32: −inf where it hides a column. mask: (B, H, N, T); any
    of these sizes may be 1."""
    if mask.shape[2] > 1:
        mask = mask[:, :, queries]
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -torch.inf)
    return mask.float()


def _picture_first(mask: torch.Tensor, positions: int) -> torch.Tensor:
    """The order of columns, (B or 1, S), that puts the picture first: from text, picture, padding to picture, text,
    padding. For 2 columns of text, 3 positions and 1 column of padding, it is 2 3 4 0 1 5.

    mask: (B or 1, 1, 1, S) bool, False where a column is padding. positions: N. Raises UserError for a mask of another
    kind."""
    if mask.dtype != torch.bool or mask.shape[1:3] != (1, 1):
        raise UserError("attention", "has a mask that does not say where the text ends", "draw without it")
    texts = mask[:, 0, 0].sum(1, keepdim=True) - positions  # the number of text columns, 2
    columns = torch.arange(mask.shape[3], device=mask.device)  # 0 1 2 3 4 5
    text_or_padding = torch.where(columns < positions + texts, columns - positions, columns)  # . . . 0 1 5
    return torch.where(columns < positions, columns + texts, text_or_padding)  # 2 3 4 0 1 5


def by_frames(scores: Scores, spans: Spans, frames: int) -> tuple[Scores, Spans]:
    """(scores, spans) with each frame of a clip as a member of its own. A frame's columns are its own positions, then
    the text. frames: their number. Raises UserError for a mask that hides more than text from all frames."""
    query, keys, bias = split_frames(scores.query, frames), list[torch.Tensor](), scores.bias
    image, text, before_text = spans.image, spans.text, 0
    if bias is not None:
        if image is not None or bias.shape[2] > 1:
            raise UserError("attention", "has a mask over the frames of a clip", "draw without it")
        bias = bias.repeat_interleave(frames, 0)
    if image is not None:
        keys.append(split_frames(scores.key[:, :, image], frames))
        before_text = query.shape[2]
        image = slice(before_text)
    if text is not None:
        keys.append(scores.key[:, :, text].repeat_interleave(frames, 0))
        text = slice(before_text, None)
    return Scores(query, torch.cat(keys, 2), scores.scale, bias), Spans(slice(None), image, text)


def split_frames(states: torch.Tensor, frames: int) -> torch.Tensor:
    """States (B, H, frames · N, D) with each frame as a member of its own: (B · frames, H, N, D)."""
    return states.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)
