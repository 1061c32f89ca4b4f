import pytest
from refusals import user_error

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.levels import fit_levels, maps_read
from seediff.models.families.unet import SD, attention_layers, levels_of


@pytest.mark.parametrize("layers", ["all", "up", "down", "last"])
def test_levels_are_those_of_the_layers_that_are_captured(sd1_model, layers):
    unet = sd1_model.pipe.unet
    blocks = len(unet.config.down_block_types)
    exact = set()
    for name in attention_layers(unet, layers):
        block, _, rest = name.partition(".")
        number = int(rest.split(".")[0]) if block != "mid_block" else 0
        exact.add(2 ** {"mid_block": blocks - 1, "down_blocks": number, "up_blocks": blocks - 1 - number}[block])
    assert levels_of(unet.config, layers) == tuple(sorted(exact))


def test_only_levels_that_the_method_reads_are_checked():
    unet = {
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    }
    assert levels_of(unet) == (1, 2)
    assert levels_of({**unet, "mid_block_type": None}) == (1,)
    assert levels_of(unet, "up") == (1, 2)
    fit_levels(unet, MaskConfig(method="ca", expand_levels=(2, 1), seed_level=4), CaptureConfig(), SD)
    with user_error(r"^mask.seed_level: 4: the model has no attention at L/4; levels there: 1, 2$"):
        fit_levels(unet, MaskConfig(expand_levels=(2, 1)), CaptureConfig(), SD)
    with user_error(r"^mask.expand_levels: 4,2: the model has no attention at L/4 in its up layers"):
        fit_levels(unet, MaskConfig(expand_levels=(4, 2), seed_level=2), CaptureConfig(layers="up"), SD)


def test_maps_that_each_method_reads():
    """What is not captured raises an error when a mask is made."""
    assert maps_read(MaskConfig()) == {"cross": (4,), "self": (4, 2, 1)}
    assert maps_read(MaskConfig(expansion="parallel")) == {"cross": (4, 2, 1), "self": (4, 2, 1)}
    of_background = {"cross": (4, 2, 1), "self": (4, 2, 1)}
    assert maps_read(MaskConfig(expansion="none")) == of_background
    assert maps_read(MaskConfig(expansion="none", background=False)) == {"cross": (4, 2, 1)}
    assert maps_read(MaskConfig(method="ca")) == {"cross": (4, 2, 1)}
    assert maps_read(MaskConfig(method="ca_sa")) == {"cross": (4,), "self": (2,)}
    assert maps_read(MaskConfig(method="reference", seed_level=2)) == {"cross": (2,), "self": (4, 2, 1)}
