"""`evaluate masks`: scores a model's masks of labelled photographs under several protocols (evaluate/masks.py).

The words of a prompt share a softmax, so attention to a word depends on the others. Therefore every list of classes has
a capture of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..config.names import BACKGROUND
from ..config.photographs import MaskPhotosConfig
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..errors import UserError
from ..evaluate.masks import MASK_PROTOCOLS, Column, count, score_column, strongest
from ..evaluate.protocols import Protocol, join_names, protocol_for
from ..evaluate.semantic import plain
from ..files.label_maps import IGNORE, PHOTO_ENDING
from ..files.photographs import find_photos, read_photo
from ..models.info import find_settings
from .mask import MaskJob

if TYPE_CHECKING:
    import torch

    from ..workers import Progress

TUNE_SHARE = 0.2
"""Share of the pictures that set the thresholds."""


@dataclass(frozen=True)
class MaskScores:
    """The result. images, tuned_on: the numbers of pictures that are scored and that set the thresholds. never: classes
    of the data that the model has no word for."""

    model: str
    method: str
    data: str
    protocols: Mapping[str, Column]
    images: int
    tuned_on: int
    never: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        return {**plain(asdict(self)), "version": __version__}

    def notes(self) -> list[str]:
        """Notes for readers, one per line."""
        never = f"Classes that are never predicted, because the model has no word for them: {join_names(self.never)}."
        return [f"{self.data}.", never][: 1 + bool(self.never)]


def evaluate_masks(
    config: MaskPhotosConfig,
    photos: Path | str,
    data: Dataset,
    *,
    protocols: Sequence[str] = MASK_PROTOCOLS,
    class_map: Mapping[str, str] | None = None,
    pictures: int | None = None,
    draws: int = 1000,
    progress: Progress | None = None,
) -> MaskScores:
    """Score the masks of a model and method on labelled photographs, one column per protocol.

    config: the model and method. Its classes are replaced by the data's, and `beta` is chosen on the tuning pictures,
    a fifth; its seed also draws these and the bootstrap. photos: folder of photographs named like the labels, which may
    have other sizes. class_map: word for the prompt → class of the data, for names that the model does not know or
    knows as other words. pictures: use only this many, evenly spaced; None: all. draws: bootstrap samples.

    All files are read once before the model is loaded. Raises UserError.
    """
    if not protocols or set(protocols) - set(MASK_PROTOCOLS) or len(set(protocols)) < len(protocols):
        raise UserError("protocol", f"{','.join(protocols)} must be some of {', '.join(MASK_PROTOCOLS)}, each once")
    if pictures is not None and pictures < 2:
        raise UserError("count", f"{pictures} must be at least 2, one for thresholds and one to score")
    if draws < 1:
        raise UserError("draws", f"{draws} must be at least 1")
    if config.fit == "crop":
        raise UserError("fit", "crop: leaves pixels without masks", "use keep or resize")
    classes = protocol_for("own", data.names.values())
    words = words_of(classes, class_map or {}, config.model, config.base)
    background = classes.classes.index(BACKGROUND) if BACKGROUND in classes.classes else None
    job = MaskJob(replace(config, classes=tuple(words)), ())
    job.check()
    samples, pixels = read_labelled(Path(photos), data, classes, pictures)
    order = np.random.default_rng(config.seed).permutation(len(samples))
    tuning, scored = np.split(order, [math.ceil(TUNE_SHARE * len(samples))])
    if not pixels[scored].any():
        raise UserError(f"{data.about}: no pixel is left to score in {len(scored)} pictures; use more")

    def look(i: int) -> dict[str, np.ndarray]:
        """The counts of a picture under each protocol."""
        (seen, latents), labels, found = encode(job, samples[i][0]), samples[i][1].unchecked_labels(), {}
        captured: dict[tuple[str, ...], Sequence[torch.Tensor]] = {(): ()}
        for protocol in protocols:
            chosen = tuple(word for word, number in words.items() if protocol == "vocabulary" or pixels[i, number])
            if chosen not in captured:
                captured[chosen] = list(soft_masks(job, seen, latents, chosen, i))
            best = strongest(captured[chosen], [words[word] for word in chosen], labels.shape)
            if protocol == "oracle-ignored" and background is not None:
                truth, rest = np.where(labels == background, np.uint8(IGNORE), labels), None
            else:
                truth, rest = labels, background
            found[protocol] = count(*best, truth, len(classes.classes), rest)
        return found

    job.load()
    counts: list[dict[str, np.ndarray]] = []
    for i, (_, sample) in enumerate(samples):
        counts.append(look(i))
        if progress:
            progress(i + 1, len(samples), sample.name)

    columns, drawn = {}, {"seed": config.seed, "draws": draws}
    for protocol in protocols:
        of = np.array([picture[protocol] for picture in counts])
        columns[protocol] = score_column(classes.classes, of[tuning], of[scored], **drawn)
    never = tuple(name for i, name in enumerate(classes.classes) if i not in words.values() and i != background)
    sizes = len(scored), len(tuning)
    return MaskScores(config.model, config.mask.method, data.about, columns, *sizes, never, config.seed)


def words_of(classes: Protocol, class_map: Mapping[str, str], model: str, base: str | None = None) -> dict[str, int]:
    """Word for the prompt → class id, by id: the words of `class_map`; for other classes their names, or those in the
    vocabulary of a model that has one. Raises UserError if no class has a word, or for a map that does not fit."""
    candidates = list(dict.fromkeys([*class_map, *(find_settings(model, base).classes or classes.classes)]))
    table = classes.predicted_table(dict(enumerate(candidates)), class_map, f"model '{model}'")
    words: dict[str, int] = {}
    for word, number in zip(candidates, table.tolist(), strict=False):
        counted = number != IGNORE and classes.classes[number] != BACKGROUND
        if counted and (word in class_map or number not in words.values()):
            words[word] = number
    return dict(sorted(words.items(), key=lambda item: item[1]))


def read_labelled(
    photos: Path, data: Dataset, classes: Protocol, most: int | None
) -> tuple[list[tuple[Path, Sample]], np.ndarray]:
    """The photographs and samples, with truths in the protocol's ids, and the number of pixels of each class in each
    picture, (pictures, C). Reads all files. Raises UserError."""
    table = classes.truth_table(data.names, data.about)
    paths = {photo.name.removesuffix(PHOTO_ENDING): photo.path for photo in find_photos(photos).photos}
    if missing := [sample.name for sample in data if sample.name not in paths]:
        problem = f"has no picture for {len(missing)} of {len(data)} labels ({join_names(missing)})"
        raise UserError(photos, problem, "names must be equal")
    chosen = evenly(len(data), most)
    if len(chosen) < 2:
        raise UserError(f"{data.about}: none is left to score; at least two pictures are needed")
    samples, pixels = [], []
    for sample in (data[i] for i in chosen):
        path, truth = paths[sample.name], table[sample.unchecked_labels()]
        (height, width), (rows, columns) = read_photo(path).shape[:2], truth.shape
        # Resizing rounds a side by a pixel.
        if abs(height * columns - width * rows) > max(height, width) + max(rows, columns):
            shapes = f"is {width} × {height}, but the labels '{sample.name}' are {columns} × {rows}"
            fix = "name the folder of the pictures that were labelled, as they were turned"
            raise UserError(path, f"{shapes}, of other proportions", fix)
        pixels.append(np.bincount(truth[truth != IGNORE], minlength=len(classes.classes)))
        samples.append((path, sample.replace(label_map=lambda sample=sample: table[sample.unchecked_labels()])))
    return samples, np.array(pixels)


def evenly(total: int, most: int | None) -> list[int]:
    """At most so many of `total` positions, evenly spaced; None: all."""
    return np.unique(np.linspace(0, total - 1, total if most is None else most).round().astype(int)).tolist()


def encode(job: MaskJob, path: Path) -> tuple[np.ndarray, torch.Tensor]:
    """A photograph as the model sees it (h, w, 3) uint8, and its latents (1, C, h', w')."""
    from ..attention.photograph import encode_images

    seen = job.seen(read_photo(path))
    return seen, encode_images(job.model, [seen])


def soft_masks(
    job: MaskJob, seen: np.ndarray, latents: torch.Tensor, words: tuple[str, ...], index: int
) -> torch.Tensor:
    """Soft masks (n, h, w) of n ≥ 1 words. seen, latents: from `encode`. index: of the picture, for its noise."""
    from ..masks.make import make_masks

    (maps,) = job.attention([seen], latents, [words], [index])
    return make_masks(seen, maps, words, job.mask_config, trace=False).soft
