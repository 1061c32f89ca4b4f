"""Says which pictures are copies: `pixel_digest` is equal if their pixels are, `copy_key` if they were made of one
picture, and `near_pairs` finds pictures that look the same: saved again, resized, brighter, darker or mirrored.

A difference hash with its numbers, not with their signs alone: signs are equal in most pictures of one object in the
middle of a plain ground.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from .sample import Sample

ROBOFLOW_COPY = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{16,}")
"""The name of a copy that Roboflow made of a picture. The group is the picture's name."""
FIELDS = 8
"""Rows and columns of `brightness_steps`."""
UNIT = 64
"""The length of most `brightness_steps`. Products of such whole numbers are exact, in any order of their sum."""
FLAT = 16.0
"""The length of steps, in grey levels, below which a picture is so plain that it looks like any other plain one."""
NEAR = 0.92
"""The least cosine between the steps of pictures that look the same."""
MOST_PAIRS = 16
"""The most pairs of a picture with later ones: enough to join a series, whose pairs would not fit into memory."""
BLOCK = 128
"""Pictures that are compared with all others at once, so that their cosines fit into the processor's cache."""


class Appearance(NamedTuple):
    """By what copies of a picture are found."""

    digest: str
    """The `pixel_digest`."""
    steps: np.ndarray
    """The `brightness_steps`."""


def appearance(image: np.ndarray) -> Appearance:
    """The appearance of a picture (H, W, 3) uint8."""
    return Appearance(pixel_digest(image), brightness_steps(image))


def pixel_digest(image: np.ndarray) -> str:
    """A digest of a picture's pixels, (H, W, 3) uint8. It does not depend on the format of the file."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, key=repr(image.shape).encode()).hexdigest()


def copy_key(item: Sample, digest: str) -> str:
    """What copies of a picture have in common: its name, if Roboflow made them; the digest of its pixels, if `augment`
    did (a splice counts as made of its first picture); else their own digest."""
    copy = ROBOFLOW_COPY.fullmatch(item.name.rpartition("/")[2])
    return f"Roboflow {copy[1]}" if copy else item.row.pixels or digest


def brightness_steps(image: np.ndarray) -> np.ndarray:
    """(FIELDS, FIELDS) int8: how much brighter each field of a picture is than the field on its left, as a vector of
    the length UNIT; of a plain picture, a shorter vector. A mirrored picture has the mirrored steps with the other
    sign. image: (H, W, 3) uint8."""
    fields = Image.fromarray(image).convert("F").resize((FIELDS + 1, FIELDS), Image.Resampling.BOX)
    steps = np.diff(np.asarray(fields), axis=1)
    return np.rint(UNIT / max(float(np.linalg.norm(steps)), FLAT) * steps).astype(np.int8)


def near_pairs(steps: Sequence[np.ndarray]) -> np.ndarray:
    """(M, 2) int64: positions i < j of pictures that look the same, the most alike first: the cosine of their steps, or
    of one's and the mirrored other's, is at least NEAR. At most MOST_PAIRS have the same i. steps: the
    `brightness_steps` of each picture."""
    vectors = np.array(steps, np.float32).reshape(-1, FIELDS, FIELDS)
    mirrored = -vectors[:, :, ::-1].reshape(-1, FIELDS**2)
    vectors = vectors.reshape(-1, FIELDS**2)
    found = [np.zeros((0, 3), np.int64)]
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        alike = np.maximum(block @ vectors[start:].T, block @ mirrored[start:].T)
        hits = np.flatnonzero(alike >= NEAR * UNIT**2)  # several times as fast as np.argwhere
        pairs = np.column_stack(np.divmod(hits, alike.shape[1]))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        unlikeness = -alike[pairs[:, 0], pairs[:, 1]].astype(np.int64)
        rows = np.column_stack((unlikeness, pairs + start))[np.lexsort((unlikeness, pairs[:, 0]))]
        rank = np.arange(len(rows)) - np.searchsorted(rows[:, 1], rows[:, 1])
        found.append(rows[rank < MOST_PAIRS])
    rows = np.concatenate(found)
    return rows[np.argsort(rows[:, 0], kind="stable"), 1:]
