"""`SampleSpec`: classes, prompt and seed of each sample of a run, which follow from the configuration and the sample's index alone."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..config.names import join_classes

if TYPE_CHECKING:
    from ..config.generate import GenerateConfig


@dataclass(frozen=True)
class SampleSpec:
    """What sample `index` is to show: a pure function of the configuration, the same on any machine."""

    index: int
    classes: tuple[str, ...]
    prompt: str
    seed: int


def sample_count(config: GenerateConfig) -> int:
    """How many images: as few as show classes · per_class classes in all."""
    rounds, rest = divmod(len(config.classes) * config.per_class, sum(config.turns))
    last = itertools.takewhile(lambda shown: shown < rest, itertools.accumulate(config.turns, initial=0))
    return rounds * len(config.turns) + len(list(last))


def sample_specs(config: GenerateConfig, count: int | None = None) -> list[SampleSpec]:
    """What every sample is to show, or the first `count`: index → classes, prompt and seed, from the configuration alone.

    One class an image: the classes in turn. Several: every class in turn too, in an order that changes from round to round,
    so that companions vary. Each class is shown in `per_class` images; where the division has a remainder, a few classes
    are shown once more, so that every image has its full number. Templates are cycled so that each class meets all.
    """
    kinds = len(config.classes)
    groups = class_groups(kinds, config.turns, config.seed)
    specs: list[SampleSpec] = []
    total = sample_count(config)
    shown = current = begun = 0  # classes so far, the round that the image begins in, that round's first image
    for index in range(total if count is None else min(count, total)):
        if shown // kinds > current:
            current, begun = shown // kinds, index
        classes = tuple(config.classes[position] for position in next(groups))
        shown += len(classes)
        template = config.prompts[(current + index - begun) % len(config.prompts)]
        prompt = template.replace("{class}", join_classes(classes))
        specs.append(SampleSpec(index, classes, prompt, sample_seed(config.seed, index, 0)))
    return specs


def class_groups(kinds: int, sizes: Sequence[int], seed: int) -> Iterator[tuple[int, ...]]:
    """Endless groups of distinct positions in [0, kinds), their sizes in turn: every round of groups uses each position once.

    Groups of one alone keep the order 0, 1, 2, …; others draw each round in another order, given by the seed.
    """
    rounds = itertools.count()
    waiting: list[int] = []  # never holds a position twice when a group begins, so a group never lacks candidates for long
    for size in itertools.cycle(sizes):
        group: list[int] = []
        while len(group) < size:
            position = next((p for p in waiting if p not in group), None)
            if position is None:
                waiting += _round_order(kinds, max(sizes), seed, next(rounds))
                continue
            waiting.remove(position)
            group.append(position)
        yield tuple(group)


def _round_order(kinds: int, size: int, seed: int, number: int) -> list[int]:
    order = list(range(kinds))
    return order if size == 1 else sorted(order, key=lambda position: _stable_hash(seed, "round", number, position))


def sample_seed(seed: int, index: int, attempt: int) -> int:
    """The seed of one sample's noise, in [0, 2^48): well mixed, and exact in JSON readers that know only doubles."""
    return _stable_hash(seed, "sample", index, attempt)


def redraw(spec: SampleSpec, seed: int, attempt: int) -> SampleSpec:
    """The same sample with the noise of another attempt (0 is the first). seed: the configuration's."""
    return replace(spec, seed=sample_seed(seed, spec.index, attempt))


def _stable_hash(*parts: int | str) -> int:
    """The same on every machine and in every version of Python, which `hash` and `random` do not promise."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=6).digest(), "big")
