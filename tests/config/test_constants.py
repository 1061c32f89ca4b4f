import pytest

from seediff.config.base import differences, load_config
from seediff.config.constants import CaptureConfig, MaskConfig, SegmentConfig
from seediff.config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from seediff.errors import UserError


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (MaskConfig, {"method": "magic"}, "method = 'magic': is not known; known: seediff, ca, ca_sa, reference"),
        (MaskConfig, {"expansion": "wide"}, "expansion = 'wide' must be one of 'none', 'parallel', 'iterative'"),
        (MaskConfig, {"beta": "best"}, "beta = 'best' must be a number or 'otsu'"),
        (MaskConfig, {"beta": float("nan")}, "beta = nan"),
        (MaskConfig, {"alpha": 0.0}, "alpha = 0.0"),
        (MaskConfig, {"tau": 0}, "tau = 0 must be at least 1"),
        (MaskConfig, {"seed_level": 0}, "seed_level = 0"),
        (MaskConfig, {"self_level": 1.5}, "self_level = 1.5"),
        (MaskConfig, {"expand_levels": (2, 0)}, "expand_levels"),
        (MaskConfig, {"expand_levels": (1, 2)}, "from coarse to fine"),
        (MaskConfig, {"ignore_band": (0.6, 0.5)}, "ignore_band"),
        (MaskConfig, {"pamr_iterations": 0}, "pamr_iterations"),
        (CaptureConfig, {"layers": "left"}, "layers = 'left' must be 'all', 'up', 'down' or 'last' of a UNet, or blocks"),
        (CaptureConfig, {"steps": "first-half"}, "steps = 'first-half' must be 'all' or 'second-half' or"),
        (CaptureConfig, {"steps": 0}, "steps = 0 must be 'all' or 'second-half' or at least 1"),
        (CaptureConfig, {"steps": True}, "steps = True"),
        (CaptureConfig, {"steps": [2]}, r"steps = \[2\] must be one value"),
        (MaskConfig, {"beta": [0.3]}, r"beta = \[0.3\] must be one value"),
        (MaskConfig, {"method": ["ca"]}, r"method = \['ca'\] must be one value"),
        (MaskConfig, {"expand_levels": 4}, "expand_levels = 4 must be a list"),
        (MaskConfig, {"ignore_band": 0.4}, "ignore_band = 0.4 must be a list"),
        (MaskConfig, {"pamr_dilations": 4}, "pamr_dilations = 4 must be a list"),
        (SegmentConfig, {"method": "kmeans", "k": [3]}, r"k = \[3\] must be one value"),
        (SegmentPhotosConfig, {"names": "dog"}, "names = 'dog' must be a list"),
    ],
)
def test_impossible_constants(kind, values, message):
    with pytest.raises(UserError, match=message):
        kind(**values)


def test_possible_ones():
    assert MaskConfig(beta="otsu", method="reference", expand_levels=(1,)).tau == 4
    assert CaptureConfig(steps="second-half", layers="down").normalize


def test_lists_are_tuples(tmp_path):
    assert MaskConfig(expand_levels=[2], ignore_band=[0.5, 0.6]) == MaskConfig(expand_levels=(2,), ignore_band=(0.5, 0.6))
    assert SegmentConfig(kl_threshold=[1.0, 0.9]).thresholds == (1.0, 0.9)
    config = MaskPhotosConfig(["dog"], timesteps=[50, 150])
    (tmp_path / "seediff.toml").write_text(config.to_toml())
    assert differences(load_config(tmp_path / "seediff.toml", MaskPhotosConfig), config) == []
