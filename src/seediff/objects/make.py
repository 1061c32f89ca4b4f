"""From an image's masks to its objects: connected pieces of each class, which every method but `pieces` divides by self-attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Annotated

import numpy as np
from msgspec import Meta
from scipy.ndimage import distance_transform_edt

from ..attention.maps import AttentionMaps
from ..config.fields import AtLeastZero, Count, Positive, check_fields
from ..config.methods import ObjectMethod
from ..masks.make import MaskResult
from .baselines import diffcut_parts, diffseg_parts, maskcut_parts
from .cells import at_grid, at_pixels, connected
from .edges import attention_rows
from .peaks import peak_parts

MOST = 100
"""Maximum number of objects per image; those with the highest scores stay."""
FEWEST = 4
"""Minimum number of positions of a part, at the attention's resolution."""


@dataclass(frozen=True)
class ObjectConfig:
    """How the objects of a class are told apart."""

    method: ObjectMethod = "pieces"
    """pieces: connected pieces of the mask. peaks: divides these along edges of self-attention. diffseg, diffcut, maskcut: by segments."""
    level: Count = 2
    """Level of the self-attention: its side is the latent's side divided by this."""
    min_area: Annotated[float, Meta(ge=0, lt=1)] = 0.01
    """Smaller parts are no objects, as a share of the picture."""
    edge: AtLeastZero = 1.0
    """peaks: an edge is a divergence this many standard deviations above the mean inside the mask."""
    kl_threshold: Positive = 1.0
    """peaks, diffseg: rows of self-attention with a smaller divergence are of one object or segment."""
    power: Positive = 5.0
    """diffcut: exponent of the cosine."""
    similarity: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """maskcut: positions with a higher cosine are alike."""
    cost: Annotated[float, Meta(gt=0, le=2)] = 0.5
    """diffcut, maskcut: divide while the normalised cut costs less than this."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ObjectMap:
    """The objects of one image, in descending order of score.

    numbers: (H, W) uint16, 0 where there is no object, else an object's number from 1. class_ids, scores: of object 1, 2, …; ids as in
    `MaskResult.label_map`, scores in [0, 1].
    """

    numbers: np.ndarray
    class_ids: tuple[int, ...]
    scores: tuple[float, ...]


def make_objects(result: MaskResult, maps: AttentionMaps, config: ObjectConfig, presence: Mapping[str, float] | None = None) -> ObjectMap:
    """The objects in an image's masks, from the same attention.

    A score is the mean soft value in the object, times its class's presence if that is given. Objects that are too small are left out.
    Raises UserError if the level was not captured.
    """
    rows = None if config.method == "pieces" else attention_rows(maps, config.level)
    objects: list[tuple[float, int, np.ndarray]] = []
    for index, name in enumerate(result.classes):
        soft = result.soft[index].numpy()
        sure = 1.0 if presence is None else presence[name]
        pieces = connected(np.where(result.label_map == index + 1, 0, -1))
        for piece in range(int(pieces.max()) + 1):
            parts = pieces == piece
            if rows is not None and parts.mean() >= 2 * config.min_area:
                parts = at_pixels(_divided(at_grid(parts, maps.grid(config.level)) >= 0.5, soft, rows, config), parts)
            else:
                parts = np.where(parts, 0, -1)
            masks = (parts == part for part in range(int(parts.max()) + 1))
            objects += [(sure * float(soft[mask].mean()), index + 1, mask) for mask in masks if mask.mean() >= max(config.min_area, 1e-12)]
    objects = sorted(objects, key=lambda row: -row[0])[:MOST]
    numbers = np.zeros(result.label_map.shape, np.uint16)
    for number, (_, _, mask) in enumerate(objects, 1):
        numbers[mask] = number
    return ObjectMap(numbers, tuple(class_id for _, class_id, _ in objects), tuple(score for score, _, _ in objects))


def objects_of(result: MaskResult, maps: AttentionMaps, method: ObjectMethod, presence: Mapping[str, float] | None = None) -> ObjectMap:
    """`make_objects` with a method's default constants, at the level of self-attention nearest to L/2."""
    levels = [maps.level(grid) for grid in maps.self_attention] if method != "pieces" else []
    level = min(levels, key=lambda level: (abs(log2(level / 2)), level), default=2)
    return make_objects(result, maps, ObjectConfig(method, level=level), presence)


def enlarge_objects(objects: ObjectMap, labels: np.ndarray) -> ObjectMap:
    """Objects of a reduced picture, enlarged to the size of the picture's label map (H, W). Pixels along the edge of a class, where the two
    masks differ, go to the nearest object of their class."""
    small, size = objects.numbers, labels.shape
    rows, columns = (np.arange(side) * part // side for side, part in zip(size, small.shape, strict=True))
    numbers = small[np.ix_(rows, columns)]
    same = np.array([0, *objects.class_ids])[numbers] == labels
    reach = 2 * max(size[0] / small.shape[0], size[1] / small.shape[1])
    numbers = np.where(same, numbers, np.uint16(0))
    for class_id in {*objects.class_ids}:
        known = same & (labels == class_id)
        if known.any():
            away, nearest = distance_transform_edt(~known, return_indices=True)  # type: ignore[misc]
            edge = (labels == class_id) & ~same & (away <= reach)
            numbers[edge] = numbers[tuple(nearest)][edge]
    return ObjectMap(numbers, objects.class_ids, objects.scores)


def _divided(inside: np.ndarray, soft: np.ndarray, rows: np.ndarray, config: ObjectConfig) -> np.ndarray:
    """(h, w) parts of a mask (h, w) bool by the method. soft: (H, W)."""
    least = max(FEWEST, round(config.min_area * inside.size))
    if inside.sum() < 2 * least:
        return np.where(inside, 0, -1)
    if config.method == "diffseg":
        return diffseg_parts(inside, rows, threshold=config.kl_threshold, least=least)
    if config.method == "diffcut":
        return diffcut_parts(inside, rows, power=config.power, cost=config.cost, least=least)
    if config.method == "maskcut":
        return maskcut_parts(inside, rows, similarity=config.similarity, cost=config.cost, least=least)
    return peak_parts(inside, at_grid(soft, inside.shape), rows, limit=config.kl_threshold, strength=config.edge, least=least)
