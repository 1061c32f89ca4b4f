import itertools

import numpy as np
import pytest

from seediff.drawing.colours import BRIGHT, UNNAMED, mask_colours, shown_ids

# What people with no red or no green cones see, in linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
CONES = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
         [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
OKLAB = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
         [0.0259040371, 0.7827717662, -0.808675766]]  # fmt: skip


def oklab(colours, seen):
    """(N, 3): Ottosson's perceptual space, in which 0.02 is just seen."""
    values = np.asarray(colours) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ np.transpose(seen), 0, 1) @ np.transpose(CONES)) @ np.transpose(OKLAB)


@pytest.mark.parametrize("seen", SEEN)
def test_twenty_classes_stay_apart(seen):
    places = oklab(mask_colours()[1:21], SEEN[seen])
    assert len(BRIGHT) == 20
    nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(places, 2))
    assert nearest > 0.08
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(places[:5], 2)) > 0.18


def test_unnamed_segments_have_no_colour_of_a_class():
    label_map, numbers = np.array([[0, 1, 1, 2, 255]], np.uint8), np.array([[0, 1, 2, 3, 0]])
    shown = shown_ids(label_map, numbers, 1, alone=False)
    assert shown.tolist() == [[0, UNNAMED, UNNAMED + 1, 2, 255]]
    table = mask_colours()
    named, unnamed = ({tuple(one) for one in part.tolist()} for part in (table[1:UNNAMED], table[UNNAMED:255]))
    assert not named & unnamed
    assert shown_ids(label_map, numbers, 1, alone=True).tolist() == [[0, 1, 2, 2, 255]]
