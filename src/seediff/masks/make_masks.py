"""From an image's `AttentionMaps` to its label map. `make_masks` takes these steps; at the right, the size of the maps
after each step:

    soft_masks     the method's soft mask of each class      (h, w), at a level of L that the method chooses
    enlarge        these masks, enlarged                     (H, W), the size at which the model drew or saw the image
    refine         moved to the image's edges: PAMR, SAM     (H, W)
    label_pixels   threshold, and one class per pixel        (H, W)

A photograph is larger than what the model saw of it. `refine_photo` refines `MaskResult.unrefined` once more, along the
photograph at a larger size, and `label_pixels` enlarges the result to the photograph's own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..attention.windows import Window
from ..config.methods import MaskConfig, check_capture, maps_read
from ..drawing.overlays import cut_out, magnify, overlay, with_legend
from ..drawing.shown import as_detections, as_html, label_legend
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..rows.values import area_flags
from .arithmetic import TINY, compete, confidence, min_max, otsu, resize
from .methods import METHODS, call_own
from .pamr import largest_size, pamr, pamr_weights, reduce_picture, scaled_dilations
from .steps import AFTER_PAMR, AFTER_SAM, BEFORE_PAMR, MaskStep, SoftMask

if TYPE_CHECKING:
    from supervision import Detections


@dataclass(frozen=True, repr=False)
class MaskResult:
    """Masks of one image. Notebooks show them as a picture."""

    label_map: np.ndarray
    """(H, W) uint8, 0 = background, i + 1 = classes[i], 255 = ignore."""
    soft: torch.Tensor
    """(C, H, W) float32 in [0, 1]."""
    classes: tuple[str, ...]
    flags: tuple[str, ...] = ()
    """Possible problems of the masks, such as `no_seeds:dog` (rows/values.py)."""
    trace: Mapping[str, Mapping[MaskStep, torch.Tensor]] = field(default_factory=dict)
    """Class → step → the map after it."""
    agreement: Mapping[str, float] = field(default_factory=dict)
    """Class → IoU of its mask with a second mask (`agreement`), if the method makes one."""
    pixels: np.ndarray | None = None
    """The image (H, W, 3) uint8, if it is known."""
    unrefined: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1, 1))
    """The soft masks (C, h, w) before PAMR and SAM, at the size at which the model drew or saw the image."""

    def __repr__(self) -> str:
        legend = [text for _, text in label_legend(self.label_map, self.classes)]
        return f"<MaskResult: {', '.join([str(self.label_map.shape), *legend, *self.flags])}>"

    def _repr_html_(self) -> str:
        legend = label_legend(self.label_map, self.classes)
        return as_html(", ".join(self.classes), self.pixels, Image.fromarray(self._drawn()), legend)

    def overlay(self) -> Image.Image:
        """The picture with the masks laid over it, and their names beside it; black instead of an unknown picture. A
        small picture is enlarged."""
        return Image.fromarray(with_legend(self._drawn(), label_legend(self.label_map, self.classes)))

    def _drawn(self) -> np.ndarray:
        """As `overlay`, without names."""
        pixels = None if self.pixels is None else magnify(self.pixels, Image.Resampling.LANCZOS)
        return overlay(pixels, magnify(self.label_map, Image.Resampling.NEAREST))

    def cutout(self, name: str, *, soft: bool = False) -> Image.Image:
        """The picture in RGBA, opaque where the label map has a class, and clear elsewhere. name: the class. soft: the
        transparency is the class's soft mask instead, which is a score: the object is see-through where it is low.
        Raises UserError for a class without a mask, and if the picture is not known."""
        if name not in self.classes:
            raise UserError("cutout", f"'{name}' has no mask", f"classes: {', '.join(self.classes)}")
        if self.pixels is None:
            raise UserError("cutout", "the image is not known", "ask for masks with pixels=…")
        number = self.classes.index(name)
        return cut_out(self.pixels, self.label_map, number + 1, self.soft[number].numpy() if soft else None)

    def detections(self) -> Detections:
        """The mask and box of each class with pixels, as `supervision.Detections`. Its `class_id` is the class's index
        in `classes`, its `data["class_name"]` the name, its `confidence` the one of datasets, in [−1, 1] (see
        `confidence`). Raises UserError if supervision is not installed."""
        sure = [confidence(self.label_map, soft.numpy(), number) for number, soft in enumerate(self.soft, 1)]
        return as_detections(self.label_map, 1, self.classes, sure)


def make_masks(
    image: np.ndarray | None,
    maps: AttentionMaps,
    classes: Sequence[str],
    config: MaskConfig,
    *,
    size: tuple[int, int] | None = None,
    trace: bool = True,
) -> MaskResult:
    """Masks of classes in one image, from its attention, on the CPU. A pixel gets the class with the highest soft value
    among the classes whose threshold it reaches, the first of equals.

    image: (H, W, 3) uint8, for PAMR and SAM; may be None if neither is used. maps: the image's attention. classes:
    names in the prompt. config: the method and its constants. size: (H, W) of the masks, if `image` is None. trace:
    also return the map after every step.

    Raises UserError if the image or size is missing, for a class that is given twice or is not in the prompt, and for a
    level that was not captured.
    """
    if image is not None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UserError(f"the image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
        size = (image.shape[0], image.shape[1])
    elif size is None or config.pamr or config.sam is not None:
        raise UserError("the image", "is missing", "give it; without pamr and sam, the masks' size is enough")

    softs = soft_masks(maps, classes, config)
    large = enlarge(torch.stack([mask.soft for mask in softs]), size, config)
    return finish_masks(image, classes, softs, large, config, trace=trace)


def finish_masks(
    image: np.ndarray | None,
    classes: Sequence[str],
    softs: Sequence[SoftMask],
    soft: torch.Tensor,
    config: MaskConfig,
    *,
    trace: bool = True,
) -> MaskResult:
    """The masks of an image from the soft mask of each class. image, classes, config, trace: as for `make_masks`.
    softs: from `soft_masks`. soft: (C, H, W), these soft masks after `enlarge`."""
    # 1. PAMR and SAM, all classes at once
    refined: dict[MaskStep, torch.Tensor] = {}
    if image is not None:
        refined = dict(refinements(image, soft, config))
    unrefined, soft = soft, [soft, *refined.values()][-1]

    # 2. Threshold, and one class per pixel
    label_map = label_pixels(soft, config).cpu().numpy()

    # 3. Flags, of the method for each class, of words that do not tell masks apart, and of the masks
    flags = [f"{flag}:{name}" for name, mask in zip(classes, softs, strict=True) for flag in mask.flags]
    flags += [f"mixed:{classes[number]}" for number in mixed(softs, config)]
    flags += area_flags(class_shares(label_map, classes), float((label_map == 0).mean()))

    # 4. The maps after each step
    steps: dict[str, dict[MaskStep, torch.Tensor]] = {}
    if trace:
        for number, (name, mask) in enumerate(zip(classes, softs, strict=True)):
            of_class = {step: maps[number] for step, maps in refined.items()}
            steps[name] = {step: values.cpu() for step, values in {**mask.trace, **of_class}.items()}

    # 5. The agreement with second masks
    seconds = [mask.second for mask in softs if mask.second is not None]
    agreed = {}
    if len(seconds) == len(classes):
        agreed = agreement(label_map, classes, seconds)
    return MaskResult(label_map, soft.cpu(), tuple(classes), tuple(flags), steps, agreed, image, unrefined.cpu())


def soft_masks(maps: AttentionMaps, classes: Sequence[str], config: MaskConfig) -> list[SoftMask]:
    """The soft mask of each class, by the method's function in METHODS (methods.py). Raises UserError unless there are
    1 to 254 classes, each once, and as `soft_mask` does."""
    if not 0 < len(set(classes)) == len(classes) < IGNORE:
        raise UserError("classes", f"{', '.join(classes) or 'none'}: must be 1 to {IGNORE - 1} names, each once")
    return [soft_mask(maps, name, config) for name in classes]


def soft_mask(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of one class, made by `config.method`. Raises UserError for a class that is not in the prompt, for
    a level that was not captured, and for normalised maps if the method needs plain means."""
    fix = f"use maps of this method, as capture(pipe, keep='{config.method}') makes them"
    check_capture(config.method, maps.normalized, fix)
    made = METHODS.get(config.method, call_own)(maps, class_name, config)
    read = maps_read(config).get("cross", ())  # None: an own method, which may read all
    levels = [level for level in maps.levels("cross") if read is None or level in read]
    if levels:
        made = replace(made, word=maps.cross_at(max(levels), class_name))
    return made


