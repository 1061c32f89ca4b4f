import numpy as np
import pytest
from PIL import Image

import seediff
from recipes.space.app import draw, page


def test_words_become_a_picture_with_heat_maps_and_masks():
    image, heat, masks, file = draw("dog, car", 2)
    assert [name for _, name in heat] == ["dog", "car"]
    labels = np.asarray(Image.open(file))
    assert {*labels.flat} - {255} == {0, 1, 2}
    assert labels.shape[::-1] == image.size == masks.size
    with pytest.raises(seediff.UserError, match="such as"):
        draw(" , ", 2)


def test_the_page_is_made():
    pytest.importorskip("gradio", reason="gradio is not installed")
    assert page().fn is not None
