"""`ReadText`: a text as the network read it, and which columns each of its words has.

A column is the place of one token in the text that the network reads, and in the maps of attention to it. A word has
the columns of its tokens, as the pipeline's tokenizers (`Reader`) read the prompt. For example, a start token and then
one token for each word give "a photo of a dog" the columns 0 to 5, and "dog" the column 5.

A text is read when the network is first given it. Later the tokenizers may be others: a script may load a textual
inversion, or delete them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any, NamedTuple

from ..errors import UserError, first_line
from ..models.families.family import Family
from ..models.families.readers import TOKENIZERS, Reader
from ..prompts.captions import content_words
from ..prompts.tokens import BREAK, TokenizedPrompt, find_weight, read
from .encodings import NamedText
from .heatmap import Phrase, phrase_name
from .which_rows import Processed, Texts

NAME_TOKENIZER = "name one, capture(pipe, prompt='…', tokenizer=…), or name columns"


PICTURE = "<|image_pad|>"
"""The mark of a picture in a text; a processor puts several in its place."""


class Chunk(NamedTuple):
    """A part of a text that a tokenizer reads by itself. Most texts are one chunk."""

    reading: TokenizedPrompt
    before: int
    """The number of columns before the chunk."""


@dataclass(frozen=True)
class ReadText:
    """A text of a picture, as the network read it: its prompt, or its negative prompt."""

    texts: Texts
    """Empty if the pipeline was given only embeddings."""
    columns: int
    """The number of columns in the maps of attention to the text."""
    prompts: Sequence[str] = ()
    """Every text whose tokens have columns. FLUX.1's is `prompt_2`, where that is given."""
    chunks: Sequence[Chunk] = ()
    """These texts, as the tokenizers read them."""
    why_unknown: tuple[str, str] | None = None
    """(problem, fix): why the columns of words are unknown, and what to do; None if they are known."""

    @property
    def prompt(self) -> str:
        """The text for the first text encoder; "" if the pipeline was given only embeddings."""
        return self.texts.get("prompt", "")

    @property
    def words(self) -> tuple[str, ...]:
        """The words that may name something and have columns, of every text that has columns."""
        words = dict.fromkeys(chain.from_iterable(map(content_words, self.prompts)))
        return tuple(word for word, columns in self.find([*words]).items() if columns)

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
        if words and self.why_unknown is None:
            for reading, before in self.chunks:
                end = self.columns - reading.reader.tail - before
                for phrase, found in reading.columns(words, end).items():
                    columns[phrase] |= {before + column for column in found}
        return {name: tuple(sorted(found)) for name, found in columns.items()}

    def refusal(self, phrase: Phrase) -> UserError:
        """The error that says why a phrase has no columns."""
        if not self.columns:
            return UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            return UserError(f"columns {tuple(phrase)} must be from 0 to {self.columns - 1}, those of the text")
        why = self.why_unknown
        if why is None and self.find([phrase])[phrase]:
            problem = f"is in the prompt '{self.prompt}' only as part of a longer phrase that you also asked for"
            why = problem, "ask for it alone"
        if why is None:
            either = "' or '".join(self.prompts)
            problem = f"is not in the prompt '{either}', as far as the model reads it"
            why = problem, f"its words: {', '.join(self.words)}"
        return UserError(f"'{phrase}'", *why)


def read_text(pipe: Any, family: Family, named: NamedText, texts: Texts, state_columns: int, columns: int) -> ReadText:
    """A text, read by the tokenizers of now.

    pipe: the pipeline; None for a network alone. named: what the script says about the text. state_columns: the number
    of columns in the text's state, perhaps with padding. columns: the number of columns in the maps.
    """
    # 1. The tokenizers whose tokens have columns, and the prompt that each of them reads
    own = {part: texts.get(f"prompt_{number}") for number, part in enumerate(_tokenizers_of(pipe), 1)}
    try:
        readers = named.readers
        if readers is None:
            readers = family.readers(pipe) if own else ()
        readers = [reader for reader in readers if reader.first is not None]
        why_unknown = _why_unknown(pipe, texts, readers)
        if why_unknown is not None:
            return ReadText(texts, columns, why_unknown=why_unknown)

        # 2. What they read
        longest = _longest_chunk(family, named, texts, readers, columns)
        prompts, chunks = [own.get(reader.name) or texts.get("prompt", "") for reader in readers], list[Chunk]()
        for reader, prompt in zip(readers, prompts, strict=True):
            parts = _divided(reader, prompt, longest, columns)
            if not parts:
                divided = f"the prompt '{prompt}' does not say where they divide"
                problem = f"the network was given {columns} columns, and {divided}"
                fix = "write BREAK between its chunks, capture(pipe, prompt='… BREAK …'), or name columns"
                return ReadText(texts, columns, why_unknown=(problem, fix))
            if len(parts) == 1 and family.network_part != "unet":
                reader = _as_in_run(reader, readers, state_columns, columns)
            chunks += [Chunk(read(reader, part), number * longest) for number, part in enumerate(parts)]
        return ReadText(texts, columns, [*dict.fromkeys(prompts)], chunks)
    except Exception as error:  # a tokenizer, or a pipeline of one's own, may raise anything
        problem = f"the tokenizer cannot read the prompt ({first_line(error)})"
        return ReadText(texts, columns, why_unknown=(problem, "name columns"))


