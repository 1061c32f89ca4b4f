"""FLUX.2 klein: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from functools import partial

import torch
from builders.eager import Book
from builders.reference_attentions.flux import behind_t5
from builders.reference_attentions.flux2 import WIDTH, fused, parts, plain
from builders.twins import qwen_tokenizer


def save_flux2_klein(folder, *, distilled=False):
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=28,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            tie_word_embeddings=True,
        )
    )
    pipe = Flux2KleinPipeline(
        **parts(guidance=False), text_encoder=encoder, tokenizer=tokenizer, is_distilled=distilled
    )
    pipe.save_pretrained(folder)
    return folder


BOOK = Book(
    save_flux2_klein,
    fused,
    behind_t5,
    calls=2,
    plain=plain,
    variants={"klein-4b": partial(save_flux2_klein, distilled=True)},
    level=0.1,
)
