import numpy as np
import pytest
from PIL import Image
from shapes import CLASSES, items, small

from seediff.config.class_names import mirrored_ids
from seediff.train.data import PAD, augment, batches, sample_at
from seediff.train.stages import Stage


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_and_starts_change_nothing(workers):
    stage, config = Stage(items(5), CLASSES, steps=6), small()
    whole = list(batches(stage, 0, config, workers=0))
    assert len(whole) == 6
    later = list(batches(stage, 0, config, first=4, workers=workers))
    for one, two in zip(whole[4:], later, strict=True):
        assert all(map(np.array_equal, one, two))
    assert not np.array_equal(whole[0][0], next(batches(stage, 1, config, workers=0))[0])  # another stage draws anew


def test_an_epoch_has_each_item_once():
    assert all(sorted(sample_at(7, 0, e * 7 + i, 0) for i in range(7)) == list(range(7)) for e in range(3))


def test_labels_are_never_interpolated_and_padding_is_ignored():
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 3, 200, 255], np.uint8), (40, 90))
    image = Image.fromarray(np.repeat(labels[..., None], 3, 2))
    config = small(scale=(0.4, 0.6), jitter=0.0)
    for seed in range(10):
        pixels, ids = augment(image, Image.fromarray(labels), np.random.default_rng(seed), config, range(256))
        assert pixels.shape == (64, 64, 3)
        assert set(np.unique(ids)) <= {0, 3, 200, 255}
        beyond = (pixels == PAD).all(2)
        height = round(40 * np.random.default_rng(seed).uniform(0.4, 0.6) * 64 / 40)
        assert beyond[height:].all()
        assert (ids[height:] == 255).all()


def test_sides_are_exchanged_where_the_picture_is_mirrored():
    image = Image.fromarray(np.arange(64, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2))
    labels = Image.fromarray(np.repeat([[1, 2]], 32, 1).repeat(64, 0).astype(np.uint8))
    mirrored = mirrored_ids(("l_eye", "r_eye"))
    seen = set()
    for seed in range(8):
        pixels, ids = augment(image, labels, np.random.default_rng(seed), small(scale=(1.0, 1.0), jitter=0.0), mirrored)
        seen.add(bool(pixels[0, 0, 0]))
        assert ids[0].tolist() == [1] * 32 + [2] * 32  # the eye at the left of the picture is l_eye in both
    assert seen == {True, False}


def test_image_and_labels_move_together():
    labels = np.zeros((70, 50), np.uint8)
    labels[20:50, 10:40] = 1
    image = Image.fromarray(np.where(labels[..., None] == 1, 255, 0).astype(np.uint8).repeat(3, 2))
    for seed in range(20):
        pixels, ids = augment(
            image, Image.fromarray(labels), np.random.default_rng(seed), small(jitter=0.0), range(256)
        )
        sure = ids != 255
        assert ((pixels[..., 0] > 127) == (ids == 1))[sure].mean() > 0.96  # resizing blurs edges by half a pixel
