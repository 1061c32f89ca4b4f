import sys

import diffusers
import torch

from seediff.attention.draw import draw_noise_in_float32
from seediff.models.families import families


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
