"""FLUX.1, Chroma and FLUX.2: picture and text attend to each other, the text's columns first. The first blocks have two
streams, with weights of their own for picture and text; the other blocks have one.

FLUX.1's text columns are T5's tokens. Of CLIP it uses only a pooled state, so CLIP's tokens have no columns, and CLIP
may read less than the prompt. In FLUX.1 dev the guidance scale is an input of the network; schnell has no guidance.

In FLUX.2 dev and klein, a language model reads the prompt within a chat, which is padded to 512 tokens, for dev at the
front. The picture attends to padding as to words. A position is 2 × 2 latents, and each of its channels is normalised
by a mean and a deviation. The guidance scale is an input of dev's network.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from ..layers import TEXT_FIRST
from .family import Family, Tensor
from .inputs import Reader, chat_prompt, qwen_chat
from .packed import Packed, pack, unpack

FLUX_TENSOR = "double_blocks.0.img_attn.qkv.weight"


class Flux(Packed):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        return (
            Reader("tokenizer_2", pipe.tokenizer_2, self.text_columns),
            Reader("tokenizer", pipe.tokenizer, pipe.tokenizer_max_length, first=None),
        )


FLUX = Flux(
    title="FLUX.1",
    places_input="img_ids",
    single_files={(FLUX_TENSOR,): ("flux-schnell",), (FLUX_TENSOR, "guidance_in.in_layer.weight"): ("flux-dev",)},
    pipelines=("FluxPipeline",),
    class_name="FluxTransformer2DModel",
    streams={"transformer_blocks": TEXT_FIRST, "single_transformer_blocks": TEXT_FIRST},
    embeds_guidance=True,
)


CHROMA = Packed(
    title="Chroma",
    places_input=FLUX.places_input,
    single_files={(FLUX_TENSOR, "distilled_guidance_layer.in_proj.weight"): ("chroma",)},
    pipelines=("ChromaPipeline",),
    class_name="ChromaTransformer2DModel",
    streams=FLUX.streams,
)
"""Chroma: FLUX.1's blocks with T5's text alone. The guidance scale is no input; the network predicts in two calls.

A mask is meant to hide the text's padding except its first token. But diffusers 0.42 adds this mask to the scores, 1
for visible columns and 0 for padding, so padding keeps e⁻¹ of the weight that it would have without a mask. The maps
show this attention, because it made the picture. A boolean mask hides padding."""


FLUX2_TENSOR = "double_stream_modulation_img.lin.weight"


class Flux2(Packed):
    def tokenizers(self, folder: Path) -> dict[str, Any]:
        """The tokenizer, without the processor around it, which would need torchvision to read pictures."""
        from transformers import PreTrainedTokenizerFast

        return {"tokenizer": PreTrainedTokenizerFast.from_pretrained(str(folder / "tokenizer"))}

    def render(self, pipe: Any, prompt: str) -> str:
        """The chat that the tokenizer reads, with the prompt in it."""
        from diffusers.pipelines.flux2.pipeline_flux2 import format_input

        (messages,) = format_input([prompt], system_message=pipe.system_message)
        return pipe.tokenizer.apply_chat_template(messages, tokenize=False)

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        tokenizer = getattr(pipe.tokenizer, "tokenizer", pipe.tokenizer)  # of a processor
        return (
            Reader(
                "tokenizer",
                tokenizer,
                self.text_columns,
                end=self.text_columns if tokenizer.padding_side == "left" else None,
                wrap=partial(chat_prompt, partial(self.render, pipe)),
                adds_tokens=False,
                convert=lambda prompt: prompt.replace("[IMG]", ""),
            ),
        )

    def of_tokenizers(self, first: Any, *more: Any) -> Family:
        return FLUX2_KLEIN if type(first).__name__.startswith("Qwen") else self

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        packed, (height, width) = normed_latents(pipe.vae, pixels, pipe.vae.config.batch_norm_eps)
        return unpack(packed, height, width)


def normed_latents(vae: Any, pixels: Tensor, epsilon: float) -> tuple[Tensor, tuple[int, int]]:
    """(latents, (h, w)). latents: (B, h·w, C·2·2), where 2 × 2 latents are one position, and each channel is normalised
    by its mean and deviation. pixels: (B, 3, H, W) in [−1, 1]. epsilon: added to the variances."""
    packed, size = pack(vae.encode(pixels).latent_dist.mean)
    mean, variance = (values.to(packed) for values in (vae.bn.running_mean, vae.bn.running_var))
    return (packed - mean) / (variance + epsilon).sqrt(), size


FLUX2 = Flux2(
    title="FLUX.2 dev",
    places_input=FLUX.places_input,
    single_files={(FLUX_TENSOR, FLUX2_TENSOR, "single_blocks.47.linear1.weight"): ("flux2-dev",)},
    pipelines=("Flux2Pipeline",),
    class_name="Flux2Transformer2DModel",
    streams=FLUX.streams,
    embeds_guidance=True,
)


class Klein(Flux2):
    """FLUX.2 klein: a smaller network than dev's. Qwen3 reads the prompt, without thinking, and padding comes after it.

    Its base models predict in two calls, with the prompt and with the empty prompt. The others were distilled to draw
    without guidance."""

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        return {}

    def render(self, pipe: Any, prompt: str) -> str:
        return qwen_chat(pipe.tokenizer, False, prompt)


FLUX2_KLEIN = Klein(
    title="FLUX.2 klein",
    places_input=FLUX.places_input,
    single_files={(FLUX_TENSOR, FLUX2_TENSOR): ("klein-4b", "klein-base-4b", "klein-9b", "klein-base-9b")},
    pipelines=("Flux2KleinPipeline",),
    class_name=FLUX2.class_name,
    negative=False,
    streams=FLUX2.streams,
)
