"""What `make avx2` runs: the tests that depend on rounding, as a CPU without AVX-512 computes."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numbers_nearly import assert_nearly
from rounding import ARITHMETIC, depends_on_rounding

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SETTINGS = dict(
    word.split("=", 1) for word in shlex.split(MAKEFILE.split("AVX2 = ")[1].split("\n\n")[0].replace("\\\n", " "))
)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_every_chosen_folder_has_tests(name):
    path = ROOT / "tests" / name
    assert path.is_file() or list(path.rglob("test_*.py"))


def test_the_chosen_tests_are_marked(request):
    for item in request.session.items:
        assert (item.get_closest_marker("arithmetic") is not None) == depends_on_rounding(item.path)


def test_ci_runs_them_and_the_page_says_how():
    assert "\nmake avx2 " in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "-m arithmetic" in MAKEFILE
    assert "\nmake avx2 " in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_numpy_uses_no_avx512_that_the_settings_leave():
    """NumPy gives its groups of instructions other names from time to time, and passes over names that it does not
    know.
    """
    core = (np._core if hasattr(np, "_core") else np.core)._multiarray_umath  # type: ignore[attr-defined]
    later = [name for name in core.__cpu_dispatch__ if name == "X86_V4" or name.startswith("AVX512")]
    assert set(later) <= set(SETTINGS["NPY_DISABLE_CPU_FEATURES"].split())


def test_torch_uses_no_avx512_under_the_settings():
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **SETTINGS}, capture_output=True, text=True, check=True
    )
    assert "AVX512" not in done.stdout


@pytest.mark.parametrize(
    ("text", "same"),
    [("a 1.25 b", True), ("a 1.26 b", True), ("a 1.28 b", False), ("a 1.25 c", False), ("a 1.25", False)],
)
def test_numbers_of_another_cpu_are_nearly_the_same(text, same):
    if same:
        assert_nearly(text, "a 1.25 b")
    else:
        with pytest.raises(AssertionError):
            assert_nearly(text, "a 1.25 b")
