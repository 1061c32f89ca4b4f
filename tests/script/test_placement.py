import sys
from types import SimpleNamespace

import numpy as np
import torch
from builders.items import noise_pixels
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES
from PIL import Image

import seediff
from seediff.rows.values import explain_flag

BINS = {"0.5": [64.0, 128.0], "1.0": [64.0, 64.0], "2.0": [128.0, 64.0]}


def noise():
    return torch.Generator().manual_seed(4)


def picture(height, width):
    return Image.fromarray(noise_pixels(height, width, seed=3))


def rescaled(values):
    return (values - values.min()) / (values.max() - values.min())


def raw(seen, word):
    """The attention to a word at the finest level, (1, 1, h, w)."""
    maps = seen._drawn(0).maps_with([word])
    height, width = maps.lattice
    return maps.cross_attention[height, width][:, list(maps.words[word])].mean(1).view(1, 1, height, width)


def test_what_is_resized_to_the_requested_size(loaded, monkeypatch):
    """It is drawn at the nearest of three sizes, as published models do."""
    pipe, sides = loaded("pixart").pipe, (64, 112)
    module = sys.modules[type(pipe).__module__]
    for key in [key for key in vars(module) if key.startswith("ASPECT_RATIO_")]:
        monkeypatch.setattr(module, key, BINS)
    pipe.transformer.register_to_config(sample_size=128)
    given = {"height": sides[0], "width": sides[1], "num_inference_steps": 2, "clean_caption": False}
    with seediff.capture(pipe, normalize=False) as seen:
        pipe("a photo of a cat", generator=noise(), **given)
    cell = pipe.vae_scale_factor * pipe.transformer.config.patch_size
    drawn = tuple(side * cell for side in seen.maps[0].lattice)
    large = torch.nn.functional.interpolate(raw(seen, "cat"), drawn, mode="bilinear", align_corners=False)
    expected = pipe.image_processor.resize_and_crop_tensor(large, sides[1], sides[0])[0, 0].numpy()
    heat = seen.heatmap("cat").values
    assert heat.shape == sides
    assert np.abs(heat - rescaled(expected)).max() < 1e-5
    assert np.corrcoef(heat.ravel(), expected.ravel())[0, 1] > 0.99
    assert seen.masks("cat", method="ca").label_map.shape == sides


def test_a_crop_that_is_pasted_is_refused(sd1_model):
    name = "StableDiffusionInpaintPipeline"
    pipe = PIPELINES[name].make(name, sd1_model.pipe)
    with user_error("^padding_mask_crop: pastes what it draws"), seediff.capture(pipe):
        pipe("a dog", padding_mask_crop=8, **PIPELINES[name].call)


def test_given_pixels(sd1_model):
    with seediff.capture(sd1_model.pipe) as seen:
        sd1_model.pipe("a dog", height=64, width=128, num_inference_steps=1, output_type="latent")
    assert seen.heatmap("dog").shape == (64, 128)
    assert seen.heatmap("dog", pixels=picture(50, 100)).shape == (50, 100)
    with user_error("^pixels: 64 × 64: the image has other proportions"):
        seen.heatmap("dog", pixels=picture(64, 64))


def test_a_picture_that_the_safety_checker_blackened(sd1_model):
    class Blackened(type(sd1_model.pipe)):
        def __call__(self, *args, **more):
            super().__call__(*args, **more)
            return SimpleNamespace(images=[Image.new("RGB", (64, 64))])

    pipe = Blackened(**sd1_model.pipe.components, requires_safety_checker=False)
    with seediff.capture(pipe) as seen:
        pipe("a dog", height=64, width=64, num_inference_steps=1, generator=noise())
    assert "blank" in seen.masks("dog").flags
    assert seen.segments(method="kmeans", k=2).flags == ("blank",)
    assert explain_flag("blank").startswith("the image is black")
