"""Stable Diffusion 3 and 3.5: a narrow twin of its exact classes, with random weights from a seed, and its reference
attention.
"""

from functools import partial

import torch
from builders.eager import Book, heads, softmax_of
from builders.twins import (
    WIDTH,
    autoencoder,
    clip_encoder,
    clip_tokenizer,
    flow_scheduler,
    saved,
    sharpen,
    t5_encoder,
    t5_tokenizer,
)


@saved
def save_sd3(*, qk_norm="rms_norm", t5=True):
    """SD 3.5: three blocks, the first with a second attention of the picture alone; latents of 32², so 16² positions,
    images of 64².
    """
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    first, second, third = clip_tokenizer(), clip_tokenizer("!"), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=24,
        dual_attention_layers=(0,) if qk_norm else (),
        qk_norm=qk_norm,
    )
    return StableDiffusion3Pipeline(
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip_encoder(first, projected=True),
        text_encoder_2=clip_encoder(second, projected=True),
        text_encoder_3=t5_encoder(third, 2 * WIDTH) if t5 else None,
        tokenizer=first,
        tokenizer_2=second,
        tokenizer_3=third if t5 else None,
        transformer=sharpen(transformer),
        scheduler=flow_scheduler(shift=3.0),
    )


def separate(attention, hidden, given):
    """JointAttnProcessor2_0 (SD 3) by hand: the picture's queries and keys, then the text's, each after its own
    norm.
    """

    def states(source, project, norm):
        projected = heads(getattr(attention, project)(source), attention.heads)
        own = getattr(attention, norm)
        return projected if own is None else own(projected)

    text = given.get("encoder_hidden_states")
    query, key = [states(hidden, "to_q", "norm_q")], [states(hidden, "to_k", "norm_k")]
    if text is not None:
        query.append(states(text, "add_q_proj", "norm_added_q"))
        key.append(states(text, "add_k_proj", "norm_added_k"))
    return softmax_of(torch.cat(query, 2), torch.cat(key, 2))


def image_first(_model, positions, _prompts):
    return slice(0, positions), slice(positions, None)


BOOK = Book(
    save_sd3, separate, image_first, variants={"without-norms-and-t5": partial(save_sd3, qk_norm=None, t5=False)}
)
