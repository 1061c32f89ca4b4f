"""What decides what `mask` and `segment` make of photographs, in frozen dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ..errors import UserError
from .base import Layer, RunConfig, recommend
from .constants import SegmentConfig
from .fields import Share, Timestep
from .generate import DatasetConfig
from .names import MAX_CLASSES, check_classes
from .presets import find_constants
from .sizes import Size, check_size, pixels

Fit = Literal["keep", "resize", "crop", "tile"]
"""How a model sees a photograph of any shape: in its own, squeezed into a square, its centred square alone, or as several squares."""

PRESENCE, NAME_THRESHOLD = 0.86, 0.514
"""Where neither the user nor the model's preset says: what the first embedded model had. `mask` and `segment --names` tell when they go by
these; `seediff tune` finds a model's own."""

MIN_SIZE = 8
"""Pixels a side at which a model can be made to see a photograph."""
MAX_LATENT = 128
"""Positions a side of a square latent: Stable Diffusion's at 1024 pixels. One head of self-attention then has 16384² numbers (1 GiB); at
twice the side it would have 16 times as many. Other shapes have at most as many positions."""


@dataclass(frozen=True)
class MaskPhotosConfig(DatasetConfig):
    """Masks of named classes in photographs. `classes` is all that must be given; `prompts` is one template."""

    command: ClassVar[str] = "mask"

    timesteps: tuple[Timestep, ...] = (50, 150, 250, 350, 450, 550)
    """Noise levels at which attention is captured.

    Their maps are averaged."""
    fit: Literal["keep", "resize", "crop"] = "keep"
    """Show photographs in their own shape, squeezed into the model's square, or only their centred square.

    What lies outside is ignored (255)."""
    size: Size | None = None
    """Side in pixels of the square at which the model sees a photograph; None: the model's own.

    With fit keep, any other shape has as many positions as that square. With fit resize also width x height."""
    presence: Share = PRESENCE
    """Classes that score lower are taken to be absent and get no mask; 0: all get one.

    Another one for every model (`seediff tune`)."""
    photos: str = ""
    """Which photographs, as `fingerprint_photos` tells them apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", _checked_size(self.size, self.fit))
        if len(self.prompts) != 1:
            raise UserError(f"prompts: {len(self.prompts)} templates; a photograph is shown with one")
        if not self.timesteps:
            raise UserError("timesteps = () must be at least one noise level")
        if len(set(self.timesteps)) < len(self.timesteps):
            raise UserError(f"timesteps = {self.timesteps}: each can be named only once")


@dataclass(frozen=True)
class SegmentPhotosConfig(RunConfig):
    """Segments of photographs, no class given. Everything has a default."""

    command: ClassVar[str] = "segment"
    last_file: ClassVar[str] = "segments.json"
    deciding: ClassVar[tuple[str, ...]] = ("model", "base", "segment.method")

    fit: Fit = "keep"
    """Show photographs in their own shape, squeezed into a square, the centred square (the paper's), or overlapping squares.

    What lies outside the centred square is in no segment (255)."""
    size: Size | None = None
    """Side in pixels of the square at which the model sees a photograph, or a tile of it; None: the model's own.

    With fit keep, any other shape has as many positions as that square. With fit resize also width x height."""
    names: tuple[str, ...] = ()
    """Words that segments may be called; captions give each photograph its own, which `photos` then tells apart."""
    vote: Literal["mean", "majority"] = "mean"
    """Which word names a segment: the one of highest mean attention, or the one that most pixels attend to."""
    name_threshold: Share = NAME_THRESHOLD
    """Segments that score lower stay unnamed.

    By their best word; ½ is attention as on average. Another one for every model (`seediff tune`)."""
    overlays: bool = True
    """Also write overlays/: photographs with their segments."""
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    photos: str = ""
    """Which photographs, as `fingerprint_photos` tells them apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", _checked_size(self.size, self.fit))
        check_names(self.names, "names")
        if self.segment.facts.refines_edges and self.segment.refine and self.fit == "tile":
            raise UserError("refine = true fits segments to edges in one picture: use fit keep, resize or crop, or leave it out")

    @classmethod
    def recommended(cls, **values: Any) -> SegmentPhotosConfig:
        """The configuration with the model's own constants where none are given, as of `GenerateConfig`; `segment` is a table."""
        return recommend(cls, values)

    @classmethod
    def behind(cls, chosen: Mapping[str, Any], preset: str) -> list[Layer]:
        return find_constants(chosen.get("model", cls.model), chosen.get("base")).segment_layers(chosen.get("segment.method"), preset)


def check_names(names: Sequence[str], what: str) -> None:
    """Raise UserError when words cannot be the names of segments, the classes of named/. what: what the message calls them."""
    if len(names) > MAX_CLASSES:
        raise UserError(f"{what}: {len(names)} different words, more than the {MAX_CLASSES} of 8-bit label maps; choose fewer with --names")
    try:
        if names:
            check_classes(names)
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def check_attention(size: Size | None, factor: int) -> None:
    """Raise UserError for a size whose attention memory does not hold. factor: pixels a position of the model's latent."""
    if size is not None and math.prod(pixels(size)) > (MAX_LATENT * factor) ** 2:
        most = f"{MAX_LATENT * factor}" if isinstance(size, int) else f"{MAX_LATENT * factor}x{MAX_LATENT * factor} in area"
        raise UserError(
            f"size = {size} must be at most {most} for this model: attention grows with the fourth power of the side, "
            "and that of a larger square cannot be held in memory; photographs may have any size"
        )


def _checked_size(size: Size | None, fit: str) -> Size | None:
    if size is None:
        return None
    if min(pixels(size)) < MIN_SIZE:
        raise UserError(f"size = {size} must be at least {MIN_SIZE} pixels; leave it out for the model's own")
    size = check_size(size)
    if not isinstance(size, int) and fit != "resize":
        raise UserError(
            f"size = {size}: width x height squeezes every photograph into that shape and needs fit resize; for fit {fit} name one side"
        )
    return size
