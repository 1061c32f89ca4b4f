"""`ReadText`: a text as the network read it, and which columns each of its words has.

A column is the place of one token in the text that the network reads, and in the maps of attention to it. A word has
the columns of its tokens, as the pipeline's tokenizers (`Reader`) read the prompt. For example, a start token and then
one token for each word give "a photo of a dog" the columns 0 to 5, and "dog" the column 5.

A text is read when the network is first given it. Later the tokenizers may be others: a script may load a textual
inversion, or delete them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from itertools import chain
from numbers import Integral
from typing import Any

import torch

from ..attention.which_rows import Texts
from ..config.names_in_texts import content_words, find_weight
from ..errors import UserError, first_line, foreign_errors
from ..models.families.family import Family
from ..models.families.inputs import TOKENIZERS, Reader
from ..prompts.tokens import TokenizedPrompt, read_prompt

Phrase = str | Sequence[int]
"""A word or phrase of the prompt, or the numbers of text columns. A column is the place of one token in the text."""
BREAK = "BREAK"
"""The word between the chunks of a long prompt that a script names."""
NAME_TEXT = "name the text and its tokenizer, capture(pipe, prompt='…', tokenizer=…), or name columns"


@dataclass(frozen=True)
class Named:
    """What a script says itself, in `capture(pipe, prompt=…, tokenizer=…, states=…)`. It counts before all else."""

    prompts: Sequence[str] = ()
    readers: Sequence[Reader] | None = None
    """None: the pipeline's own tokenizers count."""
    states: Sequence[torch.Tensor] | None = None


@dataclass(frozen=True)
class ReadText:
    """A text of a picture, as the network read it."""

    texts: Texts
    """Empty if the pipeline was given only embeddings."""
    columns: int
    """The number of columns in the maps of attention to the text."""
    prompts: Sequence[str] = ()
    """Every text whose tokens have columns. FLUX.1's is `prompt_2`, where that is given."""
    readings: Sequence[TokenizedPrompt] = ()
    """These texts, as the tokenizers read them."""
    why_unknown: str = ""
    """Why the columns of words are unknown; "" if they are known."""

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
        if words:
            for reading in self.readings:
                for phrase, found in reading.columns(words, self.columns - reading.reader.tail).items():
                    columns[phrase] |= found
        return {name: tuple(sorted(found)) for name, found in columns.items()}

    def refusal(self, phrase: Phrase) -> UserError:
        """The error that says why a phrase has no columns."""
        if not self.columns:
            return UserError("no attention to text was captured: use keep='all', or a method of masks")
        if not isinstance(phrase, str):
            return UserError(f"columns {tuple(phrase)} must be from 0 to {self.columns - 1}, those of the text")
        if self.why_unknown:
            return UserError(f"'{phrase}'", self.why_unknown, NAME_TEXT)
        if self.find([phrase])[phrase]:  # but another phrase has the shared words
            problem = "is in the prompt only as another word that you named: the same word twice, or a longer phrase"
            return UserError(f"'{phrase}'", problem, "name each word once")
        either = "' or '".join(self.prompts)
        problem = f"'{phrase}' is not in the prompt '{either}' as the model reads it"
        return UserError(problem, fix=f"its words: {', '.join(self.words)}")


def phrase_name(phrase: Phrase) -> str:
    """A phrase as a text: for example "dog" for "dog", and "columns 5, 6" for (5, 6). Raises UserError for anything
    but words and numbers of columns."""
    if isinstance(phrase, str) and not phrase.strip():
        raise UserError(f"'{phrase}'", "is no word", "name a word or phrase of the prompt, such as 'dog'")
    if isinstance(phrase, str):
        return phrase
    if not isinstance(phrase, Collection) or not all(isinstance(column, Integral) for column in phrase):
        problem = "must be a word or phrase, or the numbers of text columns"
        raise UserError(f"{phrase!r}", problem, "give words one by one: masks('dog', 'cat')")
    return f"columns {', '.join(map(str, phrase))}"


def read_text(
    pipe: Any, family: Family, named: Named, texts: Texts, state_length: int, columns: int, *, behind_pictures: bool
) -> ReadText:
    """A text, read by the tokenizers of now.

    pipe: the pipeline, or a network alone. named: what the script says about the text. state_length: the number
    of columns in the text's state, perhaps with padding. columns: the number of columns in the maps. behind_pictures:
    whether the text encoder read pictures before the text, so that columns count from the text's end.
    """
    tokenizers = [part for part in TOKENIZERS if getattr(pipe, part, None) is not None]
    own = {part: texts.get(f"prompt_{number}") for number, part in enumerate(tokenizers, 1)}  # the first: `prompt`
    try:
        readers = named.readers
        if readers is None:
            readers = family.readers(pipe) if own else ()
        readers = [reader for reader in readers if reader.first is not None]
        why_unknown = _why_unknown(pipe, family, named, texts, readers, columns)
        if not why_unknown:
            prompts = [own.get(reader.name) or texts.get("prompt", "") for reader in readers]
            readings: list[TokenizedPrompt] = []
            for reader, prompt in zip(readers, prompts, strict=True):
                if family.network_part == "unet":
                    readings += _chunks(reader, prompt, columns)
                elif behind_pictures:
                    readings.append(_from_the_end(read_prompt(reader, prompt), columns))
                else:
                    readings.append(read_prompt(_as_in_run(reader, readers, state_length, columns), prompt))
            return ReadText(texts, columns, [*dict.fromkeys(prompts)], readings)
    except Exception as error:  # a tokenizer, or a pipeline of one's own, may raise anything
        why_unknown = f"the tokenizer cannot read the prompt ({first_line(error)})"
    return ReadText(texts, columns, why_unknown=why_unknown)


