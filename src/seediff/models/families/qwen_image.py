"""Qwen-Image: blocks of two streams in which picture and text attend to each other, the text's columns first.
Qwen-Image 2.1: one stream in which only the picture attends to both.

A language model reads the prompt within a template, whose beginning is then cut off. The text columns are the tokens
from the template's `start_idx` on, so they include its end. If prompts of a batch differ in length, the shorter are
padded, and padding is masked. Guidance takes two calls. Qwen-Image's latents are packed like FLUX.1's, and each channel
is normalised by a mean and a deviation.

In Qwen-Image 2.1 the text does not attend to the picture, so its keys are the same at every step. The pipeline keeps
them from its first call, and later calls have the picture's rows alone. A position is one latent. Pictures have a
fourth channel, which says how opaque they are.

Krea 2: one stream in which text and picture attend to each other, the text's columns first.

A language model reads the prompt after an instruction, whose beginning is then cut off. Masked padding comes between
the prompt and the template's end. Each token has the states of several of the language model's layers, and a
transformer for the text alone joins them. Its attention is not captured, though its modules have the same class.
Guidance takes two calls, and its scale counts from 0: `cond + scale (cond − uncond)`. Latents are as in Qwen-Image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..layers import DRAWN_LAST, TEXT_FIRST
from .family import FlowMatching, PartConfig, Tensor
from .flux import Packed
from .inputs import DrawRequest, NetworkInputs, Reader, prefixed

STATISTICS = ("latents_mean", "latents_std")
SLOT = 4
"""Qwen-Image 2.1's input `img_mask` has one entry for this many positions of the picture."""


