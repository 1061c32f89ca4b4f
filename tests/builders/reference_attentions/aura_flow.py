"""AuraFlow: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from builders.eager import Book
from builders.reference_attentions.sd3 import separate
from builders.twins import WIDTH, autoencoder, flow_scheduler, saved, sharpen, t5_encoder, t5_tokenizer

REGISTERS = 8
TEXT = REGISTERS + 256
"""Columns of every prompt: learnt ones, and T5's tokens with padding."""


@saved
def save_aura_flow():
    """AuraFlow: two blocks of two streams and two of one; at most 24² positions, at 64 pixels 16²."""
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

    tokenizer = t5_tokenizer()
    transformer = AuraFlowTransformer2DModel(
        sample_size=32,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=2,
        num_single_dit_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=WIDTH,
        caption_projection_dim=32,
        out_channels=4,
        pos_embed_max_size=24 * 24,
    )
    return AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=0.13025),
        transformer=sharpen(transformer),
        scheduler=flow_scheduler(shift=1.73),
    )


def text_first(attention, hidden, given):
    """AuraFlowAttnProcessor2_0 by hand: SD 3's, but with the text's queries and keys first."""
    text = given.get("encoder_hidden_states")
    probabilities = separate(attention, hidden, given)
    if text is None:
        return probabilities
    count = hidden.shape[1]
    order = [*range(count, count + text.shape[1]), *range(count)]
    return probabilities[:, :, order][..., order]


def behind_t5(_model, positions, _prompts):
    return slice(TEXT, TEXT + positions), slice(0, TEXT)


BOOK = Book(
    save_aura_flow,
    text_first,
    behind_t5,
    level=0.1,
    learnt=REGISTERS,
)
