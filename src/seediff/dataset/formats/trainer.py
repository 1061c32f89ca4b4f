"""Writes pictures, masks and captions for LoRA trainers with a masked loss. The format is only written.

out/  images/NAME.png or .jpg    pictures, as they are
      images/NAME.txt            the sample's prompt
      masks/NAME.png             8-bit grey PNG: how much each pixel's loss counts, from 0 to 255; with the layout
                                 `beside`: images/NAME-masklabel.png
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import UserError
from ...files.label_maps import IGNORE
from ...files.messages import plural, show_json
from ..encoding import encode_grey
from ..sample import Sample
from .exporting import Export

BESIDE = "-masklabel"
"""The ending of a mask's name beside its picture."""


def write(export: Export) -> None:
    """Writes a picture, a mask and a caption for each sample that shows one of the classes.

    The option `classes` names the classes that are trained, united in one mask. With `soft`, a pixel counts as much as
    the highest soft mask of these classes says, if the sample has their soft masks and nobody replaced its mask;
    otherwise 255 inside of the mask. The layout `folders` has masks in masks/, with the picture's name; `beside`,
    beside the picture, as for OneTrainer. Raises UserError for an unknown class.
    """
    options = export.options
    soft = export.options.soft
    names = export.classes if options.classes is None else options.classes
    for name in names:
        if name not in export.classes:
            known = ", ".join(map(show_json, export.classes))
            raise UserError("classes", f"{show_json(name)} is not a class of the set, which has {known}")
    class_ids = [export.classes.index(name) + 1 for name in names]
    folder, ending = "masks", ""
    if options.layout == "beside":
        folder, ending = "images", BESIDE
    hard = 0
    silent = 0
    jpegs = 0
    for placed in export.placed(weights, class_ids=class_ids, soft=soft):
        png, is_soft = placed.encoded
        hard += soft and not is_soft
        jpegs += placed.sample.suffix == "jpg"
        export.put(f"images/{placed.file_name}", placed.picture)
        export.put(f"{folder}/{placed.name}{ending}.png", png)
        caption = " ".join((placed.sample.row.prompt or "").split())
        if caption:
            export.put(f"images/{placed.name}.txt", f"{caption}\n")
        else:
            silent += 1
    if export.left_out:
        without = plural(export.left_out.total(), "sample")
        export.note(f"{without} without {' or '.join(map(show_json, names))}: left out")
    export.count(hard, "sample without soft masks that describe the mask: 0 and 255 alone")
    export.count(silent, "sample without a prompt, and so without a caption")
    if options.layout == "folders":
        export.count(jpegs, "image in JPEG: SimpleTuner finds no mask for it, as it looks for NAME.jpg in masks/")
    held_out = [split for split in export.parts if split != "train"]
    if held_out:
        export.note(f"samples of {' and '.join(held_out)} are trained, too: `seediff split` makes folders of the parts")


def weights(sample: Sample, labels: np.ndarray, class_ids: Sequence[int], soft: bool) -> tuple[bytes, bool] | None:
    """(png, is_soft): the mask of a sample, an 8-bit grey PNG, and whether it is soft. None if it shows none of the
    classes. labels: its label map (H, W). class_ids: the trained classes. soft: as in `ExportOptions`."""
    shown = [class_id for class_id in class_ids if (labels == class_id).any()]
    if not shown:
        return None
    soft = soft and all(sample.is_soft(class_id) for class_id in shown)
    if soft:
        level = np.max([sample.soft_level(class_id) for class_id in shown], axis=0)
    else:
        level = np.where(np.isin(labels, shown), np.uint8(255), np.uint8(0))
    return encode_grey(np.where(labels == IGNORE, np.uint8(0), level)), soft
