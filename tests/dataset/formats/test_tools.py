"""Exported sets by the tools' own readers: each where it is installed, beside SeeDiff or in its environment below
SEEDIFF_TOOLS.

`python benchmarks/readers.py --install DIR` makes the environments.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "readers.py"
spec = importlib.util.spec_from_file_location("tools_readers", SCRIPT)
readers = importlib.util.module_from_spec(spec)
sys.modules["tools_readers"] = readers
spec.loader.exec_module(readers)


@pytest.mark.parametrize("reading", readers.READINGS, ids=lambda reading: reading.name)
def test_label_maps_are_equal(reading, tmp_path):
    if readers.interpreter(reading.tool) is None:
        pytest.skip(f"{reading.tool} is neither beside SeeDiff nor in an environment below SEEDIFF_TOOLS")
    items = readers.samples()
    maps = readers.read(reading, items, tmp_path)
    differing, pixels = readers.compare(reading, items, maps)
    assert (differing, pixels) == (0, 4 * 64 * 80)
