import numpy as np
import pytest
from builders.families import GUIDANCE, generate, plain
from builders.refusals import user_error
from builders.single_files import save_single_file

from seediff.config.generate_config import GenerateConfig
from seediff.models.distilled import values_of_file
from seediff.models.families import families
from seediff.models.families.family import FlowMatching
from seediff.models.families.flux import FLUX
from seediff.models.families.qwen_image import QWEN_IMAGE
from seediff.models.families.sd3 import SD3
from seediff.models.families.xl import SDXL
from seediff.models.registry import load_model
from seediff.models.schedulers import NAMES, check_scheduler, use_scheduler


@pytest.fixture(scope="module")
def model(loaded):
    return loaded("xl")


@pytest.mark.parametrize("name", [name for name, (kind, _) in NAMES.items() if not kind.startswith("FlowMatch")])
def test_every_scheduler_draws_what_it_draws_without_capture(name, model):
    use_scheduler(model.pipe, name)
    assert type(model.pipe.scheduler).__name__ == NAMES[name][0]
    assert dict(model.pipe.scheduler.config).items() >= NAMES[name][1].items()
    assert model.pipe.scheduler.config["beta_end"] == 0.012  # of the model's own
    images, _ = generate(model)
    assert np.array_equal(np.stack(images), plain(model, guidance_scale=GUIDANCE))


def test_a_model_is_loaded_with_it(twin):
    model = load_model(str(twin("flux")), device="cpu", scheduler="flow-euler")
    assert type(model.pipe.scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    heun = load_model(str(twin("flux")), device="cpu", scheduler="flow-heun")
    with user_error(r"scheduler: .* does not accept noise levels, which pipelines of FLUX.1 set; use Flow"):
        generate(heun)
    assert (
        type(load_model(str(twin("xl")), device="cpu", scheduler="DDIMScheduler").pipe.scheduler).__name__
        == "DDIMScheduler"
    )


def test_schedulers_of_another_kind_are_refused():
    for family in families():
        other = "euler" if isinstance(family, FlowMatching) else "flow-euler"
        with user_error(f"scheduler: {other}: .* was trained for other schedulers"):
            check_scheduler(family, other)
    with user_error(r"scheduler: eulr: is not known \(did you mean 'euler'\?\); known: ddim"):
        check_scheduler(SDXL, "eulr")


@pytest.mark.parametrize(
    ("family", "source", "expected"),
    [
        (SDXL, "loras/sdxl_lightning_8step_lora.safetensors", ("euler-trailing", 8, 0.0)),
        (SDXL, "ByteDance/SDXL-Lightning", ("euler-trailing", 4, 0.0)),
        (SDXL, "Hyper-SDXL-4steps-lora.safetensors", ("ddim-trailing", 4, 0.0)),
        (SDXL, "Hyper-SDXL-8steps-CFG-lora.safetensors", ("ddim-trailing", 8, None)),
        (SDXL, "someone/JuggernautHyperVAE", (None, None, None)),
        (SDXL, "hypernetworks/anime.safetensors", (None, None, None)),
        (FLUX, "Hyper-FLUX.1-dev-16steps-lora.safetensors", (None, 16, None)),
        (FLUX, "alimama/FLUX.1-Turbo-Alpha", (None, 8, None)),
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
    assert config.source("steps") == "what sdxl_lightning_8step_lora.safetensors was distilled for"
    given = GenerateConfig.recommended(
        classes=("dog",), model=folder, lora="x/sdxl_lightning_8step_lora.safetensors", steps=3, scheduler="lcm"
    )
    assert (given.scheduler, given.steps) == ("lcm", 3)
    path = save_single_file(tmp_path / "sdxl_lightning_2step.safetensors", twin("xl"), "xl", ["unet"])
    single = GenerateConfig.recommended(classes=("dog",), model=str(path))
    assert (single.scheduler, single.steps, single.guidance_scale) == ("euler-trailing", 2, 0.0)
    styled = GenerateConfig.recommended(classes=("dog",), model=str(path), lora="style.safetensors")
    assert (styled.scheduler, styled.steps, styled.guidance_scale) == ("euler-trailing", 2, 0.0)
    assert styled.source("steps") == "what sdxl_lightning_2step.safetensors was distilled for"
    faster = GenerateConfig.recommended(classes=("dog",), model=str(path), lora="lcm-lora-sdxl.safetensors")
    assert (faster.scheduler, faster.steps, faster.guidance_scale) == ("lcm", 4, 1.0)
