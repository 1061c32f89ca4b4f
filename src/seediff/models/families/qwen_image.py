"""Qwen-Image: blocks of two streams in which picture and text attend to each other, the text's columns first.

A language model reads the prompt within a template, whose beginning is then cut off. The text columns are the tokens
from the template's `start_idx` on, so they include its end. If prompts of a batch differ in length, the shorter are
padded, and padding is masked. Guidance takes two calls. Latents are packed like FLUX.1's, and each channel is
normalised by a mean and a deviation.

Qwen-Image 2.1 has the same template and autoencoder, and one stream in which only the picture attends to both picture
and text. The text does not attend to the picture, so its keys are the same at every step. The pipeline keeps them from
its first call, and later calls have the picture's rows alone. A position is one latent. Pictures have a fourth channel,
which says how opaque they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..hooks import NetworkInputs
from ..layers import DRAWN_LAST, TEXT_FIRST
from .family import FlowMatching, PartConfig, Tensor
from .inputs import CallShape, DrawRequest, Reader, templated
from .packed import Packed


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


SLOT = 4
"""Qwen-Image 2.1's input `img_mask` has one entry for this many positions of the picture."""


@lru_cache(maxsize=4)
def columns_after_pictures(slots: Tensor, count: int) -> int:
    """The number of text columns that follow the last shown picture. It is read once for all steps of a drawing,
    because reading waits for the GPU. slots: (B, more than T) bool, as the network's `img_mask`, whose rows are equal.
    count: T, with the columns in whose place shown pictures are."""
    return count - 1 - int(slots[0, :count].nonzero()[-1])


class QwenImage21(FlowMatching):
    def call_shape(self, network: Any, inputs: NetworkInputs) -> CallShape:
        """The sizes in a network call. The drawn picture comes last, and the prompt's columns follow the shown
        pictures."""
        *shown, (height, width) = given_pictures(inputs)
        columns = texts = inputs["encoder_hidden_states"].shape[1]
        if shown:
            texts = columns_after_pictures(inputs[self.places_input], columns)
        slots = sum(map(prod, shown)) // SLOT  # among the columns of states, in place of shown pictures
        skipped = columns - texts - slots
        return CallShape(len(inputs["hidden_states"]), height, width, texts, shown=tuple(shown), skipped_texts=skipped)

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        from transformers import ProcessorMixin, Qwen2Tokenizer

        class TextProcessor(ProcessorMixin):
            """Replaces transformers' Qwen3VLProcessor, whose part for pictures needs torchvision. It makes the same
            tokens of texts."""

            def __init__(self, tokenizer: Any) -> None:
                self.tokenizer = tokenizer

            def apply_chat_template(self, conversation: Sequence[Any], *args: Any, **options: Any) -> list[Any]:
                return [self.tokenizer.apply_chat_template(conversation, *args, **options)]

            def __call__(self, *, text: Sequence[str], **options: Any) -> Any:
                return self.tokenizer(text, **options)

        return {"processor": TextProcessor(Qwen2Tokenizer.from_pretrained(str(folder / "processor")))}

    def few_steps(self, config: PartConfig) -> int | None:
        """The number of noise levels in a distilled model's list; other models have no list."""
        return len(config.get("sample_sigmas") or ()) or None

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The arguments of the pipeline's call. They include evenly spaced noise levels if the model's own list is for
        another number of steps."""
        arguments = super().pipeline_arguments(pipe, drawing)
        arguments["true_cfg_scale"] = arguments.pop("guidance_scale")
        own = pipe.config.sample_sigmas
        if own and len(own) != drawing.steps:
            arguments["sigmas"] = [1 - step / drawing.steps for step in range(drawing.steps)]
        return arguments

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut = pipe._drop_idx
        wrap = partial(templated, pipe.prompt_template_t2i)
        return (Reader("tokenizer", pipe.processor.tokenizer, cut + self.text_columns, first=-cut, wrap=wrap),)

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        import torch

        return super().latents(pipe, torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1))

    def timestep_input(self, timestep: float) -> float:
        return timestep / self.NOISE_LEVELS

    def pack(self, latents: Tensor) -> Any:
        return latents.flatten(2).transpose(1, 2)

    def unpack(self, predicted: Any, size: Sequence[int]) -> Tensor:
        """The picture's rows. Without kept keys, the network returns the text's rows before them, too."""
        return predicted[:, -prod(size[1:]) :].transpose(1, 2).unflatten(2, tuple(size[1:]))


QWEN_IMAGE_21 = QwenImage21(
    title="Qwen-Image 2.1",
    single_files={("txt_in.text_norm.weight",): ("qwen-image-2.1", "qwen-image-2.1-turbo")},
    pipelines=("QwenImage21Pipeline",),
    class_name="QwenImage21Transformer2DModel",
    streams={"transformer_blocks": DRAWN_LAST},
    places_input="img_mask",
    pipeline_multiple=32,
    tokenizer_part="processor",
    reads_shown=True,
    of_pipeline=("sample_sigmas",),
)
