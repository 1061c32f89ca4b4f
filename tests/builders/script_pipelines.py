"""Pipelines that people run in scripts, made from the parts of the families' twins, and the arguments of each besides
the prompt.

Each draws a picture of 64 pixels in two steps, which takes about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from builders.twins import WIDTH, clip_encoder, clip_tokenizer, sharpen, unet
from PIL import Image


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def hole() -> Image.Image:
    """A mask for inpainting: the right half is redrawn."""
    return Image.fromarray(np.repeat(np.array([[0] * 32 + [255] * 32], np.uint8), 64, 0))


def parts(pipe: Any, **others: Any) -> dict[str, Any]:
    """A pipeline's parts, some replaced by `others`."""
    return {**pipe.components, **others}


def _same(name: str) -> Callable[[Any], Any]:
    """Makes a diffusers pipeline of the class `name` from all parts of another."""

    def make(pipe: Any) -> Any:
        import diffusers

        return getattr(diffusers, name).from_pipe(pipe)

    return make


def _controlled(name: str) -> Callable[[Any], Any]:
    def make(pipe: Any) -> Any:
        import diffusers

        torch.manual_seed(1)
        network = diffusers.ControlNetModel.from_unet(pipe.unet)
        return getattr(diffusers, name).from_pipe(pipe, controlnet=network)

    return make


def _adapted(name: str, channels: list[int]) -> Callable[[Any], Any]:
    def make(pipe: Any) -> Any:
        import diffusers

        torch.manual_seed(1)
        kind = "full_adapter_xl" if "XL" in name else "full_adapter"
        factor = 16 if "XL" in name else 8
        adapter = diffusers.T2IAdapter(
            in_channels=3, channels=channels, num_res_blocks=1, downscale_factor=factor, adapter_type=kind
        )
        return getattr(diffusers, name).from_pipe(pipe, adapter=adapter)

    return make


def _told_by_words(pipe: Any) -> Any:
    """InstructPix2Pix, whose UNet also gets the latent of the picture to change, as four more channels."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    torch.manual_seed(1)
    return StableDiffusionInstructPix2PixPipeline(
        **parts(pipe, unet=unet(in_channels=8)), requires_safety_checker=False
    )


def _refiner(pipe: Any) -> Any:
    """SDXL's refiner, which has only the second text encoder."""
    from diffusers import StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel

    torch.manual_seed(1)
    config = {**pipe.unet.config, "cross_attention_dim": WIDTH, "projection_class_embeddings_input_dim": 5 * 8 + WIDTH}
    network: Any = UNet2DConditionModel.from_config(config)
    none = {"text_encoder": None, "tokenizer": None, "tokenizer_2": clip_tokenizer("!")}
    encoder = clip_encoder(none["tokenizer_2"], projected=True)
    return StableDiffusionXLImg2ImgPipeline(
        **parts(pipe, unet=sharpen(network), text_encoder_2=encoder, **none),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )


def _of_ones_own(pipe: Any) -> Any:
    """A subclass of a diffusers pipeline with its own loop, which makes two calls per step."""
    from diffusers import StableDiffusionPipeline

    class OwnPipeline(StableDiffusionPipeline):
        @torch.no_grad()
        def __call__(self, prompt: str, num_inference_steps: int = 2, generator: Any = None, **_: Any) -> Any:
            wanted, unwanted = self.encode_prompt(prompt, "cpu", 1, True, "")
            self.scheduler.set_timesteps(num_inference_steps)
            latents = torch.randn(1, 4, 8, 8, generator=generator) * self.scheduler.init_noise_sigma
            for level in self.scheduler.timesteps:
                without = self.unet(latents, level, encoder_hidden_states=unwanted).sample
                towards = self.unet(latents, level, encoder_hidden_states=wanted).sample
                latents = self.scheduler.step(without + 3 * (towards - without), level, latents).prev_sample
            image = self.vae.decode(latents / self.vae.config.scaling_factor).sample
            images = self.image_processor.postprocess(image.detach(), output_type="np")
            return type("Output", (), {"images": images})

    return OwnPipeline(**parts(pipe), requires_safety_checker=False)


SIDES = {"height": 64, "width": 64}
CHANGED = {"image": picture(), "strength": 1.0}
INPAINTED = {"image": picture(), "mask_image": hole(), "strength": 1.0, **SIDES}


@dataclass(frozen=True)
class Kind:
    """A pipeline class. twin: the family of its parts. call: its arguments besides the prompt. guided: the place of the
    prediction with the prompt under guidance: "halves" (the second half of the batch), "first half", "third" (the
    first), "calls" (the first of two), "second call", or "" (no guidance)."""

    twin: str
    make: Callable[[Any], Any]
    call: Mapping[str, Any] = field(default_factory=dict)
    guided: str = "halves"


