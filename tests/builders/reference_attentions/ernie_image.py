"""ERNIE-Image: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import torch
from builders.eager import Book, guided, heads, softmax_of
from builders.reference_attentions.flux2 import vae_of_flux2
from builders.twins import MISTRAL_WIDTH, flow_scheduler, mistral3, mistral_tokenizer, saved, sharpen


@saved
def save_ernie_image():
    """ERNIE-Image: three blocks of one stream; at 64 pixels, 16² positions."""
    from diffusers import ErnieImagePipeline, ErnieImageTransformer2DModel
    from transformers import Mistral3Model

    tokenizer = mistral_tokenizer()
    encoder = Mistral3Model(mistral3(tokenizer, 3))
    transformer = ErnieImageTransformer2DModel(
        hidden_size=32,
        num_attention_heads=2,
        num_layers=3,
        ffn_hidden_size=32,
        in_channels=16,
        out_channels=16,
        text_in_dim=MISTRAL_WIDTH,
        rope_axes_dim=(4, 6, 6),
    )
    for layer in (
        transformer.adaLN_modulation[-1],
        transformer.final_linear,
    ):  # zeros by default, which would pass nothing on
        torch.nn.init.normal_(layer.weight, std=0.1)
    return ErnieImagePipeline(
        transformer=sharpen(transformer),
        vae=vae_of_flux2(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler=flow_scheduler(shift=3.0),
    )


def single(attention, hidden, given):
    """ErnieImageSingleStreamAttnProcessor by hand. Channels d and d + D/2 form a pair, but their angles differ, so that
    this is no rotation."""
    angles = given["image_rotary_emb"].transpose(1, 2)  # (B, 1, S, D)
    half = angles.shape[3] // 2
    both = []
    for which in ("q", "k"):
        norm = getattr(attention, f"norm_{which}")
        states = norm(heads(getattr(attention, f"to_{which}")(hidden), attention.heads))
        first, second = states[..., :half], states[..., half:]
        a, b = angles[..., :half], angles[..., half:]
        both.append(torch.cat([first * a.cos() - second * a.sin(), second * b.cos() + first * b.sin()], 3))
    return softmax_of(*both, given["attention_mask"][:, 0, 0])


def before_the_longest(model, positions, prompts):
    return slice(0, positions), slice(positions, None)


def plain(guidance, negative):
    return {**guided(guidance, negative), "use_pe": False}


BOOK = Book(save_ernie_image, single, before_the_longest, plain=plain, padded=False)
