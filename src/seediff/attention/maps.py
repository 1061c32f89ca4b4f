"""`AttentionMaps`: the averaged self- and cross-attention of one image. Capture makes it, and every mask method reads
it.

Shape letters: (h, w) height and width of a map, N = h·w positions, T tokens, L height and width of the lattice
(models/layers.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from msgspec import Meta

from ..errors import UserError, shorten
from ..files.outputs import write_atomic
from ..files.tensors import encode_tensors, read_header
from ..models.layers import Grid, grid_at, grid_text


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention of one image, averaged over heads, layers and denoising steps (SeeDiff eq. 5)."""

    self_attention: Mapping[Grid, torch.Tensor]
    """(h, w) → (N, N) float32; a row is a query, a column is a key."""
    cross_attention: Mapping[Grid, torch.Tensor]
    """(h, w) → (N, T) float32."""
    lattice: Grid
    """(height, width) of L. Methods ask for maps by their level, never by their side."""
    words: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Class name → its token columns in T, for example {"potted plant": (5, 6)}."""
    prompt: str = ""
    """The text that the image attended to."""
    normalized: bool = True
    """Whether the map of each layer and step was divided by its maximum before averaging; in cross-attention, each
    column by its own maximum. False: the maps are plain means of probabilities."""

    def __repr__(self) -> str:
        names = ", ".join(f"{kind} {grid_text(grid)}" for kind, grid, _ in self.tensors())
        return f"<AttentionMaps of {self.prompt!r}: {names}>"

    @property
    def _by_kind(self) -> dict[str, Mapping[Grid, torch.Tensor]]:
        return {"self": self.self_attention, "cross": self.cross_attention}

    def tensors(self) -> Iterator[tuple[str, Grid, torch.Tensor]]:
        """(kind, (h, w), map) of each map. kind: self or cross."""
        for kind, maps in self._by_kind.items():
            for grid, tensor in maps.items():
                yield kind, grid, tensor

    def cpu(self) -> AttentionMaps:
        """A copy with all maps on the CPU."""
        self_maps, cross_maps = (
            {grid: tensor.cpu() for grid, tensor in maps.items()} for maps in self._by_kind.values()
        )
        return replace(self, self_attention=self_maps, cross_attention=cross_maps)

    def grid(self, level: int) -> Grid:
        """(h, w) of a map at L / level."""
        return grid_at(self.lattice, level)

    def levels(self, kind: Literal["self", "cross"]) -> tuple[int, ...]:
        """The levels of the maps of one kind, from coarse to fine: for example (8, 4, 2)."""
        return tuple(sorted(map(self.level, self._by_kind[kind]), reverse=True))

    def level(self, grid: Grid) -> int:
        """The level of a map of size (h, w)."""
        halvings = (1 << number for number in range(max(self.lattice).bit_length() + 1))
        return next((level for level in halvings if self.grid(level) == grid), self.lattice[0] // grid[0])

    def self_at(self, level: int) -> torch.Tensor:
        """Self-attention (N, N) at L / level. Raises UserError if this level was not captured."""
        return self._at("self", level)

    def cross_at(self, level: int, class_name: str) -> torch.Tensor:
        """A class's cross-attention (h, w) at L / level: the mean of its tokens' maps. Raises UserError if this level
        was not captured, or if the class is not in the prompt."""
        tensor = self._at("cross", level)
        return tensor[:, list(self.columns(class_name))].mean(1).reshape(self.grid(level))

    def columns(self, class_name: str) -> tuple[int, ...]:
        """A class's token columns. Raises UserError if the class is not in the prompt."""
        if class_name not in self.words:
            listed = ", ".join(self.words) or "none"
            problem = f"class '{class_name}' is not in the prompt '{shorten(self.prompt)}'"
            raise UserError(problem, fix=f"its classes: {listed}")
        return self.words[class_name]

    def _at(self, kind: Literal["self", "cross"], level: int) -> torch.Tensor:
        maps = self._by_kind[kind]
        grid = self.grid(level)
        if grid not in maps:
            captured = ", ".join(f"L/{there}" for there in reversed(self.levels(kind))) or "none"
            what = f"{kind}-attention at L/{level} ({grid_text(grid)})"
            fix = "use maps that have it, as capture(pipe, keep='all') makes them"
            raise UserError(what, f"was not captured; captured: {captured}", fix)
        return maps[grid]

    def save(self, path: Path | str) -> None:
        """Write these maps to one safetensors file, atomically. `load` returns maps with the same values."""
        write_atomic(Path(path), self.encode())

    def encode(self) -> bytes:
        """The contents of the file that `save` writes."""
        tensors = {f"{kind}.{height},{width}": tensor.contiguous() for kind, (height, width), tensor in self.tensors()}
        about = MapsAbout(self.lattice, dict(self.words), self.prompt, self.normalized)
        return encode_tensors(tensors, {"seediff": json.dumps(asdict(about))})

    @classmethod
    def load(cls, path: Path | str) -> AttentionMaps:
        """The maps in a file from `save`. Raises UserError with the file's name if it is any other file."""
        file = read_header(path)
        about = file.about("seediff", MapsAbout, "saved attention maps")
        maps: dict[str, dict[Grid, torch.Tensor]] = {"self": {}, "cross": {}}
        for name, tensor in file.tensors.items():
            size = re.fullmatch(r"(self|cross)\.(\d+),(\d+)", name)
            if size is None:
                raise UserError(path, f"is not a file of saved attention maps: it has a tensor '{shorten(name)}'")
            grid = int(size[2]), int(size[3])
            columns = {"self": math.prod(grid)}.get(size[1])
            file.check(name, tensor.dtype, (math.prod(grid), columns), "saved attention maps")
            maps[size[1]][grid] = file.load("pt", [name])[name]
        # In the order of a capture, so that sums over maps are the same.
        self_maps, cross_maps = (dict(sorted(of_kind.items(), reverse=True)) for of_kind in maps.values())
        return cls(self_maps, cross_maps, about.latent_size, about.words, about.prompt, about.normalized)


Side = Annotated[int, Meta(ge=1, le=4096)]


@dataclass(frozen=True)
class MapsAbout:
    """What the header of saved maps says of them. The fields are as in AttentionMaps."""

    latent_size: tuple[Side, Side]
    """`AttentionMaps.lattice`, by its name in files."""
    words: dict[str, tuple[Annotated[int, Meta(ge=0)], ...]]
    prompt: str
    normalized: bool
