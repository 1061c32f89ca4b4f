import base64
import io

import numpy as np
from PIL import Image

from seediff.files.label_maps import voc_palette
from seediff.report.pictures import heat_colours, heat_uri, overlay, to_levels


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


def test_heat_uri_is_one_pixel_a_position():
    def decode(uri):
        assert uri.startswith("data:image/png;base64,")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGBA"))

    values = np.random.default_rng(0).random((8, 8))
    assert (decode(heat_uri(values))[..., :3] == heat_colours()[to_levels(values)]).all()
    seeds = decode(heat_uri(values > 0.5))
    assert ((seeds[..., 3] == 255) == (values > 0.5)).all()