def mixed(softs: Sequence[SoftMask], config: MaskConfig) -> list[int]:
    """The numbers of the classes whose words hardly tell their masks from another class's (`separation`). The masks are
    those before PAMR and SAM, at the soft masks' own size.

    softs: from `soft_masks`. config: as for `make_masks`."""
    words = [mask.word for mask in softs if mask.word is not None]
    if len(words) < 2:
        return []
    soft = torch.stack([mask.soft for mask in softs])
    labels = label_pixels(enlarge(soft, soft.shape[1:], config), config)
    masks = torch.stack([(labels == number).float() for number in range(1, len(softs) + 1)])
    return [number for number, value in enumerate(separation(torch.stack(words), masks)) if value < SEPARATE]


def enlarge(
    soft: torch.Tensor,
    size: Sequence[int],
    config: MaskConfig,
    scaled: Sequence[int] | None = None,
    view: Window | None = None,
) -> torch.Tensor:
    """Soft masks (C, H, W) in [0, 1] at the image's size, the input of PAMR, from soft maps (C, h, w). Maps of method
    seediff are only resized; the `Finish` of other methods may also stretch, clamp or cut them.

    size: (height, width) of the image that the model drew or saw. scaled, view: only if a script resized this image and
    then cropped it: its (height, width) after resizing, and the part that the crop keeps.
    """
    finish = config.facts.finish
    soft = resize(soft, size, finish.resize)
    if scaled is not None and view is not None:
        soft = resize(soft, scaled)[(..., *view.slices)]
    if finish.stretch:
        soft = torch.stack([min_max(map_)[0] for map_ in soft])
    elif finish.resize == "bicubic":
        soft = soft.clamp(0, 1)
    if config.compete:
        soft = compete(soft)
    if finish.cut is not None:
        soft = (soft > finish.cut).float()
    return soft