class Qwen(FlowMatching):
    """Families with Qwen-Image's autoencoder, for which a picture is a video of one frame."""

    def lattice(self, network: Any, inputs: NetworkInputs) -> tuple[int, int, int]:
        return len(inputs["hidden_states"]), *self.pictures(inputs)[0]

    def shown(self, inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
        return self.pictures(inputs)[1:]

    def pictures(self, inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
        """(height, width) of each picture that a network call is given, in positions; the drawn one first. Raises
        UserError for sizes that do not say where each picture ends."""
        first, *more = [row if isinstance(row, list) else [row] for row in inputs["img_shapes"]]
        if any(row != first for row in more):
            problem = "is given other numbers or sizes of images in each row"
            raise UserError("the network", problem, "draw one at a time")
        count = inputs["hidden_states"].shape[1]
        if any(frames != 1 for frames, *_ in first) or sum(map(prod, first)) != count:
            raise UserError("the network", f"is given {count} positions, and sizes of images that have others")
        return tuple((height, width) for _, height, width in first)

    def factor(self, vae: PartConfig) -> int:
        return 2 ** len(vae["temperal_downsample"])

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        config = pipe.vae.config
        encoded = pipe.vae.encode(pixels.unsqueeze(2)).latent_dist.mean
        mean, deviation = (encoded.new_tensor(config[key]).view(1, -1, 1, 1, 1) for key in STATISTICS)
        return ((encoded - mean) / deviation).squeeze(2)


class QwenImage(Qwen, Packed):
    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The arguments of the pipeline's call. The guidance scale is `true_cfg_scale`; `guidance_scale` is for
        networks with the scale as an input, which do not exist yet."""
        arguments = super().pipeline_arguments(pipe, drawing)
        return {**arguments, "guidance_scale": None, "true_cfg_scale": drawing.guidance_scale}

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut, wrap = pipe.prompt_template_encode_start_idx, partial(templated, pipe.prompt_template_encode)
        return (Reader("tokenizer", pipe.tokenizer, cut + self.text_columns, first=-cut, wrap=wrap),)


def templated(template: str, prompt: str) -> tuple[str, int]:
    """(text, place), for `Reader.wrap`. text: the template with the prompt in place of {}. place: where the prompt
    begins in it."""
    return template.format(prompt), template.index("{}")


QWEN_IMAGE = QwenImage(
    title="Qwen-Image",
    single_files={("txt_norm.weight",): ("qwen-image",)},
    pipelines=("QwenImagePipeline",),
    cannot={"QwenImageLayeredPipeline": "it draws several layers of an image at once, each with maps of its own"},
    class_name="QwenImageTransformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST},
    reads_shown=True,
)


@lru_cache(maxsize=4)
def columns_after_pictures(slots: Tensor, count: int) -> int:
    """The number of text columns that follow the last shown picture. It is read once for all steps of a drawing,
    because reading waits for the GPU. slots: (B, more than T) bool, as the network's `img_mask`, whose rows are equal.
    count: T, with the columns in whose place shown pictures are."""
    return count - 1 - int(slots[0, :count].nonzero()[-1])


class QwenImage21(Qwen):
    def pictures(self, inputs: NetworkInputs) -> tuple[tuple[int, int], ...]:
        *others, drawn = super().pictures(inputs)
        return drawn, *others

    def text_columns_of_call(self, inputs: NetworkInputs) -> int | None:
        """The number of text columns; behind shown pictures, if there are any."""
        count = inputs["encoder_hidden_states"].shape[1]
        return columns_after_pictures(inputs[self.places], count) if self.shown(inputs) else count

    def other_columns(self, inputs: NetworkInputs) -> int:
        """Those of shown pictures and of the text before them, in which each picture has a column for SLOT
        positions."""
        positions = super().other_columns(inputs)
        texts = inputs["encoder_hidden_states"].shape[1] - (self.text_columns_of_call(inputs) or 0)
        return texts - positions // SLOT + positions

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

    def says_distilled(self, config: PartConfig) -> bool | None:
        return bool(config["sample_sigmas"]) if "sample_sigmas" in config else None

    def few_steps(self, config: PartConfig) -> int:
        """Default steps of a distilled model: the length of its list of noise levels, if it has such a list."""
        return len(config.get("sample_sigmas") or ()) or self.distilled_steps

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """The arguments of the pipeline's call. They include evenly spaced noise levels if the model's own list is for
        another number of steps."""
        arguments, steps = super().pipeline_arguments(pipe, drawing), drawing.steps
        arguments["true_cfg_scale"] = arguments.pop("guidance_scale")
        own = pipe.config.sample_sigmas
        if own and len(own) != steps:
            arguments["sigmas"] = [1 - step / steps for step in range(steps)]
        return arguments

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut, wrap = pipe._drop_idx, partial(templated, pipe.prompt_template_t2i)
        return (Reader("tokenizer", pipe.processor.tokenizer, cut + self.text_columns, first=-cut, wrap=wrap),)

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        import torch

        return super().latents(pipe, torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1))

    def level(self, timestep: float) -> float:
        return timestep / self.LEVELS

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
    places="img_mask",
    pipeline_multiple=32,
    distilled_steps=8,
    reads_text="processor",
    reads_shown=True,
    of_pipeline=("sample_sigmas",),
)


class Krea2(Packed, Qwen):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        start, cut = pipe.prompt_template_encode_prefix, pipe.prompt_template_encode_start_idx
        tail = pipe.prompt_template_encode_num_suffix_tokens
        return (
            Reader(
                "tokenizer",
                pipe.tokenizer,
                cut + self.text_columns - tail,
                first=-cut,
                tail=tail,
                wrap=partial(prefixed, start),
            ),
        )


KREA2 = Krea2(
    title="Krea 2",
    places="position_ids",
    single_files={("txtfusion.projector.weight",): ("krea2-raw", "krea2-turbo")},
    pipelines=("Krea2Pipeline",),
    class_name="Krea2Transformer2DModel",
    patch=1,
    streams={"transformer_blocks": TEXT_FIRST},
    from_zero=True,
    distilled_steps=8,
)
