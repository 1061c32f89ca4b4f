"""`tune --read`: learns a reading, weights of a model's layers, from pictures with correct masks; and measures by cross-validation what it
gains over the model's usual method on the same pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..config.generate import load_dataset_config
from ..config.photographs import MaskPhotosConfig, check_attention
from ..config.presets import Recommended
from ..config.sizes import Size, pixels
from ..dataset.native import ATTENTION, MADE
from ..errors import UserError
from ..evaluate.layouts import EvaluationSet, Sample
from ..metrics.bootstrap import mean_interval
from ..metrics.scores import iou
from .tune import FIT, IGNORE, see_labelled, shown_classes

if TYPE_CHECKING:
    import torch

    from ..attention.maps import AttentionMaps
    from ..config.constants import CaptureConfig, MaskConfig
    from ..masks.reading import Reading
    from ..models.groups import Kind
    from ..models.registry import Model
    from ..workers import Progress

LEAST = 10
"""Minimum number of pictures that a reading is learnt from."""
FOLDS = 5
SHIFTS = np.linspace(-1, 3, 11)
"""Candidates to add to the bias, because masks that are best by cross-entropy are too small after PAMR."""


@dataclass(frozen=True)
class Lesson:
    """A picture with correct masks of C classes. image (H, W, 3) uint8: the picture as the model sees it. maps (C, 2F, h, w): from
    `all_maps`. known (h, w): the labelled share of each position. share (C, h, w): the class's share of the labelled part. labels (H, W):
    i + 1 = class i, 255 unknown. usual (C,): IoU of the usual method."""

    image: np.ndarray
    classes: tuple[str, ...]
    maps: torch.Tensor
    share: torch.Tensor
    known: torch.Tensor
    labels: np.ndarray
    usual: np.ndarray


@dataclass(frozen=True)
class Gain:
    """iou, usual: mean IoU over (picture, class) pairs, of readings that were learnt without them, and of the usual method. low, high: 95 %
    interval of the difference, over pictures."""

    iou: float
    usual: float
    low: float
    high: float

    def __str__(self) -> str:
        difference = f"{self.iou - self.usual:+.3f} (95 % interval {self.low:+.3f} to {self.high:+.3f})"
        return f"mean IoU {self.iou:.3f}, without it {self.usual:.3f}: {difference}"


@dataclass(frozen=True)
class Learnt:
    """A learnt reading. gain: on pictures that were left out. unseen: gain on classes that were left out; None if there is only one class.
    pictures, classes: what it was learnt from. failed: (picture, reason) for each picture that could not be used. unused: reason → the
    number of pictures whose saved attention could not be used, so that it was captured anew."""

    reading: Reading
    gain: Gain
    unseen: Gain | None
    pictures: int
    classes: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    unused: Mapping[str, int] = field(default_factory=dict)


def learn_reading(
    model: Model,
    data: EvaluationSet,
    classes: Mapping[int, str],
    usual: Recommended,
    *,
    count: int,
    size: Size | None = None,
    progress: Progress | None = None,
) -> Learnt:
    """Learn a reading from `count` evenly spaced pictures of a set; of a reviewed dataset, only from accepted and corrected pictures.

    classes, size: as in `tune`; saved attention may have any size if `size` is None. usual: the constants of the model's usual method; the
    reading uses the same PAMR. Raises UserError if fewer than ten pictures can be used, if the reading gains nothing, or for a size at
    which the model cannot see pictures.
    """
    from ..attention.generate import check_shape

    check_attention(size, model.pixels)
    check_shape(model, pixels(model.image_side if size is None else size), "size")
    reviews = [sample.metadata.get("review") or {} for sample in data.samples]
    right = [review.get("verdict") == "accepted" or review.get("corrected", False) for review in reviews]
    reviewed = any(review.get("verdict") for review in reviews) or any(right)
    good = [
        sample
        for sample, review, is_right in zip(data.samples, reviews, right, strict=True)
        if not reviewed or (is_right and review.get("verdict") != "rejected")
    ]
    chosen = [good[i] for i in np.unique(np.linspace(0, len(good) - 1, min(count, len(good))).round().astype(int))] if good else []
    lessons: list[Lesson] = []
    failed: list[tuple[str, str]] = []
    names: list[str] = []
    unused = Counter[str]()
    for index, sample in enumerate(chosen):
        try:
            lesson, there, why_not = _lesson(model, sample, classes, usual, size, index)
            if (names := names or there) != there:
                raise UserError("its saved maps are of other layers than the first picture's")
            lessons.append(lesson)
            unused[why_not] += 1
        except UserError as error:
            failed.append((sample.name, str(error)))
        if progress:
            progress(index + 1, len(chosen), sample.name)
    if len(lessons) < LEAST:
        why = f" ({failed[0][0]}: {failed[0][1]})" if failed else ""
        of = "accepted or corrected pictures" if reviewed else "pictures"
        raise UserError(f"{data.about}: {len(lessons)} {of} can be learnt from, at least {LEAST} are needed{why}")
    learnt = validated(lessons, names, replace(usual.mask, reading=""))
    return replace(learnt, failed=tuple(failed), unused={reason: count for reason, count in unused.items() if reason})


def validated(lessons: Sequence[Lesson], names: Sequence[str], config: MaskConfig) -> Learnt:
    """A reading learnt from all lessons, with its gain by cross-validation. names: of the F maps. Raises UserError if it gains nothing."""
    # 1. For every picture, the IoU at every shift, with a reading of the other folds. The shift of a fold is the best one on the others.
    folds = np.arange(len(lessons)) % FOLDS
    tables: list[np.ndarray] = [np.empty(0)] * len(lessons)
    for fold in range(FOLDS):
        reading = _fit([lesson for lesson, of in zip(lessons, folds, strict=True) if of != fold], names)
        for i in np.flatnonzero(folds == fold).tolist():
            tables[i] = _scores(lessons[i], reading, config, SHIFTS)
    shifts = [_best(tables[i] for i in np.flatnonzero(folds != fold).tolist()) for fold in range(FOLDS)]
    gain = _gain(lessons, [table[shifts[fold]] for table, fold in zip(tables, folds, strict=True)])

    # 2. The same for classes: each with a reading of other classes.
    shift = SHIFTS[[_best(tables)]]
    classes = sorted({name for lesson in lessons for name in lesson.classes})
    unseen: list[np.ndarray] = [np.full(len(lesson.classes), np.nan) for lesson in lessons]
    for fold in range(min(FOLDS, len(classes)) if len(classes) > 1 else 0):
        held = classes[fold::FOLDS]
        reading = _fit(lessons, names, without=held)
        for lesson, scores in zip(lessons, unseen, strict=True):
            if rows := [i for i, name in enumerate(lesson.classes) if name in held]:
                scores[rows] = _scores(lesson, reading, config, shift)[0, rows]

    # 3. The reading of all lessons. The shift becomes part of its bias, so that its threshold is ½.
    reading = _fit(lessons, names)
    reading = replace(reading, bias=reading.bias + float(shift[0]))
    if gain.iou <= gain.usual:
        raise UserError(f"a reading of these {len(lessons)} pictures gains nothing on pictures that it did not see: {gain}")
    return Learnt(reading, gain, _gain(lessons, unseen) if len(classes) > 1 else None, len(lessons), tuple(classes), ())


def _fit(lessons: Sequence[Lesson], names: Sequence[str], without: Collection[str] = ()) -> Reading:
    """A reading learnt from all (picture, class) pairs except those of the classes in `without`."""
    import torch

    from ..masks.reading import About, Reading, fit

    pairs = [(lesson, i) for lesson in lessons for i, name in enumerate(lesson.classes) if name not in without]
    rows = torch.cat([lesson.maps[i].flatten(1).T for lesson, i in pairs])
    targets = torch.cat([lesson.share[i].flatten() for lesson, i in pairs])
    weights, bias = fit(rows, targets, torch.cat([lesson.known.flatten() for lesson, _ in pairs]))
    return Reading(About(tuple(names)), weights.float().unflatten(0, (2, -1)), bias)


def _scores(lesson: Lesson, reading: Reading, config: MaskConfig, shifts: np.ndarray) -> np.ndarray:
    """IoU (S, C) of a lesson's C classes with each of S shifts added to the bias. PAMR runs once over all."""
    import torch

    from ..masks.make import enlarge, label_pixels, refine

    logits = reading.logits(lesson.maps)
    soft = enlarge(torch.cat([(logits + shift).sigmoid() for shift in shifts.tolist()]), lesson.image.shape[:2], config)
    soft = refine(lesson.image, soft, config) if config.pamr else soft
    return np.stack(
        [_ious(label_pixels(part, config).numpy(), lesson.labels, len(logits)) for part in soft.unflatten(0, (len(shifts), -1))]
    )