def refine(
    image: np.ndarray,
    soft: torch.Tensor,
    config: MaskConfig,
    seen: Sequence[int] | None = None,
    weigh: Callable[..., torch.Tensor] = pamr_weights,
) -> torch.Tensor:
    """Soft masks (C, H, W) after the last of the `refinements`, which have the same arguments."""
    for _, refined in refinements(image, soft, config, seen, weigh):
        soft = refined
    return soft


def refinements(
    image: np.ndarray,
    soft: torch.Tensor,
    config: MaskConfig,
    seen: Sequence[int] | None = None,
    weigh: Callable[..., torch.Tensor] = pamr_weights,
) -> Iterator[tuple[MaskStep, torch.Tensor]]:
    """Yields (step, soft masks (C, H, W)) while masks move to the edges of the image: before and after PAMR, and after
    SAM, if the configuration has them.

    image: (H, W, 3) uint8. soft: the masks before. seen: the size (h, w) at which the model saw the image, for which
    PAMR's dilations are configured; None: the image's own size. weigh: `pamr_weights`, or a function that keeps its
    results for the next call."""
    if config.pamr:
        yield BEFORE_PAMR, soft
        finish, dilations = config.facts.finish, _dilations(image, config, seen)
        weights = weigh(image, dilations, finish.bandwidth, soft.device)
        iterations = finish.iterations or config.pamr_iterations
        soft = pamr(soft, weights, iterations, dilations).clamp_(0, 1)  # weights sum to 1 except for rounding
        yield AFTER_PAMR, soft
    if config.sam is not None:
        from .sam import refine_by_sam  # imports scipy

        yield AFTER_SAM, refine_by_sam(image, soft, config.sam, [_threshold(values, config) for values in soft])


def _dilations(image: np.ndarray, config: MaskConfig, seen: Sequence[int] | None) -> tuple[int, ...]:
    """PAMR's dilations in pixels of the image (H, W, 3). They are configured for the size `seen` (h, w) and grow with
    the image: dilations 1, 2, 4 for 512 pixels become 2, 4, 8 for an image of 1,024."""
    size = seen or image.shape[:2]
    dilations = config.facts.finish.dilations or config.pamr_dilations or scaled_dilations(size)
    growth = min(image.shape[:2]) / min(size)
    return tuple(dict.fromkeys(max(1, round(dilation * growth)) for dilation in dilations))


def _threshold(values: torch.Tensor, config: MaskConfig) -> float:
    """The lowest value of a soft mask (H, W) at which a pixel belongs to the class: the upper end of `ignore_band`,
    otherwise the method's own threshold, otherwise `beta`."""
    _, upper = config.ignore_band or (None, None)
    threshold = upper or config.facts.finish.threshold or config.beta
    if threshold == "otsu":
        return otsu(values) or 1.0  # not 0, Otsu's threshold for a map of zeros, which every pixel would reach
    return float(threshold)


def refine_photo(
    photo: np.ndarray, unrefined: torch.Tensor, config: MaskConfig, megapixels: float
) -> torch.Tensor | None:
    """Soft masks (C, H', W') moved to the edges of a photograph at a larger size than the model saw. None if PAMR is
    off, or if the model saw the photograph at this size or a larger one: then `MaskResult.soft` is as good.

    photo: (H, W, 3) uint8, or the part of it that the model saw. unrefined: `MaskResult.unrefined` (C, h, w). config:
    as for `make_masks`. megapixels: decides (H', W'), which is `largest_size`. PAMR's dilations grow with the size, so
    that PAMR reaches equally far in the picture.
    """
    picture = picture_to_follow(photo, unrefined.shape[1:], config, megapixels)
    if picture is None:
        return None
    return refine(picture, resize(unrefined, picture.shape[:2]), config, unrefined.shape[1:])


