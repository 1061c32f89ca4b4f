"""Finds words in prompts and other texts: class names, as whole words; the words of a prompt that may name something in
its picture; and those that name things of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from unicodedata import category, normalize

from ..errors import UserError
from ..files.reading import composed
from .class_names import other_word, spoken

UNSPACED = (
    "\u0e01-\u0edf\u1000-\u109f\u1780-\u17df\u3005\u3041-\u30fa\u30fc-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese and Chinese."""
MARKS = "\u200c\u200d" + "".join(
    char for char in map(chr, range(0x300, 0x3100)) if category(char)[0] == "M" and not re.match(f"[{UNSPACED}]", char)
)
"""Characters that belong to the letter before them, but do not match Python's `\\w`: accents of decomposed letters,
vowel signs of Hindi and Arabic, and invisible joiners."""
LETTER = rf"(?:[^\W\d_{UNSPACED}]|[{MARKS}])"
ANY_WORD = rf"(?![{MARKS}]){LETTER}+(?:[-']{LETTER}+)*|[{UNSPACED}]+"
"""A pattern for a word: letters with their marks, and hyphens and apostrophes between them. It begins with no mark.
`1girl, long_hair` has the words girl, long and hair. In a script without spaces, all letters up to the next punctuation
mark are one word."""
BORDER = rf"(?!(?<={LETTER}){LETTER}|(?<=\d)\d)"
"""Matches a place where a name may begin or end: anywhere except between two letters or between two digits."""


PLURAL = "(?:e?s)?"
"""A pattern for the ending of a name in an English plural, or for no ending."""


def any_name(names: Sequence[str], ending: str = "") -> re.Pattern[str]:
    """A pattern that matches any of the names as whole words, in upper or lower case, with any white space between the
    words of a name, and VOC's word for a name: `airplane` also matches `aeroplane`. If several names match at a
    position, the first of them counts. Group i + 1 of a match belongs to names[i]. Without names, the pattern matches
    nowhere.

    names: class names or other phrases. ending: a pattern for what may follow a name, such as an `s`.
    """
    words = [filter(None, (other_word(name), spoken(composed(name)))) for name in names]
    patterns = ["|".join(r"\s+".join(map(re.escape, word.split())) for word in of_name) for of_name in words]
    either = "|".join(f"({pattern}|{normalize('NFD', pattern)})" for pattern in patterns) or "(?!)"
    return re.compile(rf"{BORDER}(?:{either}){ending}{BORDER}", re.IGNORECASE)


def name_finder(names: Sequence[str], ending: str = "") -> Callable[[str], list[tuple[str, re.Match[str]]]]:
    """A function that finds the names in a text: (name, match) of each, from `any_name`. If two names match at one
    place, the longer name counts: `a hot dog` does not name the class dog. names, ending: as for `any_name`."""
    ordered = sorted(names, key=lambda name: len(spoken(name)), reverse=True)
    pattern = any_name(ordered, ending)
    return lambda text: [(ordered[(match.lastindex or 0) - 1], match) for match in pattern.finditer(text)]


