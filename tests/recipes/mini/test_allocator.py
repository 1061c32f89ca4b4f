"""Freed memory is kept: what a step frees stays with the process for the next one."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not Path("/proc/self/statm").exists(),
    reason="only glibc on Linux is told anything",
)

ROOT = Path(__file__).parents[3]
STEP = """
import os, sys, torch
from recipes.mini.allocator import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
if sys.argv[1] == "keep":
    keep_freed_memory()
before = resident()
tensors = [torch.ones(1 << 24) for _ in range(8)]  # 512 MiB, and each beyond the largest that the default ever keeps
assert resident() - before > 500
del tensors
print(resident() - before)
"""


def kept(way: str) -> float:
    """MiB that stay with a process that made 512 MiB of tensors and freed them."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "THP_", "GLIBC_"))}
    return float(
        subprocess.run(
            [sys.executable, "-c", STEP, way], env=usual, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    )


def test_freed_memory_is_kept():
    assert kept("return") < 100
    assert kept("keep") > 400
