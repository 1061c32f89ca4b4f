"""A model's thresholds from labelled pictures. One loop looks at each picture once, for `tune` and `evaluate masks`:

presence        the score from which a class counts as present (`mask`)
name_threshold  the score from which a segment keeps its name (`segment --names`)
beta            the soft value from which a pixel belongs to a class (`mask`), with the classes of each picture's truth
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..config.constants import SegmentConfig
from ..config.names import BACKGROUND
from ..config.photos_config import Fit, check_attention
from ..config.sizes import Size
from ..config.tuned import Tuned
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..errors import UserError
from ..evaluate.mask_protocols import BETAS, MASK_PROTOCOLS, MaskProtocol, best_beta, count, strongest
from ..evaluate.protocols import join_names
from ..files.label_maps import IGNORE
from ..files.messages import plural
from ..prompts.tokens import split_prompts
from .mask_job import MaskJob

if TYPE_CHECKING:
    import torch

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
class LabelledPhoto:
    """A photograph and its truth. index: of its noise. read: its pixels (H, W, 3) uint8, and its labels (h, w) uint8,
    255 ignored, perhaps of another size; raises UserError."""

    index: int
    name: str
    read: Callable[[], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class SeenPhoto:
    """What measures look at. pixels: (H, W, 3) uint8. truth: (h, w) ids. seen: the photograph as the model sees it, and
    latents (1, C, h', w') of that."""

    index: int
    pixels: np.ndarray
    truth: np.ndarray
    seen: np.ndarray
    latents: torch.Tensor


class Measure(Protocol):
    """What is counted of each photograph."""

    def look(self, photo: SeenPhoto) -> None: ...


def show_photos(
    job: MaskJob,
    photos: Sequence[tuple[LabelledPhoto, Sequence[Measure]]],
    progress: Progress | None = None,
    *,
    skip: bool = False,
) -> list[tuple[str, str]]:
    """Show each picture to its measures. Returns (name, reason) of the pictures that cannot be used; without skip, the
    first such raises UserError."""
    failed: list[tuple[str, str]] = []
    report = progress or (lambda done, total, what: None)
    report(0, len(photos), "")
    for done, (photo, measures) in enumerate(photos, 1):
        try:
            pixels, truth = photo.read()
        except UserError as error:
            if not skip:
                raise
            failed.append((photo.name, str(error)))
        else:
            seen, latents = encode(job, pixels)
            for measure in measures:
                measure.look(SeenPhoto(photo.index, pixels, truth, seen, latents))
        report(done, len(photos), photo.name)
    return failed


def encode(job: MaskJob, photo: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    """A photograph as the model sees it (h, w, 3) uint8, and its latents (1, C, h', w')."""
    from ..attention.see_photos import encode_images

    seen = job.seen(photo)
    return seen, encode_images(job.model, [seen])


class PresenceMeasure:
    """Presence scores of classes that are asked for. classes: id → name."""

    def __init__(self, model: Model, classes: Mapping[int, str]) -> None:
        self.model, self.classes = model, classes
        self.rows: list[tuple[str, bool, float]] = []
        """The kind of question, whether the class is there, and its score."""

    def look(self, photo: SeenPhoto) -> None:
        from ..masks.presence import find_classes

        shown, unclear = shown_classes(self.model, photo.truth, self.classes, photo.seen)
        clear = [name for name in dict.fromkeys(self.classes.values()) if name not in unclear]
        asked = questions(shown, clear, photo.index, seed=0)
        latents = photo.latents[[0] * len(asked)]
        sentences = [split_prompts(self.model.readers, words) for _, words in asked]
        for (group, words), scores in zip(asked, find_classes(self.model, latents, sentences), strict=True):
            self.rows += [(group, name in shown, scores[name]) for name in words]

    def threshold(self) -> tuple[float | None, float | None, float | None]:
        """The threshold, and precision and recall there; None if there is nothing to count."""
        if len({present for _, present, _ in self.rows}) < 2:
            return None, None, None
        group, present, score = (np.array(column) for column in zip(*self.rows, strict=True))
        presence = best_presence_threshold(group, present, score)
        found = score >= presence
        precision = float(present[found].mean()) if found.any() else None
        return presence, precision, float(found[present].mean())


class NameMeasure:
    """Names of segments. classes: id → name. segment: the method for the segments."""

    def __init__(self, model: Model, classes: Mapping[int, str], segment: SegmentConfig, size: Size | None) -> None:
        self.model, self.classes, self.segment, self.size = model, classes, segment, size
        self.names: list[tuple[bool, float]] = []
        """For each segment with labelled pixels: whether its best word is the class of most of them, and its score."""

    def look(self, photo: SeenPhoto) -> None:
        from ..segments.make_segments import make_segments
        from ..segments.naming import name_photo

        names = tuple(dict.fromkeys(self.classes.values()))
        (segments,) = make_segments(self.model, [photo.pixels], self.segment, fit=FIT, size=self.size)
        named = name_photo(
            self.model,
            photo.pixels,
            segments.label_map,
            names,
            fit=FIT,
            size=self.size,
            timestep=self.segment.timestep_shown,
            threshold=0.0,
        )
        numbers = _nearest(segments.label_map, photo.truth.shape)
        for number, name in enumerate(named):
            inside = photo.truth[(numbers == number) & (photo.truth != IGNORE)]
            if len(inside):
                is_right = self.classes.get(int(np.bincount(inside).argmax())) == name.name
                self.names.append((is_right, name.score))

    def threshold(self) -> tuple[float | None, float | None]:
        """The threshold, and the share of segments that are right there; None if there is nothing to count."""
        if not self.names:
            return None, None
        threshold = best_name_threshold(self.names)
        return threshold, float(np.mean([is_right == (score >= threshold) for is_right, score in self.names]))


def _nearest(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map (H, W) at another size, the nearest pixel of each."""
    rows, columns = (np.arange(after) * before // after for before, after in zip(values.shape, shape, strict=True))
    return values[rows[:, None], columns]


class MaskMeasure:
    """Counts of pixels by protocols of masks (evaluate/mask_protocols.py). words: word for the prompt → id. background:
    its id; None: there is none. size: the number of ids."""

    def __init__(
        self,
        job: MaskJob,
        words: Mapping[str, int],
        size: int,
        background: int | None,
        protocols: Sequence[MaskProtocol],
    ) -> None:
        self.job, self.words, self.size, self.background, self.protocols = job, words, size, background, protocols
        self.counts: dict[int, dict[MaskProtocol, np.ndarray]] = {}
        """Index of a picture → its counts under each protocol, from `evaluate.mask_protocols.count`."""

    def look(self, photo: SeenPhoto) -> None:
        pixels = np.bincount(photo.truth.ravel(), minlength=256)
        captured: dict[tuple[str, ...], Sequence[torch.Tensor]] = {(): ()}
        counts: dict[MaskProtocol, np.ndarray] = {}
        for protocol in self.protocols:
            everything = protocol == "vocabulary"
            chosen = tuple(word for word, number in self.words.items() if everything or pixels[number])
            if chosen not in captured:
                captured[chosen] = list(soft_masks(self.job, photo, chosen))
            best = strongest(captured[chosen], [self.words[word] for word in chosen], photo.truth.shape)
            truth, background = photo.truth, self.background
            if protocol == "oracle-ignored" and background is not None:
                truth, background = np.where(truth == background, np.uint8(IGNORE), truth), None
            counts[protocol] = count(*best, truth, self.size, background)
        self.counts[photo.index] = counts

    def beta(self, indices: Sequence[int]) -> float | None:
        """The best threshold of these pictures under `oracle`, or else `vocabulary`; None without a background."""
        by_rank = sorted(self.protocols, key=MASK_PROTOCOLS.index)
        for protocol in by_rank:
            counts = np.array([self.counts[index][protocol] for index in indices])
            if len(counts) and counts.shape[2] > 1:
                return float(BETAS[best_beta(counts)])
        return None


def soft_masks(job: MaskJob, photo: SeenPhoto, words: tuple[str, ...]) -> torch.Tensor:
    """Soft masks (n, h, w) of n ≥ 1 words."""
    from ..masks.make_masks import make_masks

    (maps,) = job.attention([photo.seen], photo.latents, [words], [photo.index])
    return make_masks(photo.seen, maps, words, job.mask_config, trace=False).soft


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
    beta: float | None
    photos: int
    segments: int
    failed: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls,
        presence: PresenceMeasure,
        names: NameMeasure,
        beta: float | None,
        photos: int,
        failed: Sequence[tuple[str, str]] = (),
    ) -> Thresholds:
        return cls(*presence.threshold(), *names.threshold(), beta, photos, len(names.names), tuple(failed))

    def file(self, job: MaskJob, weights: str, classes: int, about: str) -> Tuned:
        """The file that `--preset` takes. classes: the number asked for. about: the set."""
        note = f"{plural(self.photos, 'photograph')}, asked for {plural(classes, 'class')} (from {about})"
        found = self.presence, self.name_threshold, self.beta
        return Tuned(job.config.model, weights, *found, job.config.mask.method, note)