PIPELINES: dict[str, Kind] = {
    "StableDiffusionPipeline": Kind("unet", lambda pipe: pipe, SIDES),
    "StableDiffusionImg2ImgPipeline": Kind("unet", _same("StableDiffusionImg2ImgPipeline"), CHANGED),
    "StableDiffusionInpaintPipeline": Kind("unet", _same("StableDiffusionInpaintPipeline"), INPAINTED),
    "StableDiffusionControlNetPipeline": Kind(
        "unet", _controlled("StableDiffusionControlNetPipeline"), {"image": picture(), **SIDES}
    ),
    "StableDiffusionAdapterPipeline": Kind(
        "unet", _adapted("StableDiffusionAdapterPipeline", [16, 32, 64, 64]), {"image": picture(), **SIDES}
    ),
    "StableDiffusionInstructPix2PixPipeline": Kind("unet", _told_by_words, {"image": picture()}, "third"),
    "a custom pipeline": Kind("unet", _of_ones_own, {}, "second call"),
    "LatentConsistencyModelPipeline": Kind("lcm", lambda pipe: pipe, SIDES, ""),
    "LatentConsistencyModelImg2ImgPipeline": Kind("lcm", _same("LatentConsistencyModelImg2ImgPipeline"), CHANGED, ""),
    "StableDiffusionXLPipeline": Kind("xl", lambda pipe: pipe, SIDES),
    "StableDiffusionXLImg2ImgPipeline": Kind("xl", _same("StableDiffusionXLImg2ImgPipeline"), CHANGED),
    "the refiner": Kind("xl", _refiner, CHANGED),
    "StableDiffusionXLInpaintPipeline": Kind("xl", _same("StableDiffusionXLInpaintPipeline"), INPAINTED),
    "StableDiffusionXLControlNetPipeline": Kind(
        "xl", _controlled("StableDiffusionXLControlNetPipeline"), {"image": picture(), **SIDES}
    ),
    "StableDiffusionXLAdapterPipeline": Kind(
        "xl", _adapted("StableDiffusionXLAdapterPipeline", [16, 32, 64, 64]), {"image": picture(), **SIDES}
    ),
    "StableDiffusion3Pipeline": Kind("sd3", lambda pipe: pipe, SIDES),
    "StableDiffusion3Img2ImgPipeline": Kind("sd3", _same("StableDiffusion3Img2ImgPipeline"), CHANGED | SIDES),
    "FluxPipeline": Kind("flux", lambda pipe: pipe, SIDES, ""),
    "FluxPipeline, true_cfg_scale": Kind(
        "flux", lambda pipe: pipe, {"true_cfg_scale": 3.0, "negative_prompt": "a cat", **SIDES}, "calls"
    ),
    "FluxImg2ImgPipeline": Kind("flux", _same("FluxImg2ImgPipeline"), CHANGED | SIDES, ""),
    "FluxInpaintPipeline": Kind("flux", _same("FluxInpaintPipeline"), INPAINTED, ""),
    "PixArtSigmaPipeline": Kind(
        "pixart", lambda pipe: pipe, {"use_resolution_binning": False, "clean_caption": False, **SIDES}
    ),
    "SanaPipeline": Kind("sana", lambda pipe: pipe, {"use_resolution_binning": False, "clean_caption": False, **SIDES}),
    "ChromaPipeline": Kind("chroma", lambda pipe: pipe, SIDES, "calls"),
    "ChromaImg2ImgPipeline": Kind(
        "chroma", _same("ChromaImg2ImgPipeline"), {"image": picture(), "strength": 0.9, **SIDES}, "calls"
    ),
    "QwenImagePipeline": Kind(
        "qwen_image", lambda pipe: pipe, {"true_cfg_scale": 3.0, "negative_prompt": "a cat", **SIDES}, "calls"
    ),
    "QwenImageImg2ImgPipeline": Kind(
        "qwen_image",
        _same("QwenImageImg2ImgPipeline"),
        {"true_cfg_scale": 3.0, "negative_prompt": "a cat", **CHANGED, **SIDES},
        "calls",
    ),
    "Flux2Pipeline": Kind("flux2", lambda pipe: pipe, SIDES, ""),
    "Flux2KleinPipeline": Kind("flux2_klein", lambda pipe: pipe, SIDES, "calls"),
    "ErnieImagePipeline": Kind("ernie_image", lambda pipe: pipe, {"use_pe": False, **SIDES}),
    "Lumina2Pipeline": Kind("lumina2", lambda pipe: pipe, SIDES, "calls"),
    "Lumina2Pipeline, cfg_trunc_ratio": Kind(
        "lumina2", lambda pipe: pipe, {"cfg_trunc_ratio": 0.5, **SIDES}, "calls"
    ),  # guides step 1
    "ZImagePipeline": Kind("z_image", lambda pipe: pipe, SIDES, "first half"),
    "ZImageImg2ImgPipeline": Kind("z_image", _same("ZImageImg2ImgPipeline"), CHANGED | SIDES, "first half"),
}
"""Name → how the pipeline is made and called. Each takes two steps, with guidance if the pipeline has any."""
