"""Ovis-Image: FLUX.1's blocks, in which picture and text attend to each other, the text's columns first.

Qwen3 reads the prompt in a chat, after an instruction; the chat's first tokens are then cut off. Padding has states of
0, but is not masked. Guidance takes two calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .family import Condition
from .flux import FLUX, Packed
from .named import APACHE, NamedModel
from .readers import Reader, chat_prompt, qwen_chat


class Ovis(Packed):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut = pipe.user_prompt_begin_id

        def chat(prompt: str) -> str:
            return qwen_chat(pipe.tokenizer, False, pipe.system_prompt + prompt)

        return (
            Reader(
                "tokenizer",
                pipe.tokenizer,
                cut + self.text_columns,
                first=-cut,
                wrap=partial(chat_prompt, chat),
                adds_tokens=False,
            ),
        )

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        states, *_ = pipe.encode_prompt(list(prompts), do_classifier_free_guidance=False, device=device)
        return {"encoder_hidden_states": states}


OVIS_IMAGE = Ovis(
    title="Ovis-Image",
    named=(NamedModel("ovis-image", "AIDC-AI/Ovis-Image-7B", "1024²", 9.17, APACHE),),
    loads_loras=False,
    pipelines=("OvisImagePipeline",),
    class_name="OvisImageTransformer2DModel",
    places=FLUX.places,
    streams=FLUX.streams,
    text_columns=256,
    steps=50,
    guidance_scale=5.0,
    where_prompt="first call",
)
