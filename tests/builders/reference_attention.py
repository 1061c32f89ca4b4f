"""Every family's twin and its reference attention: `reference_attentions/NAME.py`."""

from importlib import import_module

from seediff.models.families import FILES, families

NAMES = {"SD": "unet", "SDXL": "xl"}


def file_of(family):
    """The name of the file of the family's twin: `flux2_klein` of `flux2.FLUX2_KLEIN`."""
    return _NAMES[family.title]


_CONSTANTS = [place.partition(".")[2] for place in FILES]
_NAMES = {
    family.title: NAMES.get(constant, constant.lower()) for family, constant in zip(families(), _CONSTANTS, strict=True)
}
BOOKS = {name: import_module(f"builders.reference_attentions.{name}").BOOK for name in _NAMES.values()}
"""Name of a family's twin → its book."""
ALIKE = ("flux2_klein",)
"""Families that compute the same as another one: flux2 with another text encoder."""

STAND_FOR_ALL = ("unet", "pixart", "sd3", "flux")
"""A UNet, a transformer with cross-attention, and two with joint attention, of which one has blocks of one stream."""


def sweep(names, family=str):
    """Names as parameters of a test, slow but for those of STAND_FOR_ALL.

    family: a name → its family's.
    """
    import pytest  # the rehearsal on a GPU machine has none

    marks = {True: (), False: pytest.mark.slow}
    return [pytest.param(name, marks=marks[family(name) in STAND_FOR_ALL]) for name in names]


def book_of(model):
    return BOOKS[file_of(model.family)]
