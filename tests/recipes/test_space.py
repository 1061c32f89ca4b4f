import numpy as np
import pytest
from in_chromium import WAIT, chromium, needs_chromium
from PIL import Image

import seediff
from recipes.space.app import draw, page

pytestmark = pytest.mark.slow


def test_words_become_a_picture_with_heat_maps_and_masks():
    image, heat, masks, file = draw("dog, car", 2)
    assert [name for _, name in heat] == ["dog", "car"]
    labels = np.asarray(Image.open(file))
    assert {*labels.flat} - {255} == {0, 1, 2}
    assert labels.shape[::-1] == image.size == masks.size
    with pytest.raises(seediff.UserError, match="such as"):
        draw(" , ", 2)


@needs_chromium
def test_the_page_answers_in_a_browser():
    pytest.importorskip("gradio", reason="gradio is not installed")
    app = page()
    _, url, _ = app.launch(prevent_thread_lock=True, server_name="127.0.0.1", quiet=True)
    try:
        with chromium() as browser:
            window = browser.new_page()
            window.set_default_timeout(WAIT)
            window.goto(url)
            window.get_by_label("classes, with commas").fill("dog, boat")
            window.get_by_role("button", name="Submit").click()
            window.get_by_text("boat", exact=True).first.wait_for()  # beneath its heat map
            window.get_by_text(".png").first.wait_for()  # to be downloaded
            assert window.locator("img").count() >= 4
            window.get_by_label("classes, with commas").fill(" , ")
            window.get_by_role("button", name="Submit").click()
            window.get_by_text("such as").first.wait_for()
    finally:
        app.close()
