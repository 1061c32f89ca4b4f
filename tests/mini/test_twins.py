"""Objects of packaged scenes, and twins: exact, touching or apart as their number says, the same each time."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from seediff.mini.scenes import CLASS_IDS, Scene, load_scenes
from seediff.mini.twins import VISIBLE, load_twins, scene_objects, twins


@pytest.fixture(scope="module")
def first():
    return load_twins("tune", 12)


def test_every_class_of_a_packaged_scene_is_one_object():
    for scene in load_scenes("tune", 20):
        objects = scene_objects(scene).objects
        assert objects.class_ids == tuple(CLASS_IDS[name] for name in scene.classes)
        assert np.array_equal(np.array([0, *objects.class_ids])[objects.numbers], scene.label_map)


def test_twins_show_two_objects_of_one_class_that_touch_or_not(first):
    hosts = [scene.caption for scene in load_scenes("tune")]
    for index, twin in enumerate(first):
        objects, scene = twin.objects, twin.scene
        *others, pasted = objects.class_ids
        assert others.count(pasted) == 1
        assert np.array_equal(np.array([0, *objects.class_ids])[objects.numbers], scene.label_map)
        one, other = (objects.numbers == number for number in (others.index(pasted) + 1, len(objects.class_ids)))
        assert bool((binary_dilation(one, np.ones((3, 3))) & other).any()) == (index % 2 == 0)
        assert one.any()
        assert other.any()
        assert scene.caption in hosts


def test_what_is_not_pasted_stays_and_most_of_each_object_is_visible(first):
    hosts = load_scenes("tune")
    for twin in first:
        numbers = twin.objects.numbers
        untouched = ~binary_dilation(numbers == numbers.max(), np.ones((5, 5)))
        (host,) = (s for s in hosts if s.caption == twin.scene.caption and np.array_equal(s.image[untouched], twin.scene.image[untouched]))
        before = scene_objects(host).objects.numbers
        for number in range(1, int(numbers.max())):
            assert (numbers == number).sum() >= VISIBLE * (before == number).sum()


def test_twins_are_the_same_each_time_and_a_seed_changes_them(first):
    again, others = load_twins("tune", 3), load_twins("tune", 3, seed=1)
    for twin, same, other in zip(first, again, others, strict=False):
        assert np.array_equal(twin.scene.image, same.scene.image)
        assert np.array_equal(twin.objects.numbers, same.objects.numbers)
        assert not np.array_equal(twin.scene.image, other.scene.image)


def test_a_pasted_object_has_the_donors_colours():
    host, donor = np.full((40, 40, 3), 10, np.uint8), np.full((40, 40, 3), 10, np.uint8)
    marks = np.zeros((2, 40, 40), np.uint8)
    marks[0, 2:8, 2:8] = marks[1, 10:30, 12:28] = CLASS_IDS["dog"]
    donor[marks[1] > 0] = (200, 100, 50)
    scenes = [Scene(image, mask, ("dog",), "a photo of a dog") for image, mask in zip((host, donor), marks, strict=True)]
    odd = next(islice(twins(scenes, 0), 1, None))
    inside = odd.objects.numbers == 2
    colour = {tuple(pixel) for pixel in odd.scene.image[inside].tolist()}
    assert colour in ({(200, 100, 50)}, {(10, 10, 10)})  # of either scene as the host
