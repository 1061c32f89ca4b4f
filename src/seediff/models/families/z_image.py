"""Z-Image: one stream in which picture and caption attend to each other, the picture's columns first.

Picture and caption are each padded to a multiple of 32. This padding is learnt, and the picture attends to it. If
captions of a batch differ in length, the shorter get further padding, which is masked. The first blocks see the picture
alone. Under guidance the batch has the prompts first. The pipeline's guidance scale counts from 0: `uncond + (1 +
scale) (cond − uncond)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..hooks import NetworkInputs
from ..layers import JOINT, SELF
from .family import FlowMatching, Tensor
from .inputs import CallShape, Reader, chat_prompt, latents_of, qwen_chat

FILLED = 32
"""Numbers of rows of picture and caption are each padded to a multiple of this."""


class ZImage(FlowMatching):
    def call_shape(self, network: Any, inputs: NetworkInputs) -> CallShape:
        images = latents_of(inputs)  # each (C, 1, h, w)
        height, width = (side // self.patch for side in images[0].shape[-2:])
        texts = -(-max(map(len, inputs["cap_feats"])) // FILLED) * FILLED
        return CallShape(len(images), height, width, texts)

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        chat = partial(qwen_chat, pipe.tokenizer, True)
        return (Reader("tokenizer", pipe.tokenizer, self.text_columns, wrap=partial(chat_prompt, chat)),)

    def timestep_input(self, timestep: float) -> float:
        return 1 - timestep / self.NOISE_LEVELS  # the share of picture instead of noise

    def pack(self, latents: Tensor) -> Any:
        return list(latents.unsqueeze(2))

    def unpack(self, predicted: Any, size: Sequence[int]) -> Tensor:
        """The network predicts picture minus noise."""
        import torch

        return -torch.stack(predicted).squeeze(2)


Z_IMAGE = ZImage(
    title="Z-Image",
    single_files={("cap_pad_token",): ("z-image-turbo", "z-image")},
    pipelines=("ZImagePipeline",),
    gives_sigmas=False,
    class_name="ZImageTransformer2DModel",
    # The blocks of the context refiner see no picture.
    streams={"noise_refiner": replace(SELF, multiple=FILLED), "layers": replace(JOINT, multiple=FILLED)},
    attention_name="attention",
    patch=2,
    from_zero=True,
)
