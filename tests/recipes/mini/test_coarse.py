"""The inner levels as a network of their own: the same weights in the same roles as in the whole UNet."""

from __future__ import annotations

import torch

from recipes.mini.denoiser import Denoiser
from recipes.mini.half_size import pooled, predict_coarse
from recipes.mini.recipe import Denoiser as DenoiserRecipe
from recipes.mini.recipe import Recipe

TINY = Recipe(side=64, denoiser=DenoiserRecipe(channels=(16, 32, 48), heads=(1, 1, 2), text_width=16))


def test_pooling_keeps_the_timestep() -> None:
    clean, noise = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16)
    assert torch.allclose(pooled(0.6 * clean + 0.8 * noise), 0.6 * pooled(clean) + 0.8 * pooled(noise), atol=1e-6)


def test_the_inner_levels_do_in_the_whole_unet_what_they_do_alone() -> None:
    torch.manual_seed(0)
    model = Denoiser(TINY).eval()
    x, t, words = torch.randn(2, 4, 16, 16), torch.tensor([10, 500]), torch.randn(2, 32, 16)
    seen: dict[str, torch.Tensor] = {}
    model.unet.down_blocks[0].register_forward_hook(lambda *a: seen.update(enter=a[-1][0]))
    model.unet.up_blocks[-2].attentions[-1].register_forward_hook(lambda *a: seen.update(leave=a[-1][0]))
    with torch.no_grad():
        model.unet(x, t, words)
        enter, leave = seen["enter"], seen["leave"]
        model.coarse.enter = torch.nn.Identity()  # the way in is the outer level's own output
        coarse = predict_coarse(model.unet, model.coarse, enter, t, words)
        assert torch.allclose(seen["leave"], leave, atol=1e-5)
        assert torch.allclose(coarse, model.coarse.leave(leave), atol=1e-5)


def test_coarse_training_leaves_the_outer_level_alone_and_reaches_everything_else() -> None:
    torch.manual_seed(0)
    model = Denoiser(TINY)
    predict_coarse(
        model.unet, model.coarse, torch.randn(2, 4, 8, 8), torch.tensor([10, 500]), torch.randn(2, 32, 16)
    ).sum().backward()
    outer = ("conv_in", "conv_norm_out", "conv_out", "down_blocks.0.", "up_blocks.2.", "up_blocks.1.upsamplers")
    for name, weight in model.unet.named_parameters():
        assert (weight.grad is None) == name.startswith(outer), name
