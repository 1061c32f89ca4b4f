import pytest
import torch
from builders.families import SPECS, calls_of, generate, plain
from diffusers import StableDiffusionPipeline

from seediff.attention.see_photos import encode_images, run_clean
from seediff.models.registry import load_model

pytestmark = pytest.mark.parametrize("folder", ["lcm"], indirect=True)


def test_a_photo_is_told_that_there_is_no_guidance(model, tmp_path):
    """Whichever pipeline has the UNet."""
    StableDiffusionPipeline(**model.pipe.components, requires_safety_checker=False).save_pretrained(tmp_path / "sd")
    model = load_model(str(tmp_path / "sd"), device="cpu")
    image = generate(model, SPECS[:1])[0][0]
    theirs = calls_of(model, lambda: plain(model, guidance_scale=1.0))[0]
    prompts = [spec.prompt for spec in SPECS[:2]]
    ours = calls_of(model, lambda: run_clean(model, encode_images(model, [image] * 2), prompts, timestep=100))[-1]
    for name in ("timestep_cond", "encoder_hidden_states"):
        torch.testing.assert_close(ours[name], theirs[name])
