"""Krea 2: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from functools import partial

import torch
from builders.eager import Book, heads, softmax_of
from builders.twins import WIDTH, flow_scheduler, qwen3_vl, qwen_tokenizer, saved, sharpen, vae_of_qwen_image

TEXT = 512
"""Columns of every prompt: its tokens, padding, and the five of the template's end."""


@saved
def save_krea2(*, distilled=False):
    """Krea 2: two blocks of one stream, behind four of the text alone, with fewer heads of keys; at 64 pixels, 8²
    positions.
    """
    from diffusers import Krea2Pipeline, Krea2Transformer2DModel
    from transformers import Qwen3VLModel

    tokenizer = qwen_tokenizer()
    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        timestep_embed_dim=16,
        text_hidden_dim=WIDTH,
        num_text_layers=3,
        text_num_attention_heads=4,
        text_num_key_value_heads=2,
        text_intermediate_size=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    for name, weight in transformer.named_parameters():  # zeros by default, which would pass nothing on
        if weight.ndim == 1 or "scale_shift_table" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return Krea2Pipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True, base_image_seq_len=256, max_image_seq_len=6400),
        vae=vae_of_qwen_image(2),
        text_encoder=Qwen3VLModel(qwen3_vl(tokenizer)),
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
        text_encoder_select_layers=(0, 2, 3),
        is_distilled=distilled,
    )


def single(attention, hidden, given):
    """Krea2AttnProcessor by hand. Its norms compute in float32 whatever they are given, and scale by 1 + weight."""
    cosine, sine = given["image_rotary_emb"]
    both = []
    for which, count in (("q", attention.num_heads), ("k", attention.num_kv_heads)):
        states = heads(getattr(attention, f"to_{which}")(hidden), count)
        norm = getattr(attention, f"norm_{which}")
        states = states / (states.square().mean(3, keepdim=True) + norm.eps).sqrt() * (1 + norm.weight)
        even, odd = states[..., ::2], states[..., 1::2]
        turned = torch.stack(
            [even * cosine[:, ::2] - odd * sine[:, ::2], odd * cosine[:, ::2] + even * sine[:, ::2]], 4
        )
        both.append(turned.flatten(3).repeat_interleave(attention.num_heads // count, 1))
    return softmax_of(*both, given["attention_mask"][:, 0, 0])


def behind_the_text(model, positions, prompts):
    return slice(TEXT, TEXT + positions), slice(0, TEXT)


BOOK = Book(
    save_krea2,
    single,
    behind_the_text,
    calls=2,
    variants={"krea2-tdm": partial(save_krea2, distilled=True)},
    level=0.1,
)
