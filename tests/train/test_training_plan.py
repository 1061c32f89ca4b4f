import numpy as np
import pytest

from seediff.config.train import make_config
from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.train.plan import choose_defaults
from seediff.train.stages import open_training


def data_of(*sides, classes=("dog",)):
    labels = [np.eye(side, dtype=np.uint8) for side in sides]
    samples = [Sample(np.zeros((*one.shape, 3), np.uint8), one, name=str(i)) for i, one in enumerate(labels)]
    return open_training([Dataset(classes, samples)], steps=1)


NOT_MIRRORED = 'images are not mirrored, because the other side of "left arm" is no class; --flip mirrors them'


@pytest.fixture
def machine(monkeypatch):
    return lambda device: monkeypatch.setattr("seediff.devices.default_device", lambda: device)


@pytest.mark.parametrize(
    ("device", "sides", "given", "backbone", "said"),
    [
        ("cuda", (64, 256), {}, "tiny", "no image has more than 256 pixels a side; --backbone swin-b is for"),
        ("cuda", (64, 257), {}, "swin-b", ""),
        ("mps", (512,), {"architecture": "segformer"}, "b0", ""),
        ("cpu", (512,), {"architecture": "segformer"}, "tiny", "the training runs on the cpu"),
        ("cuda", (512,), {"device": "cpu"}, "tiny", "the training runs on the cpu"),
        ("cpu", (64,), {"backbone": "r50"}, "r50", ""),
        ("cpu", (64,), {"weights": "pretrained"}, "tiny", "the training runs on the cpu"),
        ("cpu", (64,), {"weights": "pretrained", "architecture": "segformer"}, "b0", ""),
        ("cpu", (64,), {"weights": "mine"}, "swin-b", ""),
    ],
)
def test_the_default_backbone_is_one_that_runs(machine, tmp_path, device, sides, given, backbone, said):
    machine(device)
    config, lines = choose_defaults(given, None, data_of(*sides), tmp_path)
    assert config == make_config({**given, "backbone": backbone})
    assert said in "".join(lines)
    assert len(lines) == bool(said)


def test_a_training_goes_on_with_its_backbone_on_any_machine(machine, tmp_path):
    data = data_of(512)
    machine("cpu")
    begun, _ = choose_defaults({"seed": 3, "device": "cpu", "dtype": "bfloat16"}, None, data, tmp_path)
    (tmp_path / "seediff.toml").write_text(begun.to_toml())
    machine("cuda")
    assert choose_defaults({"seed": 3}, None, data, tmp_path) == (begun, [])
    assert choose_defaults({"seed": 3, "backbone": "r50"}, None, data, tmp_path)[0].backbone == "r50"


def test_pictures_are_mirrored_only_if_their_classes_stay_right(tmp_path):
    """Of a class `left arm` without a right one, unless the user says so."""
    given = {"backbone": "r50"}
    for classes, more, flip in (
        (("left arm",), {}, False),
        (("left arm",), {"flip": True}, True),
        (("left arm", "right arm"), {}, True),
    ):
        config, lines = choose_defaults({**given, **more}, None, data_of(64, classes=classes), tmp_path)
        assert config.flip is flip
        assert lines == ([] if flip else [NOT_MIRRORED])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"backbone": "b0"}, "mask2former has r50, swin-t, swin-b, tiny"),
        (
            {"architecture": "segformer", "backbone": "tiny", "weights": "pretrained"},
            "is not available for segformer's tiny",
        ),
        ({"accumulate": 3}, "cannot be divided into 3"),
        ({"scale": (2.0, 1.0)}, "0 < low ≤ high"),
    ],
)
def test_bad_values(given, says):
    with pytest.raises(UserError) as error:
        make_config(given)
    assert says in str(error.value)
