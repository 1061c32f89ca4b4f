import shlex
from pathlib import Path

import numpy as np
from rounding import depends_on_rounding

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SETTINGS = dict(
    word.split("=", 1) for word in shlex.split(MAKEFILE.split("AVX2 = ")[1].split("\n\n")[0].replace("\\\n", " "))
)


def test_the_chosen_tests_are_marked(request):
    for item in request.session.items:
        assert (item.get_closest_marker("arithmetic") is not None) == depends_on_rounding(item.path)


def test_numpy_uses_no_avx512_that_the_settings_leave():
    """NumPy gives its groups of instructions other names from time to time, and passes over names that it does not
    know.
    """
    core = (np._core if hasattr(np, "_core") else np.core)._multiarray_umath
    later = [name for name in core.__cpu_dispatch__ if name == "X86_V4" or name.startswith("AVX512")]
    assert set(later) <= set(SETTINGS["NPY_DISABLE_CPU_FEATURES"].split())
