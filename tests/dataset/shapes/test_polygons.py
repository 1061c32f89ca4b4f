import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seediff.dataset.shapes.objects import find_objects
from seediff.dataset.shapes.polygons import SNAP, fill_polygon, object_polygons


def filled(polygon, shape):
    mask = np.zeros(shape, bool)
    top, left, part = fill_polygon(polygon, shape)
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


MAPS = arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 1, 1, 1, 2, 255])
)


@settings(max_examples=100, deadline=None)
@given(MAPS)
def test_objects_come_back_exactly_also_from_rounded_text(labels):
    found = find_objects(labels).pieces()[0]
    sides = np.array(labels.shape[::-1])
    polygons = object_polygons(found)
    assert len(polygons) == len(found.class_ids)
    for number, polygon in enumerate(polygons, 1):
        assert ((polygon > 0) & (polygon < sides)).all()
        for shown in (polygon, np.round(polygon / sides, 6) * sides, np.round(polygon)):
            assert np.array_equal(filled(shown, labels.shape), found.numbers == number)


def resampled(polygon):
    """The corners that Ultralytics fills: points on the outline besides its corners, all rounded down."""
    closed = np.concatenate([polygon, polygon[:1]])
    at = np.arange(len(closed))
    places = np.linspace(0, len(closed) - 1, 1000 - len(closed))
    places = np.insert(places, np.searchsorted(places, at), at)
    return np.stack([np.interp(places, at, closed[:, axis]) for axis in (0, 1)], 1).astype(np.float32).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_ultralytics_resampling_changes_no_pixel_where_pieces_touch_at_corners(labels):
    found = find_objects(labels).pieces()[0]
    sides = np.array(labels.shape[::-1])
    for number, polygon in enumerate(object_polygons(found), 1):
        shown = np.round(polygon / sides, 6) * sides
        assert np.array_equal(filled(resampled(shown), labels.shape), found.numbers == number)


def foreign_polygon(rng, width, height):
    """(P, 2): corners anywhere, in a ring, or partly on the picture's border."""
    corners = rng.random((int(rng.integers(3, 40)), 2))
    kind = rng.integers(3)
    if kind == 1:
        turn, radius = np.sort(corners[:, 0]) * 2 * np.pi, corners[:, 1] / 2
        corners = 0.5 + np.stack([radius * np.cos(turn), radius * np.sin(turn)], 1)
    elif kind == 2:
        corners = (2 * corners - 0.5).clip(0, 1)
    return corners * [width, height]


def test_foreign_polygons_are_filled_as_opencv_fills_them():
    rng = np.random.default_rng(0)
    for number in range(3000):
        height, width = map(int, rng.integers(1, (8, 300)[number % 2], 2))
        polygon, expected = foreign_polygon(rng, width, height), np.zeros((height, width), np.uint8)
        cv2.fillPoly(expected, [np.floor(polygon + SNAP).astype(np.int32)], 1)
        assert np.array_equal(filled(polygon, expected.shape), expected), number
