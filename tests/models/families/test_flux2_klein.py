import dataclasses

import pytest
from builders.configured import configured
from builders.families import SPECS, check_refused, generate
from builders.reference_attentions.flux2_klein import save_flux2_klein

from seediff.config.generate_config import GenerateConfig
from seediff.models.families.flux2_klein import FLUX2_KLEIN
from seediff.models.registry import load_model


@pytest.mark.parametrize(
    ("name", "unguided"),
    [
        ("black-forest-labs/FLUX.2-klein-4B", True),
        ("flux2-klein-9b", True),
        ("FLUX.2-klein-base-4B", False),
        ("own/flux2-turbo", True),
    ],
)
def test_names_of_the_distilled_ones(name, unguided):
    assert FLUX2_KLEIN.unguided({}, name) == unguided


def test_a_folder_says_that_it_is_distilled(tmp_path):
    """Whatever it is called."""
    folder = save_flux2_klein(tmp_path / "own", distilled=True)
    config = configured(GenerateConfig, {"classes": ("dog",), "model": str(folder)})
    assert (config.steps, config.guidance_scale) == (4, 0.0)
    model = load_model(str(folder), device="cpu")
    assert not model.family.guided(model.pipe, 3.0)
    check_refused(model, r"^guidance_scale: 3\.0: model '.*' draws without guidance; use 0$")
    assert generate(dataclasses.replace(model), SPECS[:1], guidance_scale=0.0)[0]