def _why_unknown(pipe: Any, family: Family, named: Named, texts: Texts, readers: Sequence[Reader], columns: int) -> str:
    """Why the columns of the text's words are unknown; "" if the tokenizers know them."""
    if not texts:
        return "the network was given no prompt, only embeddings"
    if not readers or any(reader.tokenizer is None for reader in readers):
        return "only the tokenizer knows its columns"
    weight = next(filter(None, map(find_weight, named.prompts)), None)
    if weight is not None:
        return f"the named text has {weight!r}, which looks like a weight: it must be the text that was encoded"
    encode = getattr(type(pipe), "encode_prompt", None)
    if encode is not None and not named.prompts and not encode.__module__.startswith("diffusers."):
        return "the pipeline's own encode_prompt may read the prompt in another way (weights?)"
    longest = max(family.text_columns, *((reader.first or 0) + reader.limit for reader in readers))
    if named.prompts and columns > longest and family.network_part != "unet":
        return f"the network was given {columns} columns, in chunks that the tokenizer does not know"
    return ""


def _chunks(reader: Reader, prompt: str, columns: int) -> list[TokenizedPrompt]:
    """A UNet's prompt, in as many chunks as the network was given, each of which fills the tokenizer's columns. Raises
    UserError if the prompt does not say where it divides.

        77 columns                     the prompt, even with the word BREAK
        154 columns, "… BREAK …"       its two parts, if each fits into 77 tokens
    """
    parts = prompt.split(BREAK) if columns > reader.limit else [prompt]
    chunks = [read_prompt(replace(reader, first=number * reader.limit), part) for number, part in enumerate(parts)]
    fit = len(chunks) == 1 or not any(chunk.is_too_long for chunk in chunks)
    if not fit or columns > len(chunks) * reader.limit:
        raise UserError(f"{columns} columns were given: write BREAK between the chunks of the named text")
    return chunks


def _from_the_end(reading: TokenizedPrompt, columns: int) -> TokenizedPrompt:
    """A text with its last token in the last column."""
    count = len(reading.spans)
    return reading._replace(reader=replace(reading.reader, first=columns - count, limit=count))


def _as_in_run(reader: Reader, all_readers: Sequence[Reader], state_length: int, columns: int) -> Reader:
    """A transformer's tokenizer with the limit that it had in this run. The last tokenizer read one token for each
    column from its first column on:

        FLUX, 256 columns    T5: 256, although it may read 512
        SD3, 77 + 128        CLIP: 77, its own limit. T5: 128, because its columns begin at 77

    If padding comes before the text, the text ends at the last column.
    """
    first = reader.first or 0
    limit = state_length - first
    if first < max(other.first or 0 for other in all_readers):
        limit = min(reader.limit, limit)
    return replace(reader, limit=limit, end=None if reader.end is None else columns)


def named_readers(family: Family, tokenizers: Sequence[Any]) -> tuple[Reader, ...]:
    """The readers of tokenizers that a script named without their pipeline: those that a pipeline of the family makes
    of them, with its own templates. Raises UserError unless they are the tokenizers whose tokens have columns."""
    import diffusers
    from torch.nn import Identity

    # 1. A pipeline without other parts
    family = family.of_tokenizers(*tokenizers)
    pipeline = getattr(diffusers, family.pipelines[0])
    parameters = signature(pipeline).parameters
    parts: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty:
            parts[name] = None
        if re.fullmatch(r"text_encoder_\d", name):
            parts[name] = Identity()  # as if it were there
    if "requires_safety_checker" in parameters:
        parts["requires_safety_checker"] = False

    # 2. Its tokenizers. If it has several, each is known by its class
    names = [name for name in TOKENIZERS if name in parts]
    for name in names:
        classes = parameters[name].annotation if len(names) > 1 else object
        parts[name] = next((each for each in tokenizers if isinstance(each, classes)), None)
    problem, fix = f"is not as {family.title}'s pipeline has it", f"give pipe.{family.tokenizer_part}, or name columns"
    with foreign_errors("tokenizer", problem, fix):
        readers = [reader for reader in family.readers(pipeline(**parts)) if reader.first is not None]
    if any(reader.tokenizer is None for reader in readers):
        needed = list({reader.first: f"pipe.{reader.name}" for reader in readers}.values())
        fix = f"tokenizer={needed[0]}" if len(needed) == 1 else f"tokenizer=[{', '.join(needed)}]"
        raise UserError("tokenizer", f"is not all that reads columns of {family.title}", fix)
    return tuple(readers)
