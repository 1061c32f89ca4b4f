import sys

import diffusers
import numpy as np
import pytest
import torch
from builders.items import noise_pixels
from builders.plans import capturing, plan_of, with_plan
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from diffusers import DDPMScheduler

from recipes.studies.capture import capture_images
from seediff.attention.draw import draw_noise_in_float32
from seediff.attention.see_photos import (
    capture_classes,
    capture_clean,
    encode_images,
    join_maps,
)
from seediff.config.methods import CaptureConfig
from seediff.models.families import families

PROMPTS = ["a photo of a dog", "a photo of a cat and a potted plant", "a photo of a bus"]
CLASSES = [["dog"], ["cat", "pottedplant"], ["bus"]]
TIMESTEPS = (100, 400)


@pytest.fixture(scope="module")
def images(mini_model):
    return list(noise_pixels(3, mini_model.sizes.side, mini_model.sizes.side))


def capture(model, images, prompts=PROMPTS, classes=CLASSES, **options):
    given = {"timesteps": TIMESTEPS, "seed": 3, "capture": CaptureConfig()} | options
    return capture_images(model, images, prompts, classes, **with_plan(model, given))


def test_maps_are_those_of_noised_latents(mini_model, images):
    """The same by hand, with diffusers' own add_noise."""
    model, pipe = mini_model, mini_model.pipe
    # a solver's own add_noise knows the levels of its steps alone
    noising = DDPMScheduler.from_config(pipe.scheduler.config)
    maps = capture(model, images)
    state = np.random.SeedSequence((3, 1)).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state))
    with torch.no_grad(), capturing(pipe.unet) as recorder:
        clean = encode_images(model, images)[1:2]
        tokens = torch.tensor(pipe.tokenizer([PROMPTS[1]], padding="max_length")["input_ids"])
        text = pipe.text_encoder(tokens).last_hidden_state
        for timestep in sorted(TIMESTEPS, reverse=True):
            noise = torch.randn(clean.shape[1:], generator=generator)[None]
            pipe.unet(noising.add_noise(clean, noise, torch.tensor([timestep])), timestep, text)
    expected = recorder.maps([{}], [PROMPTS[1]])[0]
    assert_same_maps(maps[1], expected)
    assert maps[1].words == {"cat": (5,), "pottedplant": (8, 9)}


def test_a_height_that_the_model_does_not_support(mini_model, images):
    with user_error("image size: .* must be multiples of 16"):
        encode_images(mini_model, [images[0][1:]])


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_clean_capture_is_one_call_without_noise(mini_model, images, kind):
    latents = encode_images(mini_model, images[:2])
    maps = capture_clean(mini_model, latents, timestep=300, kind=kind)
    pipe = mini_model.pipe
    with torch.no_grad(), capturing(pipe.unet, CaptureConfig(normalize=False)) as recorder:
        empty = torch.tensor(pipe.tokenizer([""], padding="max_length")["input_ids"])
        pipe.unet(latents[:1], 300, pipe.text_encoder(empty).last_hidden_state)
    expected = recorder.maps([{}], [""])[0]
    for side in (16, 8, 4):
        found = getattr(maps[0], f"{kind}_attention")[side, side]
        torch.testing.assert_close(found, getattr(expected, f"{kind}_attention")[side, side], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(found.sum(1), torch.ones(side * side))
    assert not getattr(maps[0], f"{'cross' if kind == 'self' else 'self'}_attention")


def test_classes_in_several_sentences(mini_model, images):
    """Each class's map is that of its own sentence, self-attention the mean; the order of images and sentences changes
    nothing.
    """
    dog, bus = ("a photo of a dog", ("dog",)), ("a photo of a bus", ("bus",))
    options = {"timesteps": TIMESTEPS, "seed": 3, "plan": plan_of(mini_model)}
    maps = capture_classes(
        mini_model, encode_images(mini_model, images[:2]), [[dog, bus], [bus]], indices=[7, 2], **options
    )
    one = capture(mini_model, images[:1], [dog[0]], [dog[1]], indices=[7])[0]
    two = capture(mini_model, images[:1], [bus[0]], [bus[1]], indices=[7])[0]
    torch.testing.assert_close(maps[0].cross_at(2, "dog"), one.cross_at(2, "dog"), atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(maps[0].cross_at(2, "bus"), two.cross_at(2, "bus"), atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(maps[0].self_at(1), (one.self_at(1) + two.self_at(1)) / 2, atol=1e-5, rtol=1e-3)
    other = capture(mini_model, images[1:2], [bus[0]], [bus[1]], indices=[2])[0]
    torch.testing.assert_close(maps[1].self_at(1), other.self_at(1), atol=1e-5, rtol=1e-3)
    assert list(maps[1].words) == ["bus"]
    assert join_maps([one]) is one


def test_a_mirrored_second_look(mini_model, images):
    """The mean of both looks: of self-attention rows and columns are mirrored back, of cross-attention rows."""
    both = capture(mini_model, images, capture=CaptureConfig(flip=True))
    plain, mirrored = capture(mini_model, images), capture(mini_model, [i[:, ::-1] for i in images])
    for found, one, other in zip(both, plain, mirrored, strict=True):
        for (kind, (h, w), first), (*_, second), (*where, mean) in zip(
            one.tensors(), other.tensors(), found.tensors(), strict=True
        ):
            assert where == [kind, (h, w)]
            back = second.double().numpy().reshape(h, w, -1)[:, ::-1].reshape(h * w, -1)
            if kind == "self":
                back = back.reshape(h * w, h, w)[:, :, ::-1].reshape(h * w, h * w)
            np.testing.assert_allclose(mean.numpy(), (first.double().numpy() + back) / 2, atol=1e-6)


def test_words_of_another_text_on_the_same_queries(mini_model, images):
    """OVAM: the keys of another text; self-attention, which that text does not reach, is the same."""
    asked = capture(mini_model, images, capture=CaptureConfig(prompt="{class}"))
    plain = capture(mini_model, images)
    assert asked[0].prompt == "dog"
    for found, other in zip(asked, plain, strict=True):
        for grid, tensor in found.self_attention.items():
            assert torch.equal(tensor, other.self_attention[grid])
        assert set(found.words) == set(other.words)
    usual = CaptureConfig(prompt="a photo of a {class}")
    same = capture(mini_model, images[:1], PROMPTS[:1], CLASSES[:1], capture=usual)
    for grid, tensor in same[0].cross_attention.items():
        torch.testing.assert_close(tensor, plain[0].cross_attention[grid], atol=1e-5, rtol=0)
    assert same[0].words == plain[0].words


def test_another_text_needs_a_unet(loaded, images):
    joint = loaded("sd3")
    with user_error(r"^capture.prompt: \{class\}: works with UNets"):
        capture(joint, images, capture=CaptureConfig(prompt="{class}"))
    with user_error("has no {class}"):
        CaptureConfig(prompt="a dog")


def test_noise_is_drawn_in_float32(sd1_model):
    module = sys.modules[type(sd1_model.pipe).__module__]
    own, noise = module.randn_tensor, torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with draw_noise_in_float32(sd1_model.pipe):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            drawn = module.randn_tensor((1, 4, 8, 8), [torch.Generator().manual_seed(1)], "cpu", dtype)
            assert torch.equal(drawn, noise.to(dtype))
    assert module.randn_tensor is own


def test_every_pipeline_draws_its_noise_where_float32_takes_its_place():
    pipelines = [getattr(diffusers, name) for family in families() for name in family.pipelines]
    assert all(hasattr(sys.modules[pipeline.__module__], "randn_tensor") for pipeline in pipelines)
