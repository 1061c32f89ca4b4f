"""What every recipe shares: the record of its steps, the names of levels, and cross-attention averaged over levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..attention.maps import AttentionMaps
from .normalize import resize
from .results import SoftMask
from .trace import Step


class Steps:
    """Gathers a recipe's maps, in order, and its flags, each once."""

    def __init__(self) -> None:
        self._maps: dict[Step, torch.Tensor] = {}
        self._flags: dict[str, None] = {}

    def keep(self, step: Step, values: torch.Tensor, flags: Sequence[str] = ()) -> torch.Tensor:
        """Record the map after a step and give it back."""
        self._maps[step] = values
        self._flags |= dict.fromkeys(flags)
        return values

    def flag(self, flags: Sequence[str]) -> None:
        """Record flags of a step that gave no map."""
        self._flags |= dict.fromkeys(flags)

    def finish(self, soft: torch.Tensor) -> SoftMask:
        """The recipe's result, which is also its last step."""
        self.keep(Step("final"), soft)
        return SoftMask(soft, tuple(self._flags), dict(self._maps))


def mean_cross_attention(maps: AttentionMaps, class_name: str, levels: Sequence[int]) -> torch.Tensor:
    """The class's cross-attention averaged over levels (divisors of L), at the finest of them, not normalised."""
    finest = maps.grid(min(levels))
    return torch.stack([resize(maps.cross_at(level, class_name), finest) for level in levels]).mean(0)