def tune(
    job: MaskJob,
    data: Dataset,
    classes: Mapping[int, str],
    segment: SegmentConfig,
    *,
    count: int,
    progress: Progress | None = None,
) -> Thresholds:
    """Find the thresholds on `count` evenly spaced photographs of a set. job: with its model loaded. classes: id →
    name, from `countable`. segment: the method for the segments that are named. Raises UserError if no photograph can
    be used.
    """
    from ..segments.make_segments import check_fits

    model, size = job.model, job.config.size
    check_attention(size, model.pixels)
    check_fits(model, segment, size)
    job.check_words(tuple(dict.fromkeys(classes.values())), job.model.readers)

    background = next((number for number, name in data.names.items() if name == BACKGROUND), None)
    words = {name: number for number, name in classes.items()}
    masks = MaskMeasure(job, words, max(data.names) + 1, background, ("oracle",))
    presence, names = PresenceMeasure(model, classes), NameMeasure(model, classes, segment, size)
    chosen = [data[i] for i in evenly(len(data), count)]
    photos = [LabelledPhoto(i, sample.name, partial(read_labelled, sample)) for i, sample in enumerate(chosen)]
    failed = show_photos(job, [(photo, (presence, names, masks)) for photo in photos], progress, skip=True)
    if len(failed) == len(chosen):
        raise UserError(f"{data.about}: none of {len(chosen)} photographs can be used ({failed[0][0]}: {failed[0][1]})")
    return Thresholds.of(presence, names, masks.beta(list(masks.counts)), len(chosen) - len(failed), failed)


