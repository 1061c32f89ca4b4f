"""Finds the words of a prompt among its tokens, by the tokenizer's character offsets. A text column is a token's place
in cross-attention."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ..config.class_names import DEFAULT_PROMPTS, join_classes, spoken
from ..config.names_in_texts import UNSPACED, name_finder
from ..errors import UserError, shorten
from ..models.families.inputs import Reader

Sentence = tuple[str, Sequence[str]]
"""(prompt, classes): a text, and the classes that it names."""


class TokenizedPrompt(NamedTuple):
    """A prompt as a tokenizer reads it."""

    reader: Reader
    text: str
    """The prompt after `Reader.convert`."""
    spans: list[tuple[int, int]]
    """For each token, the characters (start, end) of `text` that belong to it, from `token_spans`."""

    @property
    def is_too_long(self) -> bool:
        """Whether the tokenizer would cut off the prompt's end."""
        return len(self.spans) > self.reader.limit

    @property
    def words_cut_off(self) -> str:
        """The words at the end of a prompt that is too long. If the model wraps the prompt in a text of its own, the
        cut may lie before the prompt: then these are all its words. If it lies after the prompt, this is the last."""
        text = self.text.rstrip()
        cut = self.spans[self.reader.limit - 1][0]  # the last place is the end token's
        if cut <= 0:
            return text.lstrip()
        words_before = re.sub(r"\S+\Z", "", text[: min(cut, len(text) - 1)])
        return text[len(words_before) :].lstrip()

    @property
    def first(self) -> int:
        """The column of the first token."""
        reader = self.reader
        if reader.end is not None:  # padding comes before the text
            return reader.end - min(len(self.spans), reader.limit)
        assert reader.first is not None
        return reader.first

    def columns(self, phrases: Sequence[str], end: float = math.inf) -> dict[str, set[int]]:
        """Word or phrase → the text columns of all its occurrences of which the tokenizer reads every token; an empty
        set if there are none. end: the column after the last column of the text."""
        if self.is_too_long:  # the last place is for the end token
            end = min(end, self.first + self.reader.limit - 1)
        columns_of: dict[str, set[int]] = {phrase: set() for phrase in phrases}
        for phrase, match in name_finder(phrases)(self.text):
            columns = self._columns_at(*match.span())
            if max(columns, default=0) < end:
                columns_of[phrase] |= columns
        return columns_of

    def _columns_at(self, start: int, stop: int) -> set[int]:
        """The columns of a word's tokens. start, stop: its characters in `text`. Empty if it is a part of another word
        in a script without spaces: 马 in the token 斑马, zebra."""
        tokens = [i for i, (begin, end) in enumerate(self.spans) if begin < stop and end > start]
        spans = [self.spans[i] for i in tokens]
        beside = "".join(self.text[max(begin, 0) : start] + self.text[stop:end] for begin, end in spans)
        return set() if re.search(f"[{UNSPACED}]", beside) else {self.first + i for i in tokens}


def read_prompt(reader: Reader, prompt: str) -> TokenizedPrompt:
    """The prompt as a tokenizer reads it. Raises UserError as `token_spans` does."""
    text = reader.convert(prompt)
    return TokenizedPrompt(reader, text, token_spans(reader, text))


def locate_columns(readers: Sequence[Reader], prompt: str, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Class → its text columns in the prompt, ascending, from every tokenizer whose tokens have columns.

    Every occurrence counts, in upper or lower case, as whole words; in scripts without spaces, as whole tokens. A class
    is searched for as it is spoken (`pottedplant` as `potted plant`). If the names of two classes match at a place
    (`potted plant`, `plant`), the longer one gets the words.

    readers: the model's tokenizers. Raises UserError if a class is not in the prompt, and as `check_length` does.
    """
    columns_of: dict[str, set[int]] = {name: set() for name in classes}
    readings = readings_of(readers, prompt)
    check_length(readings)
    for reading in readings:
        for name, columns in reading.columns(classes).items():
            if not columns:
                hint = "" if spoken(name) == name else f" (in a prompt: '{spoken(name)}')"
                problem = f"class '{name}'{hint} is not in the prompt '{shorten(reading.text)}'"
                raise UserError(problem, fix="name it there, or use {class} in the template")
            columns_of[name] |= columns
    return {name: tuple(sorted(columns)) for name, columns in columns_of.items()}


def readings_of(readers: Sequence[Reader], prompt: str) -> list[TokenizedPrompt]:
    """The prompt as read by each tokenizer whose tokens have columns."""
    return [read_prompt(reader, prompt) for reader in readers if reader.first is not None]


def fits(readers: Sequence[Reader], prompt: str) -> bool:
    """Whether no tokenizer would cut off the prompt's end."""
    return not any(reading.is_too_long for reading in readings_of(readers, prompt))


def check_length(readings: Sequence[TokenizedPrompt]) -> None:
    """Raise UserError if a prompt is too long for one of its tokenizers, naming the words that would be cut off."""
    for reading in readings:
        if reading.is_too_long:
            counts = f"the prompt has {len(reading.spans)} tokens and the model reads {reading.reader.limit}"
            problem = f"{counts}: these words would be cut off: '{shorten(reading.words_cut_off)}'"
            raise UserError(problem, fix=f"shorten the prompt '{reading.text[:40].strip()}…'")


def split_prompts(
    readers: Sequence[Reader], names: Sequence[str], template: str = DEFAULT_PROMPTS[0]
) -> list[tuple[str, tuple[str, ...]]]:
    """(sentence, the names in it) for as few sentences as the text encoders' limits allow. Together they contain all
    names, and each about equally many.

    readers: the model's tokenizers. names: classes or words. template: the sentence, with {class}. Raises UserError if
    one name alone is too long for a sentence."""
    for count in range(1, len(names) + 1):
        bounds = [round(i * len(names) / count) for i in range(count + 1)]
        groups = [tuple(names[a:b]) for a, b in pairwise(bounds)]
        sentences = [(template.replace("{class}", join_classes(group)), group) for group in groups]
        if count == len(names) or all(fits(readers, sentence) for sentence, _ in sentences):
            for sentence, group in sentences:
                locate_columns(readers, sentence, group)  # for its errors
            return sentences
    return []  # without names


def token_spans(reader: Reader, text: str) -> list[tuple[int, int]]:
    """The characters (start, end) of the text that belong to each token. Start and end tokens have empty spans. If the
    model wraps the prompt in a text of its own, that text's tokens have spans outside `text`. Raises UserError if the
    tokenizer gives no character offsets."""
    if not getattr(reader.tokenizer, "is_fast", False):
        kind = type(reader.tokenizer).__name__
        raise UserError(f"the model's tokenizer ({kind}) does not say where its tokens are", fix="a fast one does")
    wrapped, shift = reader.wrap(text) if reader.wrap else (text, 0)
    encoding = reader.tokenizer(
        wrapped, return_offsets_mapping=True, truncation=False, add_special_tokens=reader.adds_tokens, verbose=False
    )
    return [(start - shift, end - shift) for start, end in encoding["offset_mapping"]]
