"""FLUX.2 klein: FLUX.2's network, smaller, with text that Qwen3 reads without thinking, and padding after the text. Its
base models predict in two calls, always against the empty prompt; the others are distilled to draw without guidance."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .family import PartConfig, last_part
from .flux2 import FLUX2, Flux2
from .readers import qwen_chat

DISTILLED = re.compile(r"klein-\d+b", re.IGNORECASE)
"""Matches names of the distilled models, such as FLUX.2-klein-4B; the others are called like FLUX.2-klein-base-4B."""


class Klein(Flux2):
    def unguided(self, config: PartConfig, name: str) -> bool:
        return DISTILLED.search(last_part(name)) is not None or super().unguided(config, name)

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