def picture_to_follow(
    photo: np.ndarray, seen: Sequence[int], config: MaskConfig, megapixels: float
) -> np.ndarray | None:
    """The photograph (H', W', 3) at the size at which `refine_photo` refines masks; None if `refine_photo` returns
    None. photo, config, megapixels: as for `refine_photo`. seen: the size (h, w) at which the model saw the
    photograph."""
    size = largest_size(photo.shape, megapixels)
    if not config.pamr or math.prod(size) <= math.prod(seen):
        return None
    return reduce_picture(photo, size)


def label_pixels(soft: torch.Tensor, config: MaskConfig, size: Sequence[int] | None = None) -> torch.Tensor:
    """Label map (H, W) uint8 of soft masks (C, h, w): 0 = background, i + 1 = class i. 255 = ignore: no class reaches
    its threshold, but a value lies inside `config.ignore_band`. size: (H, W) to which the masks are first enlarged, one
    class at a time to save memory; None: their own size."""
    low, _ = config.ignore_band or (None, None)
    size = tuple(size or soft.shape[1:])
    best = soft.new_full(size, -1)
    labels = torch.zeros_like(best, dtype=torch.uint8)
    uncertain = torch.zeros_like(best, dtype=torch.bool)
    for index, values in enumerate(soft, 1):
        values = resize(values[None], size)[0]
        wins = (values >= _threshold(values, config)) & (values > best)
        labels.masked_fill_(wins, index)
        torch.where(wins, values, best, out=best)
        if low is not None:
            uncertain |= values >= low
    return labels.masked_fill_(uncertain & (labels == 0), IGNORE)


def class_shares(label_map: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Class → the share of a label map (H, W) uint8 that it covers, in [0, 1]. The value i + 1 stands for
    classes[i]."""
    shares = np.bincount(label_map.ravel(), minlength=256)[1:] / label_map.size
    return dict(zip(classes, shares.tolist(), strict=False))


def agreement(label_map: np.ndarray, classes: Sequence[str], second_maps: Sequence[torch.Tensor]) -> dict[str, float]:
    """Class → IoU of its mask with a second mask, in [0, 1] to four digits; 0 for a class without pixels.

    Second masks come from `second_maps`, which are made of the same attention in another way (`SoftMask.second`). A
    class's second mask has the pixels where its map is higher than the maps of other classes. It has at most as many
    pixels as the mask in the label map: the pixels with the highest values.

    label_map: (H, W), i + 1 = classes[i]. second_maps: each class's second soft map (h, w).
    """
    soft = resize(torch.stack(list(second_maps)), label_map.shape).cpu()
    wins = soft.argmax(0)
    agreed = dict.fromkeys(classes, 0.0)
    for index, name in enumerate(classes):
        mask = torch.from_numpy(label_map == index + 1)
        count = int(mask.sum())
        if count:
            values = torch.where(wins == index, soft[index], 0)
            lowest_kept = values.flatten().kthvalue(values.numel() - count + 1).values  # the count-th highest
            second = (values >= lowest_kept) & (values > 0)
            agreed[name] = round(float((mask & second).sum() / (mask | second).sum()), 4)
    return agreed


SEPARATE = 0.93
"""The lowest usual `separation` of a class that was drawn."""


def separation(words: torch.Tensor, masks: torch.Tensor) -> list[float]:
    """How surely words tell the masks of their classes apart, in [0, 1] for each class: the probability that a position
    of its mask gets more attention to its word than a position of another class's mask, for the other class where this
    is lowest. ½: the word makes no difference between the two masks. 0: the class has no mask.

    Only the order of values counts, so the probability means the same for all models and normalisations. Equal values
    count half. Without another class that has a mask, it is 1.

    words: (C, h, w), the attention to each class. masks: (C, H, W), 1 in the class's mask and 0 elsewhere. They are
    reduced to (h, w), where the value of a position is its share of mask, and its weight."""
    weights = resize(masks, words.shape[1:]).cpu().double().flatten(1)
    sizes, lowest = weights.sum(1, keepdim=True), list[float]()
    shares = weights / sizes.clamp_min(TINY)
    for number, values in enumerate(words.cpu().flatten(1)):
        ranks = values.unique(return_inverse=True)[1]
        at_rank = torch.zeros_like(shares).index_add_(1, ranks, shares)
        below = at_rank.cumsum(1) - at_rank / 2  # each class's share at lower ranks, and half of its share at this one
        above = (below * at_rank[number]).sum(1).masked_fill(sizes[:, 0] == 0, 1.0)
        above[number] = 1.0
        lowest.append(float(above.min()))
    return lowest