def by_class(phrases: Sequence[str], classes: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Class → the phrases that name this class and no other class. For example, `poodle dog` is a phrase for dog."""
    named: dict[str, list[str]] = {name: [] for name in classes}
    for phrase, found in zip(phrases, classes_in(phrases, classes), strict=True):
        if len(found) == 1:
            named[found[0]].append(phrase)
    return {name: tuple(of_class) for name, of_class in named.items()}


def classes_in(texts: Sequence[str], classes: Sequence[str]) -> list[tuple[str, ...]]:
    """For each text, the classes that it names, in the order of `classes`."""
    named = map(dict, map(name_finder(classes), texts))
    return [tuple(name for name in classes if name in of_text) for of_text in named]


def check_prompts(prompts: Sequence[str], field: str = "prompts", classes: Sequence[str] = ()) -> None:
    """Raise UserError if there is no prompt, or if a prompt names a class that would be drawn and get no label. Two
    examples with the classes dog and car: `a {class} beside a car` names a car also where {class} is dog. `two dogs and
    a car` names dogs, and attention is read at the words that are classes.

    prompts: templates with `{class}`, or prompts that name their classes themselves. field: their option, for messages.
    classes: the classes that a prompt without `{class}` may name; empty: every prompt needs `{class}`. Each of these
    classes must be in a prompt.
    """
    texts = prompts or ("",)
    named = classes_in([text.replace("{class}", "{}") for text in texts], classes)  # a class may be called `class`
    find = name_finder(classes, PLURAL)
    for number, (text, names) in enumerate(zip(texts, named, strict=True), 1):
        prompt = f"prompt {number}, {text!r},"
        if not text.isprintable():
            raise UserError(field, f"{text!r} has line breaks or unprintable characters")
        labelled = {text: names}  # prompt → the classes that get labels
        if "{class}" in text:
            labelled = {text.replace("{class}", spoken(name)): (name,) for name in classes}
        for filled, labels in labelled.items():
            for name, match in find(filled):
                is_plural = match.end() > match.end(match.lastindex or 0)  # it ends after the name
                if name not in labels or (is_plural and filled != text):
                    fix = "write lines that name all their classes, such as 'a dog beside a car'"
                    if is_plural:
                        fix = f"write {name}, or make {match[0]} a class"
                    raise UserError(field, f"{prompt} names {match[0]}, which would get no label", fix)
        if not (names or "{class}" in text):
            lacks = "has no {class}"
            if classes:
                lacks += f" and names none of {', '.join(classes)}"
            raise UserError(field, f"{prompt} {lacks}", "write for example 'a photo of a {class}'")
    absent = {*classes}.difference(*named)
    if absent and not any("{class}" in text for text in texts):
        fix = "add a line with it, or one with {class}"
        raise UserError(field, f"no prompt names {', '.join(sorted(absent))}", fix)


def check_subclasses(phrases: Sequence[str], classes: Sequence[str]) -> None:
    """Raise UserError for a phrase that does not name exactly one class: attention is read at the class's name."""
    usable = {*chain.from_iterable(by_class(phrases, classes).values())}
    for phrase in phrases:
        if phrase not in usable or not phrase.isprintable() or phrase != phrase.strip():
            problem = f"{phrase!r} must contain exactly one class name, whose attention is read"
            raise UserError("subclasses", problem, f"for example 'small {spoken(classes[0])}'")


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


def find_weight(text: str) -> str | None:
    """The first part of a text that looks like a sign of compel or a web interface, such as `cat++`, `"cat"-`,
    `(cat)1.5`, `[cat]`, `{cat|dog}`, `<lora:cat:1>`, or an escaped bracket; None if no part does."""
    match = re.search(r"""\S*(?:(?:[^\W\d]|["'”’])[+-]+(?![\w+-])|[()\[\]{}]|<[^<>\s]*:)\S*""", text)
    return None if match is None else match[0]


AND = re.compile(r"\W*and\s+(?:(?:an?|the|another|some|two|three)\s+(?:\S+\s+)*)?", re.IGNORECASE)
"""What stands between two things that `and` joins: an article, and then perhaps more words of the second thing."""


def things_named(text: str, words: Sequence[str], joined: bool = False) -> list[str]:
    """The words that name things of their own in a prompt. Of words that follow each other ("red sofa"), only the last
    does. joined: whether to return only words that `and` joins, as in `a dog and a red cat on grass`: dog, cat."""
    shown = f"{text}."
    found = name_finder(words)(text)
    ends = [*(after.start() for _, after in found[1:]), len(shown)]
    things = [thing for thing, end in zip(found, ends, strict=False) if shown[thing[1].end() : end].strip()]
    ands = [bool(AND.fullmatch(text[match.end() : after.start()])) for (_, match), (_, after) in pairwise(things)]
    ands = [False, *ands, False]
    kept = (word for number, (word, _) in enumerate(things) if not joined or any(ands[number : number + 2]))
    return [*dict.fromkeys(kept)]
