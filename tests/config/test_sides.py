import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.attention.see_photos import average_mirrored
from seediff.config.class_names import lone_sides, mirrored_ids, side_notes
from seediff.errors import UserError
from seediff.train.predict import Segmenter


@pytest.mark.parametrize(
    ("classes", "ids", "alone"),
    [
        ("left arm,dog,right arm", [3, 2, 1], ""),
        ("hand.L,hand.R,leftFoot,rightFoot,RIGHT_LEG,LEFT_LEG", [2, 1, 4, 3, 6, 5], ""),
        ("leftleg,rightleg,LEye,REye,footL,footR", [2, 1, 4, 3, 6, 5], ""),
        ("bright sky,leftovers,girl,copyright,lock,rock,light,night,K,L,Q,R", [*range(1, 13)], ""),
        ("linke Hand,rechte Hand,larm,rarm,lh,rh", [*range(1, 7)], ""),  # other words: --no-flip
        ("left arm,Right arm,dog,r_eye", [1, 2, 3, 4], '"left arm", "Right arm", "r_eye"'),
    ],
)
def test_classes_of_two_sides(classes, ids, alone):
    names = tuple(classes.split(","))
    assert mirrored_ids(names)[: len(names) + 1] == [0, *ids]
    assert mirrored_ids(names)[255] == 255
    assert lone_sides(names) == alone


def test_the_note_names_both_sides_once():
    assert side_notes(("l_eye", "dog", "r_eye")) == ["in mirrored images, classes change sides: l_eye and r_eye"]
    assert side_notes(("left arm", "dog")) == []


def test_a_segmenter_sees_the_other_side_in_the_mirror():
    """A network that knows left and right by what they look like: the pixel's value says which."""

    class Looks(Segmenter):
        def _scores(self, view):
            scores = torch.zeros(len(view), 3, *view.shape[1:3])
            there = torch.arange(view.shape[2]) < view.shape[2] // 2  # who is at the left of a picture is class 1
            scores[:, 1, :, there] = 1
            scores[:, 2, :, ~there] = 1
            return scores

    segmenter = Looks(torch.nn.Identity(), ("left arm", "right arm"), 32, "cpu", None)
    (labels,) = segmenter.label_maps([np.zeros((32, 32, 3), np.uint8)], flip=True)
    assert labels[0].tolist() == [1] * 16 + [2] * 16


def test_maps_of_mirrored_photographs_exchange_the_words_of_sides():
    def maps(words, values):
        cross = torch.tensor(values).float()
        return AttentionMaps({(1, 2): torch.eye(2)}, {(1, 2): cross}, (1, 2), words, "p")

    words = {"left arm": (0,), "right arm": (1,), "dog": (2,)}
    one = maps(words, [[1, 0, 5], [0, 1, 7]])
    both = average_mirrored(one, maps(words, [[1, 0, 7], [0, 1, 5]]))
    assert torch.equal(both.cross_attention[1, 2], one.cross_attention[1, 2])
    with pytest.raises(UserError, match="becomes 'right arm', a word of other tokens; leave it out"):
        average_mirrored(maps({"left arm": (0,), "right arm": (1, 2)}, [[0] * 3] * 2), one)
