"""Tells which tests depend on how a CPU rounds; `make avx2` runs them a second time."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ARITHMETIC = ("attention", "masks", "metrics", "segments", "models/test_embedded.py", "test_published.py")
"""Folders and files that compare computed numbers with a reference, with figures written on another machine, or with
another order of the same sum. A CPU with other instructions rounds differently."""


def depends_on_rounding(test):
    return any(test.is_relative_to(TESTS / name) for name in ARITHMETIC)
