"""`TextProcessor`: the part of a transformers processor that a pipeline uses for text alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import ProcessorMixin


class TextProcessor(ProcessorMixin):
    """Replaces transformers' Qwen3VLProcessor, whose part for pictures needs torchvision. Texts get the same tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def apply_chat_template(self, conversation: Sequence[Any], *args: Any, **options: Any) -> list[Any]:
        return [self.tokenizer.apply_chat_template(conversation, *args, **options)]

    def __call__(self, *, text: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(text, **options)
