"""`evaluate masks`: scores a model's masks of labelled photographs by the protocols of evaluate/mask_protocols.py.

The words of a prompt share a softmax, so the attention to a word depends on the other words. Therefore the model sees a
photograph once for each different list of classes that a protocol asks for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..config.class_names import BACKGROUND
from ..config.photos_config import MaskPhotosConfig
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..errors import Notice, UserError
from ..evaluate import mask_protocols
from ..evaluate.figures import check_bootstrap, without_interval
from ..evaluate.mask_protocols import MASK_PROTOCOLS, Column, MaskProtocol, score_column, strongest
from ..evaluate.protocols import Protocol, join_names, protocol_for
from ..evaluate.tables import as_json
from ..files.image_files import read_photo
from ..files.label_maps import IGNORE, PHOTO_ENDING
from ..files.photo_files import find_photos
from ..models.describe import ModelInfo, find_model
from ..models.facts import Facts, facts_of_files
from .photos import doubt_line
from .plan import load_planned, plan_model

if TYPE_CHECKING:
    import torch

    from ..masks.photos import PhotoMasker, PhotoView
    from ..workers import Progress

TUNE_SHARE = 0.2
"""The share of the pictures on which the thresholds are chosen. The other pictures are scored."""


@dataclass(frozen=True)
class MaskScores:
    """The result of `evaluate_masks`."""

    model: str
    method: str
    data: str
    protocols: Mapping[str, Column]
    images: int
    """The number of scored pictures."""
    tuned_on: int
    """The number of pictures on which the thresholds were chosen."""
    never: tuple[str, ...]
    """The classes of the data that are never predicted, because the model has no word for them."""
    seed: int
    doubt: str = ""
    """A warning that the scores mean nothing (`doubt_line`), or ""."""

    def to_json(self) -> dict[str, Any]:
        protocols = {name: column.to_json() for name, column in self.protocols.items()}
        return {**as_json({**vars(self), "protocols": protocols}), "version": __version__}

    def notes(self) -> list[str]:
        """Notes below the table, one sentence each."""
        lines = [f"{self.data}.", *without_interval(*self.protocols.values())]
        if self.never:
            never = join_names(self.never)
            lines.append(f"Classes that are never predicted, because the model has no word for them: {never}.")
        return [*lines, *filter(None, [self.doubt])]


def evaluate_masks(
    config: MaskPhotosConfig,
    photos: Path | str,
    data: Dataset,
    *,
    protocols: Sequence[MaskProtocol] = MASK_PROTOCOLS,
    class_map: Mapping[str, str] | None = None,
    count: int | None = None,
    draws: int = 1000,
    progress: Progress | None = None,
    info: ModelInfo | None = None,
) -> MaskScores:
    """Score the masks of a model and method on labelled photographs, one column per protocol.

    config: the model and method. The data's classes replace the configuration's, and `beta` is chosen on a fifth of the
    pictures. The seed decides the noise, which pictures this fifth has, and the bootstrap's draws. photos: a folder of
    photographs, named like the labels, but perhaps of other sizes. data: the labels. protocols: the columns. class_map:
    word for the prompt → class of the data, for classes that the model knows under another name. count: how many
    pictures to use, evenly spaced; None: all. draws: the number of bootstrap draws. info: the model, if it was found
    already.

    Reads all files once before it loads the model. Raises UserError.
    """
    # 1. Everything that can be checked before the model is loaded
    if not protocols or set(protocols) - set(MASK_PROTOCOLS) or len(set(protocols)) < len(protocols):
        raise UserError("protocol", f"{','.join(protocols)} must be some of {', '.join(MASK_PROTOCOLS)}, each once")
    if count is not None and count < 2:
        raise UserError("count", f"{count} must be at least 2, one for thresholds and one to score")
    check_bootstrap(config.seed, draws)
    if config.fit == "crop":
        raise UserError("fit", "crop: leaves pixels without masks", "use keep or resize")
    classes = protocol_for("own", data.names.values())
    info = info or find_model(config.model, config.base)
    words = words_of(classes, class_map or {}, config.model, info.settings.classes)
    config = replace(config, classes=tuple(words))
    background = next((i for i, name in enumerate(classes.classes) if name == BACKGROUND), None)
    facts = facts_of_files(info)
    plan_model(config, facts)
    samples, pixels = pair_photos(Path(photos), data, classes, count)
    order = np.random.default_rng(config.seed).permutation(len(samples))
    tuning, scored = np.split(order, [math.ceil(TUNE_SHARE * len(samples))])
    if not pixels[scored].any():
        raise UserError(f"{data.about}: no pixel is left to score in {len(scored)} pictures; use more")

    doubt = doubt_line(info, config.model_label)
    if doubt:
        warnings.warn(doubt, Notice, stacklevel=2)

    # 2. The counts of each picture
    masker, _ = load_masker(config, facts)
    counts: dict[MaskProtocol, list[np.ndarray]] = {protocol: [] for protocol in protocols}
    report = progress or (lambda done, total, what: None)
    report(0, len(samples), "")
    for index, (path, sample) in enumerate(samples):
        photo = encode_labelled(masker, index, read_photo(path), sample.unchecked_labels())
        in_photo = count_pixels(masker, photo, words, len(classes.classes), background, protocols)
        for protocol in protocols:
            counts[protocol].append(in_photo[protocol])
        report(index + 1, len(samples), sample.name)

    # 3. The thresholds from the tuning pictures, and the scores of the others at these thresholds
    columns: dict[str, Column] = {}
    for protocol in protocols:
        counted = np.array(counts[protocol])
        columns[protocol] = score_column(classes, counted[tuning], counted[scored], seed=config.seed, draws=draws)
    never = tuple(name for i, name in enumerate(classes.classes) if i not in words.values() and i != background)
    sizes = len(scored), len(tuning)
    about = "; ".join([data.about, *data.notes])
    return MaskScores(config.model, config.mask.method, about, columns, *sizes, never, config.seed, doubt)


def words_of(
    classes: Protocol, class_map: Mapping[str, str], model: str, vocabulary: Sequence[str] | None
) -> dict[str, int]:
    """Word for the prompt → class id, sorted by id. The words of a class are those that `class_map` maps to it. If
    there are none, the word is the class's name, in the model's spelling if the model lists its words.

    classes: the data's. class_map: word → class. model: its name, for errors. vocabulary: the words that the model
    knows; None: any. Raises UserError if no class has a word, or if the map does not fit the data.
    """
    candidates = list(dict.fromkeys([*class_map, *(vocabulary or classes.classes)]))
    table = classes.predicted_table(dict(enumerate(candidates)), class_map, f"model '{model}'")
    words: dict[str, int] = {}
    # Mapped words come first, so a class's own name counts only if no word is mapped to the class.
    for word, number in zip(candidates, table.tolist(), strict=False):
        counted = number != IGNORE and classes.classes[number] != BACKGROUND
        if counted and (word in class_map or number not in words.values()):
            words[word] = number
    return dict(sorted(words.items(), key=lambda item: item[1]))


def pair_photos(
    photos: Path, data: Dataset, classes: Protocol, most: int | None
) -> tuple[list[tuple[Path, Sample]], np.ndarray]:
    """(pairs, pixels). pairs: the path of each photograph, and its sample with labels renumbered to the protocol's ids.
    pixels: (pictures, C) int, the number of labelled pixels of each class. Reads all files.

    photos: their folder. data: the labels. classes: the protocol of the data's classes. most: how many pictures to use;
    None: all. Raises UserError.
    """
    table = classes.truth_table(data.names, data.about)
    paths = {photo.name.removesuffix(PHOTO_ENDING): photo.path for photo in find_photos(photos).photos}
    missing = [sample.name for sample in data if sample.name not in paths]
    if missing:
        problem = f"has no picture for {len(missing)} of {len(data)} labels ({join_names(missing)})"
        raise UserError(photos, problem, "give each picture the name of its label")
    chosen = evenly(len(data), most)
    if len(chosen) < 2:
        raise UserError(f"{data.about}: none is left to score; at least two pictures are needed")
    samples, pixels = [], []
    for sample in (data[i] for i in chosen):
        path, truth = paths[sample.name], table[sample.unchecked_labels()]
        (height, width), (rows, columns) = read_photo(path).shape[:2], truth.shape
        # A photograph may have another size than its labels, but not other proportions; resizing may round by a pixel.
        if abs(height * columns - width * rows) > max(height, width) + max(rows, columns):
            shapes = f"is {width} × {height}, but the labels '{sample.name}' are {columns} × {rows}"
            fix = "name the folder of the pictures that were labelled, as they were turned"
            raise UserError(path, f"{shapes}, another shape", fix)
        pixels.append(np.bincount(truth[truth != IGNORE], minlength=len(classes.classes)))
        samples.append((path, sample.replace(label_map=lambda sample=sample: table[sample.unchecked_labels()])))
    return samples, np.array(pixels)


@dataclass(frozen=True)
class LabelledPhoto:
    """A photograph, its latents and its labels."""

    view: PhotoView
    latents: torch.Tensor
    """(1, C, h', w'), encoded by the model."""
    truth: np.ndarray
    """(h, w) uint8: ids of classes, 255 for ignored pixels; maybe of another size than the photograph."""


def load_masker(config: MaskPhotosConfig, facts: Facts) -> tuple[PhotoMasker, str]:
    """(masker, weights): a `PhotoMasker` with the loaded model, and the fingerprint of the weights. facts: from
    `facts_of_files`. Raises UserError."""
    from ..masks.photos import PhotoMasker

    model, weights, plan = load_planned(config, facts, partial(plan_model, config))
    return PhotoMasker(model, config, plan.loaded_capture), weights


def encode_labelled(masker: PhotoMasker, index: int, pixels: np.ndarray, truth: np.ndarray) -> LabelledPhoto:
    """A photograph with its latents and labels. index: its number, which decides the noise. pixels: (H, W, 3) uint8.
    truth: (h, w) uint8."""
    view = masker.view(pixels, index)
    return LabelledPhoto(view, masker.encode([view]), truth)


def count_pixels(
    masker: PhotoMasker,
    photo: LabelledPhoto,
    words: Mapping[str, int],
    size: int,
    background: int | None,
    protocols: Sequence[MaskProtocol],
) -> dict[MaskProtocol, np.ndarray]:
    """Protocol → the photograph's counts (K, 3, C) as from `mask_protocols.count`.

    words: word for the prompt → class id. size: C, the number of classes. background: the id of the background; None:
    the data have none.
    """
    pixels = np.bincount(photo.truth.ravel(), minlength=256)
    captured: dict[tuple[str, ...], Sequence[torch.Tensor]] = {(): ()}  # words → their soft masks
    counts: dict[MaskProtocol, np.ndarray] = {}
    for protocol in protocols:
        everything = protocol == "vocabulary"
        chosen = tuple(word for word, number in words.items() if everything or pixels[number])
        if chosen not in captured:
            captured[chosen] = list(soft_masks(masker, photo, chosen))
        best = strongest(captured[chosen], [words[word] for word in chosen], photo.truth.shape)
        truth, shown = photo.truth, background
        if protocol == "oracle-ignored" and background is not None:
            truth, shown = np.where(truth == background, np.uint8(IGNORE), truth), None
        counts[protocol] = mask_protocols.count(*best, truth, size, shown)
    return counts


def soft_masks(masker: PhotoMasker, photo: LabelledPhoto, words: tuple[str, ...]) -> torch.Tensor:
    """The soft masks (n, h, w) of n ≥ 1 words, as `mask` makes them."""
    from ..masks.make_masks import make_masks

    (maps,) = masker.attention([photo.view], [words], photo.latents)
    return masker.fine_masks(photo.view, make_masks(photo.view.seen, maps, words, masker.mask_config, trace=False))


def evenly(total: int, most: int | None) -> list[int]:
    """Positions from 0 to total − 1, at most `most` of them, evenly spaced: evenly(5, 3) → [0, 2, 4]. most: None:
    all."""
    return np.unique(np.linspace(0, total - 1, most or total).round().astype(int)).tolist()
