"""The words of a prompt that may name something in its picture, and those that name things of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from ..config.names_in_texts import ANY_WORD, any_name, longest_first

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
"""English words that name nothing visible. A prompt's other words are mostly nouns, adjectives and verbs, among which
SeeDiff does not distinguish."""


def content_words(prompt: str) -> tuple[str, ...]:
    """The words of a prompt that may name something, in lower case, in order and without repeats: `A dog on grass` →
    dog, grass. A sign of web interfaces, such as `<lora:x:0.8>`, has no words."""
    words = dict.fromkeys(re.findall(ANY_WORD, re.sub(r"<[^<>\s]*:[^<>\s]*>", " ", prompt.lower())))
    # A single letter names nothing, but a Chinese character or a Korean syllable does.
    return tuple(word for word in words if word not in FUNCTION_WORDS and (len(word) > 1 or word > "\u0e00"))


AND = re.compile(r"\W*and\s+(?:(?:an?|the|another|some|two|three)\s+(?:\S+\s+)*)?", re.IGNORECASE)
"""What stands between two things that `and` joins: an article, and then perhaps more words of the second thing."""


def things_named(text: str, words: Sequence[str], joined: bool = False) -> list[str]:
    """The words that name things of their own in a prompt. Of words that follow each other ("red sofa"), only the last
    does. joined: whether to return only words that `and` joins, as in `a dog and a red cat on grass`: dog, cat."""
    ordered = longest_first(words)
    shown = f"{text}."
    found = [*any_name(ordered).finditer(text)]
    ends = [*(after.start() for after in found[1:]), len(shown)]
    things = [match for match, end in zip(found, ends, strict=False) if shown[match.end() : end].strip()]
    ands = [bool(AND.fullmatch(text[match.end() : after.start()])) for match, after in pairwise(things)]
    ands = [False, *ands, False]
    kept = [match for number, match in enumerate(things) if not joined or any(ands[number : number + 2])]
    return [*dict.fromkeys(ordered[(match.lastindex or 1) - 1] for match in kept)]
