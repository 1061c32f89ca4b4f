"""Hooks of one attention layer, which keep its queries and keys while the network runs, until the layer ends.

In joint attention, as in MM-DiTs, picture and text form one sequence, and queries and keys are read from the outputs of
their norm modules. The rotation after them is repeated with the model's own function and the layer's own arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from ..errors import UserError
from ..models.families.family import Joint, Projections
from .recorder import AttentionRecorder, Kind


class ListeningLayer:
    """One attention layer, and what its modules returned in the present call of the network.

    kinds, level: of the attention to record. queries, keys: the modules that make them. Their outputs are kept whole
    until the layer ends: a copy of some rows would miss a rotation in place.
    """

    def __init__(
        self,
        name: str,
        recorder: AttentionRecorder,
        kinds: Collection[Kind],
        level: int,
        queries: Sequence[str],
        keys: Sequence[str],
    ) -> None:
        self.name, self.recorder, self.kinds, self.level = name, recorder, kinds, level
        self.modules = {("query", number): path for number, path in enumerate(queries)}
        self.modules |= {("key", number): path for number, path in enumerate(keys)}
        self.kept: dict[tuple[str, int], torch.Tensor] = {}
        self.call: object = None

    def hook(self, attention: Any) -> list[Any]:
        """Register the hooks; their handles."""
        handles: list[Any] = []
        for which, path in self.modules.items():
            handles.append(attention.get_submodule(path).register_forward_hook(partial(self.keep, which)))
        return [*handles, attention.register_forward_hook(self.record, with_kwargs=True)]

    @property
    def wanted(self) -> bool:
        """Whether to record the layer in this call."""
        return any(self.recorder.wants(kind, self.level) for kind in self.kinds)

    def record(self, attention: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Forward hook of the attention module."""
        raise NotImplementedError

    def keep(self, which: tuple[str, int], _module: Any, _args: Any, output: torch.Tensor) -> None:
        """Forward hook of a module that makes queries or keys. Raises UserError if it runs twice before the layer
        ends."""
        self.recorder.computed.add(self.name)
        if not self.wanted:
            return
        if self.call is not self.recorder.call:  # otherwise a call that an error ended leaves its own
            self.kept, self.call = {}, self.recorder.call
        if which in self.kept:
            problem = f"computed its {which[0]} states twice in one call (regional prompts?)"
            raise UserError(self.name, problem, "draw without that, because only one of the two belongs to the prompt")
        self.kept[which] = output.detach()

    def take(self, attention: Any) -> list[torch.Tensor]:
        """The queries and then the keys, of the rows to record; none if the layer is not wanted, or gave the result of
        an earlier step again (pyramid attention broadcast, T-GATE): its map is the mean of the steps that computed.
        Raises UserError for a layer of which it is not all there."""
        kept, self.kept = self.kept, {}
        if len(kept) == len(self.modules) and len(set(map(len, kept.values()))) == 1:
            return [self.recorder.conditional(kept[which]) for which in self.modules]
        if self.wanted and (kept or self.name not in self.recorder.computed):
            problem, fix = "computed queries or keys in another way", "use an attention processor of diffusers"
            if getattr(attention, "fused_projections", False):
                problem, fix = "has fused projections", "call pipe.unfuse_qkv_projections() first"
            raise UserError(self.name, problem, fix)
        return []


class ProjectedLayer(ListeningLayer):
    """A layer of self- or cross-attention, whose queries and keys are the outputs of one module each."""

    def __init__(self, name: str, layer: Projections, recorder: AttentionRecorder) -> None:
        super().__init__(name, recorder, (layer.kind,), layer.level, (layer.query,), (layer.key,))
        self.layer = layer

    def record(self, attention: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor) -> None:
        states = self.take(attention)
        if not states:
            return
        query, key = states
        kind, recorder = self.layer.kind, self.recorder
        recorder.check_positions(self.name, query.shape[1], self.level)
        if kind == "self":
            recorder.check_positions(self.name, key.shape[1], self.level)
        mask = kwargs.get("attention_mask", args[2] if len(args) > 2 else None)
        bias = None
        if mask is not None:
            batch = output.shape[0]
            bias = attention.prepare_attention_mask(mask, key.shape[1], batch)
            bias = recorder.conditional(bias.view(batch, attention.heads, -1, bias.shape[-1]))
        with torch.no_grad():
            if recorder.asked is not None and kind == "cross":
                key = attention.get_submodule(self.layer.key).forward(recorder.asked)  # so that no hook runs
            query, key = (x.unflatten(2, (attention.heads, -1)) for x in (query, key))  # (B, N or T, H, D)
            if self.layer.rotate is not None:
                rotary = args[3] if len(args) > 3 else kwargs["image_rotary_emb"]
                query, key = (self.layer.rotate(x, rotary) for x in (query, key))
            query, key = (x.transpose(1, 2) for x in (query, key))
            frames = recorder.frames_of_row
            if frames > 1:
                query = recorder.by_frame(query)
                key = recorder.by_frame(key) if kind == "self" else key.repeat_interleave(frames, 0)
                bias = None if bias is None else bias.repeat_interleave(frames, 0)  # (B, H, 1, T)
            scale = getattr(attention, "scale", query.shape[3] ** -0.5)
            recorder.add(self.name, {kind: slice(None)}, query, key, scale, bias, self.level)


