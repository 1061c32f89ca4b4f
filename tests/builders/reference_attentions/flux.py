"""FLUX.1: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from functools import partial

import torch
from builders.eager import Book, rotated, softmax_of
from builders.twins import (
    WIDTH,
    clip_encoder,
    clip_tokenizer,
    flow_scheduler,
    saved,
    sharpen,
    t5_encoder,
    t5_tokenizer,
    vae_of_flux,
)


@saved
def save_flux(*, guidance=True):
    """FLUX.1: two blocks of two streams and two of one, rotary; `guidance` False: schnell. At 64 pixels, 16²
    positions.
    """
    from diffusers import FluxPipeline, FluxTransformer2DModel

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    return FluxPipeline(
        vae=vae_of_flux(),
        text_encoder=clip_encoder(clip, projected=False),
        text_encoder_2=t5_encoder(t5),
        tokenizer=clip,
        tokenizer_2=t5,
        transformer=sharpen(transformer),
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True) if guidance else flow_scheduler(shift=1.0),
    )


def packed(attention, hidden, given):
    """FluxAttnProcessor by hand, with the rotation as a product of complex numbers. Chroma's mask is used as given:
    booleans, or numbers to add to the scores."""
    text = given.get("encoder_hidden_states")
    both = []
    for which in ("q", "k"):
        split = getattr(attention, f"to_{which}")(hidden).unflatten(2, (attention.heads, -1))
        states = getattr(attention, f"norm_{which}")(split)
        if text is not None:
            added = getattr(attention, f"add_{which}_proj")(text).unflatten(2, (attention.heads, -1))
            states = torch.cat([getattr(attention, f"norm_added_{which}")(added), states], 1)
        both.append(turned(states, given))
    mask = given.get("attention_mask")  # (B, 1, S, S)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).double().masked_fill(~mask, -torch.inf)
    return softmax_of(*both, mask)


def turned(states, given):
    """The states (B, S, H, D), rotated, as (B, H, S, D)."""
    cos, sin = given["image_rotary_emb"]  # (S, D), each value twice
    return rotated(states.transpose(1, 2), torch.complex(cos[:, ::2], sin[:, ::2]))


def behind_t5(_model, positions, _prompts):
    return slice(512, 512 + positions), slice(0, 512)


BOOK = Book(
    save_flux,
    packed,
    behind_t5,
    variants={"schnell": partial(save_flux, guidance=False)},
    plain=lambda guidance, _negative: {"guidance_scale": guidance},
    level=0.1,
)
