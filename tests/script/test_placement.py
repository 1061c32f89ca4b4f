import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders.items import noise_pixels
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES
from PIL import Image, ImageOps

import seediff
from seediff.rows.flags import explain_flag

BINS = {"0.5": [64.0, 128.0], "1.0": [64.0, 64.0], "2.0": [128.0, 64.0]}


def noise():
    return torch.Generator().manual_seed(4)


def picture(height, width):
    return Image.fromarray(noise_pixels(height, width, seed=3))


def hole():
    mask = np.zeros((128, 128), np.uint8)
    mask[80:112, 80:112] = 255
    return Image.fromarray(mask)


def rescaled(values):
    return (values - values.min()) / (values.max() - values.min())


def raw(seen, word):
    """The attention to a word at the finest level, (1, 1, h, w)."""
    maps = seen._maps(0, [word])
    height, width = maps.latent_size
    return maps.cross_attention[height, width][:, list(maps.words[word])].mean(1).view(1, 1, height, width)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("StableDiffusionInpaintPipeline", (128, 200)),
        ("FluxInpaintPipeline", (128, 128)),
    ],
)
def test_what_is_drawn_in_a_crop(loaded, name, sides):
    pipe = PIPELINES[name].make(name, loaded(PIPELINES[name].twin).pipe)
    given = {"image": picture(*sides), "mask_image": hole().resize(sides[::-1]), "padding_mask_crop": 8}
    given |= {"height": 64, "width": 64, "num_inference_steps": 1, "strength": 1.0}
    with seediff.capture(pipe, normalize=False) as seen:
        image = pipe("a dog and a cat", generator=noise(), **given).images[0]
    left, top, right, bottom = pipe.mask_processor.get_crop_region(given["mask_image"], 64, 64, pad=8)
    inside = np.zeros(sides, bool)
    inside[top:bottom, left:right] = True
    heat = seen.heatmap("dog")
    assert heat.shape == sides
    assert np.array_equal(heat.pixels, np.asarray(image))
    assert not heat.values[~inside].any()
    if name.startswith("Flux") and bottom - top == right - left:  # with other levels, it is a mean of several
        size = bottom - top, right - left
        there = torch.nn.functional.interpolate(raw(seen, "dog"), size, mode="bilinear", align_corners=False)
        np.testing.assert_allclose(heat.values[top:bottom, left:right], rescaled(there[0, 0].numpy()), atol=1e-5)
    mask, segments = seen.masks("dog", "cat", method="ca"), seen.segments(method="kmeans", k=3)
    assert mask.label_map.shape == mask.soft.shape[1:] == segments.label_map.shape == sides
    assert not mask.label_map[~inside].any()
    assert not mask.soft.numpy()[:, ~inside].any()
    assert mask.label_map[inside].any()
    assert (segments.label_map[~inside] == -1).all()
    assert (segments.label_map[inside] >= 0).all()
    for ask in (seen.heatmap, seen.masks):
        with user_error("^pixels: the pipeline cut or pasted what it drew; give the picture that it returned"):
            ask("dog", pixels=picture(64, 64))


def test_what_is_resized_to_the_requested_size(loaded, monkeypatch):
    """It is drawn at the nearest of three sizes, as published models do."""
    pipe, sides = loaded("pixart").pipe, (64, 96)
    module = sys.modules[type(pipe).__module__]
    for key in [key for key in vars(module) if key.startswith("ASPECT_RATIO_")]:
        monkeypatch.setattr(module, key, BINS)
    pipe.transformer.register_to_config(sample_size=128)
    given = {"height": sides[0], "width": sides[1], "num_inference_steps": 2, "clean_caption": False}
    with seediff.capture(pipe, normalize=False) as seen:
        pipe("a photo of a cat", generator=noise(), **given)
    cell = pipe.vae_scale_factor * pipe.transformer.config.patch_size
    drawn = tuple(side * cell for side in seen.maps[0].latent_size)
    large = torch.nn.functional.interpolate(raw(seen, "cat"), drawn, mode="bilinear", align_corners=False)
    expected = pipe.image_processor.resize_and_crop_tensor(large, sides[1], sides[0])[0, 0].numpy()
    heat = seen.heatmap("cat").values
    assert heat.shape == sides
    assert np.abs(heat - rescaled(expected)).max() < 1e-5
    assert np.corrcoef(heat.ravel(), expected.ravel())[0, 1] > 0.99
    assert seen.masks("cat", method="ca").label_map.shape == sides


def changed(pipe, change):
    """A pipeline that changes its pictures afterwards. change: the pipeline, its pictures → the returned pictures."""

    class Changed(type(pipe)):
        def __call__(self, *args, **more):
            return SimpleNamespace(images=change(self, super().__call__(*args, **more).images))

    return Changed(**pipe.components, requires_safety_checker=False)


def changed_each(change):
    return lambda _pipe, images: list(map(change, images))


