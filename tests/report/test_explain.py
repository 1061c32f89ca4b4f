import io

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic import traced

from seediff.attention.maps import AttentionMaps
from seediff.config.method_constants import MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.drawing.overlays import heat_colours, overlay
from seediff.masks.make_masks import soft_mask
from seediff.masks.steps import MaskStep
from seediff.report.explain import draw_strip, explain_step, show_steps

UNKNOWN = explain_step(MaskStep.parse("something"))


def maps():
    generator = torch.Generator().manual_seed(0)
    rows = {(s, s): torch.softmax(3 * torch.randn(s * s, s * s, generator=generator), -1) for s in (16, 8, 4)}
    cross = {s: torch.rand(s[0] ** 2, 8, generator=generator) for s in rows}
    return AttentionMaps(rows, cross, (16, 16), {"dog": (4,)}, normalized=False)


def said(config):
    steps = list(soft_mask(maps(), "dog", config).trace)
    return {
        str(step): " ".join(explain_step(step, before=steps[:i], method=config.method)) for i, step in enumerate(steps)
    }


@pytest.mark.parametrize("method", [name for name, facts in METHOD_FACTS.items() if facts.user_function is None])
@pytest.mark.parametrize("expansion", ["none", "iterative"])
def test_every_step_is_known(method, expansion):
    texts = said(MaskConfig(method=method, expansion=expansion))
    assert UNKNOWN.text not in [text.strip() for text in texts.values()]


def test_a_strip_shows_the_image_every_step_and_the_mask():
    mask = traced(3)
    assert mask.pixels is not None
    steps = show_steps(mask, "dog", "seediff")
    names = "cross-attention|seeds L/4|expansion L/4|seeds L/2|expansion L/2|seeds L|expansion L"
    assert [step.name for step in steps] == [
        *names.split("|"), "background seeds", "background", "soft mask", "before PAMR", "after PAMR",
    ]  # fmt: skip
    strip = np.asarray(Image.open(io.BytesIO(draw_strip(mask.pixels, mask.label_map, steps))))
    side, gap = 64, 6  # the image is smaller than a strip's pictures, and is not enlarged
    tiles = [strip[gap : gap + side, gap + i * (side + gap) :][:, :side] for i in range(len(steps) + 2)]
    assert (tiles[0] == mask.pixels).all()
    assert (tiles[1][::8, ::8] == heat_colours()[steps[0].levels]).all()  # 8 × 8 positions, each a square
    assert (tiles[-1] == overlay(mask.pixels, mask.label_map)).all()
