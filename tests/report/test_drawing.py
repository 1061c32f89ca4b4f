import io

import numpy as np
from PIL import Image
from synthetic import traced

from seediff.files.label_maps import voc_palette
from seediff.report.drawing import heat_colours, overlay
from seediff.report.explain import show_steps
from seediff.report.strips import draw_strip


def test_overlay_mixes_inside_and_lightens_edges():
    image = np.full((6, 6, 3), 100, np.uint8)
    labels = np.zeros((6, 6), np.uint8)
    labels[:4, :4] = 1
    labels[5, 5] = 255
    mixed = overlay(image, labels, voc_palette(), alpha=0.25)
    assert mixed.dtype == np.uint8
    assert mixed[0, 0].tolist() == [107, 75, 75]  # 0.75 × 100 + 0.25 × (128, 0, 0)
    assert mixed[3, 0].tolist() == [192, 128, 128]  # halfway from (128, 0, 0) to white, rounded to even
    assert mixed[4, 0].tolist() == [100, 100, 100]
    assert mixed[5, 5].tolist() == [240, 240, 224]
    assert (overlay(image, np.zeros_like(labels), voc_palette()) == image).all()


def test_a_strip_shows_the_image_every_step_and_the_mask():
    mask = traced(3)
    assert mask.picture is not None
    steps = show_steps(mask, "dog", "seediff")
    names = "cross-attention|seeds L/4|expansion L/4|seeds L/2|expansion L/2|seeds L|expansion L"
    assert [step.name for step in steps] == [
        *names.split("|"), "background seeds", "background", "final", "before PAMR", "after PAMR",
    ]  # fmt: skip
    strip = np.asarray(Image.open(io.BytesIO(draw_strip(mask.picture, mask.label_map, steps))))
    side, gap = 64, 6  # the image is smaller than a strip's pictures, and is not enlarged
    tiles = [strip[gap : gap + side, gap + i * (side + gap) :][:, :side] for i in range(len(steps) + 2)]
    assert (tiles[0] == mask.picture).all()
    assert (tiles[1][::8, ::8] == heat_colours()[steps[0].levels]).all()  # 8 × 8 positions, each a square
    assert (tiles[-1] == overlay(mask.picture, mask.label_map, voc_palette())).all()