class JointLayer(ListeningLayer):
    """A layer of joint attention."""

    def __init__(self, name: str, layer: Joint, recorder: AttentionRecorder, kinds: Collection[Kind]) -> None:
        super().__init__(name, recorder, kinds, 1, layer.queries, layer.keys)
        self.layer = layer

    def record(self, attention: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        states = self.take(attention)
        if not states:
            return
        layer, recorder, positions = self.layer, self.recorder, self.recorder.positions
        with torch.no_grad():
            rotary, mask = kwargs.get(layer.rotary), kwargs.get(layer.mask)
            if layer.each_rotary and rotary is not None:
                rotary = recorder.conditional(rotary)
            states = [self._heads_last(output) for output in states]
            queries, keys = states[: len(layer.queries)], states[len(layer.queries) :]
            if len(queries) > 1:  # streams of their own
                own = queries[0] if layer.image_first else queries[-1]
                recorder.check_positions(self.name, own.shape[1])
            query, key = torch.cat(queries, 1), torch.cat(keys, 1)  # (B, S, H, D)
            image, text = layer.parts(key.shape[1], positions)
            if layer.rotate is not None and rotary is not None:
                query, key = layer.rotate(query, rotary), layer.rotate(key, rotary)
            mask = None if mask is None else recorder.conditional(mask)
            if layer.behind_text:
                order = _image_first(key, mask, positions)
                query, key = (x.take_along_dim(order[..., None, None], 1) for x in (query, key))
                mask = None if mask is None else mask.take_along_dim(order, 1)
            if key.shape[2] < query.shape[2]:  # several query heads share one key head
                key = key.repeat_interleave(query.shape[2] // key.shape[2], 2)
            bias = None if mask is None else _bias(mask, key.shape[1], image, text)
            query, key = query[:, image].transpose(1, 2), key.transpose(1, 2)
            if recorder.frames_of_row > 1:  # each attends to its own positions and to the text
                own, words = recorder.by_frame(key[:, :, image]), key[:, :, text]
                query, key = recorder.by_frame(query), torch.cat([own, words.repeat_interleave(recorder.frames, 0)], 2)
                image, text = slice(0, own.shape[2]), slice(own.shape[2], None)
            columns: dict[Kind, slice] = {"self": image, "cross": text}
            parts: dict[Kind, slice] = {kind: columns[kind] for kind in self.kinds}
            recorder.add(self.name, parts, query, key, query.shape[3] ** -0.5, bias)

    def _heads_last(self, output: torch.Tensor) -> torch.Tensor:
        """A submodule's output as (B, S, H, D)."""
        if output.ndim == 3:
            return output.unflatten(2, (self.layer.heads, -1))
        return output.transpose(1, 2) if self.layer.heads_dim == 1 else output


def _image_first(states: torch.Tensor, mask: torch.Tensor | None, positions: int) -> torch.Tensor:
    """(B or 1, S): column indices of `states` (B, S, …) that reorder text, picture (N = positions), padding to picture,
    text, padding. mask: (B, S), False where a column is padding; None: there is no padding."""
    columns = torch.arange(states.shape[1], device=states.device)
    filled = columns.new_full((1, 1), len(columns)) if mask is None else mask.sum(1, keepdim=True)
    texts = filled - positions
    behind = torch.where(columns < filled, columns - positions, columns)
    return torch.where(columns < positions, columns + texts, behind)


def _bias(mask: torch.Tensor, columns: int, image: slice, text: slice) -> torch.Tensor:
    """A mask in one of the forms of `Joint`, as (B, 1, 1, S) float32 to add to the scores of the picture's rows."""
    if mask.ndim == 4:
        mask = mask[:, 0, image.start]
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -torch.inf)
    if mask.shape[1] != columns:
        of_text, mask = mask, mask.new_zeros(len(mask), columns, dtype=torch.float32)
        mask[:, text] = of_text
    return mask.float()[:, None, None]
