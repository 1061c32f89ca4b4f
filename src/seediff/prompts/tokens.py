"""Words of a prompt: which may name something, and where they are among its tokens, from the tokenizer's character
offsets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..config.names import any_name, longest_first, spoken
from ..errors import UserError
from ..models.families.readers import Reader

FUNCTION_WORDS = frozenset(
    """a about above across after against all along also am among an and another any are around as at away back
    be because been before behind being below beneath beside besides between both but by can close could did do
    does down each either every few for from front had has have he her here him his how i if in inside into is
    it its just left like many me more most much my near next no not of off on one only onto or other our out
    outside over own part past per photo photograph picture image right several shall she side so some such than
    that the their them then there these they this those three through to together toward towards two under
    until up upon us very via view was we were what when where which while who whose will with within without
    you your""".split()
)
"""English words that name nothing visible. A caption's remaining words are its nouns, adjectives and verbs; word
classes are not guessed."""


def content_words(caption: str) -> tuple[str, ...]:
    """The words in a caption that may name something, in lower case, each once, in order."""
    words = re.findall(r"[^\W\d_]+(?:[-'][^\W\d_]+)*", caption.lower())
    return tuple(dict.fromkeys(word for word in words if word not in FUNCTION_WORDS and len(word) > 1))


def locate_columns(readers: Sequence[Reader], prompt: str, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Class → its ascending text columns in the prompt, from every tokenizer whose tokens have columns.

    A word may be one token in one tokenizer and several in another. Classes are searched in their spoken form
    (`pottedplant` as `potted plant`), as whole words, ignoring case, at every place. If one class contains another
    (`potted plant`, `plant`), the longer one gets the words. Raises UserError if a class is not in the prompt, or if
    the prompt is too long for a tokenizer.
    """
    columns_of: dict[str, set[int]] = {name: set() for name in classes}
    for reader in readers:
        if reader.first is None:
            continue
        text, first, spans = token_columns(reader, prompt)
        for name, columns in _located(spans, text, classes).items():
            columns_of[name].update(first + column for column in columns)
    return {name: tuple(sorted(columns)) for name, columns in columns_of.items()}


def token_columns(reader: Reader, prompt: str) -> tuple[str, int, list[tuple[int, int]]]:
    """The prompt as the reader's tokenizer reads it, the column of its first token, and every token's character span in
    that text. Raises UserError, like `token_offsets`."""
    text = reader.convert(prompt) if reader.convert else prompt
    spans = token_offsets(reader.tokenizer, text, limit=reader.limit, wrap=reader.wrap, adds_tokens=reader.adds_tokens)
    return text, _first(reader, spans), spans


def check_prompt(readers: Sequence[Reader], prompt: str) -> None:
    """Raise UserError, like `token_offsets`, if a tokenizer whose tokens have columns would cut the prompt off."""
    locate_columns(readers, prompt, ())


def find_columns(reader: Reader, prompt: str, phrase: str) -> tuple[int, ...]:
    """The columns of a word or phrase, found as in `locate_columns`, but by one tokenizer. If the prompt is too long,
    only the part that is read counts. Empty if there are none."""
    if reader.first is None:
        return ()
    text = reader.convert(prompt) if reader.convert else prompt
    spans = _spans(reader.tokenizer, text, reader.wrap, reader.adds_tokens)
    if len(spans) > reader.limit:
        spans = spans[: reader.limit - 1]  # the last place goes to the end token
    first = _first(reader, spans)
    return tuple(first + column for column in sorted(set(_matched(spans, text, [phrase])[phrase])))


def _located(offsets: Sequence[tuple[int, int]], prompt: str, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Class → its columns, by the character spans of one tokenizer's tokens. Raises UserError if a class is not in the
    prompt.
    """
    columns_of = _matched(offsets, prompt, classes)
    for name, columns in columns_of.items():
        if not columns:
            called = f"'{name}'" if spoken(name) == name else f"'{name}' (in a prompt: '{spoken(name)}')"
            raise UserError(
                f"class {called} is not in the prompt '{prompt}'; name it there, or use {{class}} in the template"
            )
    return {name: tuple(sorted(set(columns))) for name, columns in columns_of.items()}


def _matched(offsets: Sequence[tuple[int, int]], prompt: str, classes: Sequence[str]) -> dict[str, list[int]]:
    """Class → the columns at all of its occurrences; empty if there are none."""
    ordered = longest_first(classes)
    columns_of: dict[str, list[int]] = {name: [] for name in classes}
    for match in any_name(ordered).finditer(prompt) if ordered else ():
        assert match.lastindex is not None
        columns = [t for t, (start, end) in enumerate(offsets) if start < match.end() and end > match.start()]
        columns_of[ordered[match.lastindex - 1]] += columns
    return columns_of


def token_offsets(
    tokenizer: Any,
    prompt: str,
    *,
    limit: int,
    wrap: Callable[[str], tuple[str, int]] | None = None,
    adds_tokens: bool = True,
) -> list[tuple[int, int]]:
    """Character span (start, end) in the prompt for each token, including start and end token (empty spans).

    limit: the maximum number of tokens. wrap, adds_tokens: as in `Reader`; spans of text around the prompt lie outside
    it. Raises UserError naming the words that would be cut off if there are more tokens.
    """
    offsets = _spans(tokenizer, prompt, wrap, adds_tokens)
    if len(offsets) > limit:
        # The last place is for the end token; with a template, perhaps only its end would be cut off.
        first_cut = min(max(offsets[limit - 1][0], 0), max(len(prompt.rstrip()) - 1, 0))
        word_start = re.search(r"\S*$", prompt[:first_cut]).start()  # type: ignore[union-attr]  # matches at least nothing
        raise UserError(
            f"the prompt has {len(offsets)} tokens and the model reads {limit}: these words would be cut off: "
            f"'{prompt[word_start:].strip()}'; shorten the prompt '{prompt[:40].strip()}…'"
        )
    return offsets


def _first(reader: Reader, spans: Sequence[tuple[int, int]]) -> int:
    """The column of a reader's first token; padding may come before it."""
    assert reader.first is not None
    return reader.first if reader.end is None else reader.end - len(spans)


def _spans(
    tokenizer: Any, prompt: str, wrap: Callable[[str], tuple[str, int]] | None, adds_tokens: bool = True
) -> list[tuple[int, int]]:
    """`token_offsets` without a limit. Raises UserError if the tokenizer gives no character offsets."""
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"the model's tokenizer ({type(tokenizer).__name__}) tells no character offsets; a fast one is needed"
        )
    text, begin = wrap(prompt) if wrap else (prompt, 0)
    spans = tokenizer(
        text, return_offsets_mapping=True, truncation=False, add_special_tokens=adds_tokens, verbose=False
    )["offset_mapping"]
    return [(start - begin, end - begin) for start, end in spans]
