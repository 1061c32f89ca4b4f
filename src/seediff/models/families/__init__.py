"""The families of models, one for each architecture whose attention can be captured. family.py says what a family
has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from ...errors import UserError
from .family import Family
from .inputs import class_names

FILES = (
    "unet.SD", "unet.SDXL", "sd3.SD3", "flux.FLUX", "flux2.FLUX2", "flux2.FLUX2_KLEIN", "pixart.PIXART",
    "z_image.Z_IMAGE", "flux.CHROMA", "qwen_image.QWEN_IMAGE", "qwen_image_21.QWEN_IMAGE_21", "krea2.KREA2",
)  # fmt: skip
"""`file.NAME` of every family that draws images, in the order of lists for users."""

SCRIPTS = ("video.ANIMATE_DIFF", "video.WAN", "video.COG_VIDEO_X", "video.LTX")
"""`file.NAME` of the families that only scripts can use, because they draw clips."""
REGISTERED: list[Family] = []
"""The families of `register_family`."""


def register_family(family: Family) -> None:
    """Make a model family of your own known in this process. All that loads or captures a model then finds it by the
    classes of its pipelines and of its network, before the package's families."""
    REGISTERED.insert(0, family)


def families(places: Sequence[str] = FILES) -> Iterator[Family]:
    """The families, one after the other, each imported when its turn comes; registered ones first. places: `file.NAME`
    of each of the package's."""
    yield from REGISTERED
    for place in places:
        file, name = place.split(".")
        yield getattr(import_module(f".{file}", __name__), name)


def pipeline_family(pipeline: Any) -> Family | None:
    """The family of a pipeline's class; None if no family has it. pipeline: the class's name, or any other value that a
    file gives for it."""
    return next((family for family in families() if pipeline in family.pipelines), None)


def network_family(network: Any) -> Family:
    """The family of a loaded network, by its class. Raises UserError if no family has this class."""
    names = class_names(network)
    places = FILES + SCRIPTS
    for family in families(places):
        if family.class_name in names:
            return family
    known = ", ".join(dict.fromkeys(family.class_name for family in families(places)))
    raise UserError(f"attention of a {names[0]} cannot be captured; known: {known}")
