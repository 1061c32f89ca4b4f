"""Writes samples with finished masks into a dataset, for `generate` and `mask`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import UNSET

from .. import __version__
from ..config.generate_config import GenerateConfig
from ..config.photos_config import MaskPhotosConfig
from ..dataset import native
from ..dataset.encoding import encode_mask, encode_objects, encode_soft, soft_levels
from ..dataset.native import with_objects_of
from ..dataset.sample import SOFT
from ..dataset.shapes.objects import scored_pieces
from ..rows.row import Row, ids_by_name, shown_classes
from .output import BatchRecord

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make_masks import MaskResult
    from ..prompts.specs import SampleSpec

CLASSES_WITH_STRIPS, STRIPS_OF_A_CLASS = 8, 2
"""How many pictures the folder steps/ gets: for at most 8 classes, of 2 samples each, because `reject` may drop one."""


@dataclass(frozen=True)
class MaskedSample:
    """A sample with its masks, ready to be written."""

    name: str
    """Its name in the dataset."""
    spec: SampleSpec
    suffix: str
    """The suffix of the picture's file, without a dot."""
    image: bytes
    """The contents of the picture's file, as PNG or JPEG."""
    masks: MaskResult
    """The masks at the picture's size."""
    soft: Callable[[], Iterable[np.ndarray]]
    """A function that yields the soft mask (H, W) of each class, one after the other: all soft masks of a large
    photograph at once would take hundreds of megabytes."""
    small: MaskResult | None
    """The masks at the size that the model saw, with a trace of the steps that made them; None for a sample without
    classes."""
    attention: AttentionMaps | None
    row: Row
    """What only one of the commands knows of it, such as the `seed` of `generate`."""


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


@dataclass(frozen=True)
class SampleWriter:
    """Writes the samples of a dataset."""

    config: GenerateConfig | MaskPhotosConfig
    traced: Mapping[int, Sequence[str]]
    """From `traced_classes`."""

    @cached_property
    def ids(self) -> dict[str, int]:
        """Class → its id."""
        return ids_by_name(self.config.classes)

    def write(self, record: BatchRecord, out: Path, sample: MaskedSample) -> None:
        """Write the sample's files into the folder `out` and add its row to the record."""
        from ..dataset.quality.select import confidence  # imports scipy

        name, config, masks = sample.name, self.config, sample.masks
        class_ids = [self.ids[kind] for kind in masks.classes]
        labels = native.dataset_labels(masks.label_map, class_ids)
        file_name, mask = native.sample_files(name, sample.suffix)
        record.write(out, file_name, sample.image)
        record.write(out, mask, encode_mask(labels))

        # 1. What the soft masks say
        confidences, soft_files = dict[str, float](), dict[str, bytes]()
        for kind, class_id, values in zip(masks.classes, class_ids, sample.soft(), strict=True):
            confidences[kind] = round(confidence(labels, soft_levels(values), class_id), 4)
            if config.keep_soft:
                soft_files[f"{SOFT}/{name}_{class_id}.png"] = encode_soft(values)

        # 2. Files that the user asked for, and pictures of the steps
        row = sample.row
        if config.objects:
            objects = scored_pieces(labels, class_ids, sample.soft())
            record.write(out, f"{native.INSTANCES}/{name}.png", encode_objects(objects, name))
            row = with_objects_of(row, objects)
        for path, data in soft_files.items():
            record.write(out, path, data)
        if config.keep_attention and sample.attention is not None:
            record.write_by(out, f"{native.ATTENTION}/{name}.safetensors", sample.attention.save)
        for class_id, strip in self._strips(sample).items():
            record.write(out, f"{native.STEPS}/{name}_{class_id}.png", strip)

        # 3. The row
        row = row.showing(shown_classes(labels, config.classes, masks.classes)).replace(
            file_name=file_name,
            mask_file_name=mask,
            prompt=sample.spec.prompt,
            flags=masks.flags,
            confidence=confidences,
            agreement=dict(masks.agreement) or UNSET,
            model=config.model_label,
            method=config.method,
            version=__version__,
        )
        record.rows.append(row)

    def _strips(self, sample: MaskedSample) -> dict[int, bytes]:
        """Class id → a PNG with the steps of its mask, for the classes in `traced`."""
        from ..report.explain import draw_strip, show_steps

        strips: dict[int, bytes] = {}
        small, traced = sample.small, self.traced.get(sample.spec.index, ())
        if small is None or small.pixels is None or not traced:
            return strips
        labels = native.dataset_labels(small.label_map, [self.ids[kind] for kind in small.classes])
        for kind in traced:
            if kind in small.classes:
                steps = show_steps(small, kind)
                strips[self.ids[kind]] = draw_strip(small.pixels, labels, steps)
        return strips
