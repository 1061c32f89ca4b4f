"""Tokenizer and text encoder of the embedded model: every word of the world is one token, and no word sees another.

A text encoder that mixes words puts the whole caption into its last tokens, and then no image position needs to attend
to the class word. Without layers, only the class word knows the class.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from seediff.mini.scenes import CLASSES

from .art import sprite_table
from .sets import PLACES, caption

MAX_TOKENS = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-pair encoding over the world's words; any other text still encodes, in several tokens per word."""
    names = (*CLASSES, *(s.phrase for s in sprite_table() if s.phrase))
    sentences = [caption((name, name), place, mirrored=True) for name in names for place in (*PLACES, None)]
    words = sorted(set(re.findall(r"[a-z]+", " ".join(sentences))))
    merges = learn_merges(words)
    alphabet = sorted(ByteLevel.alphabet())
    tokens = alphabet + [a + "</w>" for a in alphabet]
    tokens += [t for t in dict.fromkeys(a + b for a, b in merges) if t not in set(tokens)]
    vocabulary = {t: i for i, t in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)  # type: ignore[arg-type]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one token.

    The tokenizers library's trainer breaks ties differently from run to run, but token ids must not change between two
    runs of one training. Here, ties go to the first pair in alphabetical order.
    """
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while pairs := Counter(pair for word in pieces for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_merged(word, best) for word in pieces]
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def build_text_encoder(width: int, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIPTextModel with no transformer layers: (B, 32) token ids → (B, 32, width)."""
    vocabulary = tokenizer.get_vocab()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=0,
        num_attention_heads=1,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    return CLIPTextModel(config)
