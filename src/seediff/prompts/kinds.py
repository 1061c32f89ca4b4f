"""Classifies a prompt's tokens: which text columns belong to words with a meaning, and which do not.

Methods that compare a word's attention with that of the other words need this: start and end tokens and padding draw most of the attention.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from ..models.families.base import Reader
from .captions import FUNCTION_WORDS
from .tokens import token_columns

TokenKind = Literal["content", "stop word", "punctuation", "start", "end", "template", "padding"]
ORDER: tuple[TokenKind, ...] = get_args(TokenKind)
WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


def token_kinds(readers: Sequence[Reader], prompt: str, columns: int) -> tuple[TokenKind, ...]:
    """The kind of each of `columns` text columns of a prompt, from every tokenizer whose tokens have columns.

    content: part of a word that may name something; stop word: part of a word that names nothing visible (`FUNCTION_WORDS`); punctuation:
    part of no word. start, end: special tokens before and after the prompt's tokens. template: part of the text around a prompt (chat
    templates). padding: all others. Where two tokenizers share columns, as CLIP's two do, the kind that comes first in `ORDER` wins. Raises
    UserError if the prompt is too long for a tokenizer, and if a tokenizer gives no character offsets.
    """
    kinds = _by_column(readers, prompt)
    return tuple(kinds.get(column, "padding") for column in range(columns))


def content_columns(readers: Sequence[Reader], prompt: str) -> tuple[int, ...]:
    """The columns of `token_kinds` that are content, ascending."""
    return tuple(sorted(column for column, kind in _by_column(readers, prompt).items() if kind == "content"))


def _by_column(readers: Sequence[Reader], prompt: str) -> dict[int, TokenKind]:
    """The kind of each column that has a token."""
    kinds: dict[int, TokenKind] = {}
    for reader in readers:
        if reader.first is None:
            continue
        text, first, spans = token_columns(reader, prompt)
        for number, kind in enumerate(_kinds(text, spans)):
            there: TokenKind = kinds.get(first + number, kind)
            kinds[first + number] = kind if ORDER.index(kind) < ORDER.index(there) else there
    return kinds


def _kinds(text: str, spans: Sequence[tuple[int, int]]) -> list[TokenKind]:
    """Kinds of tokens by their character spans in the prompt: empty for special tokens, outside the prompt for a template's."""
    words = [(match.start(), match.end(), match[0].lower()) for match in WORD.finditer(text)]
    own = [number for number, (start, end) in enumerate(spans) if start < end and start < len(text) and end > 0]
    kinds: list[TokenKind] = []
    for number, (start, end) in enumerate(spans):
        touched = [word for first, last, word in words if start < last and end > first]
        if own and own[0] <= number <= own[-1]:
            meant = any(word not in FUNCTION_WORDS for word in touched)
            kinds.append("content" if meant else "stop word" if touched else "punctuation")
        elif start != end:
            kinds.append("template")
        else:
            kinds.append("end" if number > (own[-1] if own else len(spans) - 2) else "start")  # without a prompt, the last is the end
    return kinds
