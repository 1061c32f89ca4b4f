"""FLUX.2 klein: FLUX.2's network, smaller, with text that Qwen3 reads without thinking, and padding after the text. Its
base models predict in two calls, always against the empty prompt; the others are distilled to draw without guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .flux2 import FLUX2, Flux2
from .readers import qwen_chat


class Klein(Flux2):
    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return guidance_scale > 1 and not pipe.config.is_distilled

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        return {}

    def render(self, pipe: Any, prompt: str) -> str:
        return qwen_chat(pipe.tokenizer, False, prompt)


FLUX2_KLEIN = Klein(
    **vars(FLUX2)
    | {
        "title": "FLUX.2 klein",
        "pipelines": ("Flux2KleinPipeline",),
        "distilled": False,
        "negative": False,
    }
)
