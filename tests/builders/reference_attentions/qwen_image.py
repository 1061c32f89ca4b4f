"""Qwen-Image: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import torch
from builders.eager import Book, guided, softmax_of
from builders.twins import WIDTH, flow_scheduler, qwen_tokenizer, sharpen, vae_of_qwen_image


def save_qwen_image(folder):
    """Qwen-Image: two blocks of two streams; at 64 pixels, 16² positions."""
    from diffusers import QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": WIDTH,
                "intermediate_size": WIDTH,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
            },
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": WIDTH,
            },
            **{f"{name}_token_id": 0 for name in ("image", "video", "vision_start", "vision_end")},
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
    QwenImagePipeline(
        scheduler=flow_scheduler(shift=1.0, use_dynamic_shifting=True),
        vae=vae_of_qwen_image(1),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    ).save_pretrained(folder)
    return folder


def double(attention, hidden, given):
    """QwenDoubleStreamAttnProcessor2_0 by hand: each stream is rotated separately."""
    text = given["encoder_hidden_states"]
    both = []
    for which in ("q", "k"):
        own = [
            (
                getattr(attention, f"add_{which}_proj")(text),
                getattr(attention, f"norm_added_{which}"),
                given["image_rotary_emb"][1],
            ),
            (
                getattr(attention, f"to_{which}")(hidden),
                getattr(attention, f"norm_{which}"),
                given["image_rotary_emb"][0],
            ),
        ]
        turned = []
        for states, norm, turn in own:
            split = norm(states.unflatten(2, (attention.heads, -1))).transpose(1, 2)
            pairs = torch.view_as_complex(split.unflatten(3, (-1, 2)).contiguous())
            turned.append(torch.view_as_real(pairs * turn).flatten(3))
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
