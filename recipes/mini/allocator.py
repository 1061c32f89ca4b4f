"""Keeps memory that a long computation frees and allocates again at every step."""

from __future__ import annotations

import ctypes
import platform

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
KEPT = 2**31 - 1  # bytes: the largest C int
ALWAYS_TAKEN = (
    2**25
)  # bytes: the most that an older glibc accepts for MMAP; it refuses more and keeps the earlier value


def keep_freed_memory() -> None:
    """Make glibc keep freed memory until the process ends.

    By default it returns large tensors to the system, which hands the same memory out again at the next step, zeroed.
    For processes that train and do nothing else. The allocators of macOS and musl are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        for parameter, size in ((TRIM, KEPT), (MMAP, ALWAYS_TAKEN), (MMAP, KEPT)):
            ctypes.CDLL(None).mallopt(parameter, size)
