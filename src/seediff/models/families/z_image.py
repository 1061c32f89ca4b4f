"""Z-Image: one stream in which picture and caption attend to each other, the picture first, with rotary positions.

Picture and caption are each padded to a multiple of 32 with a learnt padding that is attended to; padding of shorter
captions up to the longest of the batch is masked. The first blocks see the picture alone. Under guidance the batch has
the prompts first. The pipeline's guidance scale counts from 0: `uncond + (1 + scale) (cond − uncond)`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from .family import Condition, DrawRequest, FlowMatching, Joint, NetworkInputs, Tensor, latents_of
from .lumina2 import rotate_pairs
from .readers import Reader, chat_prompt, qwen_chat

CAPTION_TOKENS = 512
"""Maximum number of tokens that the pipeline reads by default, including its template."""
FILLED = 32
"""Picture and caption are padded to a multiple of this many positions."""


class ZImage(FlowMatching):
    def lattice(self, network: Any, given: NetworkInputs) -> tuple[int, int, int]:
        images = latents_of(given)  # each (C, 1, h, w)
        height, width = images[0].shape[-2:]
        return len(images), height // self.patch, width // self.patch

    def call(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """A scale of 1 or less means no guidance, which is 0 in the pipeline."""
        scale = drawing.guidance_scale if drawing.guidance_scale > 1 else 0.0
        return {**super().call(pipe, drawing), "guidance_scale": scale}

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        chat = partial(qwen_chat, pipe.tokenizer, True)
        return (Reader("tokenizer", pipe.tokenizer, CAPTION_TOKENS, wrap=partial(chat_prompt, chat)),)

    def denoise(self, pipe: Any, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        """The network's time input is the share of picture instead of noise, and it predicts picture minus noise."""
        import torch

        level = latents.new_full((len(latents),), 1 - timestep / self.LEVELS)
        predicted = pipe.transformer(
            list(latents.unsqueeze(2)), level, list(condition["cap_feats"]), return_dict=False
        )[0]
        return -torch.stack(predicted).squeeze(2)


BLOCK = Joint(multiple=FILLED, rotate=rotate_pairs, rotary="freqs_cis", each_rotary=True)

Z_IMAGE = ZImage(
    title="Z-Image",
    pipelines=("ZImagePipeline",),
    gives_sigmas=False,
    class_name="ZImageTransformer2DModel",
    # The blocks of the context refiner see no picture.
    streams={"noise_refiner": replace(BLOCK, text=False), "layers": BLOCK},
    attention="attention",
    text_columns=CAPTION_TOKENS,
    side=1024,
    patch=2,
    steps=50,
    guidance_scale=5.0,
    quick_steps=8,
    conditional="first half",
    inputs_of_text=("cap_feats",),
)
