"""`tune`: finds a model's thresholds on labelled photographs: the presence score from which a class counts as present
(`mask`), and the score from which a segment keeps its name (`segment --names`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..attention.windows import cut, seen_shape, windows
from ..config.constants import SegmentConfig
from ..config.names import BACKGROUND
from ..config.photographs import Fit, check_attention
from ..config.sizes import Size
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..errors import UserError
from ..evaluate.protocols import join_names
from ..files.label_maps import IGNORE
from ..prompts.tokens import split_prompts
from .evaluate_masks import evenly

if TYPE_CHECKING:
    from ..models.registry import Model
    from ..workers import Progress

FIT: Fit = "keep"
"""The default of `mask` and `segment`."""
MOST_ABSENT, MOST_ASKED = 3, 20
"""Maximum number of absent classes in `several`, and of classes in `many`."""
PRESENCE_THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.005), 3)
NAME_THRESHOLDS = np.round(np.arange(0.5, 0.9, 0.002), 3)
"""Candidates, from ½, which is average attention, upwards."""


@dataclass(frozen=True)
class Thresholds:
    """The thresholds, and the figures at them, which are shares of 1. None if there was nothing to count.

    precision, recall: at `presence`, over (photograph, class) pairs in all kinds of questions. right: the share of
    segments that get the right name, or rightly none. photos, segments: the numbers used. failed: (photograph, reason)
    for each photograph that could not be used.
    """

    presence: float | None
    precision: float | None
    recall: float | None
    name_threshold: float | None
    right: float | None
    photos: int
    segments: int
    failed: tuple[tuple[str, str], ...]


def tune(
    model: Model,
    data: Dataset,
    classes: Mapping[int, str],
    segment: SegmentConfig,
    *,
    count: int,
    size: Size | None = None,
    progress: Progress | None = None,
) -> Thresholds:
    """Find both thresholds on `count` evenly spaced photographs of a set. classes: id → name, from `countable`.
    segment: the method for the segments that are named. size: of the square with as many positions as the model sees of
    a photograph; None: the model's own. Raises UserError if no photograph can be used.
    """
    from ..attention.photograph import encode_images
    from ..masks.presence import find_classes
    from ..models.info import check_known_classes
    from ..segments.make import check_fits

    check_attention(size, model.pixels)
    check_fits(model, segment, size)
    known = tuple(dict.fromkeys(classes.values()))
    check_known_classes(model.name, model.known_words, known)
    split_prompts(model.readers, known)
    chosen = [data[i] for i in evenly(len(data), count)]
    rows: list[tuple[str, bool, float]] = []
    names: list[tuple[bool, float]] = []
    failed: list[tuple[str, str]] = []
    report = progress or (lambda done, total, what: None)
    report(0, len(chosen), "")
    for index, sample in enumerate(chosen):
        try:
            photo, truth, seen = see_labelled(model, sample, size)
        except UserError as error:
            failed.append((sample.name, str(error)))
        else:
            shown, unclear = shown_classes(model, truth, classes, seen)
            asked = questions(shown, [name for name in known if name not in unclear], index, seed=0)
            latents = encode_images(model, [seen])[[0] * len(asked)]
            sentences = [split_prompts(model.readers, words) for _, words in asked]
            for (group, words), scores in zip(asked, find_classes(model, latents, sentences), strict=True):
                rows += [(group, name in shown, scores[name]) for name in words]
            names += _names(model, photo, truth, classes, known, segment, size)
        report(index + 1, len(chosen), sample.name)
    if len(failed) == len(chosen):
        raise UserError(f"{data.about}: none of {len(chosen)} photographs can be used ({failed[0][0]}: {failed[0][1]})")

    presence = precision = recall = threshold = right = None
    if len({present for _, present, _ in rows}) == 2:
        group, present, score = (np.array(column) for column in zip(*rows, strict=True))
        presence = best_presence_threshold(group, present, score)
        found = score >= presence
        precision = float(present[found].mean()) if found.any() else None
        recall = float(found[present].mean())
    if names:
        threshold = best_name_threshold(names)
        right = float(np.mean([is_right == (score >= threshold) for is_right, score in names]))
    sizes = len(chosen) - len(failed), len(names)
    return Thresholds(presence, precision, recall, threshold, right, *sizes, tuple(failed))


def questions(shown: Sequence[str], known: Sequence[str], index: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """The questions (group, classes) for picture `index`: its classes and index % 4 others; one of its classes; one
    other; many; those that are possible. They are all ways to use `mask`: a sentence with a picture's classes and 0 to
    3 others (`several`), with one class, present or absent (`one`), and many classes at once, in several sentences
    (`many`).
    """
    rng = np.random.default_rng((seed, index))
    others = [str(name) for name in rng.permutation([name for name in known if name not in shown])]
    several = [*shown, *others[: index % (MOST_ABSENT + 1)]]
    shuffled = tuple(several[i] for i in rng.permutation(len(several)))
    many = [*shown, *others][:MOST_ASKED] if len(known) > MOST_ASKED else list(known)
    everything = tuple(str(name) for name in rng.permutation(many))
    alone = [("one", (str(rng.choice(list(shown))),))] if shown else []
    other = [("one", (others[-1],))] if others else []
    return [
        (group, classes) for group, classes in [("several", shuffled), *alone, *other, ("many", everything)] if classes
    ]


def best_presence_threshold(group: np.ndarray, present: np.ndarray, score: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy, averaged over the groups; the lowest of equals. For n questions
    (n,): the kind, whether the class is there, and its score.
    """
    kinds = [(group == one) & (present == there) for one in np.unique(group) for there in (True, False)]

    def balanced(threshold: float) -> float:
        right = (score >= threshold) == present
        # rounded, so that equal scores compare equal
        return round(float(np.mean([right[kind].mean() for kind in kinds if kind.any()])), 9)

    return float(max(PRESENCE_THRESHOLDS, key=balanced))


