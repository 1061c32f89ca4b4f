"""Hooks of a layer in which picture and text attend to each other in one softmax (`models/families/base.Joint`).

Queries and keys are taken as they enter the product: after their norms, which are modules whose outputs are read, and after the rotation,
which is done again on what was read, by the model's own function and from what the layer was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from ..errors import UserError
from ..models.compiled import Listen
from ..models.families.base import Joint
from .recorder import KINDS, AttentionRecorder


class JointLayer:
    """Queries and keys are kept from the modules that make them until the attention module is done."""

    def __init__(self, name: str, layer: Joint, recorder: AttentionRecorder) -> None:
        self.name = name
        self.layer = layer
        self.recorder = recorder
        self.kept: dict[tuple[str, int], torch.Tensor] = {}

    def hook(self, attention: Any, listen: Listen) -> list[Any]:
        """Register the hooks by `listen(module, hook)`; their handles."""
        handles = [
            listen(attention.get_submodule(path), partial(self.keep, (kind, number)))
            for kind, paths in (("query", self.layer.queries), ("key", self.layer.keys))
            for number, path in enumerate(paths)
        ]
        return [*handles, listen(attention, self.record, with_kwargs=True)]

    def keep(self, which: tuple[str, int], _module: Any, _args: Any, output: torch.Tensor) -> None:
        if self.wanted:
            self.kept[which] = self.recorder.conditional(output.detach())

    @property
    def wanted(self) -> bool:
        recorder = self.recorder
        return recorder.recording and any(recorder.wants(kind, recorder.positions) for kind in KINDS)

    def record(self, _attention: Any, _args: Any, kwargs: Mapping[str, Any], _output: Any) -> None:
        """Forward hook of the attention module."""
        if not self.wanted:
            return
        kept, self.kept = self.kept, {}
        layer = self.layer
        if len(kept) != len(layer.queries) + len(layer.keys):
            raise UserError(f"{self.name} computed no queries of its own (fused projections?): call pipe.unfuse_qkv_projections() first")
        with torch.no_grad():
            rotary = kwargs.get(layer.rotary)
            if layer.each_rotary and rotary is not None:
                rotary = self.recorder.conditional(rotary)
            queries, keys = (
                [self._heads_last(kept[kind, number]) for number in range(len(paths))]
                for kind, paths in (("query", layer.queries), ("key", layer.keys))
            )
            columns = sum(key.shape[1] for key in keys)
            picture, text = layer.parts(columns, self.recorder.positions)
            if not self.recorder.wants("self", self.recorder.positions) and not len(range(*text.indices(columns))):
                return  # a layer of the picture alone
            query, key = (self._turned(torch.cat(states, 1), rotary) for states in (queries, keys))  # (B, S, H, D)
            mask = kwargs.get(layer.mask)
            bias = None if mask is None else _bias(self.recorder.conditional(mask), key.shape[1], picture, text)
            query, key = query[:, picture].transpose(1, 2), key.transpose(1, 2)
            self.recorder.add_joint(self.name, query, key, (picture, text), bias)

    def _heads_last(self, output: torch.Tensor) -> torch.Tensor:
        """(B, S, H, D)."""
        if output.ndim == 3:
            return output.unflatten(2, (self.layer.heads, -1))
        return output.transpose(1, 2) if self.layer.heads_dim == 1 else output

    def _turned(self, states: torch.Tensor, rotary: Any) -> torch.Tensor:
        return states if self.layer.rotate is None or rotary is None else self.layer.rotate(states, rotary)


def _bias(mask: torch.Tensor, columns: int, picture: slice, text: slice) -> torch.Tensor:
    """(B, 1, 1, S) float32, what is added to the scores of the picture's rows, of a mask as `Joint` has it."""
    if mask.ndim == 4:
        mask = mask[:, 0, picture.start]
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -torch.inf)
    if mask.shape[1] == columns:
        return mask.float()[:, None, None]
    whole = mask.new_zeros(len(mask), columns, dtype=torch.float32)
    whole[:, text] = mask.float()
    return whole[:, None, None]