def pasted(image, *, size, place):
    whole = picture(size, size)
    whole.paste(image, place)
    return whole


SAME = {
    "enlarged": changed_each(lambda image: image.resize((128, 128))),  # as of an autoencoder that enlarges
    "smaller": changed_each(lambda image: image.resize((32, 32))),
    "in grey": changed_each(lambda image: image.convert("L")),
    "with more contrast": changed_each(ImageOps.autocontrast),
    "one of them black": lambda _pipe, images: [images[0], Image.new("RGB", images[1].size)],
}
OTHER = {
    "cut": changed_each(lambda image: image.crop((0, 0, 64, 48))),
    "cut and enlarged": changed_each(lambda image: image.crop((4, 4, 60, 60)).resize((64, 64))),
    "mirrored": changed_each(ImageOps.mirror),
    "in a larger picture": changed_each(lambda image: pasted(image, size=128, place=(64, 64))),
    "smaller in a picture of its size": changed_each(
        lambda image: pasted(image.resize((24, 24)), size=64, place=(36, 36))
    ),
    "in another order": lambda _pipe, images: images[::-1],
    "one of them twice": lambda _pipe, images: [images[0]] * 2,
}


@pytest.mark.parametrize("name", [*SAME, *OTHER])
def test_pictures_that_are_changed_afterwards(sd1_model, name):
    pipe = changed(sd1_model.pipe, {**SAME, **OTHER}[name])
    with seediff.capture(pipe) as seen:
        given = {"height": 64, "width": 64, "num_inference_steps": 1, "num_images_per_prompt": 2}
        image, _ = pipe("a dog", generator=noise(), **given).images
    if name in SAME:
        assert seen.heatmap("dog").shape == (image.height, image.width)
        return
    for ask in (seen.heatmap, seen.masks, lambda _: seen.segments(method="kmeans", k=2)):
        with user_error("^picture: the pipeline did not return what it drew .*; let it return what it draws, and"):
            ask("dog")


BOXES = (10, 20, 42, 52), (60, 5, 124, 69)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_several_crops(sd1_model, order):
    """Each picture has its own, whichever is pasted first."""

    def paste(pipe, images):
        everywhere = Image.new("L", (128, 128), 255)
        for number in order:
            whole = picture(128, 128), images[number], BOXES[number]
            images[number] = pipe.image_processor.apply_overlay(everywhere, *whole)
        return images

    pipe = changed(sd1_model.pipe, paste)
    with seediff.capture(pipe) as seen:
        pipe(["a dog", "a dog"], height=64, width=64, num_inference_steps=1, generator=noise())
    for number, (left, top, right, bottom) in enumerate(BOXES):
        heat = seen.heatmap("dog", number).values
        assert heat.shape == (128, 128)
        assert heat[top:bottom, left:right].max() == 1
        heat[top:bottom, left:right] = 0
        assert not heat.any()


def test_previews_of_a_callback_are_not_the_picture(sd1_model):
    def preview(pipe, _step, _level, tensors):
        pipe.vae.decode(tensors["latents"] * 3)
        return tensors

    given = {"height": 64, "width": 64, "num_inference_steps": 2, "callback_on_step_end": preview}
    with seediff.capture(sd1_model.pipe) as seen:
        sd1_model.pipe("a dog", generator=noise(), **given)
    assert seen.heatmap("dog").shape == (64, 64)


def test_an_autoencoder_that_torch_compiled(sd1_pipe):
    """Its class, and the class of the module inside of it, are what they were."""
    sd1_pipe.vae = torch.compile(sd1_pipe.vae)
    kinds = type(sd1_pipe.vae), type(sd1_pipe.vae._orig_mod)
    with seediff.capture(sd1_pipe) as seen:
        sd1_pipe("a dog", height=64, width=64, num_inference_steps=1, generator=noise())
    assert seen.heatmap("dog").shape == (64, 64)
    assert (type(sd1_pipe.vae), type(sd1_pipe.vae._orig_mod)) == kinds


def test_given_pixels(sd1_model):
    with seediff.capture(sd1_model.pipe) as seen:
        sd1_model.pipe("a dog", height=64, width=128, num_inference_steps=1, output_type="latent")
    assert seen.heatmap("dog").shape == (64, 128)
    assert seen.heatmap("dog", pixels=picture(50, 100)).shape == (50, 100)
    with user_error("^pixels: 64 × 64: the picture has other proportions"):
        seen.heatmap("dog", pixels=picture(64, 64))


def test_a_picture_that_the_safety_checker_blackened(sd1_model):
    pipe = changed(sd1_model.pipe, changed_each(lambda image: Image.new("RGB", image.size)))
    with seediff.capture(pipe) as seen:
        pipe("a dog", height=64, width=64, num_inference_steps=1, generator=noise())
    assert "blank" in seen.masks("dog").flags
    assert seen.segments(method="kmeans", k=2).flags == ("blank",)
    assert explain_flag("blank").startswith("the picture is black")
