import numpy as np
import pytest

import seediff
from seediff.cvat import create, encode


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
