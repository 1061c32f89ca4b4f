"""The families of models, one for each architecture whose attention can be captured: finds them by the classes of their
pipelines and networks. family.py says what a family has; inputs.py, what its methods take and return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from ...errors import UserError
from .family import Family
from .inputs import class_names

FILES = (
    "unet.SD", "unet.SDXL", "sd3.SD3", "flux.FLUX", "flux.FLUX2", "flux.FLUX2_KLEIN", "pixart.PIXART",
    "z_image.Z_IMAGE", "flux.CHROMA", "qwen_image.QWEN_IMAGE", "qwen_image.QWEN_IMAGE_21", "krea2.KREA2",
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


def families(entries: Sequence[str] = FILES) -> Iterator[Family]:
    """The families, one after the other, each imported when its turn comes; registered ones first. entries:
    `file.NAME` of each of the package's."""
    yield from REGISTERED
    for entry in entries:
        file, name = entry.split(".")
        yield getattr(import_module(f".{file}", __name__), name)


def pipeline_family(pipeline: Any) -> Family | None:
    """The family of a pipeline's class; None if no family has it. pipeline: the class's name, or any other value that a
    file gives for it."""
    return next((family for family in families() if pipeline in family.pipelines), None)


def network_family(network: Any) -> Family:
    """The family of a loaded network, by its class. Raises UserError if no family has this class."""
    names = class_names(network)
    entries = FILES + SCRIPTS
    for family in families(entries):
        if family.class_name in names:
            return family
    known = ", ".join(dict.fromkeys(family.class_name for family in families(entries)))
    raise UserError(f"attention of a {names[0]} cannot be captured; known: {known}")


def check_pipeline(family: Family, pipe: Any, networks: Sequence[Any]) -> None:
    """Raise UserError for a pipeline of a family that scripts cannot capture. pipe: may be a network alone. networks:
    the pipeline's."""
    names = class_names(pipe)
    if family.frames_dimension and pipe is not networks[0]:
        if {*names}.isdisjoint(family.pipelines):
            raise UserError(f"a {names[0]}", "cannot be captured", f"use a {family.pipelines[0]}")
        for name in ("free_init", "free_noise"):  # clips that are drawn several times, or from several texts
            if getattr(pipe, f"{name}_enabled", False):
                fix = f"call pipe.disable_{name}() first"
                raise UserError(f"{name}_enabled", "such clips cannot be captured", fix)
    for network in networks:
        names = class_names(network)
        if family.class_name not in names:
            part = f"pipe.{family.network_part}"
            fix = f"{part} = {part}.get_base_model() with PEFT, or accelerator.unwrap_model({part})"
            raise UserError(part, f"is a {names[0]}, and only a {family.class_name} can be captured", fix)
