"""`TextColumns`: which columns of the text a word has.

A column is the place of one token in the text that the network reads, and in the maps of attention to it. A word has
the columns of its tokens, as the pipeline's tokenizers (`Reader`) read the prompt. For example, a start token and then
one token for each word give "a photo of a dog" the columns 0 to 5, and "dog" the column 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from ..errors import UserError
from ..models.families.family import Family
from ..models.families.readers import Reader
from ..prompts.captions import content_words
from ..prompts.tokens import find_columns, find_weight, is_divided
from .encodings import NamedText
from .heatmap import Phrase, phrase_name
from .run import ReadText

TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "processor")
"""Pipelines' names for their tokenizers. The first tokenizer reads `prompt`, the second `prompt_2`, and so on."""
NAME_TOKENIZER = "name one, capture(pipe, prompt='…', tokenizer=…), or name columns"


class PromptReader(NamedTuple):
    """A tokenizer whose tokens have columns, and the prompt that it reads."""

    reader: Reader
    first: int
    """The column of its first token, as in `Reader`."""
    prompt: str


@dataclass(frozen=True)
class TextColumns:
    """Finds the columns of words in the maps of attention to one text."""

    pipe: Any
    """The pipeline, or a network alone."""
    family: Family
    named: NamedText
    """What the script says about the text."""
    text: ReadText
    """The text, as the network read it."""
    columns: int
    """The number of text columns in the maps."""

    @cached_property
    def _readers(self) -> list[PromptReader]:
        """The tokenizers whose tokens have columns in the maps. If the script captures a network without its pipeline,
        only the tokenizers that the script named are known, perhaps none."""
        pipe, texts = self.pipe, self.text.texts
        tokenizers = [name for name in TOKENIZERS if getattr(pipe, name, None) is not None]
        readers = self.named.readers or ()
        if self.named.readers is None and tokenizers:
            readers = self.family.readers(pipe)
        own = {name: texts.get(f"prompt_{number}") for number, name in enumerate(tokenizers, 1)}
        return [
            PromptReader(reader, reader.first, own.get(reader.name) or self.text.prompt)
            for reader in readers
            if reader.first is not None
        ]

    def find(self, phrases: Sequence[Phrase]) -> dict[str, tuple[int, ...]]:
        """Phrase → its columns. A phrase without columns has an empty tuple, and `refusal` says why. If phrases contain
        each other, such as "hot dog" and "dog", the longer one has the shared words."""
        columns: dict[str, set[int]] = {}
        for phrase in phrases:
            name = phrase_name(phrase)
            columns[name] = set()
            if not isinstance(phrase, str) and {*phrase} <= {*range(self.columns)}:
                columns[name] = {*phrase}
        words = [phrase for phrase in phrases if isinstance(phrase, str)]
        if words and self._why_unknown is None:
            for each in self._readers:
                reader = self._as_in_run(each)
                end = self.columns - reader.tail
                for phrase, found in find_columns(reader, each.prompt, words, self._chunks, end).items():
                    columns[phrase] |= found
        return {name: tuple(sorted(found)) for name, found in columns.items()}

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the prompt that may name something and have columns."""
        return self._with_columns(self.text.prompt)

    def refusal(self, phrase: Phrase) -> UserError:
        """The error that says why a phrase has no columns."""
        if not self.columns:
            return UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            return UserError(f"columns {tuple(phrase)} must be from 0 to {self.columns - 1}, those of the text")
        why = self._why_unknown
        if why is None and self.find([phrase])[phrase]:
            problem = f"is in the prompt '{self.text.prompt}' only as part of a longer phrase that you also asked for"
            why = problem, "ask for it alone"
        if why is None:
            prompts = list(dict.fromkeys(each.prompt for each in self._readers))
            either, words = "' or '".join(prompts), self._with_columns(" ".join(prompts))
            why = f"is not in the prompt '{either}', as far as the model reads it", f"its words: {', '.join(words)}"
        return UserError(f"'{phrase}'", *why)

    def _with_columns(self, prompt: str) -> tuple[str, ...]:
        """The content words of a prompt that have columns."""
        return tuple(word for word, columns in self.find(content_words(prompt)).items() if columns)

    @cached_property
    def _why_unknown(self) -> tuple[str, str] | None:
        """(problem, fix): why the columns of the text's words are unknown, and what to do; None if they are known."""
        if not self.text.texts:
            fix = "name it, capture(pipe, prompt='…')" if self._readers else NAME_TOKENIZER
            return "the pipeline was given no prompt, only embeddings", fix
        if not self._readers or any(each.reader.tokenizer is None for each in self._readers):
            return "only the tokenizer knows its columns", NAME_TOKENIZER
        encode = getattr(type(self.pipe), "encode_prompt", None)
        if encode is not None and not encode.__module__.startswith("diffusers."):  # it may read weights
            weight = find_weight(self.text.prompt)
            if weight:
                return f"the prompt has a weight ('{weight}'), so its words cannot be found", "name columns"
        if not self._chunks:
            divided = f"the prompt '{self.text.prompt}' does not say where they divide"
            problem = f"the network was given {self.columns} columns, and {divided}"
            return problem, "write BREAK between its chunks, capture(pipe, prompt='… BREAK …'), or name columns"
        return None

    # Long texts, and texts of another length than the tokenizer's usual one. Example: SD3 was given 77 + 128 columns.
    #
    #     _longest_chunk    205: a transformer's pipeline encodes the whole text as one chunk
    #     _chunks           1: all columns fit into it
    #     _as_in_run        CLIP read 77 tokens, its own limit. T5, whose columns begin at 77, read the remaining 128

    @cached_property
    def _chunks(self) -> int:
        """The number of chunks in which the text was encoded; 0 if it is unknown. If there are several chunks, each has
        as many columns as every tokenizer reads. For example, a UNet whose tokenizer reads 77 tokens:

            77 columns                     1
            154 columns, "… BREAK …"       2, if each part fits into 77 tokens
            154 columns, another prompt    0
        """
        longest = self._longest_chunk()
        if self.columns <= longest:
            return 1
        chunks, rest = divmod(self.columns, longest)
        if rest:
            return 0
        for reader, first, prompt in self._readers:
            if (first, reader.limit, reader.wrap) != (0, longest, None) or not is_divided(reader, prompt, chunks):
                return 0
        return chunks

    def _longest_chunk(self) -> int:
        """The maximum number of columns of a text that was encoded as one chunk:

            a UNet                               77, or whatever its tokenizers read
            a transformer                        all columns that there are
            a transformer whose prompt           whatever its tokenizers read, and at least `Family.text_columns`
            was named by the script

        A transformer's pipeline divides no text, but a call may let it read more than usual (max_sequence_length).
        Embeddings, whose prompt the script names, may have been divided by another program.
        """
        most_read = max((each.first + each.reader.limit for each in self._readers), default=self.columns)
        if self.family.network_part == "unet":
            return most_read
        if self.text.prompt not in self.named.prompts:
            return self.columns
        return max(most_read, self.family.text_columns)  # SD3 without T5 has columns that no tokenizer reads

    def _as_in_run(self, each: PromptReader) -> Reader:
        """The tokenizer with the limit that it had in this run. In a transformer, the last tokenizer read one token for
        each column from its first column on:

            FLUX, 256 columns    T5: 256, although it may read 512
            SD3, 77 + 128        CLIP: 77, its own limit. T5: 128, because its columns begin at 77

        If padding comes before the text, the text ends at the last column.
        """
        reader, first, _ = each
        if self.family.network_part == "unet" or self._chunks > 1:
            return reader
        limit = self.text.state_columns - first
        is_last = first == max(other.first for other in self._readers)
        if not is_last:
            limit = min(reader.limit, limit)
        return replace(reader, limit=limit, end=None if reader.end is None else self.columns)
