"""SDXL: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from builders.eager import Book, cross_or_self, guided
from builders.twins import WIDTH, autoencoder, clip_encoder, clip_tokenizer, saved, sharpen


@saved
def save_xl():
    """SDXL: no attention at L, blocks of 2 and 3 layers where SDXL has 2 and 10; latents of 16², images of 128²."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    first, second = clip_tokenizer(), clip_tokenizer("!")
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=(1, 2, 3),
        attention_head_dim=(2, 4, 8),
        cross_attention_dim=2 * WIDTH - 8,
        use_linear_projection=True,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(4, 4, sample_size=128, scaling_factor=0.13025),
        text_encoder=clip_encoder(first, projected=False, width=WIDTH - 8),
        text_encoder_2=clip_encoder(second, projected=True),
        tokenizer=first,
        tokenizer_2=second,
        unet=sharpen(unet),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )


def plain(guidance, negative):
    """To this pipeline, an empty negative prompt is not the same as none."""
    return guided(guidance, negative) if negative else {"guidance_scale": guidance}


BOOK = Book(save_xl, cross_or_self, plain=plain)
