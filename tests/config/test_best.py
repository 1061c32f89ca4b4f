import pytest
from builders.configured import configured

from seediff.config.generate_config import GenerateConfig
from seediff.config.photos_config import MaskPhotosConfig
from seediff.config.presets import preset_of, recommended_mask
from seediff.config.resolve import load_config
from seediff.config.settings import differences
from seediff.models.info import read_settings
from seediff.models.short_names import EMBEDDED
from seediff.run.mask_job import MaskJob

BEST = {"mask": {"method": "best"}}


@pytest.mark.parametrize("kind", [GenerateConfig, MaskPhotosConfig])
def test_it_is_the_row_of_the_models_preset(kind, tmp_path):
    row = preset_of(read_settings(EMBEDDED["mini"])).methods["best"]
    config = kind.recommended(classes=("dog",), **BEST)
    assert {name: getattr(config.mask, name) for name in row["mask"]} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in row["mask"].items()
    }
    assert {name: getattr(config.capture, name) for name in row["capture"]} == row["capture"]
    assert config.source("mask.method") == config.source("capture.layers") == "the best masks of mini"
    assert recommended_mask("mini", "best").mask == config.mask

    (tmp_path / "seediff.toml").write_text(config.to_toml())  # says it in full, without `best`
    assert '"best"' not in config.to_toml()
    assert load_config(tmp_path / "seediff.toml", kind) == config
    again = configured(kind, {"classes": ("dog",), **BEST}, tmp_path / "seediff.toml")
    assert not differences(config, again)


@pytest.mark.parametrize(
    ("model", "method", "whose", "is_now"),
    [
        ("mini", "best", "", ("seediff", "last")),
        ("sd1.5", "best", "mini's", ("ca_sa", "up/last")),
        ("sd3.5-medium", "best", "mini-dit's", ("ca_sa", "all")),
        ("sana", "best", "the papers', of Stable Diffusion 1.x and 2.x", ("ca", "all")),
        ("sd1.5", "ca", "", ("ca", "all")),
        ("sdxl", "ca", "the papers', of Stable Diffusion 1.x and 2.x", ("ca", "all")),
    ],
)
def test_a_model_without_a_row_has_that_of_its_kind_and_the_plan_says_whose(model, method, whose, is_now):
    config = MaskPhotosConfig.recommended(classes=("dog",), model=model, mask={"method": method})
    assert (config.mask.method, config.capture.layers) == is_now
    said = [line for line in MaskJob(config, ()).settings(1) if line.startswith("Constants: ")]
    assert [line.partition("; they are ")[2] for line in said] == ([whose] if whose else [])
    assert recommended_mask(model, method).tuned is not bool(whose)
