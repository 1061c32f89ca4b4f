"""Measures the peak speed of a device, and counts the operations and bytes of a piece of work."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from timing import synchronize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


@dataclass(frozen=True)
class Peak:
    """flops: operations per second of a matrix product in the models' number format. bytes: per second of a copy, read
    and written.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class Work:
    """Costs of a piece of work. flops: operations of matrix products and convolutions, attention included. bytes: those
    that all operations read and write, each as if it ran alone."""

    flops: float
    bytes: float


class Counting(TorchDispatchMode):
    """Counts the bytes of the tensors that operations take and return. Views move none; custom kernels are not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func._schema.name:
            self.bytes += sum(
                one.numel() * one.element_size()
                for one in tree_flatten((args, kwargs, found))[0]
                if torch.is_tensor(one)
            )
        return found


def count(work: Callable[[], object]) -> Work:
    from torch.utils.flop_counter import FlopCounterMode

    with Counting() as moved, FlopCounterMode(display=False) as flops:
        work()
    return Work(flops.get_total_flops(), moved.bytes)


def seconds(device: str, work: Callable[[], object]) -> float:
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def measure_peak(device: str, dtype: str, *, side: int, repeats: int = 5) -> Peak:
    """The best of several runs of a product of (side, side) matrices, and of a copy of 8 such matrices."""
    left = torch.randn(side, side, device=device, dtype=getattr(torch, dtype))
    right, source = left.T.contiguous(), left.repeat(8, 1)
    target = torch.empty_like(source)
    product = min(seconds(device, lambda: left @ right) for _ in range(1 + repeats))
    copied = min(seconds(device, lambda: target.copy_(source)) for _ in range(1 + repeats))
    return Peak(2 * side**3 / product, 2 * source.numel() * source.element_size() / copied)


def forget_peak_memory(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def reserved_memory(device: str) -> int:
    """Most bytes that PyTorch held since `forget_peak_memory`, unused ones included; 0 where there is no GPU."""
    return torch.cuda.max_memory_reserved(device) if device.startswith("cuda") else 0


def peak_memory(device: str) -> int:
    """Peak memory in bytes. On cuda, allocated since `forget_peak_memory`; elsewhere, resident in this process so far,
    which only grows.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
