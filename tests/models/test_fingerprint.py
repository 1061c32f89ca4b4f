import shutil

import pytest
import torch

from seediff.models.registry import load_model
from seediff.models.short_names import EMBEDDED
from seediff.models.weights import weights_fingerprint


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bool, torch.int64])
def test_values_names_and_configurations_show(kind):
    def of(value, **config):
        layer = torch.nn.Module()
        layer.register_buffer("weight", torch.full((3, 1000), value).to(kind))
        layer.register_buffer("scale", torch.tensor(1.0))
        layer.config = {"_name_or_path": str(value), "a": 1, **config}
        return weights_fingerprint({"unet": layer})

    assert len({of(0), of(1), of(0, a=2), of(0, b=1)}) == 4
    assert of(0) == of(0, _class="x")


def test_a_model_has_the_same_wherever_it_is(tmp_path):
    copy = shutil.copytree(EMBEDDED["mini"], tmp_path / "copy")
    here, there = (load_model(name, device="cpu").weights for name in ("mini", copy))
    assert here == there
    assert load_model("mini", device="cpu", dtype="float16").weights != here
