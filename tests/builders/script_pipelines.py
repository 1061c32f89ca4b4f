"""Pipelines that people run in scripts, made from the parts of the families' twins, and the arguments of each besides
the prompt.

Each draws a picture of 64 pixels in a step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from builders.editing import editing
from builders.items import noise_pixels
from builders.reference_attention import BOOKS, file_of
from builders.twins import WIDTH, clip_encoder, clip_tokenizer, sharpen
from PIL import Image

from seediff.models.families import families


def small_image():
    return Image.fromarray(noise_pixels(64, 64, seed=3))


def other_picture():
    """Of other sides, neither of which is a multiple of what pipelines need."""
    return Image.fromarray(noise_pixels(71, 103, seed=5))


def hole():
    """A mask for inpainting: the right half is redrawn."""
    return Image.fromarray(np.repeat(np.array([[0] * 32 + [255] * 32], np.uint8), 64, 0))


def parts(pipe, **others):
    """A pipeline's parts, some replaced by `others`."""
    return {**pipe.components, **others}


def _from_pipe(name, pipe, **more):
    """A diffusers pipeline of this class, from the parts of another; the same if it is of this class."""
    import diffusers

    kind = getattr(diffusers, name.partition(",")[0])
    return pipe if type(pipe) is kind else kind.from_pipe(pipe, **more)


def _controlled(name, pipe):
    import diffusers

    torch.manual_seed(1)
    return _from_pipe(name, pipe, controlnet=diffusers.ControlNetModel.from_unet(pipe.unet))


def _adapted(name, pipe):
    import diffusers

    torch.manual_seed(1)
    kind, factor = ("full_adapter_xl", 16) if "XL" in name else ("full_adapter", 8)
    channels = {"channels": [16, 32, 64, 64], "num_res_blocks": 1, "downscale_factor": factor}
    return _from_pipe(name, pipe, adapter=diffusers.T2IAdapter(in_channels=3, adapter_type=kind, **channels))


def _refiner(_name, pipe):
    """SDXL's refiner, which has only the second text encoder."""
    from diffusers import StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel

    torch.manual_seed(1)
    config = {**pipe.unet.config, "cross_attention_dim": WIDTH, "projection_class_embeddings_input_dim": 5 * 8 + WIDTH}
    network = UNet2DConditionModel.from_config(config)
    none = {"text_encoder": None, "tokenizer": None, "tokenizer_2": clip_tokenizer("!")}
    encoder = clip_encoder(none["tokenizer_2"], projected=True)
    return StableDiffusionXLImg2ImgPipeline(
        **parts(pipe, unet=sharpen(network), text_encoder_2=encoder, **none),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )


def _of_ones_own(_name, pipe):
    """A subclass of a diffusers pipeline with its own loop, which makes two calls per step."""
    from diffusers import StableDiffusionPipeline

    class OwnPipeline(StableDiffusionPipeline):
        @torch.no_grad()
        def __call__(self, prompt, num_inference_steps=2, generator=None, **_):
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


def _with_channels(name, pipe):
    """A pipeline whose network also gets the latents of another picture, and perhaps a mask, as more channels."""
    import diffusers

    torch.manual_seed(1)
    channels = 48 if "Fill" in name else 32
    config = {**pipe.transformer.config, "in_channels": channels, "out_channels": 16}
    network = sharpen(diffusers.FluxTransformer2DModel.from_config(config)).eval()
    own = {
        part: pipe.components[part] for part in pipe.components if part not in ("image_encoder", "feature_extractor")
    }
    return getattr(diffusers, name)(**{**own, "transformer": network})


def _beside(name, pipe):
    """A pipeline with a second network, whose results are added to those of the first one's blocks."""
    import diffusers

    torch.manual_seed(1)
    kind = diffusers.QwenImageControlNetModel if "Qwen" in name else diffusers.FluxControlNetModel
    channels = {"extra_condition_channels": 4} if "Qwen" in name and "Inpaint" in name else {}
    second = kind.from_config({**pipe.transformer.config, "num_layers": 1, "num_single_layers": 1, **channels})
    return _from_pipe(name, pipe, controlnet=second)


SIDES = {"height": 64, "width": 64}
TWO_STEPS = {"num_inference_steps": 2}
SHOWN = {"image": small_image(), **SIDES}
CHANGED = {"image": small_image(), "strength": 1.0}
INPAINTED = {"image": small_image(), "mask_image": hole(), "strength": 1.0, **SIDES}
REDRAWN = {**INPAINTED, "image_reference": other_picture()}
KONTEXT = {"max_area": 64 * 64, "_auto_resize": False}
PLAIN_TEXT = {"use_resolution_binning": False, "clean_caption": False, **SIDES}
TRUE_CFG = {"true_cfg_scale": 3.0, "negative_prompt": "a cat", **SIDES}
EDITED = TRUE_CFG | {"image": small_image()}


@dataclass(frozen=True)
class Kind:
    """A pipeline class. twin: the family of its parts. call: its arguments besides the prompt. guided: the place of the
    prediction with the prompt under guidance: "halves" (the second half of the batch), "first half", "calls" (the
    first of two), "second call", or "" (no guidance). make: (name, pipeline of the twin) → it. shown: the
    number of positions of each picture that its network is shown besides."""

    twin: str
    call: Mapping[str, Any] = field(default_factory=lambda: SIDES)
    guided: str = "halves"
    make: Callable[[str, Any], Any] = _from_pipe
    shown: tuple[int, ...] = ()