def behind_pictures(text: ReadText, processed: Processed | None, state_columns: int) -> ReadText:
    """A text whose words come behind pictures, which have tokens, too.

    text: as its tokenizer alone reads it. processed: what the processor read; None if that is not known. state_columns:
    as in `read_text`. Columns are counted from the text's end, after the processor's tokens were found to be those of
    the tokenizer, with several for each picture's one.
    """
    if text.why_unknown is not None or not text.chunks:
        return text
    ((reading, _),) = text.chunks
    reader, prompt = reading.reader, reading.text
    problem = "the network is shown pictures, whose tokens come before the prompt's, and the processor's are not known"
    if processed is not None and reader.wrap is not None:
        whole, place = reader.wrap(prompt)
        begin = len(processed.text) - (len(whole) - place)
        own = reader.tokenizer(processed.text).input_ids
        mark = reader.tokenizer.convert_tokens_to_ids(PICTURE)
        once = [token for last, token in pairwise([-1, *processed.tokens]) if token != mark or last != mark]
        if once == own and processed.text[begin:].startswith(prompt):
            reading = read(replace(reader, wrap=lambda _: (processed.text, begin)), prompt)
            before = len(processed.tokens) - len(own) - (state_columns - text.columns)
            return replace(text, chunks=[Chunk(reading, before)])
        problem = "the processor's tokens are not those of the tokenizer"
    return replace(text, chunks=(), why_unknown=(problem, "name columns"))


def _tokenizers_of(pipe: Any) -> list[str]:
    """The pipeline's names for its tokenizers. The first one reads `prompt`, the second `prompt_2`, and so on."""
    return [part for part in TOKENIZERS if getattr(pipe, part, None) is not None]


def _why_unknown(pipe: Any, texts: Texts, readers: Sequence[Reader]) -> tuple[str, str] | None:
    """(problem, fix): why the columns of the text's words are unknown; None if the tokenizers know them."""
    if not texts:
        fix = "name it, capture(pipe, prompt='…')" if readers else NAME_TOKENIZER
        return "the pipeline was given no prompt, only embeddings", fix
    if not readers or any(reader.tokenizer is None for reader in readers):
        return "only the tokenizer knows its columns", NAME_TOKENIZER
    encode = getattr(type(pipe), "encode_prompt", None)
    if encode is not None and not encode.__module__.startswith("diffusers."):  # it may read weights
        weight = find_weight(texts.get("prompt", ""))
        if weight:
            return f"the prompt has a weight ('{weight}'), so its words cannot be found", "name columns"
    return None


# Long texts, and texts of another length than the tokenizer's usual one. Example: SD3 was given 77 + 128 columns.
#
#     _longest_chunk    205: a transformer's pipeline encodes the whole text as one chunk
#     _divided          one part: all columns fit into it
#     _as_in_run        CLIP read 77 tokens, its own limit. T5, whose columns begin at 77, read the remaining 128


def _longest_chunk(family: Family, named: NamedText, texts: Texts, readers: Sequence[Reader], columns: int) -> int:
    """The maximum number of columns of a text that was encoded as one chunk:

        a UNet                               77, or whatever its tokenizers read
        a transformer                        all columns that there are
        a transformer whose prompt           whatever its tokenizers read, and at least `Family.text_columns`
        was named by the script

    A transformer's pipeline divides no text, but a call may let it read more than usual (max_sequence_length).
    Embeddings, whose prompt the script names, may have been divided by another program.
    """
    most_read = max((reader.first or 0) + reader.limit for reader in readers)
    if family.network_part == "unet":
        return most_read
    if texts.get("prompt") not in named.prompts:
        return columns
    return max(most_read, family.text_columns)  # SD3 without T5 has columns that no tokenizer reads


def _divided(reader: Reader, prompt: str, longest: int, columns: int) -> list[str]:
    """The chunks of a prompt, each with as many columns as every tokenizer reads; empty if they are unknown. For
    example, a UNet whose tokenizer reads 77 tokens:

        77 columns                     the prompt, even with the word BREAK
        154 columns, "… BREAK …"       its two parts, if each fits into 77 tokens
        154 columns, another prompt    no parts
    """
    if columns <= longest:
        return [prompt]
    parts = prompt.split(BREAK)
    fills = (reader.first, reader.limit, reader.wrap) == (0, longest, None)
    if not fills or len(parts) * longest != columns or any(read(reader, part).is_too_long for part in parts):
        return []
    return parts


def _as_in_run(reader: Reader, all_readers: Sequence[Reader], state_columns: int, columns: int) -> Reader:
    """A transformer's tokenizer with the limit that it had in this run. The last tokenizer read one token for each
    column from its first column on:

        FLUX, 256 columns    T5: 256, although it may read 512
        SD3, 77 + 128        CLIP: 77, its own limit. T5: 128, because its columns begin at 77

    If padding comes before the text, the text ends at the last column.
    """
    first = reader.first or 0
    limit = state_columns - first
    if first < max(other.first or 0 for other in all_readers):
        limit = min(reader.limit, limit)
    return replace(reader, limit=limit, end=None if reader.end is None else columns)
