import pytest
import torch
from builders.configured import configured
from builders.families import SPECS, calls_of, generate, request
from builders.items import noise_pixels
from builders.reference_attentions.qwen_image_21 import save_qwen_image_21
from builders.same_maps import assert_same_maps
from PIL import Image

from seediff.attention.see_photos import encode_images
from seediff.config.runs import GenerateConfig
from seediff.models.registry import load_model

pytestmark = pytest.mark.slow


def test_kept_keys_are_those_that_would_be_computed_again(model, monkeypatch):
    (kept,) = generate(model, SPECS[:1], steps=3)[1]
    kind = type(model.family)
    own = kind.pipeline_arguments
    monkeypatch.setattr(kind, "pipeline_arguments", lambda *given: {**own(*given), "use_kv_cache": False})
    (anew,) = generate(model, SPECS[:1], steps=3)[1]
    assert_same_maps(kept, anew)


@pytest.mark.parametrize("steps", [2, 3])
def test_a_model_with_noise_levels_of_its_own(tmp_path, steps):
    """They are the default, and another number of steps is still made."""
    folder = save_qwen_image_21(tmp_path / "own", sigmas=[1.0, 0.1])
    config = configured(GenerateConfig, {"classes": ("dog",), "model": str(folder)})
    assert (config.steps, config.guidance_scale) == (2, 0.0)
    model = load_model(str(folder), device="cpu")
    call = request(model, SPECS[:1], steps=steps, guidance=0.0)
    levels = [float(given["timestep"]) for given in calls_of(model, lambda: model.pipe(**call))]
    assert len(levels) == steps
    assert (levels[1] < 0.3) == (steps == 2)


def test_latents_are_the_pipelines_own(model):
    """Of an opaque picture with its fourth channel."""
    image = noise_pixels(64, 96)
    pipe, pixels = model.pipe, Image.fromarray(image).convert("RGBA")
    with torch.no_grad():
        own = pipe._encode_vae_image(pipe.image_processor.preprocess(pixels).unsqueeze(2), generator=None)
    torch.testing.assert_close(encode_images(model, [image]), own.squeeze(2))