def _guided(family):
    """`guided` of a family's pipelines."""
    book = BOOKS[file_of(family)]
    if family.embeds_guidance:
        return ""
    if book.calls == 2:
        return "calls"
    return "first half" if book.first else "halves"


OF_FAMILIES = {family.pipelines[-1]: Kind(file_of(family), guided=_guided(family)) for family in families()}
"""A pipeline of every family. Those that are called with more than sides are once more in PIPELINES."""
PIPELINES = OF_FAMILIES | {
    "StableDiffusionImg2ImgPipeline": Kind("unet", CHANGED),
    "StableDiffusionInpaintPipeline": Kind("unet", INPAINTED),
    "StableDiffusionControlNetPipeline": Kind("unet", SHOWN, make=_controlled),
    "StableDiffusionAdapterPipeline": Kind("unet", SHOWN, make=_adapted),
    "a custom pipeline": Kind("unet", {}, "second call", _of_ones_own),
    "StableDiffusionXLImg2ImgPipeline": Kind("xl", CHANGED),
    "the refiner": Kind("xl", CHANGED, make=_refiner),
    "StableDiffusionXLInpaintPipeline": Kind("xl", INPAINTED),
    "StableDiffusionXLControlNetPipeline": Kind("xl", SHOWN, make=_controlled),
    "StableDiffusionXLAdapterPipeline": Kind("xl", SHOWN, make=_adapted),
    "StableDiffusion3Img2ImgPipeline": Kind("sd3", CHANGED | SIDES),
    "FluxPipeline, true_cfg_scale": Kind("flux", TRUE_CFG, "calls"),
    "FluxImg2ImgPipeline": Kind("flux", CHANGED | SIDES, ""),
    "FluxInpaintPipeline": Kind("flux", INPAINTED, ""),
    "FluxFillPipeline": Kind("flux", {"image": small_image(), "mask_image": hole(), **SIDES}, "", _with_channels),
    "FluxControlPipeline": Kind("flux", {"control_image": small_image(), **SIDES}, "", _with_channels),
    "FluxControlImg2ImgPipeline": Kind(
        "flux", {"control_image": small_image(), **CHANGED, **SIDES}, "", _with_channels
    ),
    "FluxControlInpaintPipeline": Kind("flux", {"control_image": small_image(), **INPAINTED}, "", _with_channels),
    "FluxControlNetPipeline": Kind("flux", {"control_image": small_image(), **SIDES}, "", _beside),
    "FluxControlNetImg2ImgPipeline": Kind("flux", {"control_image": small_image(), **CHANGED, **SIDES}, "", _beside),
    "FluxControlNetInpaintPipeline": Kind("flux", {"control_image": small_image(), **INPAINTED}, "", _beside),
    "FluxKontextPipeline": Kind("flux", SHOWN | KONTEXT, "", shown=(256,)),
    "FluxKontextPipeline, true_cfg_scale": Kind("flux", SHOWN | KONTEXT | TRUE_CFG, "calls", shown=(256,)),
    "FluxKontextInpaintPipeline": Kind("flux", REDRAWN | KONTEXT, "", shown=(17 * 25,)),
    "Flux2Pipeline, image": Kind("flux2", SHOWN, "", shown=(256,)),
    "Flux2KleinPipeline, two images": Kind(
        "flux2_klein", {**SIDES, "image": [small_image(), other_picture()]}, "calls", shown=(256, 17 * 25)
    ),
    "Flux2KleinInpaintPipeline": Kind("flux2_klein", REDRAWN, "calls", shown=(256, 17 * 25)),
    "PixArtSigmaPipeline": Kind("pixart", PLAIN_TEXT),
    "ChromaImg2ImgPipeline": Kind("chroma", {**SHOWN, "strength": 0.9, **TWO_STEPS}, "calls"),
    "QwenImagePipeline": Kind("qwen_image", TRUE_CFG, "calls"),
    "QwenImageImg2ImgPipeline": Kind("qwen_image", TRUE_CFG | CHANGED, "calls"),
    "QwenImageInpaintPipeline": Kind("qwen_image", TRUE_CFG | INPAINTED, "calls"),
    "QwenImageControlNetPipeline": Kind("qwen_image", TRUE_CFG | {"control_image": small_image()}, "calls", _beside),
    "QwenImageControlNetInpaintPipeline": Kind(
        "qwen_image", TRUE_CFG | {"control_image": small_image(), "control_mask": hole()}, "calls", _beside
    ),
    "QwenImage21Pipeline": Kind("qwen_image_21", TRUE_CFG, "calls"),
    "QwenImageEditPipeline": Kind("qwen_image", EDITED, "calls", editing, (16 * 12,)),
    "QwenImageEditPlusPipeline, two images": Kind(
        "qwen_image", {**EDITED, "image": [small_image(), other_picture()]}, "calls", editing, (16 * 12,) * 2
    ),
    "QwenImageEditInpaintPipeline": Kind("qwen_image", TRUE_CFG | INPAINTED, "calls", editing, (16 * 12,)),
    "QwenImage21Pipeline, image": Kind(
        "qwen_image_21", {**EDITED, **TWO_STEPS, "output_resolution": 64}, "calls", editing, (4 * 4,)
    ),
    "ZImageImg2ImgPipeline": Kind("z_image", CHANGED | SIDES, "first half"),
    "ZImageInpaintPipeline": Kind("z_image", INPAINTED, "first half"),
}
"""Name → how the pipeline is made and called. With guidance if the pipeline has any."""
