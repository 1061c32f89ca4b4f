import dataclasses
import sys

import diffusers
import numpy as np
import pytest
import torch
from builders.plans import with_plan

from seediff.attention.generate import draw_noise_in_float32, generate_batch
from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.models.families import families
from seediff.prompts.specs import SampleSpec

SPECS = [
    SampleSpec(0, ("dog",), "a photo of a dog", 11),
    SampleSpec(1, ("cat", "pottedplant"), "a photo of a cat and a potted plant", 12),
    SampleSpec(2, ("bus",), "a photo of a bus", 13),
]


def generate(model, specs=SPECS, **options):
    defaults = {"steps": 3, "guidance_scale": 5.0, "negative_prompt": "", "size": None, "capture": CaptureConfig()}
    return generate_batch(model, specs, **with_plan(model, defaults | options))


def plain(model) -> np.ndarray:
    """diffusers alone."""
    generators = [torch.Generator().manual_seed(s.seed) for s in SPECS]
    result = model.pipe(
        [s.prompt for s in SPECS],
        num_inference_steps=3,
        guidance_scale=5.0,
        generator=generators,
        output_type="pil",
    )
    return np.stack([np.asarray(image) for image in result.images])


@pytest.mark.parametrize("name", ["sd1_model", "sd2_model", "mini_model"])
def test_images_are_those_without_capture(name, request):
    model = request.getfixturevalue(name)
    images, maps = generate(model)
    assert np.array_equal(np.stack(images), plain(model))
    assert images[0].dtype == np.uint8
    assert images[0].shape == (model.image_side, model.image_side, 3)
    assert [m.prompt for m in maps] == [s.prompt for s in SPECS]
    assert maps[1].words == {"cat": (5,), "pottedplant": (8, 9)}
    assert maps[1].cross_at(4, "pottedplant").shape == (model.latent_side // 4,) * 2


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


def test_an_image_depends_on_its_own_seed_only(mini_model):
    together, maps = generate(mini_model)
    alone, own_maps = generate(mini_model, SPECS[1:2])
    assert np.abs(together[1].astype(int) - alone[0].astype(int)).max() <= 1
    torch.testing.assert_close(maps[1].self_at(1), own_maps[0].self_at(1), atol=1e-4, rtol=0)
    again, _ = generate(mini_model)
    assert np.array_equal(np.stack(together), np.stack(again))
    other, _ = generate(mini_model, [dataclasses.replace(SPECS[0], seed=99)])
    assert not np.array_equal(other[0], together[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, r"size: 100 must be a multiple of 64 .* for example 128"),
        ({"steps": 0}, r"steps: 0 must be from 1 to 1000"),
        ({"specs": [SampleSpec(0, ("dog",), "a cat", 0)]}, "class 'dog' is not in the prompt 'a cat'"),
    ],
)
def test_bad_input(sd1_model, options, message):
    with pytest.raises(UserError, match=message) as error:
        generate(sd1_model, **options)
    assert "\n" not in str(error.value)
