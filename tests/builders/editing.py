"""Twins of Qwen-Image's pipelines that edit, whose text encoder reads the shown pictures, too."""

import importlib
from copy import deepcopy
from functools import wraps
from unittest import mock

import torch
from transformers import BatchFeature

MARKS = ("<|image_pad|>", "<|vision_start|>", "<|vision_end|>")
TOKENS = 4
"""The number of tokens of a picture."""


class Processor:
    """Stands in for transformers' processors of texts with pictures, which need torchvision: a picture has TOKENS
    tokens."""

    def __init__(self, tokenizer, patch):
        self.tokenizer, self.patch = tokenizer, patch

    def apply_chat_template(self, *args, **options):
        return [self.tokenizer.apply_chat_template(*args, **options)]

    def __call__(self, text, images=None, padding=True, padding_side="right", return_tensors="pt"):
        images = images if isinstance(images, list | None) else [images]
        repeated = [each.replace(MARKS[0], MARKS[0] * TOKENS) for each in text] if images else text
        read = self.tokenizer(repeated, padding=padding, padding_side=padding_side, return_tensors=return_tensors)
        if images:
            assert sum(each.count(MARKS[0]) for each in text) == len(images)
            pixels = [torch.full((4 * TOKENS, 6 * self.patch**2), (number + 1) / 9) for number in range(len(images))]
            read["pixel_values"] = torch.cat(pixels)
            read["image_grid_thw"] = torch.tensor([[1, 4, TOKENS]] * len(images))
            read["mm_token_type_ids"] = (read["input_ids"] == self.tokenizer.convert_tokens_to_ids(MARKS[0])).int()
        return BatchFeature(dict(read))


def editing(name, pipe):
    """A pipeline of this class, from the parts of Qwen-Image's or Qwen-Image 2.1's twin. Pictures that it would show
    with 1024² pixels have 48 × 64."""
    import diffusers

    # 1. A tokenizer that knows the marks, and a text encoder with as many tokens
    torch.manual_seed(1)
    kind = getattr(diffusers, name.partition(",")[0])
    parts = dict(pipe.components)
    tokenizer = deepcopy(getattr(parts.get("processor"), "tokenizer", None) or parts["tokenizer"])
    tokenizer.add_special_tokens({"additional_special_tokens": [*MARKS]}, replace_extra_special_tokens=False)
    encoder = deepcopy(parts["text_encoder"])
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for mark, of in zip(MARKS, ("image", "vision_start", "vision_end"), strict=True):
        setattr(encoder.config, f"{of}_token_id", tokenizer.convert_tokens_to_ids(mark))
    processor = Processor(tokenizer, encoder.config.vision_config.patch_size)
    parts |= {"text_encoder": encoder, "processor": processor, "tokenizer": tokenizer}
    if "21" in name:
        return kind(**{part: each for part, each in parts.items() if part != "tokenizer"})

    # 2. Sizes that a test has time for
    module = importlib.import_module(kind.__module__)
    sides = (64, 48) if "Plus" in name else (64, 48, None)

    class Small(kind):
        @wraps(kind.__call__)
        def __call__(self, *args, **options):
            with mock.patch.object(module, "calculate_dimensions", return_value=sides):
                return super().__call__(*args, **options)

    made = Small(**parts)
    template = made.prompt_template_encode
    made.prompt_template_encode_start_idx = len(tokenizer(template.partition("<|im_start|>user")[0]).input_ids)
    return made
