"""Qwen-Image 2.1: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import json
from functools import partial
from weakref import WeakKeyDictionary

import torch
from builders.eager import Book, heads, rotated, softmax_of
from builders.reference_attentions.qwen_image import plain
from builders.twins import WIDTH, flow_scheduler, qwen3_vl, qwen_tokenizer, sharpen


def save_qwen_image_21(folder, *, sigmas=None):
    """Qwen-Image 2.1: two blocks of one stream; at 64 pixels, 4² positions. Its parts are saved one by one, because
    transformers cannot make the processor without torchvision.
    """
    from diffusers import AutoencoderKLQwenImage21, QwenImage21Transformer2DModel
    from transformers import Qwen3VLForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = QwenImage21Transformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    for name, weight in transformer.named_parameters():  # zeros by default
        if "norm" in name and "attn" not in name:
            torch.nn.init.normal_(weight, std=0.3)
    vae = AutoencoderKLQwenImage21(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 2, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, False, False, False],
        latents_mean=[-0.7, 0.1, 0.4, 1.5],
        latents_std=[2.8, 1.4, 2.3, 1.2],
    )
    parts = {
        "scheduler": flow_scheduler(shift=1.0, use_dynamic_shifting=True),
        "vae": vae,
        "text_encoder": Qwen3VLForConditionalGeneration(qwen3_vl(tokenizer)),
        "processor": tokenizer,
        "transformer": sharpen(transformer),
    }
    index = {"_class_name": "QwenImage21Pipeline", "sample_sigmas": sigmas}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
    index["processor"] = ["transformers", "Qwen3VLProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


KEYS = WeakKeyDictionary()
"""The model's own place for a layer's keys of the text → these, computed here in the first call of a picture."""


def single(attention, hidden, given):
    """QwenImage21AttnProcessor by hand: a row of the picture attends to all of the text and of the picture. Rows of the
    text, which see less, are left out as zeros, in later calls as in the first.
    """
    turn, both = given["rotary_emb"], []
    for which in ("q", "k"):
        states = getattr(attention, f"norm_{which}")(heads(getattr(attention, f"to_{which}")(hidden), attention.heads))
        both.append(rotated(states, turn))
    query, key = both
    kept, mask = given["layer_cache"], given["key_valid"]
    if given["kv_cache_mode"] == "cached":
        key, mask = torch.cat([KEYS[kept], key], 2), given["attention_mask"]
        mask = None if mask is None else mask[:, 0, 0]
    elif kept is not None:
        KEYS[kept] = key[:, :, given["cache_write_slice"]]
    text = key.shape[2] - query.shape[2]
    if not text:
        text = given["segments"][-1][1]
        query = query[:, :, text:]
    rows = softmax_of(query, key, mask)
    return torch.cat([rows.new_zeros(*rows.shape[:2], text, rows.shape[3]), rows], 2)


def behind_the_longest(model, positions, prompts):
    pipe = model.pipe
    read = [pipe.processor.tokenizer(pipe.prompt_template_t2i.format(prompt)).input_ids for prompt in prompts]
    start = pipe.processor.tokenizer(pipe.prompt_template_t2i.partition("<|im_start|>user")[0]).input_ids
    text = max(map(len, read)) - len(start)
    return slice(text, text + positions), slice(0, text)


BOOK = Book(
    save_qwen_image_21,
    single,
    behind_the_longest,
    calls=2,
    plain=plain,
    variants={"qwen-image-2.1-sigmas": partial(save_qwen_image_21, sigmas=[1.0, 0.4])},
    level=0.1,
    padded=False,
    alone=False,  # its positions begin behind the longest prompt
)
