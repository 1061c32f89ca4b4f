import io

import numpy as np
from PIL import Image
from synthetic import traced

from seediff.drawing.overlays import heat_colours, overlay
from seediff.report.explain import draw_strip, show_steps


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
