"""Hooks of a layer of self- or of cross-attention (`models/families/base.Projections`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..errors import UserError
from ..models.compiled import Listen
from ..models.families.base import Projections
from .recorder import AttentionRecorder


class ProjectedLayer:
    """Queries and keys are kept from the modules that make them until the attention module is done."""

    def __init__(self, name: str, layer: Projections, recorder: AttentionRecorder) -> None:
        self.name = name
        self.layer = layer
        self.recorder = recorder
        self.query: torch.Tensor | None = None
        self.key: torch.Tensor | None = None

    def hook(self, attention: Any, listen: Listen) -> list[Any]:
        """Register the hooks by `listen(module, hook)`; their handles."""
        return [
            listen(attention.get_submodule(self.layer.query), self.keep_query),
            listen(attention.get_submodule(self.layer.key), self.keep_key),
            listen(attention, self.record, with_kwargs=True),
        ]

    def keep_query(self, _module: Any, _args: Any, output: torch.Tensor) -> None:
        if self.wanted(output):
            self.query = self.recorder.conditional(output.detach())

    def wanted(self, output: torch.Tensor) -> bool:
        """Whether a layer whose output is (B, N, H·D) is to be recorded in this call."""
        return self.recorder.wants(self.layer.kind, output.shape[1])

    def keep_key(self, _module: Any, _args: Any, output: torch.Tensor) -> None:
        if self.query is not None:
            self.key = self.recorder.conditional(output.detach())

    def record(self, attention: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor) -> None:
        """Forward hook of the attention module."""
        if self.query is None and self.wanted(output):
            raise UserError(f"{self.name} computed no queries of its own (fused projections?): call pipe.unfuse_qkv_projections() first")
        if self.query is None or self.key is None:
            return
        query, key = self.query, self.key
        self.query = self.key = None
        mask = kwargs.get("attention_mask", args[2] if len(args) > 2 else None)
        bias = None
        if mask is not None:
            batch = output.shape[0]
            bias = attention.prepare_attention_mask(mask, key.shape[1], batch)
            bias = self.recorder.conditional(bias.view(batch, attention.heads, -1, bias.shape[-1]))
        heads = attention.heads
        with torch.no_grad():
            query, key = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key))  # (B, H, N or T, D)
            self.recorder.add(self.layer.kind, self.name, query, key, attention.scale, bias)
