"""Measures the peak speed and memory of a device, and counts the operations of a piece of work."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import torch


def synchronize(device: str | torch.device) -> None:
    """Wait until the device has finished the work that this thread gave it."""
    kind = str(device)
    if kind.startswith("cuda"):
        torch.cuda.current_stream(device).synchronize()
    elif kind.startswith("mps"):
        torch.mps.synchronize()


def count_operations(work: Callable[[], object]) -> float:
    """Operations of matrix products and convolutions, attention included."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def seconds(device: str, work: Callable[[], object]) -> float:
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def measure_peak(device: str, dtype: str, side: int) -> float:
    """Operations per second of a product of (side, side) matrices, the best of several."""
    left = torch.randn(side, side, device=device, dtype=getattr(torch, dtype))
    right = left.T.contiguous()
    return 2 * side**3 / min(seconds(device, lambda: left @ right) for _ in range(6))


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
