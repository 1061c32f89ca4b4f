"""`tune`: finds the best thresholds of a model on labelled photographs:

presence        the score from which a class counts as present (`mask`)
name_threshold  the score from which a segment keeps its name (`segment --names`)
beta            the soft value from which a pixel belongs to a class (`mask`), with the classes of each picture's truth
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..config.class_names import BACKGROUND
from ..config.runs import MaskPhotosConfig, SegmentPhotosConfig
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.messages import first_of, plural
from ..metrics.confusion import confusion, count_classes
from ..metrics.scores import class_iou, mean_iou
from ..models.describe import ModelInfo, Preset
from ..prompts.tokens import split_prompts
from .mask_job import MaskJob
from .plan import check_values, plan_model

if TYPE_CHECKING:
    import torch

    from ..masks.photos import PhotoMasker
    from ..models.registry import Model
    from ..view import View
    from ..workers import Progress

MOST_ABSENT = 3
MOST_ASKED = 20
"""Limits of `questions`: how many absent classes the kind `several` has, and how many classes the kind `many` has."""
PRESENCE_THRESHOLDS = np.round(np.arange(0.5, 1.0, 0.005), 3)
NAME_THRESHOLDS = np.round(np.arange(0.5, 0.9, 0.002), 3)
"""Candidates for thresholds. They begin at ½, the score of average attention."""
BETAS = np.round(np.arange(0.02, 1.0, 0.02), 2)
"""Candidates for beta."""


class Tuning(NamedTuple):
    """The result of `tune`."""

    tuned: Preset
    """The thresholds. A value is None if there was nothing to count."""
    lines: Sequence[str]
    """The thresholds, and how good they are, in words."""
    failed: Sequence[tuple[str, str]]
    """(photograph, reason) for each photograph that could not be used."""


@dataclass(frozen=True)
class LabelledPhoto:
    """A photograph, its latents and its labels."""

    view: View
    index: int
    """Its number, which decides the noise."""
    latents: torch.Tensor
    """(1, C, h', w'), encoded by the model."""
    truth: np.ndarray
    """(H, W) uint8: ids of classes, 255 for ignored pixels."""


Answer = tuple[str, bool, float]
"""(group, present, score) of a class in a question about a photograph: the question's kind (`questions`), whether the
photograph shows the class, and the score that the model gives the class."""
ScoredName = tuple[bool, float]
"""(is_right, score) of a segment's name: whether most of the segment's labelled pixels are of this class, and the
name's score."""


def tune(
    masker: PhotoMasker,
    weights: str,
    data: Dataset,
    classes: Mapping[int, str],
    segmenting: SegmentPhotosConfig,
    *,
    count: int,
    progress: Progress,
) -> Tuning:
    """Find a model's thresholds on at most `count` evenly spaced photographs of a set.

    masker: has the model. weights: the fingerprint of its weights. data: the set. classes: id → name, from
    `classes_to_tune`. segmenting: how photographs are divided into the segments that get names. Raises UserError if no
    photograph can be used.
    """
    model = masker.model
    check_values(segmenting, model.info)
    plan_model(segmenting, model)
    masker.sentences(tuple(dict.fromkeys(classes.values())))  # refuses words that the model cannot read

    # 1. Answers, names and counts of each photograph, for the three thresholds
    background = next((number for number, name in data.names.items() if name == BACKGROUND), None)
    ids = {name: number for number, name in classes.items()}
    answers: list[Answer] = []
    names: list[ScoredName] = []
    counts: list[np.ndarray] = []
    failed: list[tuple[str, str]] = []
    chosen = [data[i] for i in evenly(len(data), count)]
    progress(0, len(chosen), "")
    for index, sample in enumerate(chosen):
        try:
            photo = read_labelled(masker, index, sample)
        except UserError as error:
            failed.append((sample.name, str(error)))
        else:
            answers += ask(model, classes, photo)
            names += score_names(model, classes, segmenting, photo)
            if background is not None:
                counts.append(count_pixels(masker, photo, ids, max(data.names) + 1, background))
        progress(index + 1, len(chosen), sample.name)
    if len(failed) == len(chosen):
        raise UserError(f"{data.about}: none of {len(chosen)} photographs can be used ({failed[0][0]}: {failed[0][1]})")

    # 2. The best thresholds
    photo_count = plural(len(chosen) - len(failed), "photograph")
    class_count = plural(len(classes), "class")
    presence, presence_line = tune_presence(answers)
    name_threshold, name_line = tune_names(names)
    beta, beta_line = tune_beta(counts)
    lines = [f"{photo_count}, {class_count}", presence_line, name_line, beta_line]
    config = masker.config
    note = f"{photo_count}, asked for {class_count} (from {data.about})"
    tuned = Preset(model=config.model, weights=weights, note=note, presence=presence, name_threshold=name_threshold)
    if beta is not None:
        method = config.mask.method
        tuned = replace(tuned, method=method, methods={method: {"mask": {"beta": beta}}})
    return Tuning(tuned, lines, failed)


