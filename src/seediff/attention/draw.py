"""Draws images and captures their attention: runs the pipeline, as diffusers made it, under `record_attention`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..config.class_names import join_classes
from ..config.sizes import Size
from ..errors import UserError, foreign_errors, not_finite
from ..files.image_files import on_white
from ..models.families.inputs import DrawRequest, Reader
from ..models.registry import Model
from ..prompts.specs import SampleSpec
from ..prompts.tokens import Sentence, check_length, locate_columns, readings_of
from ..view import image_shape
from .maps import AttentionMaps
from .network import hear_prompt, record_attention
from .plan import CapturePlan
from .which_rows import Encoded, check_counts


def generate_batch(
    model: Model,
    specs: Sequence[SampleSpec],
    *,
    steps: int,
    guidance_scale: float,
    negative_prompt: str,
    size: Size | None,
    plan: CapturePlan,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[np.ndarray], list[AttentionMaps]]:
    """(images, maps): for each spec an image (H, W, 3) uint8, and the attention to its prompt on the model's device.
    All images are drawn in one batch. The other images of the batch change an image only by rounding (except with
    Qwen-Image 2.1: docs/models.md).

    model: the loaded model. specs: prompt, classes and seed of each image. steps: the number of denoising steps; some
    schedulers make a few more calls. guidance_scale: 1 or less means no guidance; then the negative prompt is not used.
    size: the images' size in pixels, a side or `WIDTHxHEIGHT`; None: the model's own. plan: what is captured, from
    `plan_capture`. say: is told of each step. Before, `check_columns`, `check_negative` and `check_steps` refuse
    unusable values.

    Raises UserError for a prompt without its classes, and for maps or pixels that are not finite.
    """
    # 1. The columns of each class
    pipe = model.pipe
    height, width = image_shape(model.sizes, size)
    prompts = [spec.prompt for spec in specs]
    texts, words, text_states = attended_texts(model, plan, [(spec.prompt, spec.classes) for spec in specs])

    # 2. Run the pipeline; noise comes from the CPU in float32, so that a seed means the same on every device
    noise = [torch.Generator().manual_seed(spec.seed) for spec in specs]
    drawing = DrawRequest(prompts, negative_prompt, height, width, steps, guidance_scale, noise)
    arguments = model.family.pipeline_arguments(pipe, drawing)
    calls = model.family.count_predictions(pipe, steps)
    with (
        draw_noise_in_float32(pipe),
        report_steps(pipe, say),
        record_attention(model.network, plan, prompt=Encoded(), total_steps=calls, text_states=text_states) as recorder,
        hear_prompt(pipe, {**arguments, "prompt": prompts}, recorder),  # Z-Image changes its list
    ):
        result = pipe(**arguments)
    check_counts(recorder.calls.latest.images, recorder.calls.count, len(result.images), calls)

    # 3. Maps first, because their error names the layer that overflowed; an image would only be black
    maps = recorder.maps(words, texts)
    if not np.isfinite(result.images).all():
        raise not_finite("pixels of the drawn image", model.dtype)
    drawn = [(image * 255).round().astype(np.uint8) for image in result.images]
    return [np.array(on_white(Image.fromarray(image))) for image in drawn], maps


@contextmanager
def report_steps(pipe: Any, say: Callable[[str], None]) -> Iterator[None]:
    """Inside the `with` block, the pipeline reports its steps to `say`, such as "step 3 of 50", and draws no bar."""

    @contextmanager
    def bar(iterable: Any = None, total: int = 0) -> Iterator[Any]:
        done = count(1)
        yield SimpleNamespace(update=lambda *_: say(f"step {next(done)} of {total}"))

    pipe.progress_bar = bar
    try:
        yield
    finally:
        del pipe.progress_bar


@contextmanager
def draw_noise_in_float32(pipe: Any) -> Iterator[None]:
    """Inside the `with` block, the pipeline draws noise in float32 and then casts it to the model's number format.
    diffusers draws noise in the model's format, in which the same seed gives other noise. Only one thread at a time may
    be in such a block."""
    from diffusers.utils.torch_utils import randn_tensor

    def draw(shape: Any, generator: Any = None, device: Any = None, dtype: Any = None, layout: Any = None) -> Any:
        drawn = randn_tensor(shape, generator, device, torch.float32, layout)
        return drawn if dtype is None else drawn.to(dtype)

    classes = (*type(pipe).__mro__, *type(pipe.scheduler).__mro__)
    homes: list[Any] = [sys.modules.get(one.__module__) for one in classes]
    before = {module: module.randn_tensor for module in homes if hasattr(module, "randn_tensor")}
    try:
        for module in before:
            module.randn_tensor = draw
        yield
    finally:
        for module, original in before.items():
            module.randn_tensor = original


@torch.no_grad()
def attended_texts(
    model: Model, plan: CapturePlan, sentences: Sequence[Sentence]
) -> tuple[list[str], list[dict[str, tuple[int, ...]]], torch.Tensor | None]:
    """(texts, words, states) of images. texts: for each image, the text with which cross-attention is captured. words:
    for each image, class name → its token columns in that text. states: (B, T, C) text encoder states of all texts;
    None if the texts are the prompts.

    model, plan: as in `generate_batch`. sentences: one per image.
    """
    texts = [attended_text(plan, *sentence) for sentence in sentences]
    words = [locate_columns(model.readers, text, names) for text, (_, names) in zip(texts, sentences, strict=True)]
    if plan.capture.prompt is None:
        return texts, words, None
    states = model.network_inputs(texts, *image_shape(model.sizes, None))["encoder_hidden_states"]
    model.rest()
    return texts, words, states


def attended_text(plan: CapturePlan | None, prompt: str, classes: Sequence[str]) -> str:
    """The text with which cross-attention is captured: the prompt, or the plan's `capture.prompt` with these classes in
    the place of {class}. plan: None: capture is not planned."""
    if plan is None or plan.capture.prompt is None:
        return prompt
    return plan.capture.prompt.replace("{class}", join_classes(classes))


def check_columns(readers: Sequence[Reader], sentences: Iterable[Sentence], plan: CapturePlan | None) -> None:
    """Raise UserError for a prompt, or a text from `attended_text`, that a tokenizer would cut off, or that does not
    name its classes. readers: the model's tokenizers. plan: what is captured; None: not planned."""
    for prompt, classes in sentences:
        for text in {prompt, attended_text(plan, prompt, classes)}:
            locate_columns(readers, text, classes)


def check_negative(model: Model, negative_prompt: str, guidance_scale: float) -> None:
    """Raise UserError for a negative prompt that changes the picture, and that a tokenizer would cut off."""
    if model.family.reads_negative(model.pipe, guidance_scale):
        try:
            check_length(readings_of(model.readers, negative_prompt))
        except UserError as error:
            raise UserError("negative_prompt", str(error)) from error


def check_steps(model: Model, steps: int) -> None:
    """Raise UserError for steps that the model's scheduler cannot make. No network runs."""
    with foreign_errors("steps", f"{steps}: the model's {type(model.pipe.scheduler).__name__} cannot make them"):
        model.family.count_predictions(model.pipe, steps)
