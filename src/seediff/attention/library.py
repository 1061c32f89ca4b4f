"""Log-sum-exps of large layers by cuDNN's attention, whose product is several times as fast as ours on recent cards.

    sums = library_sums(query, key, scale, own=lambda: …)      # None: the kernel of ours is used

It is asked only where PyTorch itself would choose it for such queries and keys, and where a call saves enough. The
first call of each shape compares it with our kernel; whatever fails or differs is not asked again. The network's own
attention is left alone: its result, and the plan that made it, stay the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend

SWITCH = "SEEDIFF_LIBRARY_SUMS"
"""Environment variable: with 0, our kernel is always used; with 1, cuDNN is tried for every size."""
WORTH = 1 << 28
"""Least number of scores. cuDNN plans each shape once, in up to a tenth of a second, which small layers never save."""
CLOSE = 1e-5
"""Largest difference from our kernel, as a share of the largest log-sum-exp, or of 1 if that is smaller."""

_widths: dict[tuple[Any, ...], int] = {}
"""A shape → the width of the values that cuDNN is given; 0: it is not asked."""


def library_sums(
    query: torch.Tensor, key: torch.Tensor, scale: float, own: Callable[[], torch.Tensor]
) -> torch.Tensor | None:
    """log Σ_t exp(scale · QKᵀ), (B, H, N), or None if our kernel is better. own: our kernel's, to compare."""
    images, heads, queries, channels = query.shape
    asked = os.environ.get(SWITCH)
    if query.dtype == torch.float32 or asked == "0":
        return None
    if asked != "1" and images * heads * queries * key.shape[2] < WORTH:
        return None
    form = (query.device, query.dtype, query.shape, query.stride(), key.shape, key.stride(), scale)
    if form not in _widths:
        if query.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return None  # comparing waits, which a recording does not allow
        right = (width for width in sorted({8, channels}) if _is_right(query, key, scale, width, own))
        _widths[form] = next(right, 0)
    width = _widths[form]
    return _sums(query, key, scale, width) if width else None


def _is_right(
    query: torch.Tensor, key: torch.Tensor, scale: float, width: int, own: Callable[[], torch.Tensor]
) -> bool:
    """Whether PyTorch would choose cuDNN here, and cuDNN gives the log-sum-exps of our kernel."""
    try:
        if torch._fused_sdp_choice(query, key, key, scale=scale) != SDPBackend.CUDNN_ATTENTION.value:
            return False
        found, ours = _sums(query, key, scale, width), own()
        return float((found - ours).abs().max()) <= CLOSE * max(1.0, float(ours.abs().max()))  # never for NaN
    except torch.OutOfMemoryError:
        raise
    except Exception:  # the choice is no documented function, and cuDNN refuses with errors of many kinds
        return False


def _sums(query: torch.Tensor, key: torch.Tensor, scale: float, width: int) -> torch.Tensor:
    """By cuDNN, whose result for the values, any of this width, is not used."""
    call = torch.ops.aten._scaled_dot_product_cudnn_attention
    found = call(query, key, key[..., :width], None, True, scale=scale)[1]
    return found.reshape(query.shape[:3])  # (B, H, N, 1) since PyTorch 2.9, (B, H, N) before
