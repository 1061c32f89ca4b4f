"""`Facts`: what is known of a model. Its small files answer before its weights are read, and then the loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .describe import ModelInfo, Sizes
from .families.inputs import Reader
from .families.layers import Layer
from .registry import Model


@dataclass(frozen=True)
class Facts:
    """What is known of a model. A fact that is not known is None, and nothing follows from it."""

    info: ModelInfo
    """Its family, its configurations, and what its seediff.json says."""
    layers: Mapping[str, Layer] | None = None
    """Name → attention layer, for all layers that can be captured."""
    readers: tuple[Reader, ...] | None = None
    """The tokenizers."""
    pipe: Any = None
    """The loaded pipeline."""

    @property
    def sizes(self) -> Sizes | None:
        """The sizes of the model's images."""
        return self.info.sizes()

    def reads_negative(self, guidance_scale: float) -> bool | None:
        """Whether a negative prompt changes the picture at this guidance scale."""
        return None if self.pipe is None else self.info.family.reads_negative(self.pipe, guidance_scale)


def facts_of_files(info: ModelInfo) -> Facts:
    """What a model's small files say. Takes up to some seconds. Raises UserError for attention that cannot be
    captured."""
    network, layers = info.network(), None
    if network is not None:
        layers = info.family.layers(network)
    return Facts(info, layers, info.readers() or None)


def facts_of_model(model: Model) -> Facts:
    """What a loaded model says."""
    return Facts(model.info, model.layers, model.readers, model.pipe)
