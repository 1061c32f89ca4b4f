"""Self-attention of the step at which it changes most."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from seediff.attention.emergence import Emergence, divergence
from seediff.attention.photograph import capture_images
from seediff.config.constants import CaptureConfig
from seediff.objects.edges import attention_rows, boundary_divergence

TIMESTEPS = (50, 250, 450, 650)


def see(model, timesteps=TIMESTEPS, **switches):
    images = [np.random.default_rng(i).integers(0, 256, (model.image_side, model.image_side, 3), dtype=np.uint8) for i in range(2)]
    prompts, classes = ["a photo of a dog", "a photo of a cat"], [["dog"], ["cat"]]
    config = CaptureConfig(normalize=False, **switches)
    return capture_images(model, images, prompts, classes, timesteps=timesteps, seed=0, capture=config)["all"]


def test_by_hand():
    """Rows (.5, .5) to (.9, .1): ½ ln(.5/.9) + ½ ln(.5/.1) = .511; staying the same: 0. Of equal changes the first counts."""
    even, uneven = torch.full((1, 2, 2), 0.5), torch.tensor([[[0.9, 0.1], [0.1, 0.9]]])
    assert divergence(even, uneven).item() == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(5), rel=1e-6)
    assert divergence(even, 4 * even).item() == 0
    seen, total = Emergence(), torch.zeros(1, 2, 2)
    for step in (even, even, uneven, uneven):
        total = total + step
        seen.add({"map": total})
    torch.testing.assert_close(seen.best["map"], uneven)
    assert seen.steps == 4


@pytest.mark.parametrize("apart", [False, True])
def test_the_step_is_found_in_float64(mini_model, monkeypatch, apart: bool):
    """Every step's self-attention is kept by a recorder of its own, with the same noise as in the whole run."""
    from seediff.attention import photograph

    (*found,) = see(mini_model, emergence=True, apart=apart)
    plain = see(mini_model, apart=apart)
    kept = []
    run = mini_model.family.denoise

    def one_step(_family, *args):
        with photograph.capture_attention(mini_model.network, CaptureConfig(normalize=False, apart=apart), guidance=False) as recorder:
            result = run(*args)
        kept.append(recorder.maps([{}] * 2, [""] * 2))
        return result

    monkeypatch.setattr(type(mini_model.family), "denoise", one_step)
    latents = photograph.encode_images(
        mini_model,
        [np.random.default_rng(i).integers(0, 256, (mini_model.image_side, mini_model.image_side, 3), dtype=np.uint8) for i in range(2)],
    )
    photograph.run_noised(mini_model, latents, ["a photo of a dog", "a photo of a cat"], timesteps=TIMESTEPS, seed=0, indices=range(2))
    for image in range(2):
        steps = [
            [t.double().numpy() for kind, _, layer, t in maps[image].tensors() if kind == "self" and bool(layer) == apart] for maps in kept
        ]
        changes = [
            np.mean([(p / p.sum(1, keepdims=True) * np.log(p / p.sum(1, keepdims=True) * q.sum(1, keepdims=True) / q)).sum(1).mean()
                     for p, q in zip(before, after, strict=True)])
            for before, after in pairwise(steps)
        ]  # fmt: skip
        wanted = kept[1 + int(np.argmax(changes))][image]
        for grid, tensor in wanted.self_attention.items():
            torch.testing.assert_close(found[image].self_attention[grid], tensor, atol=1e-6, rtol=1e-4)
            torch.testing.assert_close(found[image].cross_attention[grid], plain[image].cross_attention[grid])
        edges = boundary_divergence(attention_rows(found[image], 2), found[image].grid(2))
        assert np.abs(edges - boundary_divergence(attention_rows(wanted, 2), wanted.grid(2))).max() < 1e-3


def test_a_single_step_is_that_step(mini_model):
    alone, mean = (see(mini_model, (300,), emergence=emergence)[0] for emergence in (True, False))
    for grid, tensor in mean.self_attention.items():
        torch.testing.assert_close(alone.self_attention[grid], tensor)