def tune_presence(answers: Sequence[Answer]) -> tuple[float | None, str]:
    """(threshold, line): the presence threshold, None if it cannot be tuned; and a line about it for the user.

    The threshold has the highest balanced accuracy, averaged over the groups of questions. It is the lowest of several
    equally good ones.
    """
    if len({present for _, present, _ in answers}) < 2:
        why = "every class is in every photograph, or none in any, or all are too small"
        return None, f"presence: could not be tuned: {why}"
    group, present, score = (np.array(column) for column in zip(*answers, strict=True))
    kinds = [(group == one) & (present == there) for one, there in product(np.unique(group), (True, False))]

    def balanced(threshold: float) -> float:
        right = (score >= threshold) == present
        # rounded, so that equal scores compare equal
        return round(float(np.mean([right[kind].mean() for kind in kinds if kind.any()])), 9)

    best = float(max(PRESENCE_THRESHOLDS, key=balanced))
    found = score >= best
    precise = f"{present[found].mean():.0%}" if found.any() else "–"
    quality = f"{precise} of the classes found are present, {found[present].mean():.0%} of those present are found"
    return best, f"presence = {best}: {quality}"


def tune_names(names: Sequence[ScoredName]) -> tuple[float | None, str]:
    """(threshold, line): the threshold of names, None if no segment has labels; and a line about it for the user.

    The threshold treats the most segments right: it keeps right names, and no wrong ones. It is the lowest of several
    equally good ones.
    """
    if not names:
        return None, "name_threshold: could not be tuned: no segment has labels"
    is_right, score = (np.array(column) for column in zip(*names, strict=True))

    def treated_right(threshold: float) -> float:
        return np.mean(is_right == (score >= threshold)).item()

    best = float(max(NAME_THRESHOLDS, key=treated_right))
    share = f"{treated_right(best):.0%} of {plural(len(names), 'segment')}"
    return best, f"name_threshold = {best}: {share} get the right name, or none where it would be wrong"


def tune_beta(counts: Sequence[np.ndarray]) -> tuple[float | None, str]:
    """(beta, line): the threshold of soft masks with the highest mIoU, None without a background; and a line about it
    for the user. counts: (K, 3, C) of each photograph, from `count_pixels`; empty if the set has no background."""
    if not counts:
        return None, "beta: could not be tuned: the set has no background"
    miou = mean_iou(class_iou(np.sum(counts, axis=0)))
    beta = float(BETAS[np.nan_to_num(miou).argmax()])
    return beta, f"beta = {beta}: the highest mIoU of masks of the classes that each photograph shows"


