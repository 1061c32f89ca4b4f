"""Qwen-Image: blocks of two streams in which picture and text attend to each other, the text's columns first.

A language model reads the prompt within a template, whose beginning is then cut off. The text columns are the tokens
from the template's `start_idx` on, so they include its end. If prompts of a batch differ in length, the shorter are
padded, and padding is masked. Guidance takes two calls. Latents are packed like FLUX.1's, and each channel is
normalised by a mean and a deviation.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from ...errors import UserError
from ..hooks import NetworkInputs
from ..layers import TEXT_FIRST
from .inputs import DrawRequest
from .packed import Packed
from .readers import Reader, templated


def given_pictures(inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
    """(height, width) of each picture that a network call is given, in positions. Raises UserError for sizes that do
    not say where each picture ends."""
    first, *more = [row if isinstance(row, list) else [row] for row in inputs["img_shapes"]]
    if any(row != first for row in more):
        problem = "is given other numbers or sizes of images in each row"
        raise UserError("the network", problem, "draw one at a time")
    count = inputs["hidden_states"].shape[1]
    if any(frames != 1 for frames, *_ in first) or sum(map(prod, first)) != count:
        raise UserError("the network", f"is given {count} positions, and sizes of images that have others")
    return tuple((height, width) for _, height, width in first)


class QwenImage(Packed):
    def pictures(self, inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
        return given_pictures(inputs)

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The arguments of the pipeline's call. The guidance scale is `true_cfg_scale`; `guidance_scale` is for
        networks with the scale as an input, which do not exist yet."""
        arguments = super().pipeline_arguments(pipe, drawing)
        return {**arguments, "guidance_scale": None, "true_cfg_scale": drawing.guidance_scale}

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut = pipe.prompt_template_encode_start_idx
        wrap = partial(templated, pipe.prompt_template_encode)
        return (Reader("tokenizer", pipe.tokenizer, cut + self.text_columns, first=-cut, wrap=wrap),)


QWEN_IMAGE = QwenImage(
    title="Qwen-Image",
    single_files={("txt_norm.weight",): ("qwen-image",)},
    pipelines=("QwenImagePipeline",),
    class_name="QwenImageTransformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST},
    reads_shown=True,
)
