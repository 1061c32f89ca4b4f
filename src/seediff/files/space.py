"""Room on disks, and sizes in words."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def free_bytes(out: Path) -> int:
    """Room on the disk where `out` is or would be."""
    there = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def memory_bytes() -> int | None:
    """The computer's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def show_bytes(count: float) -> str:
    """1234567 → `1.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
