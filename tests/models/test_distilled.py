import pytest
from builders.single_files import save_single_file

from seediff.config.generate_config import GenerateConfig
from seediff.models.families.flux import FLUX
from seediff.models.families.flux2 import FLUX2_KLEIN
from seediff.models.families.qwen_image import QWEN_IMAGE
from seediff.models.families.sd3 import SD3
from seediff.models.families.unet import SDXL
from seediff.models.sampling import check_scheduler, values_of_file, values_of_model


@pytest.mark.parametrize(
    ("family", "config", "name", "steps"),
    [
        (SDXL, {}, "own-Turbo/", 4),
        (SDXL, {}, "turbo/sdxl-turbo-cfg", None),
        (FLUX, {"guidance_embeds": True}, "my-schnell", None),
        (FLUX, {"guidance_embeds": False}, "own", 4),
        (FLUX2_KLEIN, {"is_distilled": False}, "klein-turbo", None),
        (FLUX2_KLEIN, {}, "FLUX.2-klein-4B", 4),
    ],
)
def test_a_configuration_outranks_a_name(family, config, name, steps):
    expected = {} if steps is None else {"steps": steps, "guidance_scale": 0.0}
    assert values_of_model(family, config, name) == expected


@pytest.mark.parametrize(
    ("family", "source", "expected"),
    [
        (SDXL, "loras/sdxl_lightning_8step_lora.safetensors", ("euler-trailing", 8, 0.0)),
        (SDXL, "Hyper-SDXL-8steps-CFG-lora.safetensors", ("ddim-trailing", 8, None)),
        (SDXL, "hypernetworks/JuggernautHyperVAE.safetensors", (None, None, None)),
        (FLUX, "Hyper-FLUX.1-dev-16steps-lora.safetensors", (None, 16, None)),
        (QWEN_IMAGE, "Qwen-Image-Lightning-8steps-V1.0.safetensors", (None, 8, 0.0)),
        (SD3, "sd3.5m_turbo.safetensors", (None, 8, 0.0)),
    ],
)
def test_distilled_weights_are_known_by_their_names(family, source, expected):
    values = values_of_file(family, source)
    assert tuple(values.get(key) for key in ("scheduler", "steps", "guidance_scale")) == expected
    if expected[0]:
        check_scheduler(family, expected[0])


def test_a_distilled_lora_brings_its_own(twin, tmp_path):
    folder = str(twin("xl"))
    config = GenerateConfig.recommended(
        classes=("dog",), model=folder, lora="loras/sdxl_lightning_8step_lora.safetensors"
    )
    assert (config.scheduler, config.steps, config.guidance_scale) == ("euler-trailing", 8, 0.0)
    given = GenerateConfig.recommended(
        classes=("dog",), model=folder, lora="x/sdxl_lightning_8step_lora.safetensors", steps=3
    )
    assert (given.scheduler, given.steps) == ("euler-trailing", 3)
    path = save_single_file(tmp_path / "sdxl_lightning_2step.safetensors", twin("xl"), "xl", ["unet"])
    styled = GenerateConfig.recommended(classes=("dog",), model=str(path), base=folder, lora="style.safetensors")
    assert (styled.scheduler, styled.steps, styled.guidance_scale) == ("euler-trailing", 2, 0.0)
