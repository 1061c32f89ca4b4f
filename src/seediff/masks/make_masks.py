"""From an image's `AttentionMaps` to its label map. `make_masks` takes these steps; at the right, the size of the maps
after each step:

    soft_masks     the method's soft mask of each class      (h, w), at a level of L that the method chooses
    enlarge        these masks, enlarged                     the size at which the model drew or saw the image
    refine         moved to the image's edges: PAMR, SAM     the same; of a large photograph up to `edge_megapixels`
    label_pixels   threshold, and one class per pixel        (H, W), the image's own size
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..config.methods import MaskConfig, check_capture, maps_read
from ..errors import UserError
from ..files.image_files import is_rgb
from ..files.label_maps import IGNORE
from ..rows.values import area_flags
from ..view import View
from .arithmetic import compete, min_max, otsu, resize
from .own_methods import call_method
from .pamr import KeptWeights, largest_size, pamr, pamr_weights, reduce_picture, scaled_dilations
from .results import SEPARATE, MaskResult, separation
from .steps import AFTER_PAMR, AFTER_SAM, BEFORE_PAMR, MaskStep, SoftMask


@dataclass(frozen=True)
class Edges:
    """How PAMR follows the edges of a picture."""

    megapixels: float = 0.0
    """It follows the edges of a view's window at up to this size, if that is larger than the model saw it."""
    kept: KeptWeights | None = None
    """As for `pamr_weights`."""


