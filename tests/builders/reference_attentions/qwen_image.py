"""Qwen-Image: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import torch
from builders.eager import Book, guided, heads, rotated, softmax_of
from builders.twins import (
    QWEN_IDS,
    QWEN_VISION,
    WIDTH,
    flow_scheduler,
    language,
    qwen_tokenizer,
    saved,
    sharpen,
    vae_of_qwen_image,
)


@saved
def save_qwen_image():
    """Qwen-Image: two blocks of two streams; at 64 pixels, 16² positions."""
    from diffusers import QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = qwen_tokenizer()
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                **language(tokenizer, 2),
                "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
            },
            vision_config=QWEN_VISION,
            **QWEN_IDS,
        )
    )
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    return QwenImagePipeline(
        scheduler=flow_scheduler(shift=1.0, use_dynamic_shifting=True),
        vae=vae_of_qwen_image(1),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    )


def double(attention, hidden, given):
    """QwenDoubleStreamAttnProcessor2_0 by hand: each stream is rotated separately."""
    text = given["encoder_hidden_states"]
    both = []
    for which in ("q", "k"):
        own = [
            (text, f"add_{which}_proj", f"norm_added_{which}", 1),
            (hidden, f"to_{which}", f"norm_{which}", 0),
        ]
        turned = []
        for stream, project, norm, turn in own:
            states = heads(getattr(attention, project)(stream), attention.heads)
            turned.append(rotated(getattr(attention, norm)(states), given["image_rotary_emb"][turn]))
        both.append(torch.cat(turned, 2))
    mask = given["encoder_hidden_states_mask"]
    return softmax_of(*both, None if mask is None else torch.cat([mask, torch.ones(hidden.shape[:2]).bool()], 1))


QWEN_CUT = 34
"""Tokens of Qwen-Image's template that come before the prompt."""


def behind_the_longest(model, positions, prompts):
    template = model.pipe.prompt_template_encode
    text = max(len(model.pipe.tokenizer(template.format(prompt)).input_ids) for prompt in prompts) - QWEN_CUT
    return slice(text, text + positions), slice(0, text)


def plain(guidance, negative):
    own = guided(guidance, negative)
    return {"true_cfg_scale": own.pop("guidance_scale"), **own}


BOOK = Book(save_qwen_image, double, behind_the_longest, calls=2, plain=plain, level=0.1, padded=False)
