"""Krea 2: one stream in which text and picture attend to each other, the text's columns first.

A language model reads the prompt after an instruction, whose beginning is then cut off. Masked padding comes between
the prompt and the template's end. Each token has the states of several of the language model's layers, and a
transformer for the text alone joins them. Its attention is not captured, though its modules have the same class.
Guidance takes two calls, and its scale counts from 0: `cond + scale (cond − uncond)`. Latents are as in Qwen-Image.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..layers import TEXT_FIRST
from .inputs import Reader, prefixed
from .packed import Packed


class Krea2(Packed):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        cut = pipe.prompt_template_encode_start_idx
        tail = pipe.prompt_template_encode_num_suffix_tokens
        return (
            Reader(
                "tokenizer",
                pipe.tokenizer,
                cut + self.text_columns - tail,
                first=-cut,
                tail=tail,
                wrap=partial(prefixed, pipe.prompt_template_encode_prefix),
            ),
        )


KREA2 = Krea2(
    title="Krea 2",
    places_input="position_ids",
    single_files={("txtfusion.projector.weight",): ("krea2-raw", "krea2-turbo")},
    pipelines=("Krea2Pipeline",),
    class_name="Krea2Transformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST},
    from_zero=True,
    distilled_steps=8,
)
