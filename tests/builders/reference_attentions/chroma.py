"""Chroma: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from builders.eager import Book
from builders.reference_attentions.flux import behind_t5, packed
from builders.twins import WIDTH, flow_scheduler, saved, sharpen, t5_encoder, t5_tokenizer, vae_of_flux


@saved
def save_chroma():
    """Chroma: two blocks of two streams and two of one; at 64 pixels, 16² positions."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    tokenizer = t5_tokenizer()
    transformer = ChromaTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
        approximator_num_channels=8,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    return ChromaPipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae_of_flux(),
        text_encoder=t5_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    )


BOOK = Book(save_chroma, packed, behind_t5, calls=2, level=0.1)
