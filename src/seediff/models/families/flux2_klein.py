"""FLUX.2 klein: FLUX.2's network, smaller, with text that Qwen3 reads without thinking, and padding after the text. Its
base models predict in two calls, always against the empty prompt; the others are distilled to draw without guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .flux2 import FLUX2, TEXT_TOKENS, Flux2
from .readers import qwen_chat


class Klein(Flux2):
    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return guidance_scale > 1 and not pipe.config.is_distilled

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        return {}

    def render(self, pipe: Any, prompt: str) -> str:
        return qwen_chat(pipe.tokenizer, False, prompt)


FLUX2_KLEIN = Klein(
    title="FLUX.2 klein",
    pipelines=("Flux2KleinPipeline",),
    class_name=FLUX2.class_name,
    where_prompt="first call",
    negative=False,
    streams=FLUX2.streams,
    text_columns=TEXT_TOKENS,
    side=1024,
    steps=50,
    guidance_scale=4.0,
)
