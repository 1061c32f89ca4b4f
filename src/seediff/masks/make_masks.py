"""From an image's `AttentionMaps` to its label map. The steps, and the sizes of maps after them:

    soft_masks     (h, w): a level of L, which the method chooses
    enlarge        (H, W): the image as the model drew or saw it; if a script then resized it to `scaled` and cropped
                   it, its part `view`
    refine         the same size: PAMR, SAM
    label_pixels   the same size: threshold, and one class per pixel

A photograph is larger than what the model saw of it. `refine_photo` refines `MaskResult.unrefined` once more, along the
photograph at a larger size, and `label_pixels` enlarges the result to the photograph's own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..attention.windows import Window
from ..config.method_constants import MaskConfig
from ..config.methods import check_capture
from ..drawing.overlays import cut_out, draw_named
from ..drawing.shown import as_html, label_legend, shown_names
from ..errors import UserError
from ..files.label_maps import IGNORE
from .arithmetic import compete, min_max, otsu, resize
from .flags import degenerate
from .methods import METHODS
from .own import call_own
from .pamr import largest_size, pamr, pamr_weights, reduce_picture, scaled_dilations
from .steps import BEFORE_PAMR, MaskStep, SoftMask


@dataclass(frozen=True, repr=False)
class MaskResult:
    """Masks of one image. Notebooks show them as a picture."""

    label_map: np.ndarray
    """(H, W) uint8, 0 = background, i + 1 = classes[i], 255 = ignore."""
    soft: torch.Tensor
    """(C, H, W) float32 in [0, 1]."""
    classes: tuple[str, ...]
    flags: tuple[str, ...] = ()
    """Problems of the masks, such as `no_seeds:dog`; flags.py lists them."""
    trace: Mapping[str, Mapping[MaskStep, torch.Tensor]] = field(default_factory=dict)
    """Class → step → map."""
    agreement: Mapping[str, float] = field(default_factory=dict)
    """Class → IoU of its mask with a second mask, if the method makes one."""
    pixels: np.ndarray | None = None
    """The image (H, W, 3) uint8, if it is known."""
    unrefined: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 1, 1))
    """`soft` before PAMR and SAM."""

    def __repr__(self) -> str:
        legend = [text for _, text in label_legend(self.label_map, self.classes)]
        return f"<MaskResult: {', '.join([str(self.label_map.shape), *legend, *self.flags])}>"

    def _repr_html_(self) -> str:
        legend = label_legend(self.label_map, self.classes)
        return as_html(", ".join(self.classes), self.pixels, self.overlay(), legend)

    def overlay(self) -> Image.Image:
        """The masks laid over the picture, or over black if it is not known, with outlines and names."""
        return Image.fromarray(draw_named(self.pixels, self.label_map, shown_names(self.classes)))

    def cutout(self, name: str) -> Image.Image:
        """The picture with the soft mask of a class as its transparency (RGBA): opaque where it is highest, clear where
        the label map has another class. Raises UserError for a class without a mask, and without a picture."""
        if name not in self.classes:
            raise UserError("cutout", f"'{name}' has no mask", f"classes: {', '.join(self.classes)}")
        if self.pixels is None:
            raise UserError("cutout", "the picture is not known", "ask for masks with pixels=…")
        number = self.classes.index(name)
        return cut_out(self.pixels, self.label_map, number + 1, self.soft[number].numpy())

    def detections(self) -> Any:
        """`supervision.Detections`: the mask and box of each class that has pixels. class_id: the class's number in
        `classes`, from 0; data["class_name"]: its name. Raises UserError if supervision is not installed."""
        try:
            import supervision
        except ImportError as error:
            raise UserError("detections", "need supervision", "pip install 'seediff[supervision]'") from error
        ids = [number for number in range(len(self.classes)) if (self.label_map == number + 1).any()]
        masks = np.array([self.label_map == number + 1 for number in ids], bool).reshape(-1, *self.label_map.shape)
        names = np.array([self.classes[number] for number in ids], dtype=str)
        boxes = supervision.mask_to_xyxy(masks) if ids else np.zeros((0, 4))
        return supervision.Detections(boxes, masks, class_id=np.array(ids, int), data={"class_name": names})


def make_masks(
    image: np.ndarray | None,
    maps: AttentionMaps,
    classes: Sequence[str],
    config: MaskConfig,
    *,
    size: tuple[int, int] | None = None,
    trace: bool = True,
) -> MaskResult:
    """Masks of `classes` in one image, from its attention alone; on the CPU.

    image: (H, W, 3) uint8, for PAMR and SAM. If neither is used, it may be None; then `size` (H, W) is the masks' size.
    trace: also return every step's map.

    A pixel goes to the class with the highest soft value among those that reach their threshold, to the first of
    equals. Raises UserError if the image or size is missing, for a class that is given twice or is not in the prompt,
    and for a level that was not captured.
    """
    if image is not None and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8):
        raise UserError(f"the image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    if image is not None:
        size = (image.shape[0], image.shape[1])
    elif config.pamr or config.sam is not None:
        size = None
    if size is None:
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
    """The masks of an image, once each class's soft mask is known. softs: from `soft_masks`. soft: (C, H, W), these
    soft masks, enlarged to the image's size. image, config, trace: as in `make_masks`."""
    # 1. What the classes' methods report
    steps, flags = {}, []
    for name, mask in zip(classes, softs, strict=True):
        flags += [f"{flag}:{name}" for flag in mask.flags]
        if trace:
            steps[name] = dict(mask.trace)

    # 2. PAMR and SAM, all classes at once.
    unrefined = soft
    if image is not None:
        if config.pamr:
            for by_step, values in zip(steps.values(), soft, strict=False):
                by_step[BEFORE_PAMR] = values
        soft = refine(image, soft, config)

    # 3. Threshold, and one class per pixel.
    label_map = label_pixels(soft, config).cpu().numpy()
    flags += degenerate(class_shares(label_map, classes))
    on_cpu = {name: {step: values.cpu() for step, values in by_step.items()} for name, by_step in steps.items()}

    # 4. The agreement with second masks.
    seconds = [mask.second for mask in softs if mask.second is not None]
    agreed = {}
    if len(seconds) == len(classes):
        agreed = agreement(label_map, classes, seconds)
    return MaskResult(label_map, soft.cpu(), tuple(classes), tuple(flags), on_cpu, agreed, image, unrefined.cpu())


