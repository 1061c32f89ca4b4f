import pytest
from builders.configured import configured
from builders.published import parameters, written

from seediff.config.generate_config import GenerateConfig
from seediff.models.short_names import BY_NAME
from seediff.run.generate_job import GenerateJob
from seediff.run.loop import dry_run

SIXTEEN = "16 layers of self-attention, 16 layers of cross-attention; of these "
EXPECTED = {
    "sd1.5": SIXTEEN + "self-attention at L, L/2, L/4, cross-attention at L/4 of 64×64; maps of 71.6 MB an image",
    "sdxl": (
        "70 layers of self-attention, 70 layers of cross-attention; of these "
        "self-attention at L/2, L/4, cross-attention at L/4 of 128×128; maps of 71.6 MB an image"
    ),
    "sd3.5-medium": (
        "24 layers of joint attention, 13 layers of self-attention, at L of 64×64; maps of 72.6 MB an image"
    ),
    "flux-dev": "57 layers of joint attention, at L of 64×64; maps of 75.5 MB an image",
    "klein-4b": "25 layers of joint attention, at L of 64×64; maps of 75.5 MB an image",
    "pixart-sigma": (
        "28 layers of self-attention, 28 layers of cross-attention, at L of 64×64; maps of 72.0 MB an image"
    ),
    "z-image": "30 layers of joint attention, 2 layers of self-attention, at L of 64×64; maps of 75.5 MB an image",
    "qwen-image-2.1": "32 layers of joint attention, at L of 64×64; maps of 75.5 MB an image",
    "lumina2": "26 layers of joint attention, 2 layers of self-attention, at L of 64×64; maps of 71.3 MB an image",
    "sana": "20 layers of cross-attention, at L of 32×32; maps of 1.2 MB an image",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_expected_is_what_the_network_has(name, tmp_path):
    config = configured(GenerateConfig, {"classes": ("dog",), "model": str(written(name, tmp_path / name))})
    lines = list(dry_run(GenerateJob(config), tmp_path / "out"))
    assert f"Capture: {EXPECTED[name]}" in lines
    side = 512 if name == "sd1.5" else 1024
    assert f", each of {side}×{side}, about " in lines[0]


@pytest.mark.parametrize("name", EXPECTED)
def test_sizes_in_the_list_of_models(name):
    assert sum(parameters(name)) / 1e9 == pytest.approx(BY_NAME[name].billions, abs=0.006)
