import shutil
from pathlib import Path

import pytest
import torch
from builders.single_files import configure, rewrite
from refusals import user_error
from safetensors.torch import load_file
from shapes import CLASSES, items, small

from seediff.train.models import build_network
from seediff.train.predict import load_segmenter
from seediff.train.run import train
from seediff.train.stages import Stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "segmenter"
    train(small(), [Stage(items(4), CLASSES, steps=1)], out, workers=0)
    return out


@pytest.fixture
def folder(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "segmenter"))


def last(tensors):
    return next(name for name in reversed(list(tensors)) if tensors[name].ndim > 1)


DAMAGES = {
    "without a tensor": (
        lambda t: {name: t[name] for name in t if name != last(t)},
        "its weights are not those of its network: 1 tensor",
    ),
    "no numbers": (lambda t: t | {last(t): t[last(t)] * float("nan")}, "has values that are not numbers"),
    "a scale": (
        lambda t: t | {last(t): t[last(t)].to(torch.float8_e4m3fn), f"{last(t)}_scale": torch.ones(1)},
        "_scale",
    ),
}


def load_both(folder):
    """As a segmenter, and as the first weights of a training. Yields a function for each."""
    yield lambda: load_segmenter(folder, "cpu")
    yield lambda: build_network(small(weights=str(folder)), CLASSES)


def check_refused(folder, said):
    for load in load_both(folder):
        with user_error(said):
            load()


@pytest.mark.parametrize(("changed", "said"), DAMAGES.values(), ids=DAMAGES)
def test_weights_of_which_any_is_missing_or_no_number_are_refused(folder, changed, said):
    rewrite(folder / "model.safetensors", changed)
    check_refused(folder, said)


def test_a_pickle_is_never_opened(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    check_refused(folder, "cannot be loaded")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("decoder_layers", 1, r"the first .*layers\.\d|are not of backbone"),
        ("transformers_weights", "../a.safetensors", "json: .*transformers_weights.* leads to code or files elsewhere"),
        ("backbone", "someone/backbone", "json: .*backbone.* names another model"),
        ("backbone_config", {"model_type": "timm_backbone"}, "json: .*backbone_config.* must be resnet or swin"),
    ],
)
def test_configurations_of_fewer_layers_or_that_lead_elsewhere_are_refused(folder, key, value, said):
    configure(folder / "config.json", **{key: value})
    check_refused(folder, said)


def test_a_segmenter_has_no_tensor_more(folder):
    """The first weights of a training may."""
    rewrite(folder / "model.safetensors", lambda t: t | {last(t).replace("weight", "extra"): torch.ones(1)})
    with user_error(r"its weights are not those of its network: 1 tensor, the first .*\.extra"):
        load_segmenter(folder, "cpu")
    build_network(small(weights=str(folder)), CLASSES)
