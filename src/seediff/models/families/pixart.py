"""PixArt-α and -Σ: a transformer with self-attention, and cross-attention to T5's text, at one level. Padding of the
text is masked.
"""

from __future__ import annotations

from typing import Any

from .family import Family
from .inputs import Reader, class_names, stripped

ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"
T5_TOKENS = {ALPHA: 120, SIGMA: 300}
"""Pipeline class → the maximum number of tokens that it and its subclasses read by default."""


class PixArt(Family):
    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        tokens = min(T5_TOKENS.get(name, self.text_columns) for name in class_names(pipe))
        return (Reader("tokenizer", pipe.tokenizer, tokens, wrap=stripped, convert=str.lower),)


PIXART = PixArt(
    title="PixArt-α and -Σ",
    pipelines=(ALPHA, SIGMA),
    class_name="PixArtTransformer2DModel",
    text_columns=max(T5_TOKENS.values()),
    pipeline_multiple=8,
)
