import pytest

from seediff.config.base import differences
from seediff.config.constants import CaptureConfig, MaskConfig, SegmentConfig
from seediff.config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from seediff.config.resolve import load_config
from seediff.errors import UserError


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (MaskConfig, {"method": "magic"}, "method: 'magic' is not known; known: seediff, ca,"),
        (MaskConfig, {"expansion": "wide"}, "expansion: \"wide\" must be one of 'none', 'parallel',"),
        (MaskConfig, {"beta": "best"}, "beta: \"best\" must be a number in \\(0, 1\\) or 'otsu'"),
        (MaskConfig, {"beta": float("nan")}, r"beta: nan must be a number in \(0, 1\) or 'otsu'"),
        (MaskConfig, {"alpha": 0.0}, r"alpha: 0\.0 must be a number in \(0, 1\]"),
        (MaskConfig, {"self_level": 1.5}, r"self_level: 1\.5 must be a whole number of at least 1"),
        (MaskConfig, {"expand_levels": (1, 2)}, "from coarse to fine"),
        (MaskConfig, {"ignore_band": (0.6, 0.5)}, "ignore_band"),
        (MaskConfig, {"method": "best"}, "method: best depends on the model"),
        (CaptureConfig, {"layers": "left"}, "layers: 'left' must be all, up, down or"),
        (CaptureConfig, {"steps": "first-half"}, "steps: \"first-half\" must be 'all' or 'second-half'"),
        (CaptureConfig, {"steps": True}, "steps: true must be 'all' or 'second-half' or a"),
        (MaskConfig, {"expand_levels": 4}, "expand_levels: 4 must be a list, each a whole number of at"),
        (MaskConfig, {"ignore_band": 0.4}, r"ignore_band: 0\.4 must be 2 values, each a number"),
        (SegmentConfig, {"method": "kmeans", "k": [3]}, r"k: \[3\] must be a whole number of at least 1 or"),
        (SegmentPhotosConfig, {"names": "dog"}, 'names: "dog" must be a list, each a text'),
    ],
)
def test_impossible_constants(kind, values, message):
    with pytest.raises(UserError, match=message):
        kind(**values)


def test_lists_are_tuples(tmp_path):
    assert MaskConfig(expand_levels=[2], ignore_band=[0.5, 0.6]) == MaskConfig(
        expand_levels=(2,), ignore_band=(0.5, 0.6)
    )
    assert SegmentConfig(kl_threshold=[1.0, 0.9]).thresholds == (1.0, 0.9)
    config = MaskPhotosConfig(["dog"], timesteps=[50, 150])
    (tmp_path / "seediff.toml").write_text(config.to_toml())
    assert differences(load_config(tmp_path / "seediff.toml", MaskPhotosConfig), config) == []
