"""Z-Image: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import torch
from builders.eager import Book, guided, rotated, softmax_of
from builders.twins import WIDTH, flow_scheduler, language, qwen_tokenizer, saved, sharpen, vae_of_flux


@saved
def save_z_image():
    """Z-Image: two blocks that see the picture, two that see the text, and two of both; at 64 pixels, 16² positions."""
    from diffusers import ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = qwen_tokenizer()
    encoder = Qwen3Model(Qwen3Config(**language(tokenizer, 3)))
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=2,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=WIDTH,
        axes_dims=[4, 6, 6],
        axes_lens=[1024, 32, 32],
    )
    torch.nn.init.normal_(transformer.x_pad_token)
    torch.nn.init.normal_(transformer.cap_pad_token)
    return ZImagePipeline(
        scheduler=flow_scheduler(shift=3.0),
        vae=vae_of_flux(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    )


def single(attention, hidden, given):
    """ZSingleStreamAttnProcessor by hand; each image has its own positions."""
    both = []
    for which in ("q", "k"):
        states = getattr(attention, f"to_{which}")(hidden).unflatten(2, (attention.heads, -1))
        states = getattr(attention, f"norm_{which}")(states).transpose(1, 2)
        both.append(rotated(states, given["freqs_cis"][:, None]))
    return softmax_of(*both, given["attention_mask"])


def filled_up(_model, positions, _prompts):
    """Columns that pad the picture to a multiple of 32 belong to neither."""
    return slice(0, positions), slice(-(-positions // 32) * 32, None)


def plain(guidance, negative):
    """A guidance of 1 or less means none, for which the pipeline needs 0."""
    return guided(guidance if guidance > 1 else 0.0, negative)


BOOK = Book(save_z_image, single, filled_up, first=True, plain=plain, level=0.9, padded=False)
