"""Names of groups of layers."""

import pytest

from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.models.families.groups import block_numbers, layers_name


@pytest.mark.parametrize(
    ("layers", "numbers"), [("all", None), ("up", None), ("3", {3}), ("9-12", {9, 10, 11, 12}), ("0, 3,8-9", {0, 3, 8, 9}), ("4,4", {4})]
)
def test_numbers_of_blocks(layers, numbers):
    assert block_numbers(layers) == numbers


@pytest.mark.parametrize("layers", ["", "left", "3-1", "-1", "1-", "1,,2", "0-200", "99999", "²", 3, None])
def test_what_is_no_group_is_told_in_a_line(layers):
    with pytest.raises(UserError, match=r"^layers = .* must be 'all', 'up' or 'down' of a UNet, or blocks of a transformer, as 9-12 or"):
        CaptureConfig(layers=layers)


def test_names_for_people():
    assert [layers_name(one) for one in ("up", "9-12")] == ["up layers", "blocks 9-12"]