EDGES = Edges()


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
        if not is_rgb(image):
            raise UserError(f"the image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
        size = (image.shape[0], image.shape[1])
    elif size is None or config.pamr or config.sam is not None:
        raise UserError("the image", "is missing", "give it; without pamr and sam, the masks' size is enough")
    return masks_of_view(View.whole(size, image), maps, classes, config, trace=trace)


def masks_of_view(
    view: View,
    maps: AttentionMaps,
    classes: Sequence[str],
    config: MaskConfig,
    *,
    edges: Edges = EDGES,
    trace: bool = True,
) -> MaskResult:
    """As `make_masks`, of the part of a picture that the model saw or drew; the rest is ignored. view, edges: as for
    `refinements`."""
    softs = soft_masks(maps, classes, config)
    return refine_and_label(view, classes, softs, enlarge(softs, view, config), config, edges=edges, trace=trace)


def refine_and_label(
    view: View,
    classes: Sequence[str],
    softs: Sequence[SoftMask],
    unrefined: torch.Tensor,
    config: MaskConfig,
    *,
    edges: Edges = EDGES,
    trace: bool = True,
) -> MaskResult:
    """The masks of a picture from the soft mask of each class. Other arguments: as for `masks_of_view`.
    softs: from `soft_masks`. unrefined: (C, h, w), these soft masks after `enlarge`."""
    # 1. PAMR and SAM, all classes at once
    refined = dict(refinements(view, unrefined, config, edges))
    soft = [unrefined, *refined.values()][-1]

    # 2. Threshold, and one class per pixel
    label_map = view.paste(label_pixels(soft, config, view.inside.shape).cpu().numpy(), IGNORE)

    # 3. Flags, of the method for each class, of words that do not tell masks apart, and of the masks
    flags = [f"{flag}:{name}" for name, mask in zip(classes, softs, strict=True) for flag in mask.flags]
    flags += [f"mixed:{classes[number]}" for number in mixed(softs, config)]
    background, *shares = (np.bincount(label_map.ravel(), minlength=256) / label_map.size).tolist()
    flags += area_flags(dict(zip(classes, shares, strict=False)), background)

    # 4. The maps after each step
    steps: dict[str, dict[MaskStep, torch.Tensor]] = {}
    if trace:
        for number, (name, mask) in enumerate(zip(classes, softs, strict=True)):
            of_class = {step: maps[number] for step, maps in refined.items()}
            steps[name] = {step: values.cpu() for step, values in {**mask.trace, **of_class}.items()}
    return MaskResult(
        label_map,
        soft.cpu(),
        tuple(classes),
        tuple(flags),
        trace=steps,
        pixels=view.pixels,
        unrefined=unrefined.cpu(),
        window=view.inside,
    )


def soft_masks(maps: AttentionMaps, classes: Sequence[str], config: MaskConfig) -> list[SoftMask]:
    """The soft mask of each class, by the method's function. Raises UserError unless there are
    1 to 254 classes, each once, and as `soft_mask` does."""
    if not 0 < len(set(classes)) == len(classes) < IGNORE:
        raise UserError("classes", f"{', '.join(classes) or 'none'}: must be 1 to {IGNORE - 1} names, each once")
    return [soft_mask(maps, name, config) for name in classes]


def soft_mask(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of one class, made by `config.method`. Raises UserError for a class that is not in the prompt, for
    a level that was not captured, and for normalised maps if the method needs plain means."""
    fix = f"use maps of this method, as capture(pipe, keep='{config.method}') makes them"
    check_capture(config.method, maps.normalized, fix)
    made = call_method(maps, class_name, config)
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
    labels = label_pixels(enlarge(softs, View.whole(softs[0].soft.shape), config), config)
    masks = torch.stack([(labels == number).float() for number in range(1, len(softs) + 1)])
    return [number for number, value in enumerate(separation(torch.stack(words), masks)) if value < SEPARATE]


def enlarge(softs: Sequence[SoftMask], view: View, config: MaskConfig) -> torch.Tensor:
    """Soft masks (C, h, w) in [0, 1], the input of PAMR, at the size at which the model saw the picture, or of what is
    left of the picture that it drew. Maps of method seediff are only resized; the `LastSteps` of other methods may also
    stretch, clamp or cut them."""
    last = config.facts.last_steps
    soft = resize(torch.stack([mask.soft for mask in softs]), view.shape, last.resize)
    if view.inside != view.window:
        soft = resize(soft, view.window.shape)[(..., *view.kept.slices)]
    if last.stretch:
        soft = torch.stack([min_max(map_)[0] for map_ in soft])
    elif last.resize == "bicubic":
        soft = soft.clamp(0, 1)
    if config.compete:
        soft = compete(soft)
    if last.cut is not None:
        soft = (soft > last.cut).float()
    return soft


def refine(view: View, soft: torch.Tensor, config: MaskConfig, edges: Edges = EDGES) -> torch.Tensor:
    """Soft masks (C, H', W') after the last of the `refinements`, which have the same arguments."""
    for _, refined in refinements(view, soft, config, edges):
        soft = refined
    return soft


def refinements(
    view: View, soft: torch.Tensor, config: MaskConfig, edges: Edges = EDGES
) -> Iterator[tuple[MaskStep, torch.Tensor]]:
    """Yields (step, soft masks (C, H', W')) while masks move to the edges of the picture: before and after PAMR, and
    after SAM, if the configuration has them.

    view: with pixels, if it has. soft: (C, h, w) from `enlarge`. edges: for PAMR.
    """
    if not config.pamr and config.sam is None:
        return
    picture = _picture_to_follow(view, edges.megapixels if config.pamr else 0.0)
    size = picture.shape[:2]
    dilations = _dilations(soft.shape[1:], size, config)
    soft = resize(soft, size)
    if config.pamr:
        yield BEFORE_PAMR, soft
        last = config.facts.last_steps
        weights = pamr_weights(picture, dilations, last.bandwidth, soft.device, edges.kept)
        soft = pamr(soft, weights, last.iterations or config.pamr_iterations, dilations)
        soft = soft.clamp_(0, 1)  # weights sum to 1 except for rounding
        yield AFTER_PAMR, soft
    if config.sam is not None:
        from .sam import refine_by_sam  # imports scipy

        yield AFTER_SAM, refine_by_sam(picture, soft, config.sam, [_threshold(values, config) for values in soft])


def _dilations(seen: Sequence[int], size: Sequence[int], config: MaskConfig) -> tuple[int, ...]:
    """PAMR's dilations for a picture of `size` (H', W') of which the model saw `seen` (h, w). They are configured for
    `seen`, and grow with the picture: dilations 1, 2, 4 for 512 pixels become 2, 4, 8 for 1,024."""
    base = config.facts.last_steps.dilations or config.pamr_dilations or scaled_dilations(seen)
    return scaled_dilations(size, base, min(seen))


def _picture_to_follow(view: View, megapixels: float) -> np.ndarray:
    """The pixels (H', W', 3) whose edges masks follow: those of a photograph at up to this size, if the model saw it
    smaller; otherwise at the size of the masks."""
    if view.inside != view.window:
        assert view.pixels is not None
        return view.pixels
    size = largest_size(view.window.shape, megapixels)
    if math.prod(size) > math.prod(view.shape):
        return reduce_picture(view.part, size)
    return view.seen


def _threshold(values: torch.Tensor, config: MaskConfig) -> float:
    """The lowest value of a soft mask (H, W) at which a pixel belongs to the class: the upper end of `ignore_band`,
    otherwise the method's own threshold, otherwise `beta`."""
    threshold = config.facts.last_steps.threshold
    if config.ignore_band:
        _, threshold = config.ignore_band
    if threshold is None:
        threshold = config.beta
    if threshold == "otsu":
        return otsu(values) or 1.0  # not 0, Otsu's threshold for a map of zeros, which every pixel would reach
    return float(threshold)


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
