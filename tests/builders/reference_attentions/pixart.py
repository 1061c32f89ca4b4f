"""PixArt: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from functools import partial

from builders.eager import Book, cross_or_self, guided
from builders.twins import WIDTH, autoencoder, saved, sharpen, t5_encoder, t5_tokenizer


@saved
def save_pixart(*, sigma=False):
    """PixArt-α or -Σ: two blocks; latents of 32², so 16² positions, images of 64². Neither gets the picture's size,
    unlike α at 1024².
    """
    from diffusers import (
        DPMSolverMultistepScheduler,
        PixArtAlphaPipeline,
        PixArtSigmaPipeline,
        PixArtTransformer2DModel,
    )

    tokenizer = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=32,
        sample_size=32,
        patch_size=2,
        caption_channels=WIDTH,
        use_additional_conditions=False,
    )
    return (PixArtSigmaPipeline if sigma else PixArtAlphaPipeline)(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=0.13025),
        transformer=sharpen(transformer),
        scheduler=DPMSolverMultistepScheduler(),
    )


def plain(guidance, negative):
    return guided(guidance, negative) | {"clean_caption": False, "use_resolution_binning": False}


BOOK = Book(
    save_pixart,
    cross_or_self,
    variants={"sigma": partial(save_pixart, sigma=True)},
    plain=plain,
    padded=False,  # the twin's class, α, has fewer columns than Σ
)
