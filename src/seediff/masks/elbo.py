"""ELBO-T2IAlign (IEEE TIP 2026, arXiv 2506.09740): where several classes compete, the maps of those that explain the picture worst are
sharpened, whatever method made them.

    M_c ← M_c ^ (3 ^ e_c),   e = N(errors of the picture's classes),   N: min-max

A class's error is the network's error in denoising the picture with a sentence that names only this class, at 20 noise levels
(`attention.photograph.class_errors`). The best class keeps its map; the worst class's map is cubed. Written from the equation
(VCG-team/elbo-t2ialign at 9000d8c, MIT), whose maps are min-maxed first, as those of most methods here are. Where a method leaves its maps
on another scale, such as one that all classes share, the threshold belongs to this scale, and it stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from .arithmetic import min_max
from .steps import SoftMask, Step

BASE = 3.0


def exponents(errors: Mapping[str, float]) -> dict[str, float]:
    """Class → 3 ^ e in [1, 3]; empty for fewer than two classes. Equal errors give 1."""
    if len(errors) < 2:
        return {}
    shares = min_max(torch.tensor(list(errors.values()), dtype=torch.float64))[0].tolist()
    return {name: BASE**share for name, share in zip(errors, shares, strict=True)}


def sharpened(mask: SoftMask, exponent: float) -> SoftMask:
    """M ^ exponent, for values in [0, 1]."""
    soft = mask.soft**exponent
    return replace(mask, soft=soft, trace={**mask.trace, Step("sharpened"): soft})
