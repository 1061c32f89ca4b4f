import numpy as np
import pytest

from recipes.mini.art import sprite_table
from recipes.mini.world import render_scene
from seediff.config.names import VOC_CLASSES, spoken
from seediff.mini.scenes import CLASS_IDS, CLASSES


def test_the_world_has_vocs_classes_but_the_dining_table():
    assert len(CLASSES) == 19
    assert set(VOC_CLASSES) - set(CLASSES) == {"diningtable"}
    assert all(VOC_CLASSES[i - 1] == c for c, i in CLASS_IDS.items())
    assert {s.class_name for s in sprite_table() if s.split == "train"} == set(CLASSES)


def test_a_scene_is_a_pure_function_of_its_index(art):
    a, b = render_scene(art, 7), render_scene(art, 7)
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.label_map, b.label_map)
    assert a.caption == b.caption
    assert not np.array_equal(a.image, render_scene(art, 7, split="held").image)
    assert not np.array_equal(a.image, render_scene(art, 7, seed=1).image)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_mask_and_caption_hold_every_object(art, count):
    for index in range(12):
        scene = render_scene(art, index, objects=count)
        assert scene.image.shape == (128, 128, 3)
        assert scene.label_map.shape == (128, 128)
        assert len(scene.classes) == count == len(set(scene.classes))
        assert set(np.unique(scene.label_map)) == {0, *(CLASS_IDS[c] for c in scene.classes)}
        assert all(spoken(c) in scene.caption for c in scene.classes)
