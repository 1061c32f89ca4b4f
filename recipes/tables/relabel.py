"""Gives the same images other masks, to separate the effect of the masks on a segmenter from that of the images.

The key `masks` of a source chooses them: `yardstick` stands for the embedded world's segmenter, `SET.LABELLING` for
`seediff mask` with the constants of that labelling, which treats the images as photographs. Both know the classes that
each image shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipes.mini.sets import dataset_ids
from recipes.studies.settings import Setting
from seediff.config.photographs import MaskPhotosConfig
from seediff.dataset.sample import Sample
from seediff.dataset.store import open_native, write_native
from seediff.errors import UserError
from seediff.files.photographs import Photo
from seediff.mini.scenes import CLASSES
from seediff.models.hub import resolve_name

from .drawn import SetConfig, on_device

if TYPE_CHECKING:
    from seediff.workers import Progress

YARDSTICK = "yardstick"
TOGETHER = 64  # images loaded at once for the yardstick


def check_masks(masks: str, what: str, classes: Sequence[str], sets: Mapping[str, SetConfig]) -> None:
    """Raise UserError if `masks` cannot be made for images of these classes. what: the beginning of the message."""
    if masks != YARDSTICK:
        resolve_name(labelling(masks, sets, what)[0].model)
    elif unknown := [name for name in classes if name not in CLASSES]:
        raise UserError(f"{what}: masks = '{YARDSTICK}' knows the embedded world's classes alone, not '{unknown[0]}'")


def labelling(masks: str, sets: Mapping[str, SetConfig], what: str = "data") -> tuple[SetConfig, dict]:
    """The set that `SET.LABELLING` names, and the labelling's constants. Raises UserError if there is no such set or
    labelling.
    """
    name, _, labels = masks.partition(".")
    if name not in sets:
        known = ", ".join([YARDSTICK, *(f"{one}.{label}" for one, config in sets.items() for label in config.labels)])
        raise UserError(f"{what}: masks = '{masks}': there are: {known}")
    if labels not in sets[name].labels:
        raise UserError(
            f"{what}: masks = '{masks}': set '{name}' has no labelling '{labels}'; there are:"
            f" {', '.join(sets[name].labels)}"
        )
    return sets[name], sets[name].labels[labels]


def relabelled(
    classes: tuple[str, ...],
    items: Sequence[Sample],
    masks: str,
    sets: Mapping[str, SetConfig],
    out: Path,
    progress: Progress | None = None,
    device: str | None = None,
) -> tuple[tuple[str, ...], list[Sample]]:
    """Classes and samples with those masks. They are stored in `out`, where an interrupted call continues. Raises
    UserError.
    """
    if masks != YARDSTICK:
        _mask(classes, items, masks, sets, out, progress, device)
    elif not out.is_dir():
        write_native(
            out, classes, _measured(classes, items), about={"command": "recipes.tables", "masks": masks}, link=True
        )
    return open_native(out)


def _mask(
    classes: tuple[str, ...],
    items: Sequence[Sample],
    masks: str,
    sets: Mapping[str, SetConfig],
    out: Path,
    progress: Progress | None,
    device: str | None,
) -> None:
    """Run `seediff mask` on the samples' images, into `out`."""
    from seediff.run.mask import mask_photos

    config, labels = labelling(masks, sets)
    setting = Setting.from_table(labels, masks)
    photos = [Photo(_path(item), item.name) for item in items]
    mask_photos(
        on_device(
            MaskPhotosConfig(
                classes,
                model=config.model,
                batch_size=config.batch_size,
                threads=config.threads,
                mask=setting.config,
                capture=setting.capture,
                presence=0.0,
                fit="resize",  # as for the published tables; the sets' pictures are square
            ),
            out,
            device,
        ),
        photos,
        out,
        classes_of={item.name: item.metadata["classes"] for item in items},
        progress=progress,
    )


def _measured(classes: Sequence[str], items: Sequence[Sample]) -> Iterator[Sample]:
    """The samples with the yardstick's masks."""
    from recipes.mini.yardstick import load_segmenter, segment_known

    network, ids = load_segmenter(), dataset_ids(classes)
    for first in range(0, len(items), TOGETHER):
        chunk = items[first : first + TOGETHER]
        images = np.stack([np.asarray(item.picture()) for item in chunk])
        label_maps = segment_known(network, images, [tuple(item.metadata["classes"]) for item in chunk])
        for item, label_map in zip(chunk, label_maps, strict=True):
            labels = ids[label_map]
            yield Sample(item.source, labels, metadata=item.metadata, name=item.name)


def _path(item: Sample) -> Path:
    if not isinstance(item.source, Path):
        raise UserError(f"sample '{item.name}': its image is no file of its own, as a photograph must be")
    return item.source
