"""`SampleSpec`: classes, prompt and seed of each sample in a run. They depend only on the configuration and the
sample's index. A template is a prompt with {class}.

1. Each image gets its classes and its prompt. If all prompts are templates, classes and templates take turns
(`deal_templates`). Otherwise the class with the fewest images gets its next prompt (`deal_prompts`).

2. `sample_specs` replaces {class} by the class or one of its subclasses, and gives each sample its seed.

`varied_prompts` adds places, light and points of view to templates, so that the images of a class do not all look
alike.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from ..config.class_names import join_classes
from ..config.names_in_texts import by_class, classes_in, content_words
from ..errors import UserError

if TYPE_CHECKING:
    from ..config.runs import GenerateConfig


class Line(NamedTuple):
    """The classes that an image shows, and its prompt or template."""

    classes: tuple[str, ...]
    prompt: str


@dataclass(frozen=True)
class SampleSpec:
    """What to draw for one sample. It is the same on every machine."""

    index: int
    classes: tuple[str, ...]
    prompt: str
    seed: int
    attempt: int = 0
    """How often this sample was drawn before. Each attempt has different noise."""


def sample_count(config: GenerateConfig) -> int:
    """The number of images: as few as are needed to show every class `per_class` times."""
    if not _all_templates(config):
        return sum(1 for _ in deal_prompts(config))
    sizes = config.group_sizes
    rotations, missing = divmod(len(config.classes) * config.per_class, sum(sizes))
    count = rotations * len(sizes)
    for size in sizes:  # the last rotation, which ends as soon as no class is missing
        if missing > 0:
            count += 1
            missing -= size
    return count


def sample_specs(config: GenerateConfig) -> list[SampleSpec]:
    """The specifications of all samples. A class's subclasses take turns, in an order that changes from round to
    round, so that each subclass gets different templates."""
    phrases = phrase_series(config.subclasses, config.classes, config.seed)
    lines = deal_templates(config) if _all_templates(config) else deal_prompts(config)
    specs: list[SampleSpec] = []
    for index, (classes, prompt) in enumerate(lines):
        if "{class}" in prompt:
            prompt = prompt.replace("{class}", join_classes([next(phrases[name]) for name in classes]))
        specs.append(SampleSpec(index, classes, prompt, sample_seed(config.seed, index, 0)))
    return specs


def deal_templates(config: GenerateConfig) -> Iterator[Line]:
    """Yields the classes and the template of each image.

    With one class per image, classes take turns. With several classes per image, their order changes from round to
    round, so that combinations vary. Each class is in `per_class` images, or in one more to fill the last image.
    Templates take turns. The first round begins with the first template, the second round with the second, and so on:
    with one class per image, each class gets all templates.
    """
    groups = class_groups(len(config.classes), config.group_sizes, config.seed)
    for group in itertools.islice(groups, sample_count(config)):
        template = config.prompts[(group.round + group.index_in_round) % len(config.prompts)]
        yield Line(tuple(config.classes[number] for number in group.numbers), template)


def _all_templates(config: GenerateConfig) -> bool:
    """Whether all prompts are templates."""
    return all("{class}" in prompt for prompt in config.prompts)


def deal_prompts(config: GenerateConfig) -> Iterator[Line]:
    """Yields the classes and the prompt of each image, until every class is in `per_class` images. A prompt shows the
    classes that it names, and a template shows any one class. Each image takes the next prompt of the class with the
    fewest images so far, so that a larger `per_class` only adds images."""
    lines_of: dict[str, list[Line]] = {name: [] for name in config.classes}
    for prompt, named in zip(config.prompts, classes_in(config.prompts, config.classes), strict=True):
        for name in config.classes:
            if name in named or "{class}" in prompt:
                lines_of[name].append(Line(named or (name,), prompt))
    used = Counter[Line]()
    next_lines = {name: _least_used(lines, used) for name, lines in lines_of.items()}
    counts = Counter(dict.fromkeys(config.classes, 0))  # class → its images so far
    while min(counts.values()) < config.per_class:
        line = next(next_lines[min(config.classes, key=counts.__getitem__)])
        counts.update(line.classes)
        yield line


def _least_used(lines: Sequence[Line], used: Counter[Line]) -> Iterator[Line]:
    """Yields lines without end, each time the least used line, the first of equals. lines: all that name one class.
    used: line → how often any class has used it; this function adds to it."""
    for round_number in itertools.count():
        for line in lines:
            if used[line] <= round_number:  # otherwise other classes have already used it in this round
                used[line] += 1
                yield line


class Group(NamedTuple):
    """The classes of an image, and when it comes."""

    round: int
    """The number of the round in which the group begins."""
    index_in_round: int
    """How many groups of this round come before it."""
    numbers: tuple[int, ...]
    """The numbers of its classes."""


def class_groups(class_count: int, sizes: Sequence[int], seed: int) -> Iterator[Group]:
    """Yields groups of distinct class numbers in [0, class_count), without end. A round uses each number once. If every
    group has one number, the order is 0, 1, 2, …; otherwise it depends on the seed. sizes: the groups' sizes, in
    rotation."""
    rounds = itertools.count()
    waiting: list[int] = []  # numbers of this round, and of the next one when a group spans both
    used = 0  # numbers in all groups so far
    groups_in = Counter[int]()  # round → its groups so far
    for size in itertools.cycle(sizes):
        group: list[int] = []
        while len(group) < size:
            number = next((number for number in waiting if number not in group), None)
            if number is None:
                waiting += _round_order(class_count, max(sizes), seed, next(rounds))
                continue
            waiting.remove(number)
            group.append(number)
        begun_in = used // class_count
        yield Group(begun_in, groups_in[begun_in], tuple(group))
        groups_in[begun_in] += 1
        used += size


def _round_order(class_count: int, largest: int, seed: int, round_number: int) -> list[int]:
    """The order of the numbers in [0, class_count) in a round. largest: the size of the largest group."""
    order = list(range(class_count))
    if largest == 1:
        return order
    return sorted(order, key=lambda number: _stable_hash(seed, "round", round_number, number))


def phrase_series(subclasses: Sequence[str], classes: Sequence[str], seed: int) -> dict[str, Iterator[str]]:
    """Class → an endless series of what stands for it in prompts: its subclasses, or the class itself. Every round uses
    each subclass once, in an order that depends on the seed."""
    of_class = by_class(subclasses, classes)
    return {name: _phrases(phrases or (name,), name, seed) for name, phrases in of_class.items()}


def _phrases(phrases: Sequence[str], name: str, seed: int) -> Iterator[str]:
    """The series of the class `name` in `phrase_series`."""
    for number in itertools.count():
        yield from sorted(phrases, key=lambda phrase: _stable_hash(seed, "subclass", number, name, phrase))


def sample_seed(seed: int, index: int, attempt: int) -> int:
    """The seed for a sample's noise, in [0, 2^48): well mixed, and exact in JSON readers that only have doubles. seed:
    the configuration's."""
    return _stable_hash(seed, "sample", index, attempt)


