import numpy as np
import pytest
from blobs import blobs
from refusals import user_error
from scipy import ndimage

from seediff.config.class_names import mirrored_ids
from seediff.config.sets import MAX_CELLS, parse_addition
from seediff.dataset.augmented import RANDOM, LabelledImage, apply, count_sources, look_up, perspective
from seediff.dataset.shapes.objects import Objects, find_objects

NAMES = [*RANDOM, "splice-1x2", "splice-7x7"]

SAME = np.arange(256)


def labelled_image(seed, shape=(60, 76), ignore=True):
    rng = np.random.default_rng(seed)
    smooth = ndimage.zoom(rng.integers(0, 216, (6, 6, 3)), (shape[0] / 6, shape[1] / 6, 1), order=1)
    image = (smooth + rng.integers(0, 40, smooth.shape)).astype(np.uint8)
    return labelled(f"p{seed}", image, blobs(seed, shape, classes=5, ignore=ignore))


def labelled(name, image, labels):
    return LabelledImage(name, image, labels, find_objects(labels))


def run(name, seed, base=None):
    """The picture after an operation, its step, and the other samples that were used."""
    used = [labelled_image(1000 + i, (40 + 7 * (i % 3), 50)) for i in range(count_sources(name) - 1)]
    rng = np.random.default_rng(seed)
    return *apply([base or labelled_image(seed), *used], name, rng, SAME), used


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_and_what_is_given_stays(name):
    base, untouched = labelled_image(3), labelled_image(3)
    (after, step, _), again, other = (run(name, seed, base) for seed in (3, 3, 4))
    assert np.array_equal(base.image, untouched.image)
    assert np.array_equal(base.labels, untouched.labels)
    assert (after.image.shape, after.image.dtype, step.operation) == (base.image.shape, np.uint8, name)
    np.testing.assert_array_equal(again[0].labels, after.labels)
    assert again[1] == step
    assert np.array_equal(again[0].image, other[0].image) == (name not in ("noise", "perspective", "boxes"))


@pytest.mark.parametrize("name", NAMES)
def test_ids_that_nobody_has_do_not_appear(name):
    """Background and ignored pixels too: without any in the sources there are none, but where an operation states
    them.
    """
    labels = np.where(np.arange(40)[:, None] < 20, 3, np.where(np.arange(50) < 25, 200, 254)).astype(np.uint8)
    image = np.zeros((40, 50, 3), np.uint8)
    for base in (labelled("a", image, labels), LabelledImage("a", image, labels)):
        after, _ = apply([base] * count_sources(name), name, np.random.default_rng(1), SAME)
        stated = {"perspective": {255}, "boxes": {0}}.get(name, set())
        assert {*np.unique(after.labels).tolist()} - {3, 200, 254} == stated
        assert after.labels.dtype == np.uint8
        if base.objects:
            assert after.objects.numbers.max() == len(after.objects.class_ids) > 0
            shown = after.objects.label_map()
            assert (shown[shown > 0] == after.labels[shown > 0]).all()


@pytest.mark.parametrize("name", ["flip", "perspective", "splice-2x3"])
def test_labels_move_with_their_pictures(name):
    """In pictures whose colours say the label."""
    maps = [blobs(seed, (140, 116), classes=5) for seed in range(6)]
    painted = [labelled(f"p{i}", np.repeat(40 * labels[..., None], 3, 2), labels) for i, labels in enumerate(maps)]
    after, step = apply(painted[: count_sources(name)], name, np.random.default_rng(0), SAME)
    labels = after.labels
    known = (labels > 0) & (labels < 255)
    assert (abs(after.image[known, 0] - 40.0 * labels[known]) < 20).mean() > 0.8
    assert not np.array_equal(after.image, painted[0].image)
    assert step.rest.get("sources") in (None, ["p1", "p2", "p3", "p4", "p5"])


def test_perspective_moves_corners_and_ignores_outside():
    base = labelled_image(1, ignore=False)
    height, width = base.labels.shape
    whole = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    for same, given in zip(perspective(base.image, base.places, whole), (base.image, base.places), strict=True):
        np.testing.assert_array_equal(same, given)
    left, top, right, bottom = 10, 5, 60, 40
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    image, places = perspective(base.image, base.places, corners)
    labels = look_up([np.full_like(base.labels, 7)], places, 255)
    expected = np.full_like(labels, 255)
    expected[top:bottom, left:right] = 7
    np.testing.assert_array_equal(labels, expected)
    assert not image[labels == 255].any()


def test_boxes_are_background_but_for_ignored_pixels():
    base = labelled_image(2)
    after, step, _ = run("boxes", 0, base)
    inside = np.zeros(base.labels.shape, bool)
    for left, top, right, bottom in step.rest["boxes"]:
        inside[top:bottom, left:right] = True
    np.testing.assert_array_equal(after.labels[~inside], base.labels[~inside])
    np.testing.assert_array_equal(after.labels[inside], np.where(base.labels[inside] == 255, 255, 0))
    np.testing.assert_array_equal(after.image[~inside], base.image[~inside])
    assert np.abs(after.image[inside].mean() - 127.5) < 10


@pytest.mark.parametrize(
    ("texts", "wrong"),
    [
        (["flop:5", "splice-RxC:5", ":5"], "no operation"),
        (["splice-1x1:5"], "more than one cell"),
        ([f"splice-{MAX_CELLS + 1}x1:5", "splice-0x2:5"], "a splice has 1 to"),
        (["flip", "flip:-1", "flip:1/0"], "how many"),
    ],
)
def test_additions_that_mean_nothing(texts, wrong):
    for text in texts:
        with user_error(wrong):
            parse_addition(text)


def test_sides_are_exchanged_in_every_mirrored_picture():
    """Of objects, too: their numbers stay."""
    classes = ("left arm", "right arm", "dog")
    objects = Objects(np.array([[0, 1, 2, 0], [0, 1, 2, 0]]), (1, 2))
    base = LabelledImage(
        "a", np.zeros((2, 4, 3), np.uint8), np.array([[0, 1, 2, 255], [3, 1, 2, 3]], np.uint8), objects
    )
    flipped, noisy = (
        apply([base], name, np.random.default_rng(0), np.array(mirrored_ids(classes)))[0] for name in ("flip", "noise")
    )
    assert flipped.labels.tolist() == [[255, 1, 2, 0], [3, 1, 2, 3]]
    assert (flipped.objects.numbers.tolist(), flipped.objects.class_ids) == ([[0, 2, 1, 0]] * 2, (2, 1))
    assert noisy.labels.tolist() == base.labels.tolist()
    assert (noisy.objects.numbers.tolist(), noisy.objects.class_ids) == (objects.numbers.tolist(), (1, 2))
