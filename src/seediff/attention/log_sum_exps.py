"""The log-sum-exps (LSEs) of a layer's scores, which its own attention computes on a GPU. Capture needs them to turn
scores into probabilities. Without them it must compute the product QKᵀ twice: first for the LSEs, then for the scores.

`torch.nn.functional.scaled_dot_product_attention` calls one of three operations. The operation returns a result and its
LSEs, and the function passes on the result alone. So this module calls the operation itself, in the function's place.
At the first call of each shape, it calls both and compares them. Unless every byte of the result is equal and the LSEs
are right, it never calls the operation for this shape again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch.nn.attention import SDPBackend

aten = torch.ops.aten
TORCHS: Any = import_module("torch._C._nn").scaled_dot_product_attention
"""PyTorch's own function, also after somebody replaced the attribute of `torch.nn.functional`."""
WITH_LSES = {"attn_bias": None, "compute_log_sumexp": True}
OPERATIONS: dict[int, Callable[..., Any]] = {
    SDPBackend.FLASH_ATTENTION.value: aten._scaled_dot_product_flash_attention,
    SDPBackend.EFFICIENT_ATTENTION.value: partial(aten._scaled_dot_product_efficient_attention, **WITH_LSES),
    SDPBackend.CUDNN_ATTENTION.value: partial(aten._scaled_dot_product_cudnn_attention, **WITH_LSES),
}
"""PyTorch's number of an operation → the operation. Its first two return values are the result and the LSEs."""
DEVICES = ("cuda",)
"""The types of devices on which the operations are called."""
CLOSE = 1e-3
"""Largest error of an LSE, which changes a probability by a thousandth. Other conventions, such as logarithms to base
2, differ by far more."""
_same: dict[Hashable, bool] = {}
"""(operation, device, number format, scale, shapes and strides) → whether the operation gave the function's bytes and
right LSEs. On one card the answer never changes."""


def attend_with_log_sum_exps(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    **more: Any,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """(result, LSEs): the result of `TORCHS` with these arguments, and log Σ_t exp(scale · QKᵀ), (B, H, N) float32.
    None if no operation can give both. Examples are calls with a mask, with arguments of later PyTorch versions, with
    gradients, in float32, and in a CUDA graph that is made before any other call of this shape."""
    if attn_mask is not None or dropout_p or is_causal or enable_gqa or more or not _can_return_lses(query, key, value):
        return None
    try:
        choice = torch._fused_sdp_choice(query, key, value, scale=scale)
    except Exception:  # the function is not documented; TORCHS reports what is wrong with the arguments
        return None
    if choice not in OPERATIONS:
        return None
    form = (choice, query.device, query.dtype, scale, *_layout(query), *_layout(key), *_layout(value))
    if form not in _same:
        if query.is_cuda and torch.cuda.is_current_stream_capturing():
            return None  # comparing waits, which a CUDA graph does not allow
        _same[form] = _is_right(OPERATIONS[choice], query, key, value, scale)
    if not _same[form]:
        return None
    return _both(OPERATIONS[choice], query, key, value, scale)


def _both(operation: Callable[..., Any], query: Any, key: Any, value: Any, scale: float | None) -> Any:
    """(result, LSEs) of an operation, in the shapes of `attend_with_log_sum_exps`."""
    result, lses, *_ = operation(query, key, value, scale=scale)
    # cuDNN's LSEs have one more dimension, and the memory-efficient operation pads them
    return result, lses.reshape(*query.shape[:2], -1)[:, :, : query.shape[2]]


def _can_return_lses(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether an operation can take the function's place. It cannot for widths that the function pads. Nor can it under
    autocast, and under modes that watch functions, because they do not see operations."""
    if query.device.type not in DEVICES:
        return False
    is_plain = type(query) is torch.Tensor and query.ndim == 4 and query.itemsize == 2
    is_whole = query.shape[-1] % 8 == value.shape[-1] % 8 == 0
    has_gradients = torch.is_grad_enabled() and any(one.requires_grad for one in (query, key, value))
    is_watched = torch.is_autocast_enabled(query.device.type) or torch._C._len_torch_function_stack() > 0
    return is_plain and is_whole and not has_gradients and not is_watched


def _layout(tensor: torch.Tensor) -> tuple[Hashable, Hashable]:
    return tuple(tensor.shape), tensor.stride()


def _is_right(operation: Callable[..., Any], query: Any, key: Any, value: Any, scale: float | None) -> bool:
    """Whether an operation gives the bytes of `TORCHS`, and right LSEs for the first head of the first image."""
    try:
        ours, lses = _both(operation, query, key, value, scale)
        theirs = TORCHS(query, key, value, scale=scale)
    except Exception:  # undocumented operations, which refuse with errors of many kinds
        return False
    if ours.stride() != theirs.stride():
        return False
    scores = query[:1, :1].float() @ key[:1, :1].float().mT * (query.shape[3] ** -0.5 if scale is None else scale)
    error = (lses[:1, :1] - scores.logsumexp(3)).abs().max()
    pair = (result.contiguous().view(torch.uint8) for result in (ours, theirs))
    return float(error) < CLOSE and torch.equal(*pair)
