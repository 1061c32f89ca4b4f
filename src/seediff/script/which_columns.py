"""Which columns of the text a word has: the columns of its tokens, as each tokenizer of the pipeline reads the
prompt."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..models.families.family import Family
from ..models.families.readers import Reader
from ..prompts.captions import content_words
from ..prompts.tokens import find_columns, find_weight, is_divided
from .encodings import ENCODE, INSTRUCTION, NamedText
from .heatmap import Phrase, phrase_name
from .run import ReadText
from .which_rows import Texts

TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "processor")
NAME_TOKENIZER = "name one, capture(pipe, prompt='…', tokenizer=…), or name columns"


class TextColumns:
    """Finds the columns of words. named: what the script says of the text."""

    def __init__(self, pipe: Any, family: Family, named: NamedText) -> None:
        self._pipe, self._family, self._named = pipe, family, named

    def find(self, text: ReadText, phrases: Sequence[Phrase]) -> dict[str, tuple[int, ...]]:
        """Phrase → its columns. A phrase without columns has an empty tuple, and `refusal` says why. Where phrases
        contain each other, the longer one has the words."""
        columns: dict[str, set[int]] = {}
        for phrase in phrases:
            name = phrase_name(phrase)
            columns[name] = set()
            if not isinstance(phrase, str) and {*phrase} <= {*range(text.columns)}:
                columns[name] = {*phrase}
        named = [phrase for phrase in phrases if isinstance(phrase, str)]
        if named and self._why_unknown(text) is None:
            chunks = self._chunks(text)
            for reader in self._readers:
                fitted, read = self._fitted(reader, text), self._read(reader, text.texts)
                for phrase, found in find_columns(fitted, read, named, chunks).items():
                    columns[phrase] |= {column for column in found if column < text.columns - reader.tail}
        return {name: tuple(sorted(found)) for name, found in columns.items()}

    def words(self, text: ReadText) -> tuple[str, ...]:
        """The words of a prompt that may name something and have columns."""
        found = self.find(text, content_words(text.prompt))
        return tuple(word for word, columns in found.items() if columns)

    def refusal(self, text: ReadText, phrase: Phrase) -> UserError:
        """The error that says why a phrase has no columns."""
        if not text.columns:
            return UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            return UserError(f"columns {tuple(phrase)} must be from 0 to {text.columns - 1}, those of the text")
        why = self._why_unknown(text)
        if why is None and self.find(text, [phrase])[phrase]:
            problem = f"is in the prompt '{text.prompt}' only as part of a longer phrase that you also asked for"
            why = problem, "ask for it alone"
        if why is None:
            read = [self._read(reader, text.texts) for reader, _ in self._with_columns]
            prompts = "' or '".join(dict.fromkeys(read))
            words = [word for word, found in self.find(text, content_words(" ".join(read))).items() if found]
            problem = f"is not in the prompt '{prompts}', as far as the model reads it"
            why = problem, f"its words: {', '.join(words)}"
        return UserError(f"'{phrase}'", *why)

    def _why_unknown(self, text: ReadText) -> tuple[str, str] | None:
        """(problem, fix): why the columns of a text's words are unknown, and what to do. None: they are known."""
        if not text.texts:
            fix = "name it, capture(pipe, prompt='…')" if self._readers else NAME_TOKENIZER
            return "the pipeline was given no prompt, only embeddings", fix
        if not self._readers:
            return "only the tokenizer knows its columns", NAME_TOKENIZER
        missing = [reader.name for reader, _ in self._with_columns if reader.tokenizer is None]
        if missing:
            return f"only {missing[0]} knows its columns, and the pipeline has none", NAME_TOKENIZER
        usual = inspect.signature(type(self._pipe).__call__).parameters.get(INSTRUCTION)
        instruction = text.texts.get(INSTRUCTION)
        if instruction is not None and usual is not None and instruction != "\n".join(usual.default or ()):
            return f"words can be located only with the pipeline's own {INSTRUCTION}", "leave it out, or name columns"
        weight = self._weight(text.texts)
        if weight:
            return f"the prompt has a weight ('{weight}'), so its words cannot be found", "name columns"
        if not self._chunks(text):
            divided = f"the prompt '{text.prompt}' does not say where they divide"
            problem = f"the network was given {text.columns} columns, and {divided}"
            return problem, "write BREAK between its chunks, capture(pipe, prompt='… BREAK …'), or name columns"
        return None

    def _chunks(self, text: ReadText) -> int:
        """The number of chunks in which a text was encoded, each to as many columns as a tokenizer reads; 0: it is
        unknown. A UNet whose tokenizer reads 77 tokens:

            77 columns                     1
            154 columns, "… BREAK …"       2, if each part fits into 77 tokens
            154 columns, another prompt    0
        """
        if self._is_transformer and text.prompt not in self._named.prompts:
            return 1  # its pipeline divides no text, but may be told to read a longer one
        readers = self._with_columns
        columns = max((first + reader.limit for reader, first in readers), default=text.columns)
        if self._is_transformer:
            columns = max(columns, self._family.text_columns)  # SD3 without T5 has columns that no tokenizer reads
        if text.columns <= columns:
            return 1
        chunks, rest = divmod(text.columns, columns)
        plain = not rest and all(first == 0 and reader.wrap is None for reader, first in readers)
        divided = plain and all(is_divided(reader, self._read(reader, text.texts), chunks) for reader, _ in readers)
        return chunks if divided else 0

    def _fitted(self, reader: Reader, text: ReadText) -> Reader:
        """A reader with the limit that it had in this run: a transformer's last tokenizer read as many tokens as there
        were columns for it. Where padding comes before a text, the text ends with the last column.

            FLUX, 256 columns    T5: 256, although it may read 512
            SD3, 77 + 128        CLIP: 77, its own limit; T5: 128, because its columns begin at 77
        """
        if not self._is_transformer or reader.first is None or not text.width:
            return reader
        last = max(first for _, first in self._with_columns)
        columns = text.width - reader.first
        limit = columns if reader.first == last else min(reader.limit, columns)
        return replace(reader, limit=limit, end=None if reader.end is None else text.columns)

    @property
    def _is_transformer(self) -> bool:
        return self._family.network_part != "unet"

    def _weight(self, texts: Texts) -> str | None:
        """A weight in a prompt; None: there is none, or the pipeline reads it as diffusers' pipelines do."""
        kind = type(self._pipe)
        encode = next((getattr(kind, name) for name in ENCODE if hasattr(kind, name)), None)
        if encode is None or encode.__module__.startswith("diffusers."):
            return None
        return find_weight(texts["prompt"])

    def _tokenizers(self) -> list[str]:
        """The names of the pipeline's tokenizers."""
        return [name for name in TOKENIZERS if getattr(self._pipe, name, None) is not None]

    @property
    def _readers(self) -> Sequence[Reader]:
        """The pipeline's readers; none for a network alone, unless the script named its tokenizer."""
        if self._named.readers is not None:
            return self._named.readers
        return self._family.readers(self._pipe) if self._tokenizers() else ()

    @property
    def _with_columns(self) -> list[tuple[Reader, int]]:
        """(reader, first): the readers whose tokens have columns, and the first column of each."""
        return [(reader, reader.first) for reader in self._readers if reader.first is not None]

    def _read(self, reader: Reader, texts: Texts) -> str:
        """The text that a tokenizer read: the second one read `prompt_2` if the call had it, the third one
        `prompt_3`."""
        numbers = {name: number for number, name in enumerate(self._tokenizers(), 1)}
        return texts.get(f"prompt_{numbers.get(reader.name)}") or texts["prompt"]
