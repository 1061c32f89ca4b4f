import pytest
from builders.configured import configured
from builders.published import written

from seediff.config.runs import GenerateConfig
from seediff.models.describe import describe
from seediff.models.families import families
from seediff.models.families.flux import FLUX, FLUX2_KLEIN
from seediff.models.locate import ModelFiles
from seediff.models.short_names import SHORT_NAMES


@pytest.mark.parametrize(
    ("family", "config", "distilled"),
    [
        (FLUX, {"guidance_embeds": True}, False),
        (FLUX, {"guidance_embeds": False}, True),
        (FLUX2_KLEIN, {"is_distilled": False}, False),
        (FLUX2_KLEIN, {}, False),
    ],
)
def test_a_configuration_says_whether_it_is_distilled(family, config, distilled):
    assert (family.few_steps(config) is not None) == distilled


@pytest.mark.parametrize("family", families(), ids=[family.title for family in families()])
def test_steps_and_guidance_are_the_pipelines_own(family, tmp_path):
    """Or those of the table of short names."""
    name = next(name for name, model in SHORT_NAMES.items() if model.pipeline in family.pipelines)
    values = describe(ModelFiles("own", "own", written(name, tmp_path / "own"))).defaults()
    assert values["steps"] >= 4
    assert 0 <= values["guidance_scale"] <= 7.5


@pytest.mark.parametrize(("name", "expected"), [("sdxl-turbo", (4, 0.0)), ("sd1.5", (50, 7.5)), ("chroma", (40, 3.0))])
def test_named_models_have_those_of_their_pages(name, expected, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = configured(GenerateConfig, {"classes": ("dog",), "model": name})
    assert (config.steps, config.guidance_scale) == expected
