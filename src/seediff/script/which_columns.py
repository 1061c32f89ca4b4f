"""Which columns of the text a word has: the columns of its tokens, as each tokenizer of the pipeline reads the
prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from ..errors import UserError
from ..models.families.family import Family
from ..models.families.readers import Reader
from ..prompts.captions import content_words
from ..prompts.tokens import find_columns, find_weight, is_divided
from .encodings import NamedText
from .heatmap import Phrase, phrase_name
from .run import ReadText

TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "processor")
"""Pipelines' names for their tokenizers, in the order of their prompts."""
NAME_TOKENIZER = "name one, capture(pipe, prompt='…', tokenizer=…), or name columns"


class TextColumns:
    """Finds the columns of words in one text. pipe: the pipeline, or a network alone. named: what the script says of
    the text. text: the text as the network was given it."""

    def __init__(self, pipe: Any, family: Family, named: NamedText, text: ReadText) -> None:
        self._pipe, self._family, self._named, self._text = pipe, family, named, text
        self._is_transformer = family.network_part != "unet"
        tokenizers = [name for name in TOKENIZERS if getattr(pipe, name, None) is not None]
        readers = named.readers or ()
        if named.readers is None and tokenizers:
            readers = family.readers(pipe)
        self._reads: list[tuple[Reader, int, str]] = []
        """(reader, first, prompt): each tokenizer whose tokens have columns, the first of these columns, and the prompt
        that it reads: the second tokenizer reads `prompt_2` if the call had it, the third one `prompt_3`. Empty for a
        network alone, unless the script named its tokenizer."""
        own = {name: text.texts.get(f"prompt_{number}") for number, name in enumerate(tokenizers, 1)}
        for reader in readers:
            if reader.first is not None:
                self._reads.append((reader, reader.first, own.get(reader.name) or text.prompt))

    def find(self, phrases: Sequence[Phrase]) -> dict[str, tuple[int, ...]]:
        """Phrase → its columns. A phrase without columns has an empty tuple, and `refusal` says why. Of phrases that
        contain each other, the longer one has the words."""
        columns: dict[str, set[int]] = {}
        for phrase in phrases:
            name = phrase_name(phrase)
            columns[name] = set()
            if not isinstance(phrase, str) and {*phrase} <= {*range(self._text.columns)}:
                columns[name] = {*phrase}
        words = [phrase for phrase in phrases if isinstance(phrase, str)]
        if words and self._why_unknown is None:
            for reader, first, prompt in self._reads:
                stop = self._text.columns - reader.tail
                for phrase, found in find_columns(self._fit(reader, first), prompt, words, self._chunks).items():
                    columns[phrase] |= {column for column in found if column < stop}
        return {name: tuple(sorted(found)) for name, found in columns.items()}

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the prompt that may name something and have columns."""
        return self._with_columns(self._text.prompt)

    def refusal(self, phrase: Phrase) -> UserError:
        """The error that says why a phrase has no columns."""
        text = self._text
        if not text.columns:
            return UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            return UserError(f"columns {tuple(phrase)} must be from 0 to {text.columns - 1}, those of the text")
        why = self._why_unknown
        if why is None and self.find([phrase])[phrase]:
            problem = f"is in the prompt '{text.prompt}' only as part of a longer phrase that you also asked for"
            why = problem, "ask for it alone"
        if why is None:
            prompts = list(dict.fromkeys(prompt for *_, prompt in self._reads))
            either, words = "' or '".join(prompts), self._with_columns(" ".join(prompts))
            why = f"is not in the prompt '{either}', as far as the model reads it", f"its words: {', '.join(words)}"
        return UserError(f"'{phrase}'", *why)

    def _with_columns(self, prompt: str) -> tuple[str, ...]:
        """The content words of a prompt that have columns."""
        return tuple(word for word, columns in self.find(content_words(prompt)).items() if columns)

    @cached_property
    def _why_unknown(self) -> tuple[str, str] | None:
        """(problem, fix): why the columns of the text's words are unknown, and what to do. None: they are known."""
        text = self._text
        if not text.texts:
            fix = "name it, capture(pipe, prompt='…')" if self._reads else NAME_TOKENIZER
            return "the pipeline was given no prompt, only embeddings", fix
        if not self._reads or any(reader.tokenizer is None for reader, *_ in self._reads):
            return "only the tokenizer knows its columns", NAME_TOKENIZER
        weight = self._weight()
        if weight:
            return f"the prompt has a weight ('{weight}'), so its words cannot be found", "name columns"
        if not self._chunks:
            divided = f"the prompt '{text.prompt}' does not say where they divide"
            problem = f"the network was given {text.columns} columns, and {divided}"
            return problem, "write BREAK between its chunks, capture(pipe, prompt='… BREAK …'), or name columns"
        return None

    @cached_property
    def _chunks(self) -> int:
        """The number of chunks in which the text was encoded, each to as many columns as a tokenizer reads; 0: it is
        unknown. A UNet whose tokenizer reads 77 tokens:

            77 columns                     1
            154 columns, "… BREAK …"       2, if each part fits into 77 tokens
            154 columns, another prompt    0
        """
        text = self._text
        if self._is_transformer and text.prompt not in self._named.prompts:
            return 1  # its pipeline divides no text, but may be told to read a longer one
        columns = max((first + reader.limit for reader, first, _ in self._reads), default=text.columns)
        if self._is_transformer:
            columns = max(columns, self._family.text_columns)  # SD3 without T5 has columns that no tokenizer reads
        if text.columns <= columns:
            return 1
        chunks, rest = divmod(text.columns, columns)
        is_plain = not rest and all(first == 0 and reader.wrap is None for reader, first, _ in self._reads)
        return chunks if is_plain and all(is_divided(reader, own, chunks) for reader, _, own in self._reads) else 0

    def _fit(self, reader: Reader, first: int) -> Reader:
        """The reader with the limit that it had in this run: a transformer's last tokenizer read as many tokens as
        there were columns for it. If padding comes before the text, the text ends with the last column.

            FLUX, 256 columns    T5: 256, although it may read 512
            SD3, 77 + 128        CLIP: 77, its own limit; T5: 128, because its columns begin at 77
        """
        if not self._is_transformer or not self._text.width:
            return reader
        limit = self._text.width - first
        if first < max(begin for _, begin, _ in self._reads):
            limit = min(reader.limit, limit)
        return replace(reader, limit=limit, end=None if reader.end is None else self._text.columns)

    def _weight(self) -> str | None:
        """A weight in the prompt; None: there is none, or the pipeline reads it as diffusers' pipelines do."""
        encode = getattr(type(self._pipe), "encode_prompt", None)
        if encode is None or encode.__module__.startswith("diffusers."):
            return None
        return find_weight(self._text.prompt)
