"""Sana: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from functools import partial

from builders.eager import Book, guided, heads
from builders.twins import WIDTH, gemma, saved, sharpen


@saved
def save_sana(*, qk_norm=None):
    """Sana, or with `qk_norm` Sana 1.5: two blocks; latents of 16², images of 64²."""
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel

    tokenizer, encoder = gemma()
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=WIDTH,
        sample_size=16,
        qk_norm=qk_norm,
    )
    vae = AutoencoderDC(
        latent_channels=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        scaling_factor=0.41407,
    )
    return SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=vae,
        transformer=sharpen(transformer),
        scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )


def masked_cross(attention, hidden, given):
    """SanaAttnProcessor2_0 by hand: norms are over all heads at once."""
    query, key = attention.to_q(hidden), attention.to_k(given["encoder_hidden_states"])
    if attention.norm_q is not None:
        query, key = attention.norm_q(query), attention.norm_k(key)
    query, key = heads(query, attention.heads), heads(key, attention.heads)
    return (query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + given["attention_mask"][:, None]).softmax(-1)


def plain(guidance, negative):
    return guided(guidance, negative) | {"use_resolution_binning": False}


BOOK = Book(
    save_sana, masked_cross, variants={"sana-1.5": partial(save_sana, qk_norm="rms_norm_across_heads")}, plain=plain
)