def soft_masks(maps: AttentionMaps, classes: Sequence[str], config: MaskConfig) -> list[SoftMask]:
    """The soft mask of each class. Raises UserError if there are not 1 to 254 classes, if a class is given twice, and
    for the reasons of `soft_mask`."""
    if not 0 < len(set(classes)) == len(classes) < IGNORE:
        raise UserError("classes", f"{', '.join(classes) or 'none'}: must be 1 to {IGNORE - 1} names, each once")
    return [soft_mask(maps, name, config) for name in classes]


def soft_mask(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of one class by `config.method`. Raises UserError for a class that is not in the prompt, a level
    that was not captured, and normalised maps if the method needs plain means."""
    fix = f"use maps of this method, as capture(pipe, keep='{config.method}') makes them"
    check_capture(config.method, maps.normalized, fix)
    return METHODS.get(config.method, call_own)(maps, class_name, config)


def enlarge(
    soft: torch.Tensor,
    size: Sequence[int],
    config: MaskConfig,
    scaled: Sequence[int] | None = None,
    view: Window | None = None,
) -> torch.Tensor:
    """Soft maps (C, h, w) resized to the image's size: (C, H, W) in [0, 1], the input of PAMR.

    size: (height, width) of the image that the model drew or saw. scaled, view: if a script resized this image and
    cropped it, its (height, width) before the crop, and the part that is left.
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
    """Soft masks (C, H, W) refined along the image (H, W, 3) uint8 by PAMR and then SAM, if the configuration has them.
    seen: the size (h, w) at which the model saw the image; PAMR's dilations are for this size. None: the image's own
    size. weigh: `pamr_weights`, or a function that keeps its results for the next call."""
    if config.pamr:
        finish, dilations = config.facts.finish, _dilations(image, config, seen)
        weights = weigh(image, dilations, finish.bandwidth, soft.device)
        iterations = finish.iterations or config.pamr_iterations
        soft = pamr(soft, weights, iterations, dilations).clamp_(0, 1)  # weights sum to 1 but rounding
    if config.sam is not None:
        from .sam import refine_by_sam  # imports scipy

        soft = refine_by_sam(image, soft, config.sam, [_threshold(values, config) for values in soft])
    return soft


def _dilations(image: np.ndarray, config: MaskConfig, seen: Sequence[int] | None) -> tuple[int, ...]:
    """PAMR's dilations in pixels of the image (H, W, 3). They are configured for the size `seen` (h, w), and grow with
    the image: the dilations 1, 2, 4 for 512 pixels are 2, 4, 8 for an image of 1,024."""
    size = seen or image.shape[:2]
    dilations = config.facts.finish.dilations or config.pamr_dilations or scaled_dilations(size)
    growth = min(image.shape[:2]) / min(size)
    return tuple(dict.fromkeys(max(1, round(dilation * growth)) for dilation in dilations))


def _threshold(values: torch.Tensor, config: MaskConfig) -> float:
    """The lowest value of a soft mask (H, W) at which a pixel belongs to the class."""
    _, upper = config.ignore_band or (None, None)
    threshold = upper or config.facts.finish.threshold or config.beta
    if threshold == "otsu":
        return otsu(values) or 1.0  # Otsu's of a map of zeros is 0, which every pixel reaches
    return float(threshold)


def refine_photo(
    photo: np.ndarray, unrefined: torch.Tensor, config: MaskConfig, megapixels: float
) -> torch.Tensor | None:
    """Soft masks `unrefined` (C, h, w) of what a model saw of a photograph (H, W, 3) uint8, refined along the
    photograph at its largest size within `megapixels`: (C, H', W'). None if that size is not larger than (h, w), or if
    PAMR is off: then the masks that were refined along what the model saw are as good.

    Dilations grow with the size, so that PAMR reaches equally far in the picture.
    """
    picture = picture_to_follow(photo, unrefined.shape[1:], config, megapixels)
    if picture is None:
        return None
    return refine(picture, resize(unrefined, picture.shape[:2]), config, seen=unrefined.shape[1:])


def picture_to_follow(
    photo: np.ndarray, seen: Sequence[int], config: MaskConfig, megapixels: float
) -> np.ndarray | None:
    """The photograph at the size (H', W', 3) at which `refine_photo` refines; None if that would add nothing, as
    explained there. seen: the size (h, w) that the model saw."""
    size = largest_size(photo.shape, megapixels)
    if not config.pamr or math.prod(size) <= math.prod(seen):
        return None
    return reduce_picture(photo, size)


def label_pixels(soft: torch.Tensor, config: MaskConfig, size: Sequence[int] | None = None) -> torch.Tensor:
    """Label map (H, W) uint8 of soft masks (C, h, w): 0 = background, i + 1 = class i, 255 where the values lie inside
    `ignore_band`. size: (H, W) to which the masks are enlarged, one class at a time to save memory; None: their own
    size."""
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
    """Class → its share of a label map (H, W) uint8, in [0, 1]; i + 1 = classes[i]."""
    shares = np.bincount(label_map.ravel(), minlength=256)[1:] / label_map.size
    return dict(zip(classes, shares.tolist(), strict=False))


def agreement(label_map: np.ndarray, classes: Sequence[str], second_maps: Sequence[torch.Tensor]) -> dict[str, float]:
    """Class → how well its mask agrees with a second mask, from the same maps in another way (`SoftMask.second`): IoU
    in [0, 1], to four digits; 0 for a class without pixels.

    label_map: (H, W), i + 1 = classes[i]. second_maps: each class's second soft map (h, w). A class's second mask is
    made of the pixels where its map is the highest of all: those with the highest values, as many as label_map has.
    """
    soft = resize(torch.stack(list(second_maps)), label_map.shape).cpu()
    wins = soft.argmax(0)
    shares = {}
    for index, name in enumerate(classes):
        mask = torch.from_numpy(label_map == index + 1)
        count = int(mask.sum())
        if not count:
            shares[name] = 0.0
            continue
        values = torch.where(wins == index, soft[index], 0)
        lowest = values.flatten().kthvalue(values.numel() - count + 1).values
        others = (values >= lowest) & (values > 0)
        shares[name] = round(float((mask & others).sum() / (mask | others).sum()), 4)
    return shares