def count_pixels(
    masker: PhotoMasker, photo: LabelledPhoto, ids: Mapping[str, int], size: int, background: int
) -> np.ndarray:
    """A photograph's counts (K, 3, C), as from `count_at_betas`, of the masks of the classes that its truth shows. ids:
    name → class id. size: C, the number of classes. background: its id."""
    shown = [name for name, number in ids.items() if (photo.truth == number).any()]
    soft: Sequence[torch.Tensor] = ()
    if shown:
        (maps,) = masker.attention([photo.view], [shown], photo.latents, [photo.index])
        soft = [*masker.label(photo.view, maps).soft]
    values, best = strongest(soft, [ids[name] for name in shown], photo.truth.shape)
    return count_at_betas(values, best, photo.truth, size, background)


def strongest(soft: Sequence[torch.Tensor], ids: Sequence[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(values, classes): the highest value of n soft maps at each pixel, (H, W) float32, and its class, (H, W) uint8;
    −1 and 255 if n = 0. The first of several equal maps wins. soft: (h, w) each; they are resized bilinearly first.
    ids: the class of each map. size: (H, W)."""
    from ..masks.arithmetic import highest, resize  # imports torch

    if not ids:
        return np.full(size, -1, np.float32), np.full(size, IGNORE, np.uint8)
    values, numbers = highest(resize(part[None], size)[0] for part in soft)
    return values.numpy(), np.array(ids, np.uint8)[numbers.numpy()]


def count_at_betas(
    value: np.ndarray, classes: np.ndarray, truth: np.ndarray, num_classes: int, background: int
) -> np.ndarray:
    """(K, 3, C) int64: the true positives, false positives and false negatives of each class at each of the K BETAS.
    value, classes: from `strongest`. truth: (H, W), 255 ignored. num_classes: C. background: the class of pixels below
    the threshold."""
    below = np.uint8(background)
    predicted = (np.where(value >= np.float32(beta), classes, below) for beta in BETAS)
    return np.stack([count_classes(confusion(each, truth, num_classes)) for each in predicted])


def ask(model: Model, classes: Mapping[int, str], photo: LabelledPhoto) -> list[Answer]:
    """The model's answers to the `questions` about a photograph. classes: id → name."""
    from ..masks.presence import find_classes

    shown, unclear = classes_shown(model, photo.truth, classes, photo.view.seen)
    clear = [name for name in dict.fromkeys(classes.values()) if name not in unclear]
    about_photo = questions(shown, clear, photo.index)
    sentences = [split_prompts(model.readers, words) for _, words in about_photo]
    answers: list[Answer] = []
    scores_of = find_classes(model, photo.latents[[0] * len(sentences)], sentences)
    for (group, words), scores in zip(about_photo, scores_of, strict=True):
        answers += [(group, name in shown, scores[name]) for name in words]
    return answers


def score_names(
    model: Model, classes: Mapping[int, str], config: SegmentPhotosConfig, photo: LabelledPhoto
) -> list[ScoredName]:
    """The names of a photograph's segments, without segments that have no labelled pixel. classes: id → name. config:
    how the photograph is divided."""
    from ..segments.make_segments import make_segments
    from ..segments.naming import name_photo

    (segments,) = make_segments(model, [photo.view], config.segment)
    named = name_photo(
        model,
        photo.view,
        segments.label_map,
        tuple(dict.fromkeys(classes.values())),
        timestep=config.segment.timestep_shown,
        threshold=0.0,
    )
    names: list[ScoredName] = []
    for number, name in enumerate(named):
        inside = photo.truth[(segments.label_map == number) & (photo.truth != IGNORE)]
        if len(inside):
            names.append((classes.get(int(np.bincount(inside).argmax())) == name.name, name.score))
    return names


def questions(shown: Sequence[str], classes: Sequence[str], index: int) -> list[tuple[str, tuple[str, ...]]]:
    """The questions (group, classes) about a picture: which of the classes does it show? The groups are the ways in
    which people use `mask`:

        several  the picture's classes and index % 4 other classes, in one sentence
        one      one of its classes; and in a second question, one other class
        many     many classes at once, in several sentences

    shown: the picture's classes. classes: all classes. index: the picture's number, which chooses the other
    classes, too.
    """
    rng = np.random.default_rng((0, index))
    others = [str(name) for name in rng.permutation([name for name in classes if name not in shown])]
    several = [*shown, *others[: index % (MOST_ABSENT + 1)]]
    shuffled = tuple(several[i] for i in rng.permutation(len(several)))
    many = [*shown, *others][:MOST_ASKED] if len(classes) > MOST_ASKED else list(classes)
    everything = tuple(str(name) for name in rng.permutation(many))
    alone = [str(rng.choice(list(shown)))] if shown else []
    groups = [("several", shuffled), ("one", tuple(alone)), ("one", tuple(others[-1:])), ("many", everything)]
    return [(group, names) for group, names in groups if names]


def classes_to_tune(data: Dataset, vocabulary: Sequence[str] | None, chosen: Sequence[str]) -> dict[int, str]:
    """Id → name of the classes on which thresholds are tuned: classes of a set that the model knows. vocabulary: the
    words that the model knows; None: any. chosen: the classes that the user named; empty: all. Raises UserError if the
    set lacks a chosen class, or if the model knows no class."""
    objects = {number: name for number, name in data.names.items() if name != BACKGROUND}
    listed = first_of(objects.values(), 20, in_all=True)
    unknown = [name for name in chosen if name not in objects.values()]
    if unknown:
        raise UserError("classes", f"{', '.join(unknown)}: not among the classes of {data.about}: {listed}")
    used = {name for name in chosen or objects.values() if vocabulary is None or name in vocabulary}
    if not used:
        words = first_of(vocabulary or (), in_all=True)
        raise UserError(f"{data.about}: the model knows none of its classes ({listed}); it knows {words}")
    return {number: name for number, name in objects.items() if name in used}


def classes_shown(
    model: Model, truth: np.ndarray, classes: Mapping[int, str], seen: np.ndarray
) -> tuple[list[str], set[str]]:
    """(shown, unclear): the classes that a photograph shows, and the classes that are too small to judge, because they
    cover less than one position of the model's latent. truth: (H, W) ids. classes: id → name. seen: the photograph as
    the model sees it, (h, w, 3)."""
    pixels = dict.fromkeys(classes.values(), 0)
    for number, name in classes.items():
        pixels[name] += int((truth == number).sum())
    least = truth.size / math.prod(side // model.sizes.position for side in seen.shape[:2])
    return [name for name, n in pixels.items() if n >= least], {name for name, n in pixels.items() if 0 < n < least}


def load_masker(config: MaskPhotosConfig, info: ModelInfo) -> tuple[PhotoMasker, str]:
    """(masker, weights): a `PhotoMasker` with the loaded model, and the fingerprint of the weights. info: the model.
    Raises UserError."""
    job = MaskJob(config, info=info)
    ready = job.load()
    return job.masker(ready), ready.loaded.weights


def evenly(total: int, most: int) -> list[int]:
    """Positions from 0 to total − 1, at most `most` of them, evenly spaced: evenly(5, 3) → [0, 2, 4]."""
    return np.unique(np.linspace(0, total - 1, most).round().astype(int)).tolist()


def read_labelled(masker: PhotoMasker, index: int, sample: Sample) -> LabelledPhoto:
    """A photograph with its latents and labels. index: its number. Raises UserError if a file
    cannot be read, if the sizes differ, or if no pixel is labelled."""
    photo = sample.image
    truth = sample.raw_labels()
    if photo.shape[:2] != truth.shape:
        height, width = photo.shape[:2]
        rows, columns = truth.shape
        raise UserError(f"image {width} × {height} and labels {columns} × {rows} differ in size")
    if (truth == IGNORE).all():
        raise UserError("no pixel of it is labelled")
    view = masker.view(photo)
    return LabelledPhoto(view, index, masker.encode([view]), truth)
