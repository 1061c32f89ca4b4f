"""Qwen-Image 2.1: one stream in which the picture attends to the text and to itself, the text's columns first.

The text does not see the picture, so the text's keys are the same at every step: the pipeline keeps them from its first
call, and later calls have the picture's rows alone. A language model reads the prompt within a template, whose
beginning is then cut off; padding of shorter prompts up to the longest of the batch comes last and is masked. Guidance
takes two calls. A position is one latent. Pictures have a fourth channel, which says how opaque they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from .family import Condition, DrawRequest, PartConfig, Tensor
from .layers import TEXT_FIRST
from .qwen_image import Qwen, masked, templated
from .readers import Reader

TEXT_TOKENS = 512
"""Maximum number of tokens that SeeDiff reads; the pipeline sets no limit."""
SLOT = 4
"""The input `img_mask` has one entry for this many positions of the picture."""


class QwenImage21(Qwen):
    def tokenizers(self, folder: Path) -> dict[str, Any]:
        from transformers import ProcessorMixin, Qwen2Tokenizer

        class TextProcessor(ProcessorMixin):
            """Replaces transformers' Qwen3VLProcessor, whose part for pictures needs torchvision. Texts get the same
            tokens."""

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
        """The length of the model's own list of noise levels, if it has such a list."""
        return len(config.get("sample_sigmas") or ()) or self.distilled_steps

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """Gives evenly spaced noise levels if the model's own list is for another number of steps."""
        arguments, steps = super().pipeline_arguments(pipe, drawing), drawing.steps
        arguments["true_cfg_scale"] = arguments.pop("guidance_scale")
        own = pipe.config.sample_sigmas
        if own and len(own) != steps:
            arguments["sigmas"] = [1 - step / steps for step in range(steps)]
        return arguments

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut, wrap = pipe._drop_idx, partial(templated, pipe.prompt_template_t2i)
        return (Reader("tokenizer", pipe.processor.tokenizer, cut + TEXT_TOKENS, first=-cut, wrap=wrap),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        states, mask, _ = pipe.encode_prompt(list(prompts), device=device)
        return masked(states, mask)

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        import torch

        return super().latents(pipe, torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1))

    def denoise(self, pipe: Any, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        """Returns the picture's rows alone. Without kept keys, the network also returns the text's rows."""
        import torch

        batch, _, *size = latents.shape
        text = torch.zeros_like(condition["encoder_hidden_states_mask"], dtype=torch.bool)
        given = {
            "hidden_states": latents.flatten(2).transpose(1, 2),
            "timestep": latents.new_full((batch,), timestep / self.LEVELS),
            "img_mask": torch.cat([text, text.new_ones(batch, prod(size) // SLOT)], 1),
            "img_shapes": [[(1, *size)]] * batch,
        }
        predicted = pipe.transformer(**given, **condition, return_dict=False)[0]
        return predicted[:, -prod(size) :].transpose(1, 2).unflatten(2, size)


QWEN_IMAGE_21 = QwenImage21(
    title="Qwen-Image 2.1",
    pipelines=("QwenImage21Pipeline",),
    class_name="QwenImage21Transformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST},
    text_columns=TEXT_TOKENS,
    side=1024,
    pipeline_multiple=32,
    steps=40,
    guidance_scale=1.0,
    distilled_steps=8,
    where_prompt="first call",
    reads_text="processor",
    can_graph=False,  # is given the text's keys, which no replay would read again
)
