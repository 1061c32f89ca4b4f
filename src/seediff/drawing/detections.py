"""Results as `supervision.Detections`, for that library's annotators and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from supervision import Detections


def as_detections(
    values: np.ndarray,
    first: int,
    names: Sequence[str],
    confidence: Sequence[float],
) -> Detections:
    """The mask, box and confidence of each entry with pixels. `class_id` is the entry's number from 0 on,
    `data["class_name"]` its name.

    values: (H, W) integers; entry i has the value `first` + i.
    first: the value of entry 0.
    names: each entry's name.
    confidence: each entry's confidence.
    Raises UserError if supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise UserError("detections", "need supervision", "pip install 'seediff[supervision]'") from error
    ids = [number for number in range(len(names)) if (values == first + number).any()]
    masks = np.array([values == first + number for number in ids], bool).reshape(-1, *values.shape)
    boxes = np.zeros((0, 4))
    if ids:
        boxes = supervision.mask_to_xyxy(masks)
    return supervision.Detections(
        boxes,
        masks,
        confidence=np.array([confidence[number] for number in ids], np.float32),
        class_id=np.array(ids, int),
        data={"class_name": np.array([names[number] for number in ids], dtype=str)},
    )
