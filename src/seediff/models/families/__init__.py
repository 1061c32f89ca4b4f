"""The families of models, one per architecture whose attention can be captured, and why others cannot be."""

from __future__ import annotations

from typing import Any

from ...errors import UserError
from .base import Family
from .chroma import CHROMA
from .ernie_image import ERNIE_IMAGE
from .flux import FLUX
from .flux2 import FLUX2
from .flux2_klein import FLUX2_KLEIN
from .lcm import LCM
from .lumina2 import LUMINA2
from .pixart import PIXART
from .qwen_image import QWEN_IMAGE
from .sana import SANA
from .sd3 import SD3
from .unet import SD
from .xl import SDXL
from .z_image import Z_IMAGE

FAMILIES: tuple[Family, ...] = (
    *(SD, LCM, SDXL, SD3, FLUX, FLUX2, FLUX2_KLEIN, PIXART),
    *(Z_IMAGE, CHROMA, QWEN_IMAGE, ERNIE_IMAGE, LUMINA2, SANA),
)

REFUSED = {
    "StableDiffusionXLImg2ImgPipeline": "it refines pictures and draws none from words; name the base model",
    "IFPipeline": "it draws pixels in three models, whose attention has added keys; a family file for it would be needed",
    "KolorsPipeline": "its text encoder is a language model (ChatGLM) whose tokens are not mapped; a reader for it would be needed",
    "HunyuanDiTPipeline": "its attention is normalised and turned inside another processor; a family file for it would be needed",
    "Flux2KleinKVPipeline": "it keeps keys of other images from step to step; use a Flux2KleinPipeline",
}
"""Pipeline class → why it is not supported, and what would be needed."""


def pipeline_family(pipeline: str) -> Family | None:
    """The family of a pipeline class by its name; None: there is none."""
    return next((family for family in FAMILIES if pipeline in family.pipelines), None)


def network_family(network: Any) -> Family:
    """The family of a loaded network, by its class. Raises UserError where there is none."""
    names = [kind.__name__ for kind in type(network).__mro__]
    for family in FAMILIES:
        if family.class_name in names:
            return family
    known = ", ".join(dict.fromkeys(family.class_name for family in FAMILIES))
    raise UserError(f"attention of a {names[0]} cannot be captured; known are {known}")