def redraw(spec: SampleSpec, seed: int, attempt: int) -> SampleSpec:
    """The same sample with the noise for another attempt. seed: the configuration's. attempt: from 0 on."""
    return replace(spec, seed=sample_seed(seed, spec.index, attempt), attempt=attempt)


def _stable_hash(*parts: int | str) -> int:
    """A number in [0, 2^48) for these parts. Unlike `hash` and `random`, it is the same on every machine and in every
    version of Python."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=6).digest(), "big")


PHRASES: dict[str, tuple[str, ...]] = {
    "place": (
        "on grass", "on sand", "in the snow", "in the city", "in a room", "in the sky", "on the water",
        "on a street", "in a forest", "in a field", "by a wall", "in a garden", "indoors", "in front of mountains",
    ),
    "light": ("in sunlight", "at sunrise", "at dusk", "at night", "on a cloudy day", "in fog", "under a lamp"),
    "view": (
        "seen from the front", "seen from the side", "seen from behind", "seen from above", "in the distance",
        "in close-up",
    ),
}  # fmt: skip
"""Kind of phrase → phrases that fit any class and name no other object."""
MOST_TEMPLATES = 200
"""Maximum number of templates that `varied_prompts` returns."""


def varied_prompts(
    prompts: Sequence[str], kinds: Sequence[str], classes: Sequence[str], words: Collection[str] | None = None
) -> tuple[str, ...]:
    """The templates with phrases: `a {class}` → `a {class}`, `a {class} on grass`, `a {class} on grass at night`, …

    Each template is combined with every choice of at most one phrase of each kind, before its full stop. There are at
    most MOST_TEMPLATES results, in a mixed order that is always the same. Prompts that are no templates follow
    unchanged.

    prompts: may have templates. kinds: keys of PHRASES. classes: phrases that name a class are left out. words: the
    words that the model knows, and phrases with unknown words are left out, too; None: it knows all words. Raises
    UserError for an unknown kind, for a kind without a remaining phrase, and if there is no template.
    """
    templates = [prompt for prompt in prompts if "{class}" in prompt]
    if not templates:
        raise UserError("vary", "adds phrases to prompts with {class}, and there is none", "leave it out")
    for kind in kinds:
        if kind not in PHRASES:
            raise UserError("vary", f"{kind!r} is not a kind of phrase", f"choose among {', '.join(PHRASES)}")
    choices: list[tuple[str, ...]] = []
    for kind in dict.fromkeys(kinds):
        named = classes_in(PHRASES[kind], classes)
        phrases = [phrase for phrase, names in zip(PHRASES[kind], named, strict=True) if not names]
        if words is not None:
            phrases = [phrase for phrase in phrases if set(content_words(phrase)) <= set(words)]
        if not phrases:
            raise UserError("vary", f"the model knows no phrase for {kind}", "leave it out")
        choices.append(("", *phrases))
    combined = []
    for template, *phrases in itertools.product(templates, *choices):
        text = " ".join(filter(None, (template.rstrip("."), *phrases)))
        if template.endswith("."):
            text += "."
        combined.append(text)
    mixed = sorted(combined, key=lambda text: hashlib.blake2b(text.encode()).digest())[:MOST_TEMPLATES]
    return (*mixed, *(prompt for prompt in prompts if "{class}" not in prompt))
