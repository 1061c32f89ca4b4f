"""Draws images and captures their attention by running diffusers' own pipeline under `capture_attention`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..config.constants import CaptureConfig
from ..config.levels import EVERYTHING, Reads, check_other_text
from ..config.names import join_classes
from ..config.sizes import Size, check_sides, pixels
from ..errors import UserError, first_line
from ..models.families.base import Drawing
from ..models.groups import Layers
from ..models.registry import Model
from ..prompts.specs import SampleSpec
from ..prompts.tokens import check_prompt, locate_columns
from .capture import capture_attention
from .maps import AttentionMaps


def generate_batch(
    model: Model,
    specs: Sequence[SampleSpec],
    *,
    steps: int,
    guidance_scale: float,
    negative_prompt: str,
    size: Size | None,
    capture: CaptureConfig,
    groups: Sequence[Layers] = (),
    reads: Reads = EVERYTHING,
) -> tuple[list[np.ndarray], dict[Layers, list[AttentionMaps]]]:
    """Generate one image per spec, all in one batch, and capture the attention to its prompt.

    An image depends on its own seed and prompt. Other images in the batch only change rounding.

    Args:
        steps: number of denoising steps. Capture counts UNet calls, of which some schedulers make a few more.
        guidance_scale: 1 or less: no guidance, and the negative prompt is not used.
        size: size of the images in pixels, a side or `WIDTHxHEIGHT`; None for the model's own.
        groups: several groups of layers instead of `capture.layers`, captured in one run. This keeps a running map for every layer and
            needs more memory.
        reads: the kinds and levels of attention to capture. Fewer cost less; the maps are the same up to rounding.

    Returns: images (H, W, 3) uint8, and {group: their maps}, on the model's device. Without `groups` the only key is `capture.layers`.

    Raises:
        UserError: unusable steps, size, class or prompt, or a result with values that are not finite.
    """
    fitted = {group: model.family.fit_layers(model.network.config, group) for group in groups or (capture.layers,)}
    # 1. Check inputs
    height, width = check_inputs(model, specs, steps=steps, size=size)
    pipe, family = model.pipe, model.family
    check_guidance(model, guidance_scale, negative_prompt)
    guidance = family.guided(pipe, guidance_scale)
    prompts = [spec.prompt for spec in specs]
    texts, asked = asked_texts(model, capture, prompts, [spec.classes for spec in specs])
    words = [locate_columns(model.readers, text, spec.classes) for text, spec in zip(texts, specs, strict=True)]

    # 2. Count the calls of the network that the scheduler will make
    calls = count_calls(model, steps)

    # 3. Run the pipeline; noise comes from the CPU, so that a seed means the same on every device
    several = len(fitted) > 1
    capture = replace(capture, layers="all" if several else next(iter(fitted)))
    drawing = Drawing(
        prompts=prompts,
        negative_prompt=negative_prompt,
        height=height,
        width=width,
        steps=steps,
        guidance_scale=guidance_scale,
        generators=[torch.Generator().manual_seed(spec.seed) for spec in specs],
    )
    how: dict[str, Any] = {"per_layer": several, "reads": reads, "asked": asked}
    with capture_attention(model.network, capture, guidance=guidance, total_steps=calls, **how) as recorder:
        result = pipe(**family.call(pipe, drawing))

    # 4. Maps first, because their error names the layer that overflowed; an image would only be black
    maps = {group: recorder.maps(words, texts, layers=layers if several else None) for group, layers in fitted.items()}
    if not np.isfinite(result.images).all():
        raise UserError(f"the generated image is not a number: {model.dtype} overflowed; use --dtype float32 or bfloat16")
    return [(image * 255).round().astype(np.uint8) for image in result.images], maps


@torch.no_grad()
def asked_texts(
    model: Model, capture: CaptureConfig, prompts: Sequence[str], classes: Sequence[Sequence[str]]
) -> tuple[list[str], torch.Tensor | None]:
    """The texts whose words' cross-attention is captured, one per image, and their states (B, T, C) for `capture_attention`; no states if
    the texts are the prompts. Raises UserError for a model that cannot use other texts."""
    check_other_text(capture, model.family)
    if capture.prompt is None:
        return list(prompts), None
    texts = [capture.prompt.replace("{class}", join_classes(tuple(names))) for names in classes]
    states = model.family.encode(model.pipe, texts, model.device)["encoder_hidden_states"]
    model.rest()
    return texts, states


def check_inputs(model: Model, specs: Sequence[SampleSpec], *, steps: int, size: Size | None) -> tuple[int, int]:
    """Height and width of the images in pixels. Raises UserError if generation cannot succeed. Computes nothing."""
    if not specs:
        raise UserError("no samples to generate: the batch is empty")
    for spec in specs:
        if not spec.classes:
            raise UserError(f"sample {spec.index} has no class")
        model.check_known(spec.classes)
    longest = len(model.pipe.scheduler.betas) if hasattr(model.pipe.scheduler, "betas") else 1000
    if not 1 <= steps <= longest:
        raise UserError(f"steps = {steps} must be from 1 to {longest}")
    count_calls(model, steps)
    return check_shape(model, pixels(model.image_side if size is None else size), "size")


def count_calls(model: Model, steps: int) -> int:
    """How often the network predicts with the prompt. Raises UserError if the scheduler does not suit the pipeline or the steps."""
    pipe, family = model.pipe, model.family
    scheduler = f"the scheduler of model '{model.name}' ({type(pipe.scheduler).__name__})"
    takes_sigmas = "sigmas" in inspect.signature(pipe.scheduler.set_timesteps).parameters
    if family.gives_sigmas and not takes_sigmas and not pipe.scheduler.config.get("use_flow_sigmas"):
        raise UserError(
            f"{scheduler} takes no noise levels, which the pipelines of {family.title} give; use FlowMatchEulerDiscreteScheduler"
        )
    try:
        return family.calls(pipe, steps)
    except (TypeError, ValueError) as error:
        raise UserError(f"steps = {steps}: {scheduler} cannot make them: {first_line(error)[:200]}") from error


def check_guidance(model: Model, guidance_scale: float, negative_prompt: str) -> None:
    """Raise UserError for guidance with a model that draws without it, and for a negative prompt that has no effect or is too long."""
    pipe, family = model.pipe, model.family
    family.check_guidance(model.network.config, model.name, guidance_scale)
    if family.reads_negative(pipe, guidance_scale):
        try:
            check_prompt(model.readers, negative_prompt)
        except UserError as error:
            raise UserError(f"negative_prompt: {error}") from error
    else:
        family.check_negative(model.name, negative_prompt)


def check_shape(model: Model, shape: tuple[int, int], what: str) -> tuple[int, int]:
    """Returns `shape` (height, width) in pixels if the model supports this image size. Otherwise raises UserError naming the nearest
    size that it supports."""
    check_sides(shape, what, model.name, *model.size_rules)
    return shape
