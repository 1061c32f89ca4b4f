"""Freed memory is kept: what a step frees is not taken from the system again at the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc alone is told anything")

STEPS = """
import resource, sys, torch
from seediff.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    return len([torch.ones(1 << 24) for _ in range(2)])  # 128 MiB
for _ in range(5):
    step()  # the heap grows to what a step needs
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    return int(subprocess.run([sys.executable, "-c", STEPS, way], capture_output=True, text=True, check=True).stdout)


def test_freed_memory_is_kept():
    """Pages that the system has to hand out during five steps of 128 MiB: 4 KiB each, or 2 MiB where it has large ones."""
    assert faults("keep") < 0.2 * faults("return")
