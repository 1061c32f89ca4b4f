"""Fixtures of tiny pipelines with random weights, saved as local diffusers folders; the environment and the order of
all tests.

The pipelines are narrow twins of the structures that the package works on. Each keeps the block types, layers,
projections and heads of its original; only widths, sides and the depth of the text tower are small.
"""

import copy
import gc
import os
import re
import signal
import sys
from dataclasses import replace
from functools import lru_cache

import pytest
from builders.rounding import depends_on_rounding

gc.disable()  # until all tests are imported: collections would find nothing
# These models are so small that threads only wait for each other: here, and in every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub
os.fsync = lambda descriptor: None  # no test cuts the power, and slow disks take milliseconds for every file
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so in a shell's background jobs, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
ALL_SLOW = re.compile(r"^pytestmark = .*\bpytest\.mark\.slow\b", re.M)


def pytest_ignore_collect(collection_path, config):
    """A file of slow tests alone is not even imported where these are left out."""
    if collection_path.suffix == ".py" and config.option.markexpr.startswith("not slow"):
        return bool(ALL_SLOW.search(collection_path.read_text(encoding="utf-8"))) or None
    return None


def pytest_collection():
    """Here, as the process that hands out tests to others collects none and needs no torch."""
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # must be set before anything imports triton


@pytest.fixture(autouse=True)
def methods_as_shipped():
    """Methods that a test, or the code of a page, registers end with it: `Method` names those that ship."""
    from seediff.config.methods import METHOD_FACTS

    before = dict(METHOD_FACTS)
    yield
    METHOD_FACTS.clear()
    METHOD_FACTS.update(before)


@pytest.fixture(autouse=True)
def functions_are_put_back():
    """The test that leaves a function of its own where networks find theirs fails, not a later one that calls it."""
    import torch

    owners: list = [torch.nn.functional]
    if "diffusers.models.attention_dispatch" in sys.modules:
        owners.append(sys.modules["diffusers.models.attention_dispatch"]._AttentionBackendRegistry)
    before = [dict(vars(owner)) for owner in owners]
    yield
    for owner, functions in zip(owners, before, strict=True):
        replaced = [name for name, own in functions.items() if vars(owner)[name] is not own]
        for name in replaced:
            setattr(owner, name, functions[name])
        assert not replaced, f"this test has replaced {', '.join(replaced)}, and has not put it back"


@pytest.fixture(scope="session", autouse=True)
def networks_without_weights():
    """Those of one configuration are built once: plans only look at their layers."""
    from seediff.models.describe import ModelInfo

    own, found = ModelInfo.layers, {}

    def layers(info):
        key = info.family.title, repr(info.network_config)
        if key not in found:
            found[key] = own.func(info)
        return found[key]

    ModelInfo.layers = property(layers)
    yield
    ModelInfo.layers = own


@pytest.fixture(scope="session")
def sd1_folder(twin):
    """Stable Diffusion 1.x: the same number of heads at every level, 1 × 1 convolutions around attention, CLIP ViT-L's
    text tower.
    """
    return twin("unet")


@pytest.fixture(scope="session")
def sd2_folder(tmp_path_factory):
    """Stable Diffusion 2-base: heads of one width, so their number grows with the level, linear layers, OpenCLIP's text
    tower.
    """
    from builders.twins import save_unet

    return save_unet(tmp_path_factory.mktemp("models") / "sd2", second=True)


@pytest.fixture(scope="session")
def mini_folder(tmp_path_factory):
    """The embedded model's structure: attention at 16, 8 and 4, images of 64², its own tokenizer and text encoder,
    known classes.
    """
    from builders.twins import save_mini

    return save_mini(tmp_path_factory.mktemp("models") / "mini")


@pytest.fixture(scope="session")
def sd1_model(sd1_folder):
    from seediff.models.registry import load_model

    return load_model(str(sd1_folder), device="cpu")


@pytest.fixture
def sd1_pipe(loaded):
    return loaded("unet").pipe


@pytest.fixture(scope="session")
def sd2_model(sd2_folder):
    from seediff.models.registry import load_model

    return load_model(str(sd2_folder), device="cpu")


@pytest.fixture(scope="session")
def mini_model(mini_folder):
    from seediff.models.registry import load_model

    return load_model(str(mini_folder), device="cpu")


@pytest.fixture(scope="session")
def browser():
    """A Chromium for all tests of a process, in which only one can be driven at a time."""
    from in_chromium import chromium

    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def twin(tmp_path_factory):
    """Name of a family's file → the folder of its twin, saved once per session. Tests must not change it."""
    from builders.reference_attention import BOOKS

    @lru_cache
    def folder(name):
        return BOOKS[name].save(tmp_path_factory.mktemp("models") / name)

    return folder


@pytest.fixture(scope="session")
def loaded(twin):
    """Name of a family's file → a model of its twin of a test's own, which it may change."""
    from seediff.models.registry import load_model

    original = lru_cache(lambda name: load_model(str(twin(name)), device="cpu"))
    return lambda name: replace(original(name), pipe=copy.deepcopy(original(name).pipe))


LONGEST = tuple(
    f"test_{name}.py"
    for name in "pretended_gpu every_family browser photo_runs cli cluster train_run interrupt".split()
)
"""The test files that take longest. They begin first (with pytest-xdist's --no-loadscope-reorder), so that none of them
keeps one process busy when the others are done."""


def pytest_collection_finish():
    """What was imported stays, so later collections pass it over; and they come seldom, as they find little."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        if depends_on_rounding(item.path):
            item.add_marker("arithmetic")
