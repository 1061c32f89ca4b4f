"""Tokenizer and text encoder of the embedded model: every word of the world is one token, and no word sees another.

A text encoder that mixes words puts the whole caption into its last tokens, and then no image position needs to attend
to the class word. Without layers, only the class word knows the class.
"""

from __future__ import annotations

from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from seediff.models.short_names import EMBEDDED


def build_tokenizer() -> CLIPTokenizer:
    """`mini`'s own, byte-pair encoding with a merge for every word of the world; any other text still encodes, in
    several tokens per word. New weights need the same token ids.
    """
    return CLIPTokenizer.from_pretrained(EMBEDDED["mini"] / "tokenizer")


def build_text_encoder(width: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIPTextModel with no transformer layers: (B, 32) token ids → (B, 32, width)."""
    special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=0,
        num_attention_heads=1,
        max_position_embeddings=tokenizer.model_max_length,
        **special,
    )
    return CLIPTextModel(config)
