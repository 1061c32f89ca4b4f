from dataclasses import replace
from typing import Any

import torch
from shared_training import TINY

from recipes.mini.deepen import deepen
from recipes.mini.denoiser import Denoiser


def test_a_deeper_network_predicts_the_same_and_learns():
    shallow: Any
    deep: Any
    shallow, deep = (
        Denoiser(replace(TINY, denoiser=replace(TINY.denoiser, layers=count))).unet.eval() for count in (1, 3)
    )
    deepen(deep, shallow.state_dict())
    side = TINY.side // 4
    given = torch.randn(2, 4, side, side), torch.tensor([10, 800]), torch.randn(2, 5, TINY.denoiser.text_width)
    torch.testing.assert_close(deep(*given).sample, shallow(*given).sample)
    deep(*given).sample.square().mean().backward()
    for ending in (deep.down_blocks[1].resnets[1].conv2, deep.up_blocks[0].attentions[1].proj_out):
        assert ending.weight.grad.abs().sum() > 0
