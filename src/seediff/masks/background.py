"""Refinement by the background: its seeds are expanded too, and what they reach is taken off the mask (SeeDiff eq. 10–11)."""

from __future__ import annotations

import torch


def background_seeds(soft: torch.Tensor, alpha: float) -> tuple[torch.Tensor, tuple[str, ...]]:
    """`S_bg = {1 − M' ≥ α}` (eq. 10, 9) as bool (h, w), and its flags.

    soft: (h, w) in [0, 1]. May be empty, flagged `no_background_seeds`: a background is not forced where there is none.
    """
    seeds = 1 - soft >= alpha
    return seeds, () if seeds.any() else ("no_background_seeds",)


def suppress(soft: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """`M'_final = (1 − M'_bg) ⊙ M'` (eq. 11), (h, w) in [0, 1]."""
    return (1 - background) * soft
