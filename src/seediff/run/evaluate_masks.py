"""`evaluate masks`: scores a model's masks of labelled photographs under several protocols (evaluate/masks.py).

The words of a prompt share a softmax, so attention to a word depends on the others. Therefore every list of classes has a capture of its
own: the classes of the truth, the predicted classes, and all classes. Equal lists of one picture share a capture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..config.names import BACKGROUND
from ..config.photographs import MaskPhotosConfig
from ..errors import UserError
from ..evaluate.layouts import EvaluationSet, Sample
from ..evaluate.masks import MASK_PROTOCOLS, Column, count, floor_maps, presence_threshold, score_column, strongest
from ..evaluate.protocols import Protocol, listed
from ..evaluate.semantic import plain
from ..files.label_maps import PHOTO_ENDING
from ..files.messages import counted
from ..files.output_folders import open_folder
from ..files.photographs import find_photos, read_photo
from ..metrics.confusion import IGNORED
from ..models.info import find_settings
from .kept import Arrays, Kept
from .mask import MaskJob
from .plan import captured_maps

if TYPE_CHECKING:
    import torch

    from ..workers import Progress

LEAST_SHARE = 0.2


@dataclass(frozen=True)
class MaskScores:
    """The result. images, tuned_on: the numbers of pictures that are scored and that set the thresholds. captures: the number per scored
    picture, for all protocols together. presence: the threshold of `predicted`, and its precision and recall on the scored pictures. never:
    classes of the data that the model has no word for."""

    model: str
    method: str
    data: str
    protocols: Mapping[str, Column]
    images: int
    tuned_on: int
    captures: float
    presence: tuple[float, float, float] | None
    never: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        return {**plain(asdict(self)), "version": __version__}

    def notes(self) -> list[str]:
        """Notes for readers, one per line."""
        lines = [f"{self.data}.", f"Captures per picture: {self.captures:.2f}; protocols with the same classes share one."]
        if self.presence:
            threshold, precision, recall = self.presence
            lines.append(
                f"Presence threshold {threshold}: {precision:.2f} of the classes found are there, {recall:.2f} of those there are found."
            )
        if self.never:
            lines.append(f"Classes that are never predicted, because the model has no word for them: {listed(self.never)}.")
        return lines


def evaluate_masks(
    config: MaskPhotosConfig,
    photos: Path | str,
    data: EvaluationSet,
    *,
    protocols: Sequence[str] = MASK_PROTOCOLS,
    class_map: Mapping[str, str] | None = None,
    tune_share: float = LEAST_SHARE,
    pictures: int | None = None,
    draws: int = 1000,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> MaskScores:
    """Score the masks of a model and method on labelled photographs, one column per protocol.

    config: the model and method. Its classes are replaced by the data's; `beta` and `presence` are chosen on the tuning pictures; its seed
    also draws these pictures and the bootstrap. photos: folder of photographs named like the labels, which may have other sizes. class_map:
    word for the prompt → class of the data, for names that the model does not know or knows as other words. tune_share: share of the
    pictures that set the thresholds. pictures: use only this many, evenly spaced; None: all. draws: bootstrap samples. keep: folder for the
    results of finished pictures, from which the same call continues if it was stopped; the caller removes it.

    All files are read once before the model is loaded. Raises UserError.
    """
    _check(config, protocols, tune_share, pictures, draws)
    classes = data.own_protocol()
    words = words_of(classes, class_map or {}, config.model, config.base)
    ids, names = np.array([*words.values()]), np.array([*words], object)
    background = classes.classes.index(BACKGROUND) if BACKGROUND in classes.classes else None
    job = MaskJob(replace(config, classes=tuple(words)), ())
    job.check()
    samples, pixels = read_labelled(Path(photos), data, classes, pictures)
    tuned_on = math.ceil(tune_share * len(samples))
    tuning, scored = np.split(np.random.default_rng(config.seed).permutation(len(samples)), [tuned_on])
    if not pixels[scored].any():
        raise UserError(f"{data.about}: no pixel is left to score in {len(scored)} pictures; use more")
    frequent = np.argsort(-pixels[tuning].sum(0), kind="stable").tolist()
    total = len(samples) * (1 + ("predicted" in protocols))
    report = progress or (lambda done, total, name: None)
    report(0, total, "")
    there = pixels[:, ids] > 0  # (pictures, words), like the arrays in `competing`
    competing = {"oracle": there, "oracle-ignored": there, "vocabulary": np.ones_like(there)}
    presence = None

    def ask(i: int) -> Arrays:
        begun = perf_counter()
        return {"scores": np.array(find_presence(job, encode(job, samples[i])[1])), "seconds": np.array(perf_counter() - begun)}

    def look(i: int) -> Arrays:
        begun = perf_counter()
        seen, latents = encode(job, samples[i])
        encoding, found = perf_counter() - begun, {}
        captured: dict[tuple[str, ...], tuple[Sequence[torch.Tensor], float]] = {(): ((), 0.0)}
        for protocol in protocols:
            chosen, truth = competing[protocol][i], samples[i].truth()
            listed_words = tuple(names[chosen])
            if listed_words not in captured:
                begun = perf_counter()
                captured[listed_words] = list(soft_masks(job, seen, latents, listed_words, i)), perf_counter() - begun
            soft, seconds = captured[listed_words]
            begun, rest = perf_counter(), None if protocol == "oracle-ignored" else background
            if rest is None:
                truth = np.where(truth == background, IGNORED, truth).astype(np.uint8)
            found[protocol] = count(*strongest(soft, ids[chosen].tolist(), truth.shape), truth, len(classes.classes), rest)
            seconds += encoding + perf_counter() - begun
            found[f"{protocol}.costs"] = np.array([len(job.prompts(listed_words)), seconds])
            blind = [number for number in frequent if number != background and (pixels[i, number] or not protocol.startswith("oracle"))]
            for floor, of_floor in floor_maps(blind, rest, truth.shape).items():
                found[f"{protocol}.{floor}"] = count(np.ones(truth.shape), of_floor, truth, len(classes.classes), None)
        return {**found, "captures": np.array(len(captured) - 1)}

    with open_folder(keep) if keep else nullcontext():
        sizes = [(sample.name, sample.image.stat().st_size) for sample in samples if isinstance(sample.image, Path)]
        decides = __version__, job.load(), config, tuple(protocols), tune_share, data.about, words, sizes, pixels.tolist()
        kept = Kept(keep, repr(decides))
        asked, looked = [], []
        if "predicted" in protocols:
            for i, sample in enumerate(samples):
                asked.append(kept.arrays(f"presence-{i:06d}", partial(ask, i)))
                report(i + 1, total, sample.name)
            scores = np.array([answer["scores"] for answer in asked])
            limit = presence_threshold(scores[tuning], there[tuning])
            competing["predicted"] = found = scores >= limit
            both = (found & there)[scored].sum()
            presence = limit, float(both / max(1, found[scored].sum())), float(both / max(1, there[scored].sum()))
        for i, sample in enumerate(samples):
            looked.append(kept.arrays(f"{i:06d}", partial(look, i)))
            report(total - len(samples) + i + 1, total, sample.name)

    columns = {}
    for protocol in protocols:
        of = np.array([picture[protocol] for picture in looked])
        sentences, seconds = np.mean([looked[i][f"{protocol}.costs"] for i in scored], 0).tolist()
        seconds += float(np.mean([asked[i]["seconds"] for i in scored])) if protocol == "predicted" else 0
        blind_counts = {floor: np.array([looked[i][f"{protocol}.{floor}"] for i in scored]) for floor in ("largest", "centre")}
        how = {"sentences": sentences, "seconds": seconds, "seed": config.seed, "draws": draws}
        columns[protocol] = score_column(classes.classes, of[tuning], of[scored], blind_counts, **how)
    never = tuple(name for i, name in enumerate(classes.classes) if i not in ids and i != background)
    spent, method = float(np.mean([looked[i]["captures"] for i in scored])), config.mask.method
    return MaskScores(config.model, method, data.about, columns, len(scored), tuned_on, spent, presence, never, config.seed)


def _check(config: MaskPhotosConfig, protocols: Sequence[str], tune_share: float, pictures: int | None, draws: int) -> None:
    if not protocols or set(protocols) - set(MASK_PROTOCOLS) or len(set(protocols)) < len(protocols):
        raise UserError(f"protocol = {','.join(protocols)}", f"must be some of {', '.join(MASK_PROTOCOLS)}, each once")
    if not LEAST_SHARE <= tune_share <= 0.9:
        raise UserError(f"tune_share = {tune_share}", f"must be from {LEAST_SHARE} to 0.9")
    if pictures is not None and pictures < 2:
        raise UserError(f"pictures = {pictures}", "must be at least 2, one for thresholds and one to score")
    if draws < 1:
        raise UserError(f"draws = {draws}", "must be at least 1")
    if config.fit == "crop":
        raise UserError("fit = crop", "leaves pixels without masks", "use keep or resize")


def words_of(classes: Protocol, class_map: Mapping[str, str], model: str, base: str | None = None) -> dict[str, int]:
    """Word for the prompt → class id, in the order of ids. The words are those of `class_map`; for other classes their names, or the names
    in the vocabulary of a model that has one. Raises UserError if no class has a word, or for a map that does not fit."""
    candidates = list(dict.fromkeys([*class_map, *(find_settings(model, base).classes or classes.classes)]))
    table = classes.predicted_table(dict(enumerate(candidates)), class_map, f"model '{model}'")
    words: dict[str, int] = {}
    for word, number in zip(candidates, table.tolist(), strict=False):
        if number != IGNORED and classes.classes[number] != BACKGROUND and (word in class_map or number not in words.values()):
            words[word] = number
    return dict(sorted(words.items(), key=lambda item: item[1]))


def read_labelled(photos: Path, data: EvaluationSet, classes: Protocol, most: int | None) -> tuple[list[Sample], np.ndarray]:
    """The samples, with photographs from a folder and truths in the protocol's ids, and the number of pixels of each class in each picture,
    (pictures, C). Reads all files. most: use only this many pictures, evenly spaced; None: all. Raises UserError."""
    table = classes.truth_table(data.classes, data.about)
    paths = {photo.name.removesuffix(PHOTO_ENDING): photo.path for photo in find_photos(photos).photos}
    if missing := [sample.name for sample in data.samples if sample.name not in paths]:
        raise UserError(
            photos, f"has no picture for {len(missing)} of {len(data.samples)} labels ({listed(missing)})", "names must be equal"
        )
    count = len(data.samples) if most is None else most
    chosen = np.unique(np.linspace(0, len(data.samples) - 1, max(0, count)).round().astype(int))
    if len(chosen) < 2:
        raise UserError(f"{data.about}: of {counted(len(chosen), 'picture')} none is left to score; at least two are needed")
    samples, pixels = [], []
    for sample in (data.samples[i] for i in chosen):
        truth = table[sample.truth()]
        _check_shapes(read_photo(paths[sample.name]).shape[:2], truth.shape, sample.name, paths[sample.name])
        pixels.append(np.bincount(truth[truth != IGNORED], minlength=len(classes.classes)))
        samples.append(replace(sample, image=paths[sample.name], truth=lambda sample=sample: table[sample.truth()]))
    return samples, np.array(pixels)


def _check_shapes(photo: tuple[int, int], truth: tuple[int, int], name: str, path: Path) -> None:
    """Raise UserError if a photograph (height, width) and its labels have other proportions, because they cannot be of the same picture.
    A side may be off by a pixel, because resizing rounds it."""
    (height, width), (rows, columns) = photo, truth
    if abs(height * columns - width * rows) > max(photo) + max(truth):
        shapes = f"is {width} × {height}, but the labels '{name}' are {columns} × {rows}"
        raise UserError(path, f"{shapes}, of other proportions", "name the folder of the pictures that were labelled, as they were turned")


def encode(job: MaskJob, sample: Sample) -> tuple[np.ndarray, torch.Tensor]:
    """A photograph as the model sees it (h, w, 3) uint8, and its latents (1, C, h', w')."""
    from ..attention.photograph import encode_images

    assert job.model is not None
    assert isinstance(sample.image, Path)
    seen = job.seen(read_photo(sample.image))
    return seen, encode_images(job.model, [seen])


def find_presence(job: MaskJob, latents: torch.Tensor) -> list[float]:
    """The presence score of each of the configuration's classes."""
    from ..masks.presence import find_classes

    assert job.model is not None
    (scores,) = find_classes(job.model, latents, [job.prompts(job.config.classes)], template=job.config.prompts[0])
    return [scores[name] for name in job.config.classes]


def soft_masks(job: MaskJob, seen: np.ndarray, latents: torch.Tensor, words: tuple[str, ...], index: int) -> torch.Tensor:
    """Soft masks (n, h, w) of n ≥ 1 words. seen, latents: from `encode`. index: of the picture, for its noise."""
    from ..attention.photograph import capture_classes, encode_mirrored
    from ..masks.make import make_masks

    assert job.model is not None
    config = job.config
    how = {"timesteps": config.timesteps, "seed": config.seed, "capture": config.capture, "reads": captured_maps(config)}
    mirrored = encode_mirrored(job.model, [seen], config.capture)
    (maps,) = capture_classes(job.model, latents, [job.prompts(words)], indices=[index], mirrored=mirrored, **how)
    return make_masks(seen, maps, words, job.method, trace=False).soft
