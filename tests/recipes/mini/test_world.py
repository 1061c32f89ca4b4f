from pathlib import Path

import numpy as np
import pytest

from recipes.mini.art import load_sprite, sprite_table
from recipes.mini.sets import caption
from recipes.mini.world import MIN_VISIBLE, render_scene
from seediff.config.names import VOC_CLASSES, spoken
from seediff.errors import UserError
from seediff.mini.scenes import CLASS_IDS, CLASSES


def test_the_world_has_vocs_classes_but_the_dining_table():
    assert len(CLASSES) == 19
    assert set(VOC_CLASSES) - set(CLASSES) == {"diningtable"}
    assert all(VOC_CLASSES[i - 1] == c for c, i in CLASS_IDS.items())
    assert {s.class_name for s in sprite_table() if s.split == "train"} == set(CLASSES)


def test_a_scene_is_a_pure_function_of_its_index(art: Path):
    a, b = render_scene(art, 7), render_scene(art, 7)
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.label_map, b.label_map)
    assert a.caption == b.caption
    assert not np.array_equal(a.image, render_scene(art, 7, split="held").image)
    assert not np.array_equal(a.image, render_scene(art, 7, seed=1).image)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_mask_and_caption_hold_every_object(art: Path, count: int):
    for index in range(12):
        scene = render_scene(art, index, objects=count)
        assert scene.image.shape == (128, 128, 3)
        assert scene.label_map.shape == (128, 128)
        assert len(scene.classes) == count == len(set(scene.classes))
        assert set(np.unique(scene.label_map)) == {0, *(CLASS_IDS[c] for c in scene.classes)}
        assert all(spoken(c) in scene.caption for c in scene.classes)


def test_close_ups_show_one_large_object_and_classes_of_many_drawings_more_often(art: Path):
    scenes = [render_scene(art, index, close=True) for index in range(150)]
    assert all(len(s.classes) == 1 for s in scenes)
    for scene in scenes[:40]:
        ys, xs = np.nonzero(scene.label_map)
        assert 0.5 * 128 < max(np.ptp(ys), np.ptp(xs)) + 1 <= 128
    shown = [s.classes[0] for s in scenes]
    assert shown.count("person") > 2 * shown.count("sofa")  # 15 drawings and 1


def test_odds_of_one_two_and_three_objects(art: Path):
    counts = [len(render_scene(art, index, odds=(0, 1, 3)).classes) for index in range(80)]
    assert set(counts) == {2, 3}
    assert counts.count(3) > 2 * counts.count(2)
    assert render_scene(art, 5, odds=(8, 8, 4)).caption == render_scene(art, 5).caption  # 4 : 4 : 2


def test_captions_read_as_the_commands_write_them():
    assert caption(("dog",), None) == "a photo of a dog"
    assert caption(("dog", "pottedplant"), "on grass") == "a photo of a dog and a potted plant on grass"
    assert caption(("dog", "cat", "tvmonitor"), None) == "a photo of a dog, a cat and a tv monitor"
    assert 0 < MIN_VISIBLE < 1


def test_missing_art_names_the_command_that_fetches_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"python -m recipes\.mini art"):
        load_sprite(tmp_path, sprite_table()[0], "fluent")
