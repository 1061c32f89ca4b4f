"""How good the masks of a drawn set are, before segmenters are trained on them: against those of the yardstick.

Constants that were tuned on scenes need not suit drawings, whose attention is of all steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.mini.yardstick import finds, iou, load_segmenter, segment_known
from recipes.studies.markdown import table
from seediff.dataset import native
from seediff.dataset.sample import Sample
from seediff.mini.scenes import CLASS_IDS

from .drawn import labelled


@dataclass(frozen=True)
class MaskScores:
    """Means over a set's pictures, in [0, 1].

    labelled: share of the pixels that have a class. iou: with the yardstick's masks, over the classes of pictures in
    which it finds all of them. not_drawn: share of the picture that a class gets which it does not find.
    """

    labelled: float
    iou: float
    not_drawn: float


def score_masks(folder: Path) -> dict[str, MaskScores]:
    """Labelling → scores of its masks in a set that `draw_set` made. Raises UserError for a folder without a set."""
    names = sorted(path.name for path in (folder / native.MASKS).iterdir())
    classes, samples = labelled(folder, names[0])
    images = np.stack([sample.image for sample in samples])
    exact = segment_known(load_segmenter(), images, [sample.row.named for sample in samples])
    return {name: score_samples(labelled(folder, name)[1], classes, exact) for name in names}


def score_samples(samples: Sequence[Sample], classes: Sequence[str], exact: Sequence[np.ndarray]) -> MaskScores:
    """The scores of one labelling. classes: in the order of the samples' ids. exact: the yardstick's label maps."""
    shares, ious, absent = [], [], []
    for sample, ids in zip(samples, exact, strict=True):
        masks = {name: sample.label_map == classes.index(name) + 1 for name in sample.row.named}
        found = {name for name in masks if finds(ids, name)}
        shares.append((sample.label_map > 0).mean())
        absent += [mask.mean() for name, mask in masks.items() if name not in found]
        if found == set(masks):
            ious += [iou(mask, ids == CLASS_IDS[name]) for name, mask in masks.items()]
    return MaskScores(*(float(np.mean(values)) if values else float("nan") for values in (shares, ious, absent)))


def shown(scores: Mapping[str, MaskScores]) -> str:
    """The scores as a Markdown table, in percent."""
    rows = [
        [name, *(f"{100 * value:.1f}" for value in (one.labelled, one.iou, one.not_drawn))]
        for name, one in scores.items()
    ]
    return "\n".join(table(["", "labelled", "IoU", "of a class not drawn"], rows))
