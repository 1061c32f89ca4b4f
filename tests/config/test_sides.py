import numpy as np
import pytest
import torch
from refusals import user_error

from seediff.attention.maps import AttentionMaps
from seediff.attention.see_photos import average_mirrored
from seediff.config.sides import mirrored_ids, side_notes
from seediff.errors import UserError
from seediff.train.predict import Segmenter


@pytest.mark.parametrize(
    ("classes", "ids", "said"),
    [
        ("left arm,dog,right arm", [3, 2, 1], ["change sides: left arm and right arm"]),
        (
            "hand.L,hand.R,leftFoot,rightFoot,RIGHT_LEG,LEFT_LEG",
            [2, 1, 4, 3, 6, 5],
            ["hand.L and hand.R, leftF"],
        ),
        ("bright sky,leftovers,girl,copyright", [1, 2, 3, 4], []),
        ("ctx-lh-bank,ctx-rh-bank,R,L", [2, 1, 4, 3], ["ctx-lh-bank and ctx-rh-bank, R and L"]),
        ("larm,rarm,leftleg,rightleg,LEye,REye,footL,footR", [2, 1, 4, 3, 6, 5, 8, 7], ["larm and rarm, "]),
        ("lhs,rhs,Lt arm,Rt arm,左手,右手", [2, 1, 4, 3, 6, 5], ["lhs and rhs, Lt arm and Rt arm, 左手 and 右手"]),
        ("Hand links,Hand rechts,main droite,main gauche", [2, 1, 4, 3], ["Hand links and Hand rechts, "]),
        ("lock,rock,light,night", [1, 2, 3, 4], []),
        ("K,L,Q,R", [1, 2, 3, 4], []),
        ("port wing,starboard wing,dog", [1, 2, 3], []),
        ("rail track,traffic light,traffic sign", [1, 2, 3], []),
        ("food-things,food-stuff,wall-things,wall-stuff,sky-stuff,cat-things", [1, 2, 3, 4, 5, 6], []),
        ("left arm,Right arm", [1, 2], ['for "left arm", "Right arm": mirrored']),
    ],
)
def test_classes_of_two_sides(classes, ids, said):
    names = tuple(classes.split(","))
    assert mirrored_ids(names)[: len(names) + 1] == [0, *ids]
    assert mirrored_ids(names)[255] == 255
    notes = side_notes(names)
    assert len(notes) == len(said)
    assert all(text in note for text, note in zip(said, notes, strict=True))


def test_pairs_that_are_named():
    names = ("port", "starboard", "L", "R")
    assert mirrored_ids(names, 5, ["port=starboard", "L=L"]) == [0, 2, 1, 3, 4]
    assert side_notes(names, ["port=starboard", "L=L"]) == [
        "in mirrored images, classes change sides: port and starboard"
    ]
    for pairs in (["port=aft"], ["port"], ["port=L", "L=R"]):
        with user_error("mirror: .* must be two classes, each in one pair"):
            mirrored_ids(names, mirror=pairs)


def test_a_segmenter_sees_the_other_side_in_the_mirror():
    """A network that knows left and right by what they look like: the pixel's value says which."""

    class Looks(Segmenter):
        def _scores(self, view):
            scores = torch.zeros(len(view), 3, *view.shape[1:3])
            there = torch.arange(view.shape[2]) < view.shape[2] // 2  # who is at the left of a picture is class 1
            scores[:, 1, :, there] = 1
            scores[:, 2, :, ~there] = 1
            return scores

    for classes, mirror in ((("left arm", "right arm"), ()), (("port", "starboard"), ("port=starboard",))):
        segmenter = Looks(torch.nn.Identity(), classes, 32, "cpu", None, mirror)
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
