"""Ovis-Image: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from builders.eager import Book
from builders.reference_attentions.flux import packed
from builders.twins import WIDTH, flow_scheduler, language, qwen_tokenizer, saved, sharpen, vae_of_flux

TEXT = 256


@saved
def save_ovis_image():
    """Ovis-Image: two blocks of two streams and two of one, rotary; at 64 pixels, 16² positions."""
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = qwen_tokenizer()
    transformer = OvisImageTransformer2DModel(
        in_channels=16,
        out_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    return OvisImagePipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae_of_flux(),
        text_encoder=Qwen3Model(Qwen3Config(**language(tokenizer, 2, WIDTH))),
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    )


def behind_the_text(_model, positions, _prompts):
    return slice(TEXT, TEXT + positions), slice(0, TEXT)


BOOK = Book(save_ovis_image, packed, behind_the_text, calls=2, level=0.1)
