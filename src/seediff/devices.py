"""Devices: which are available, which is the fastest, and which of them compute fast in bfloat16."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from .errors import Notice, UserError

BF16_SWITCH = "SEEDIFF_BF16"
"""Environment variable: 0 switches bfloat16 off, 1 on. If it is not set, the device decides."""

ONLY_CPUS, FOR_CUDA = "this PyTorch was built for CPUs only", "install one for CUDA (https://pytorch.org/get-started)"
X86_INSTRUCTIONS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""torch's checks for CPU instructions that compute in bfloat16. With AVX-512 alone, oneDNN converts numbers back and
forth: convolutions take 2.3 to 3.8 times as long as in float32. Without AVX-512 they take at least 20 times as long."""


def default_device() -> str:
    """The fastest available device: cuda, mps or cpu. Warns with a `Notice` if there is a GPU that cannot be used, for
    example because of an old driver."""
    why = _no_cuda()
    if why:
        warnings.warn(f"the GPU is not used: {why}", Notice, stacklevel=2)
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


@lru_cache
def _no_cuda() -> str:
    """The reason why a GPU cannot be used: the one that torch gives, such as an old driver, or that torch was built for
    CPUs only, though there is an NVIDIA driver; "" if there is none. The result is kept, because torch says it only
    once in a process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    if _only_cpus() and shutil.which("nvidia-smi"):
        return f"{ONLY_CPUS}; {FOR_CUDA}"
    reasons = [str(warning.message) for warning in caught if "CUDA" in str(warning.message)]
    return "".join(reasons[:1]).removeprefix("CUDA initialization: ").split(". ")[0]


def _only_cpus() -> bool:
    return torch.version.cuda is None and torch.version.hip is None


def check_device(device: str) -> str:
    """Returns `device` if it is available. Raises UserError for an unavailable or unknown device."""
    kind = device.split(":")[0]
    why = _no_cuda()  # before `is_available`, because torch says it once
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    try:
        index = torch.device(device).index or 0
        is_available = usable[kind] and (kind != "cuda" or index < torch.cuda.device_count())
    except (KeyError, RuntimeError) as error:
        raise UserError("device", f"{device} must be one of cuda, cuda:0, mps, cpu") from error
    if is_available:
        return device
    problem = f"{device}: is not available"
    if kind == "cuda" and why:
        raise UserError("device", f"{problem}: {why}")
    if kind == "cuda" and _only_cpus():
        raise UserError("device", f"{problem}, because {ONLY_CPUS}", FOR_CUDA)
    raise UserError("device", problem, f"available: {', '.join(filter(usable.get, usable))}")


def gpu_name(device: str) -> str:
    """The name of a GPU, whose kind decides rounding; "" if it is not in this machine."""
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else ""


def default_dtype(device: str, half: str = "float16") -> str:
    """The number format in which a model runs on a device: float32 on mps and cpu, `half` on cuda. mps does not fully
    support 16 bits, and a cpu is slower with them.

    half: the model's 16-bit format. A GPU that does not compute in bfloat16 gets float16 instead."""
    if not device.startswith("cuda"):
        return "float32"
    if half == "bfloat16" and torch.cuda.is_available() and not has_bfloat16(device):
        return "float16"
    return half


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether a device computes in bfloat16 itself, so that mixed precision is faster than float32. mps never does."""
    switch = os.environ.get(BF16_SWITCH)
    if not switch:
        return _computes_bfloat16(torch.device(device))
    return switch == "1"


@lru_cache
def _computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, whatever the switch says."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return any(getattr(torch.cpu, name)() for name in X86_INSTRUCTIONS)


def mixed_precision(device: torch.device | str, enabled: bool | None = None) -> torch.autocast:
    """A context in which the device computes in bfloat16. enabled: False computes in float32 instead; None computes in
    bfloat16 if that is fast on the device."""
    if enabled is None:
        enabled = has_bfloat16(device)
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=enabled)


@contextmanager
def cpu_threads(count: int | None, usual: int | None = None) -> Iterator[None]:
    """Sets the number of torch's threads in the whole process during the block. It decides the last bits of sums.

    count: the number in the block; None changes nothing. usual: the number after the block; None restores the number
    from before the block, which another thread's block may have set."""
    if count is None:
        yield
        return
    before = usual or torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
