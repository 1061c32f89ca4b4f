"""`AttentionMaps`: what capture hands to every method.

Shape letters: B batch, H heads, R side of a map, N = R·R positions, T tokens, L latent side, K denoising steps, C classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from msgspec import Meta

from ..errors import UserError
from ..files.messages import shown
from ..files.outputs import write_tensors
from ..files.tensors import read_header


@dataclass(frozen=True)
class AttentionMaps:
    """Attention of one image, averaged over heads, layers and denoising steps (SeeDiff eq. 5).

    self_attention: {R: (N, N)} float32, row = query, column = key.
    cross_attention: {R: (N, T)} float32.
    latent_side: L; sides are looked up relative to it (L, L/2, L/4, L/8), never as 64, 32, 16, 8.
    words: class name → the columns of T that spell it, for example {"potted plant": (5, 6)}.
    prompt: the text that was attended to.
    normalized: whether each layer's and step's map was divided by its maximum before averaging (eq. 5), for
        cross-attention by each token column's; False: plain means of probabilities.
    """

    self_attention: Mapping[int, torch.Tensor]
    cross_attention: Mapping[int, torch.Tensor]
    latent_side: int
    words: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    prompt: str = ""
    normalized: bool = True

    def __post_init__(self) -> None:
        for kind, maps in (("self", self.self_attention), ("cross", self.cross_attention)):
            for side, tensor in maps.items():
                if tensor.ndim != 2 or tensor.shape[0] != side * side or tensor.dtype != torch.float32:
                    found = f"{tensor.dtype} {tuple(tensor.shape)}"
                    raise ValueError(f"{kind}_attention[{side}] must be float32 ({side * side}, …), not {found}")
                if kind == "self" and tensor.shape[1] != side * side:
                    raise ValueError(f"self_attention[{side}] must be square, not {tuple(tensor.shape)}")

    def self_at(self, divisor: int) -> torch.Tensor:
        """Self-attention (N, N) at side L / divisor. Raises UserError when that side was not captured."""
        return self._at(self.self_attention, divisor, "self")

    def cross_at(self, divisor: int, class_name: str) -> torch.Tensor:
        """Cross-attention (R, R) of a class at side L / divisor: the mean of its tokens' maps."""
        tensor = self._at(self.cross_attention, divisor, "cross")
        if class_name not in self.words:
            raise UserError(f"class '{class_name}' is not in the prompt '{self.prompt}'; its classes: {', '.join(self.words) or 'none'}")
        side = self.latent_side // divisor
        return tensor[:, list(self.words[class_name])].mean(1).reshape(side, side)

    def _at(self, maps: Mapping[int, torch.Tensor], divisor: int, kind: str) -> torch.Tensor:
        side = self.latent_side // divisor
        if side not in maps:
            held = ", ".join(f"L/{self.latent_side // s}" for s in sorted(maps, reverse=True)) or "none"
            raise UserError(f"{kind}-attention at L/{divisor} ({side}) was not captured; captured: {held}")
        return maps[side]

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, atomically. `load` gives an equal object."""
        tensors = {f"self.{s}": t.contiguous() for s, t in self.self_attention.items()}
        tensors |= {f"cross.{s}": t.contiguous() for s, t in self.cross_attention.items()}
        about = {"latent_side": self.latent_side, "words": dict(self.words), "prompt": self.prompt, "normalized": self.normalized}
        write_tensors(Path(path), tensors, {"seediff": json.dumps(about)})

    @classmethod
    def load(cls, path: Path | str) -> AttentionMaps:
        """Read what `save` wrote. Raises UserError naming the file when it is something else."""
        what = "saved attention maps"
        file = read_header(path)
        about = file.about("seediff", MapsAbout, what)
        last = max((column for columns in about.words.values() for column in columns), default=-1)
        for name, tensor in file.tensors.items():
            found = re.fullmatch(r"(self|cross)\.([1-9]\d{0,3})", name)
            if found is None:
                raise UserError(f"{path}: is no file of {what}: it has a tensor {shown(name)}")
            positions = int(found[2]) ** 2
            file.check(name, ("F32",), (positions, positions if found[1] == "self" else None), what)
            if found[1] == "cross" and last >= tensor.shape[1]:
                raise UserError(f"{path}: words name column {last}, but tensor '{name}' has {tensor.shape[1]}")
        maps: dict[str, dict[int, torch.Tensor]] = {"self": {}, "cross": {}}
        for name, values in file.load("pt").items():
            if not bool(torch.isfinite(values).all()):
                raise UserError(f"{path}: tensor '{name}' holds values that are not numbers")
            kind, side = name.split(".")
            maps[kind][int(side)] = values
        return cls(maps["self"], maps["cross"], about.latent_side, about.words, about.prompt, about.normalized)


@dataclass(frozen=True)
class MapsAbout:
    """What the header of saved maps says."""

    latent_side: Annotated[int, Meta(ge=1, le=4096)]
    words: dict[str, tuple[Annotated[int, Meta(ge=0)], ...]]
    prompt: str
    normalized: bool
