"""Seeds: the positions at which a soft map is at least α, where a class surely is (SeeDiff eq. 6 and 9)."""

from __future__ import annotations

import torch


def find_seeds(soft: torch.Tensor, alpha: float) -> tuple[torch.Tensor, tuple[str, ...]]:
    """`S = {(i, j) | M[i, j] ≥ α}` (eq. 6, 9) as bool (h, w), and its flags.

    soft: (h, w) in [0, 1]. There is always a seed: where nothing reaches α it is the single highest position, the first of
    equals, flagged `no_seeds`.
    """
    seeds = soft >= alpha
    if seeds.any():
        return seeds, ()
    seeds.view(-1)[soft.argmax()] = True
    return seeds, ("no_seeds",)