def evenly(total: int, most: int | None) -> list[int]:
    """At most so many of `total` positions, evenly spaced; None: all."""
    return np.unique(np.linspace(0, total - 1, total if most is None else most).round().astype(int)).tolist()


def questions(shown: Sequence[str], classes: Sequence[str], index: int, seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """The questions (group, classes) for picture `index`: its classes and index % 4 others; one of its classes; one
    other; many; those that are possible. They are all ways to use `mask`: a sentence with a picture's classes and 0 to
    3 others (`several`), with one class, present or absent (`one`), and many classes at once, in several sentences
    (`many`).
    """
    rng = np.random.default_rng((seed, index))
    others = [str(name) for name in rng.permutation([name for name in classes if name not in shown])]
    several = [*shown, *others[: index % (MOST_ABSENT + 1)]]
    shuffled = tuple(several[i] for i in rng.permutation(len(several)))
    many = [*shown, *others][:MOST_ASKED] if len(classes) > MOST_ASKED else list(classes)
    everything = tuple(str(name) for name in rng.permutation(many))
    alone = [("one", (str(rng.choice(list(shown))),))] if shown else []
    other = [("one", (others[-1],))] if others else []
    asked = [("several", shuffled), *alone, *other, ("many", everything)]
    return [(group, names) for group, names in asked if names]


def best_presence_threshold(group: np.ndarray, present: np.ndarray, score: np.ndarray) -> float:
    """The threshold with the highest balanced accuracy, averaged over the groups; the lowest of equals. For n questions
    (n,): the kind, whether the class is there, and its score.
    """
    kinds = [(group == one) & (present == there) for one, there in product(np.unique(group), (True, False))]

    def balanced(threshold: float) -> float:
        right = (score >= threshold) == present
        # rounded, so that equal scores compare equal
        return round(float(np.mean([right[kind].mean() for kind in kinds if kind.any()])), 9)

    return float(max(PRESENCE_THRESHOLDS, key=balanced))


def countable(data: Dataset, vocabulary: Sequence[str] | None, chosen: Sequence[str] = ()) -> dict[int, str]:
    """Id → name of the classes of a set that thresholds are tuned with. vocabulary: the words that the model knows;
    None: not limited. chosen: the classes that the user named; empty: all. Raises UserError if the set lacks one of
    them, or if none is left."""
    objects = {number: name for number, name in data.names.items() if name != BACKGROUND}
    listed = join_names(list(objects.values()), 20)
    unknown = [name for name in chosen if name not in objects.values()]
    if unknown:
        raise UserError("classes", f"{', '.join(unknown)}: not among the classes of {data.about}: {listed}")
    used = {name for name in chosen or objects.values() if vocabulary is None or name in vocabulary}
    if not used:
        words = join_names(vocabulary or ())
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


def read_labelled(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """A photograph (H, W, 3) uint8, and its labels (H, W), 255 ignored. Raises UserError if it cannot be read, or if
    its labels have another size or no labelled pixel."""
    photo, truth = sample.image, sample.unchecked_labels()
    if photo.shape[:2] != truth.shape:
        (height, width), (rows, columns) = photo.shape[:2], truth.shape
        raise UserError(f"picture {width} × {height} and labels {columns} × {rows} differ in size")
    if (truth == IGNORE).all():
        raise UserError("no pixel of it is labelled")
    return photo, truth
