"""`TextProcessor`: what a pipeline asks of a processor of transformers' for text alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import ProcessorMixin


class TextProcessor(ProcessorMixin):
    """Stands for transformers' Qwen3VLProcessor, which is only made where torchvision is installed. That is for pictures,
    and none are read here. Texts get the same tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def apply_chat_template(self, conversation: Sequence[Any], *args: Any, **options: Any) -> list[Any]:
        return [self.tokenizer.apply_chat_template(conversation, *args, **options)]

    def __call__(self, *, text: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(text, **options)
