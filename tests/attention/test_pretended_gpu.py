import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders.patience import PATIENCE
from builders.reference_attention import ALIKE, BOOKS

BUILDERS = Path(__file__).parents[1] / "builders"
COMMANDS = ("generate", "mask", "segment", "train")
FAMILY = "xl"
"""A UNet of two text encoders, whose offload is tried, too."""
OTHERS = [name for name in BOOKS if name not in (FAMILY, *ALIKE)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.version.cuda is not None, reason="only a CPU build of torch can pretend"),
    pytest.mark.skipif(sys.platform != "linux", reason="the names of torch's libraries are Linux's"),
]


@pytest.fixture(scope="module")
def count(tmp_path_factory):
    """Families, and "commands" for what does not depend on one → what was counted, by name."""
    folder = tmp_path_factory.mktemp("pretended")
    compiler, guard, home = shutil.which("g++"), folder / "guard.so", Path(torch.__file__).parent
    if compiler is None:
        pytest.skip("there is no g++ to compile guard.cpp")
    words = f"{compiler} -O1 -std=c++20 -shared -fPIC -I{home}/include {BUILDERS}/guard.cpp".split()
    built = subprocess.run([*words, f"-L{home}/lib", "-lc10", "-ltorch_cpu", "-o", str(guard)], capture_output=True)
    if built.returncode:
        pytest.skip(f"guard.cpp does not compile with this torch: {built.stderr.decode()[-300:]}")
    environ = {**os.environ, "SEEDIFF_DEBUG": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environ.pop("TRITON_INTERPRET", None)  # the other tests' way to run the kernels takes minutes here

    def counted(*parts):
        script = [sys.executable, str(BUILDERS / "on_pretended_gpu.py"), str(guard), str(folder), *parts]
        done = subprocess.run(script, env=environ, capture_output=True, text=True, timeout=20 * PATIENCE)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return counted


@pytest.fixture(scope="module")
def told(count):
    return count("commands", FAMILY)


@pytest.fixture(scope="module")
def told_of_others(count):
    return count(*OTHERS)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(told, name):
    ran = told[name]
    assert (ran["error"], ran["code"], ran["races"]) == ("", 0, [])
    if name in ("generate", "mask"):
        assert ran["threads"] == 2  # masks are made while the next pictures are drawn


def test_kernels_that_cannot_run_are_said_once(told):
    pytest.importorskip("triton")
    (warning,) = told["generate"]["warnings"]
    assert "plain torch captures attention" in warning
    assert told["mask"]["warnings"] == []


def test_a_batch_that_does_not_fit_is_halved_before_anything_is_committed(told):
    """Maps of two batches are held."""
    ran = told["tried"]
    assert (ran["error"], ran["code"], ran["races"], ran["sizes"]) == ("", 0, [], [1, False])
    assert ran["gpu"] == "Pretended"
    line = "{} images at once do not fit into the GPU's memory; batches have {}"
    assert ran["notices"] == [line.format(4, 2), line.format(2, 1)]


def check_family(told, name):
    """It draws, and looks at photographs."""
    ran = {key: one["error"] for key, one in told.items() if key.startswith(f"{name}: ")}
    assert len(ran) >= 2
    assert set(ran.values()) == {""}
    assert told[f"{name}: draw"].get("step", {}) == {}, "the host waits within a denoising step"


def test_a_family_draws_and_looks_at_photos(told):
    assert "step" in told[f"{FAMILY}: draw"]
    check_family(told, FAMILY)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_family_draws_and_looks_at_photos(told_of_others, name):
    check_family(told_of_others, name)


WAITS = {"aggregation": 1, "DiffSeg": 10, "K-Means, k = 6": 1, "K-Means, k = 20": 1, "PAMR, 10 iterations": 1}


@pytest.mark.parametrize("name", WAITS)
def test_what_follows_drawing_waits_seldom_and_is_as_on_the_cpu(told, name):
    assert told["after"][name]
    assert told[name]["waits"] <= WAITS[name], told[name]["at"]


def test_what_is_in_memory_before_is_nothing_to_a_device_that_multiplies_it(told):
    """As Metal's baddbmm, which does not leave out what it is told to multiply by 0."""
    assert told["uninitialised"]["finite"]


def test_faults_are_found(told):
    assert told["fault: no event"]["races"]
    assert "Expected all tensors to be on the same device" in told["fault: left on the CPU"]["error"]
    assert told["fault: a wait"]["waits"] == 1
