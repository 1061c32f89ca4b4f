"""Self-attention of a single step: the step at which it changes most from the step before (TRACE's instance emergence point, ICLR 2026,
arXiv 2503.07982), where objects separate.

    t* = argmax_t KL(SA_{t−1} ‖ SA_t)

Rows sum to 1. The divergence is in nats, averaged over positions and then over maps (levels, or layers if they are kept apart). Three
copies of self-attention are held in addition to its sum, however many steps there are.

Shape letters: B images, N positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

TINY = torch.finfo(torch.float32).tiny


class Emergence:
    """Finds step t* of each image. `add` takes the running sums (B, N, N) after every step, under keys that the caller chooses."""

    def __init__(self) -> None:
        self.steps = 0
        self.best: dict[Any, torch.Tensor] = {}
        """The increase of each sum in step t* of each image; after a single step, in that step."""
        self._sums: dict[Any, torch.Tensor] = {}
        self._before: dict[Any, torch.Tensor] = {}
        self._change: torch.Tensor | None = None

    def add(self, sums: Mapping[Any, torch.Tensor]) -> None:
        step = {where: total - self._sums[where] if self._sums else total.clone() for where, total in sums.items()}
        self._sums = {where: total.clone() for where, total in sums.items()}
        if not self.steps:
            self.best = step
        else:
            change = torch.stack([divergence(self._before[where], now) for where, now in step.items()]).mean(0)
            rises = change > (self._change if self._change is not None else -torch.ones_like(change))
            self._change = change if self._change is None else torch.maximum(change, self._change)
            self.best = {where: torch.where(rises[:, None, None], now, self.best[where]) for where, now in step.items()}
        self._before = step
        self.steps += 1


def divergence(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """(B,): KL(before ‖ after) of rows of (B, N, N), each divided by its sum, averaged over rows."""
    p, q = (rows.clamp_min(TINY) / rows.clamp_min(TINY).sum(2, keepdim=True) for rows in (before, after))
    return (p * (p.log() - q.log())).sum(2).mean(1)
