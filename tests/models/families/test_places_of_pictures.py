"""Where each picture is among the positions that a network is given: proved, or refused."""

import pytest
import torch
from builders.refusals import user_error

from seediff.attention.capture import find_networks
from seediff.models.families.flux import packed_pictures
from seediff.models.families.qwen_image import QWEN_IMAGE


def grid(number, height=4, width=6, column=0):
    lines, across = torch.arange(float(height)), torch.arange(float(width)) + column
    return torch.cartesian_prod(torch.tensor([float(number)]), lines, across)


def test_each_picture_ends_where_the_next_grid_begins():
    places = torch.cat([grid(0), grid(1), grid(1, 2, 3)])
    for given in (places, torch.stack([places, places * 0]), places.bfloat16()):
        assert packed_pictures(given, len(places)) == ((4, 6), (4, 6), (2, 3))
    assert packed_pictures(torch.cat([torch.zeros(5, 3), grid(0)]), 24) == ((4, 6),)  # behind a text


@pytest.mark.parametrize(
    "places",
    [
        torch.cat([grid(0), grid(0, column=6)]),  # read as one picture of 4 × 12 before
        torch.cat([grid(0), grid(0)]),
        torch.cat([grid(1), grid(0)]),
        torch.cat([grid(0), grid(10)])[:-1],
        grid(0).flip(0),
        grid(0)[:, [0, 2, 1]],
        grid(0)[1:],
        grid(0) * 1.5,
        torch.cat([grid(0), torch.ones(24, 1)], 1),
    ],
)
def test_places_that_do_not_tell(places):
    with user_error(r"^the network: is given places that do not say where each image ends; number"):
        packed_pictures(places, len(places))


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([[(1, 4, 6)], [(1, 6, 4)]], "is given other numbers or sizes of images in each row; draw one at a time"),
        ([(1, 4, 5)], "is given 24 positions, and sizes of images that have others"),
        ([[(2, 4, 3)]], "is given 24 positions, and sizes of images that have others"),
    ],
)
def test_sizes_that_do_not_fit(shapes, said):
    given = {"hidden_states": torch.zeros(2, 24, 16), "img_shapes": shapes}
    with user_error(f"^the network: {said}"):
        QWEN_IMAGE.lattice(None, given)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "title"), [("flux2", "FLUX.2 dev"), ("flux2_klein", "FLUX.2 klein")])
def test_one_class_of_networks_in_two_families(loaded, name, title):
    """The tokenizer tells them apart, in a pipeline of one's own."""
    parts = loaded(name).pipe

    class Own:
        transformer, tokenizer = parts.transformer, parts.tokenizer

    assert find_networks(Own())[1].title == title
