"""Where each picture is among the positions that a network is given: proved, or refused."""

import torch

from seediff.models.families.packed import packed_pictures


def grid(number, height=4, width=6, column=0):
    lines, across = torch.arange(float(height)), torch.arange(float(width)) + column
    return torch.cartesian_prod(torch.tensor([float(number)]), lines, across)


def test_each_picture_ends_where_the_next_grid_begins():
    places = torch.cat([grid(0), grid(1), grid(1, 2, 3)])
    for given in (places, torch.stack([places, places * 0]), places.bfloat16()):
        assert packed_pictures(given, len(places)) == ((4, 6), (4, 6), (2, 3))
    assert packed_pictures(torch.cat([torch.zeros(5, 3), grid(0)]), 24) == ((4, 6),)  # behind a text
