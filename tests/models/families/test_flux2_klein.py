import pytest

from seediff.models.families.flux2_klein import FLUX2_KLEIN


@pytest.mark.parametrize(
    ("name", "unguided"),
    [
        ("black-forest-labs/FLUX.2-klein-4B", True),
        ("flux2-klein-9b", True),
        ("FLUX.2-klein-base-4B", False),
        ("own/flux2-turbo", True),
    ],
)
def test_names_of_the_distilled_ones(name, unguided):
    assert FLUX2_KLEIN.unguided({}, name) == unguided
