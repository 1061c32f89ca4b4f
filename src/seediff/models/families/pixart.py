"""PixArt-α and -Σ: a transformer with self-attention, and cross-attention to T5's text, at one level. Padding of the
text is masked.
"""

from __future__ import annotations

from typing import Any

from .family import Family
from .inputs import Reader, stripped

ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"
T5_TOKENS = {ALPHA: 120, SIGMA: 300}
"""Pipeline class → the maximum number of tokens that it and its subclasses read by default. Other classes read the
larger number."""


class PixArt(Family):
    def most_text_columns(self, pipeline: str) -> int:
        return T5_TOKENS.get(pipeline, max(T5_TOKENS.values()))

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        tokens = min(self.most_text_columns(kind.__name__) for kind in type(pipe).__mro__)
        return (Reader("tokenizer", pipe.tokenizer, tokens, wrap=stripped, convert=str.lower),)


PIXART = PixArt(
    title="PixArt-α and -Σ",
    pipelines=(ALPHA, SIGMA),
    class_name="PixArtTransformer2DModel",
    pipeline_multiple=8,
)
