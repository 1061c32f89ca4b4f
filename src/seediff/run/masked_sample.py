"""`masked_sample`: makes a sample of a picture and the masks that a model made of it, for `generate` and `mask`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..config.generate_config import GenerateConfig
from ..config.photos_config import MaskPhotosConfig
from ..dataset import native
from ..dataset.encoding import encode_soft
from ..dataset.sample import SOFT, Extras, Sample
from ..dataset.shapes.objects import scored_pieces
from ..masks.confidence import confidence
from ..rows.row import Row
from ..rows.shown import ids_by_name

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make_masks import MaskResult
    from ..prompts.specs import SampleSpec

CLASSES_WITH_STRIPS, STRIPS_OF_A_CLASS = 8, 2
"""How many pictures the folder steps/ gets: for at most 8 classes, of 2 samples each, because `reject` may drop one."""


def traced_classes(specs: Iterable[SampleSpec]) -> dict[int, list[str]]:
    """Index of a sample → those of its classes whose masks' steps are drawn into steps/. specs: of all samples."""
    traced: dict[int, list[str]] = {}
    seen: Counter[str] = Counter()
    for spec in specs:
        for name in spec.classes:
            if seen[name] < STRIPS_OF_A_CLASS and (name in seen or len(seen) < CLASSES_WITH_STRIPS):
                seen[name] += 1
                traced.setdefault(spec.index, []).append(name)
    return traced


def masked_sample(
    config: GenerateConfig | MaskPhotosConfig,
    name: str,
    image: bytes,
    masks: MaskResult,
    soft: Callable[[], Iterable[np.ndarray]],
    attention: AttentionMaps | None,
    strips: Mapping[str, bytes],
    row: Row,
) -> Sample:
    """The sample of a picture and its masks, with the files that the configuration asks for.

    image: the contents of the picture's file, as PNG or JPEG. masks: at the picture's size (H, W). soft: a function
    that yields the soft mask (H, W) in [0, 1] of each class, one after the other: all soft masks of a large photograph
    at once would take hundreds of megabytes. strips: from `draw_strips`. row: what only one of the commands knows of
    the sample, such as the `seed` of `generate`.
    """
    ids = ids_by_name(config.classes)
    class_ids = tuple(ids[kind] for kind in masks.classes)
    labels = native.dataset_labels(masks.label_map, class_ids)
    extras: Extras = {(native.STEPS, ids[kind]): strip for kind, strip in strips.items()}
    confidences, objects = dict[str, float](), None
    for kind, class_id, values in zip(masks.classes, class_ids, soft(), strict=True):
        confidences[kind] = confidence(labels, values, class_id)
        if config.keep_soft:
            extras[SOFT, class_id] = encode_soft(values)
    if config.objects:
        objects = scored_pieces(labels, class_ids, soft())
    if config.keep_attention and attention is not None:
        extras[native.ATTENTION, None] = attention.encode()
    row = row.replace(
        classes=masks.classes,
        class_ids=class_ids,
        flags=masks.flags,
        confidence=confidences,
        agreement=dict(masks.agreement) or None,
        model=config.model_label,
        method=config.method,
        version=__version__,
    )
    return Sample(image, labels, objects, row, name=name, extras=extras)


def draw_strips(masks: MaskResult | None, traced: Sequence[str], classes: Sequence[str]) -> dict[str, bytes]:
    """Class → a PNG with the steps of its mask. masks: with their trace, at the size that the model saw; None for a
    sample without classes. traced: the classes to draw, as far as the sample has them. classes: the dataset's, whose
    ids decide the colours."""
    if masks is None or masks.pixels is None or not traced:
        return {}
    from ..report.explain import draw_strip, show_steps

    ids = ids_by_name(classes)
    labels = native.dataset_labels(masks.label_map, [ids[kind] for kind in masks.classes])
    drawn = [kind for kind in traced if kind in masks.classes]
    return {kind: draw_strip(masks.pixels, labels, show_steps(masks, kind)) for kind in drawn}
