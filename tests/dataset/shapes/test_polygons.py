import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seediff.dataset.shapes.objects import find_objects
from seediff.dataset.shapes.polygons import fill_polygon, object_polygons


def filled(polygon, shape):
    runs = fill_polygon(shape, polygon)
    runs = [*runs, np.prod(shape) - runs.sum()]
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape, order="F")


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