def _ious(predicted: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    known = labels != IGNORE
    return np.array([iou(predicted[known] == i, labels[known] == i) for i in range(1, count + 1)])


def _best(tables: Iterable[np.ndarray]) -> int:
    """The index of the shift with the highest mean IoU over all pairs in (S, C) tables."""
    return int(np.concatenate(list(tables), 1).mean(1).argmax())


def _gain(lessons: Sequence[Lesson], scores: Sequence[np.ndarray]) -> Gain:
    own, usual = np.concatenate(list(scores)), np.concatenate([lesson.usual for lesson in lessons])
    low, high = mean_interval(own - usual, np.repeat(np.arange(len(lessons)), [len(lesson.classes) for lesson in lessons]))
    return Gain(float(own.mean()), float(usual.mean()), low, high)


def _lesson(
    model: Model, sample: Sample, classes: Mapping[int, str], usual: Recommended, size: Size | None, index: int
) -> tuple[Lesson, list[str], str]:
    """The lesson of a sample, its maps' names, and why its saved attention was not used. Raises UserError if the sample cannot be used."""
    from ..masks.make import make_masks

    view, why_not = _view(model, sample, classes, usual, size, index)
    table = np.zeros(256, np.uint8)
    for number, name in classes.items():
        table[number] = view.shown.index(name) + 1 if name in view.shown else 0
    table[IGNORE] = IGNORE
    default = make_masks(view.image, means_of(view.maps, model, usual.capture), view.shown, usual.mask, trace=False).label_map
    return *lesson(view.image, view.maps, view.shown, table[view.truth], default), why_not


def lesson(
    image: np.ndarray, maps: AttentionMaps, classes: Sequence[str], labels: np.ndarray, usual: np.ndarray
) -> tuple[Lesson, list[str]]:
    """A lesson, and the maps' names. image (h, w, 3) uint8: as the model saw it. maps: with layers apart. labels (H, W) uint8, of any size:
    i + 1 = class i, 255 unknown. usual (h, w) uint8: the label map of the usual method."""
    import torch
    import torch.nn.functional as F

    from ..masks.arithmetic import resize
    from ..masks.reading import all_maps

    rows, names = all_maps(maps, classes)
    masks = torch.from_numpy(np.stack([labels == i for i in (*range(1, len(classes) + 1), IGNORE)])).float()
    *share, unknown = resize(masks, rows.shape[-2:])
    known = 1 - unknown
    at_size = F.interpolate(torch.from_numpy(labels)[None, None].float(), image.shape[:2])[0, 0].numpy().astype(np.uint8)
    score = _ious(usual, at_size, len(classes))
    return Lesson(image, tuple(classes), rows.cpu(), torch.stack(share) / known.clamp_min(1e-6), known, at_size, score), names


@dataclass(frozen=True)
class _View:
    """A picture as the model saw it. image (h, w, 3) uint8. truth (H, W): ids of the same part, 255 ignored. shown: the classes in it.
    maps: with layers apart."""

    image: np.ndarray
    truth: np.ndarray
    shown: Sequence[str]
    maps: AttentionMaps


def _view(model: Model, sample: Sample, classes: Mapping[int, str], usual: Recommended, size: Size | None, index: int) -> tuple[_View, str]:
    """A sample with its saved maps, or else with newly captured maps, and the reason why saved maps were not used; "" if there are none.
    Raises UserError for a sample that shows none of the classes, and for files that cannot be read."""
    from ..attention.photograph import capture_classes, encode_images
    from ..segments.naming import split_prompts

    photo, truth, seen = see_labelled(model, sample, size)
    why_not = ""
    if (ATTENTION, None) in sample.extras:
        view = _as_saved(model, sample, photo, truth, classes)
        why_not = _why_not(model, view, None if size is None else seen.shape)
        if not why_not:
            return view, ""
    shown, _ = shown_classes(model, truth, classes, seen)
    if not shown:
        raise UserError("it shows none of the classes")
    (maps,) = capture_classes(
        model,
        encode_images(model, [seen]),
        [split_prompts(model.readers, shown)],
        timesteps=MaskPhotosConfig.timesteps,
        seed=0,
        capture=replace(usual.capture, apart=True, layers="all"),
        indices=[index],
    )
    return _View(seen, truth, shown, maps), why_not


def _as_saved(model: Model, sample: Sample, photo: np.ndarray, truth: np.ndarray, classes: Mapping[int, str]) -> _View:
    """A sample with its saved maps: the part of the picture that they are of, at the size at which the model saw it."""
    from ..attention.maps import AttentionMaps
    from ..attention.windows import cut, windows

    maps, fit = AttentionMaps.load(sample.extras[ATTENTION, None]), FIT
    if made := sample.extras.get((MADE, None)):
        with suppress(UserError):  # of another version, or of another command
            config = load_dataset_config(made, MaskPhotosConfig)
            fit = config.fit if isinstance(config, MaskPhotosConfig) else FIT
    (part,) = windows(photo.shape[0], photo.shape[1], fit)
    image = cut(photo, part, (maps.latent_size[0] * model.pixels, maps.latent_size[1] * model.pixels))
    shown, _ = shown_classes(model, truth[part.slices], classes, image)
    return _View(image, truth[part.slices], shown, maps)


def _why_not(model: Model, view: _View, shape: tuple[int, ...] | None) -> str:
    """Why the saved maps of a view cannot be used; "" if they can. shape: that the image must have; None: any."""
    layers = {name for grids in (view.maps.self_layers, view.maps.cross_layers) for by_layer in grids.values() for name in by_layer}
    if not view.maps.cross_layers:
        return "has no layers apart (--capture-apart)"
    if not layers <= {*model.family.layers(model.network)}:
        return "is of another model's layers"
    if shape not in (None, view.image.shape):
        return "is of another size"
    if not view.shown:
        return "is of a part without a class"
    return "" if {*view.shown} <= {*view.maps.words} else "knows only other classes"


def means_of(maps: AttentionMaps, model: Model, capture: CaptureConfig) -> AttentionMaps:
    """The maps with means over the layers of a capture, for the usual method."""
    from ..attention.recorder import mean_of_layers
    from ..models.groups import by_kind

    names = list(model.family.layers(model.network))
    groups = by_kind(model.family.fit_layers(model.network.config, capture.layers))

    def means(kind: Kind, grids: Mapping[tuple[int, int], Mapping[str, torch.Tensor]]) -> dict[tuple[int, int], torch.Tensor]:
        chosen = model.family.chosen(names, groups[kind])
        held = {grid: [tensor for name, tensor in by_layer.items() if name in chosen] for grid, by_layer in grids.items()}
        return {grid: mean_of_layers(kind, tensors, capture) for grid, tensors in held.items() if tensors}

    return replace(maps, self_attention=means("self", maps.self_layers), cross_attention=means("cross", maps.cross_layers))