def countable(data: Dataset, known: Sequence[str] | None, chosen: Sequence[str] = ()) -> dict[int, str]:
    """Id → name of the classes of a set that thresholds are tuned with. known: the words that the model knows; None:
    not limited. chosen: the classes that the user named; empty: all. Raises UserError if the set lacks one of them, or
    if none is left."""
    objects = {number: name for number, name in data.names.items() if name != BACKGROUND}
    listed = join_names(list(objects.values()), 20)
    if unknown := [name for name in chosen if name not in objects.values()]:
        raise UserError("classes", f"{', '.join(unknown)}: not among the classes of {data.about}: {listed}")
    used = {name for name in chosen or objects.values() if known is None or name in known}
    if not used:
        words = join_names(known or ())
        raise UserError(f"{data.about}: the model knows none of its classes ({listed}); it knows {words}")
    return {number: name for number, name in objects.items() if name in used}


def shown_classes(
    model: Model, truth: np.ndarray, classes: Mapping[int, str], seen: np.ndarray
) -> tuple[list[str], set[str]]:
    """The classes that a photograph shows, and those for which neither answer is wrong, because they cover less than
    one position of the model's latent. truth (H, W): ids. seen: the photograph as the model sees it."""
    pixels = dict.fromkeys(classes.values(), 0)
    for number, name in classes.items():
        pixels[name] += int((truth == number).sum())
    least = truth.size / math.prod(side // model.pixels for side in seen.shape[:2])
    return [name for name, n in pixels.items() if n >= least], {name for name, n in pixels.items() if 0 < n < least}


def best_name_threshold(names: Sequence[tuple[bool, float]]) -> float:
    """The lowest threshold at which most segments get the right name, or rightly none. names: for each segment, whether
    its best word is right, and that word's score."""
    right, score = (np.array(column) for column in zip(*names, strict=True))
    return float(max(NAME_THRESHOLDS, key=lambda limit: int((right == (score >= limit)).sum())))


def see_labelled(model: Model, sample: Sample, size: Size | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph (H, W, 3) uint8, its labels (H, W), 255 ignored, and the photograph as the model sees it. Raises
    UserError if it cannot be read, or if its labels have another size or no labelled pixel."""
    photo, truth = sample.image, sample.unchecked_labels()
    if photo.shape[:2] != truth.shape:
        (height, width), (rows, columns) = photo.shape[:2], truth.shape
        raise UserError(f"picture {width} × {height} and labels {columns} × {rows} differ in size")
    if (truth == IGNORE).all():
        raise UserError("no pixel of it is labelled")
    (window,) = windows(photo.shape[0], photo.shape[1], FIT)
    return photo, truth, cut(photo, window, seen_shape(model, photo.shape, FIT, size))


def _names(
    model: Model,
    photo: np.ndarray,
    truth: np.ndarray,
    classes: Mapping[int, str],
    known: Sequence[str],
    segment: SegmentConfig,
    size: Size | None,
) -> list[tuple[bool, float]]:
    """For each segment with labelled pixels: whether its best word is the class of most of them, and its score."""
    from ..segments.make import make_segments
    from ..segments.naming import name_photo

    (segments,) = make_segments(model, [photo], segment, fit=FIT, size=size)
    timestep = segment.timestep_shown
    named = name_photo(model, photo, segments.label_map, known, fit=FIT, size=size, timestep=timestep, threshold=0.0)
    scored = []
    for number, name in enumerate(named):
        inside = truth[(segments.label_map == number) & (truth != IGNORE)]
        if len(inside):
            scored.append((classes.get(int(np.bincount(inside).argmax())) == name.name, name.score))
    return scored
