import pytest
import torch
from builders.families import check_same_numbers
from builders.refusals import user_error

from seediff.models.registry import load_model

PACKAGES = {"nf4": "bitsandbytes", "int8": "torchao"}


def numbers(module):
    """What a quantised layer's weights are, as numbers; None: it is not quantised."""
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Linear4bit":
        return pytest.importorskip("bitsandbytes").functional.dequantize_4bit(weight.data, weight.quant_state)
    return weight.dequantize() if hasattr(weight, "dequantize") and type(weight) is not torch.nn.Parameter else None


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_maps_are_those_of_the_numbers_that_are_left(kind, twin, loaded):
    pytest.importorskip(PACKAGES[kind])
    model = load_model(str(twin("flux")), device="cpu", quantize=kind)
    exact = loaded("flux")
    count = 0
    for part in filter(model.family.has_weights, model.pipe.components):
        for place, module in getattr(model.pipe, part).named_modules():
            if (left := numbers(module)) is not None:
                getattr(exact.pipe, part).get_submodule(place).weight.data = left.float()
                count += not part.startswith("vae")
    assert count > 20
    check_same_numbers(model, exact)


def test_what_is_refused(twin, monkeypatch):
    folder = str(twin("unet"))
    monkeypatch.setattr("seediff.models.registry.find_spec", lambda name: None)
    for kind, package in PACKAGES.items():
        with user_error(rf"quantize: {kind}: needs {package}; pip install 'seediff\[quantize\]'"):
            load_model(folder, device="cpu", quantize=kind)
