import logging
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import seediff
from seediff.cvat import create, encode
from seediff.mini.scenes import load_scenes


def decode(points, height, width):
    *runs, left, top, right, bottom = points
    inside = np.zeros((height, width), bool)
    box = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    inside[top : bottom + 1, left : right + 1] = box.reshape(bottom + 1 - top, right + 1 - left)
    return inside


@pytest.mark.parametrize("where", [np.s_[:, :], np.s_[2:5, 3:4], np.s_[0, 0], np.s_[::3, ::2]])
def test_a_mask_is_the_same_after_cvats_runs(where):
    inside = np.zeros((7, 9), bool)
    inside[where] = True
    assert (decode(encode(inside), 7, 9) == inside).all()


@pytest.mark.parametrize(("given", "missing"), [({"classes": "dog"}, "model"), ({"model": "mini"}, "classes")])
def test_a_missing_parameter_is_named_with_the_way_out(given, missing):
    with pytest.raises(seediff.UserError, match=f"-p {missing}=str:"):
        create(**given)


@pytest.mark.filterwarnings("ignore::seediff.errors.Notice")
def test_cvats_own_driver_uploads_the_masks(monkeypatch):
    pytest.importorskip("cvat_sdk", reason="cvat-sdk is not installed")
    from cvat_sdk.auto_annotation import driver  # pyright: ignore[reportMissingImports]
    from cvat_sdk.masks import decode_mask, encode_mask  # pyright: ignore[reportMissingImports]

    scene = next(scene for scene in load_scenes() if scene.classes == ("dog",))
    image = Image.fromarray(scene.image)
    labels = [SimpleNamespace(name=name, id=70 + n, type="mask", attributes=[], sublabels=[]) for n, name in
              enumerate(("cat", "dog"))]  # fmt: skip
    media = SimpleNamespace(load_image=lambda: image)
    samples = [SimpleNamespace(frame_name="a.png", frame_index=4, media=media)]
    monkeypatch.setattr(driver, "TaskDataset", lambda *a, **k: SimpleNamespace(labels=labels, samples=samples))
    sent = []
    tasks = SimpleNamespace(api=SimpleNamespace(partial_update_annotations=lambda *a, **k: sent.append(k)))
    client = SimpleNamespace(logger=logging.getLogger("cvat"), tasks=tasks)
    driver.annotate_task(client, 7, create(model="mini", classes="dog, cat", method="ca", presence=0.0))

    expected = seediff.mask(scene.image, ["dog", "cat"], model="mini", method="ca", presence=0.0).label_map
    shapes = sent[0]["patched_labeled_data_request"].shapes
    assert {(shape.label_id, shape.frame) for shape in shapes} == {
        ({1: 71, 2: 70}[i], 4) for i in {*expected.flat} - {0, 255}
    }
    for shape in shapes:
        inside = expected == {71: 1, 70: 2}[shape.label_id]
        assert shape.points == encode_mask(inside)
        assert (decode_mask(shape.points, image_width=image.width, image_height=image.height) == inside).all()
    other = create(model="mini", classes="horse")
    with pytest.raises(Exception, match="'horse' is not in dataset"):
        driver.annotate_task(client, 7, other)
