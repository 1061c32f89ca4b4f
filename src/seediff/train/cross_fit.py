"""Cross-fit: is a label map like what the other samples teach? The samples are divided into parts. A segmenter that
learns from all parts but one predicts that part, and the `support` of a sample says how well its labels agree at their
worst place. It needs no other model and no attention, so it works for labels from anywhere.

Shares of samples that were not trained on, and the usual share of a class, are those of confident learning (Northcutt
et al., JAIR 2021); the soft minimum is Lad and Mueller's (arXiv 2307.05080).
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..config.class_names import lone_sides
from ..config.sets import DOUBT_FOLDS, DOUBT_STEPS
from ..config.train import TrainConfig
from ..dataset import native
from ..dataset.dataset import Dataset
from ..dataset.sample import Sample
from ..dataset.split import split_samples
from ..dataset.writing import replace_rows
from ..errors import Notice, UserError
from ..files.label_maps import IGNORE
from ..files.messages import plural
from ..files.outputs import open_folder
from ..files.reading import real
from ..rows.row import Row
from ..rows.values import ids_by_name
from ..workers import Progress
from .predict import Segmenter, load_segmenter
from .run import train
from .stages import Stage, TrainingData, data_fingerprint

SHARPNESS = 0.1
"""T of the soft minimum: a share that is higher than the lowest by T weighs 1/e."""
LEAST_USUAL = 0.05
"""The least usual share of a class: a segmenter that hardly knows it supports none of its masks."""
WELL_KNOWN = 0.1
"""The least gain of the mean of the classes' usual shares over chance, where 1 is the most possible. It was 0.3 where
85 % of planted faults were in the worst fifth, and 0.01 where their order was chance."""
SAVE_EVERY = 25
IMAGES_PER_STEP = 16
"""How many images are predicted in about the time of a training step, for the remaining time."""


def cross_fit(
    data: Dataset,
    config: TrainConfig,
    *,
    steps: int = DOUBT_STEPS,
    folds: int = DOUBT_FOLDS,
    work: Path | None = None,
    report: Progress = lambda done, total, current: None,
) -> list[dict[str, float] | None]:
    """The support of each sample, in order: {class: value in [0, 1], to four decimals}, as a row has it (`support`).
    None for a sample that nobody labelled or that people rejected: they are not trained on, either. Empty for a sample
    all of whose pixels are ignored.

    config: of each training; its seed also divides the samples, whose copies stay together. steps: of each training.
    folds: the number of parts. work: a folder for the trainings, in which the same call continues after an
    interruption; None: a temporary one. report: called with (done, total, what), in steps. Raises UserError for a set
    that cannot be divided, and as `train` does.
    """
    samples, classes = data.labelled().samples, data.classes
    report(0, folds * steps, "dividing the samples")
    others_share = {str(part): 1 / folds for part in range(1, folds)}
    parts = split_samples(samples, classes, others_share, seed=config.seed)
    names = ["train", *others_share]
    if folds < 2 or {*parts} != {*names}:
        among = plural(len(samples), "labelled sample")
        raise UserError("folds", f"{folds} must be from 2 to the number of different images in {among}")
    if lone_sides(classes) and "flip" not in config.given:
        config = replace(config, flip=False)
    total = folds * steps + 2 * len(samples) // IMAGES_PER_STEP

    with ExitStack() as stack:
        if work is None:
            work = Path(stack.enter_context(TemporaryDirectory()))
        facts = data_fingerprint(
            TrainingData(classes, (Stage(samples, classes, steps=steps),)), config.batch_size, None
        )
        folder = begin_work(work, repr((config.to_toml(), folds, facts)))
        # 1. Train
        segmenters: dict[str, Segmenter] = {}
        for number, name in enumerate(names):
            others = list(compress(samples, (part != name for part in parts)))

            def step(done: int, _: int, current: str, before: int = number * steps) -> None:
                report(before + done, total, current)

            out = folder / f"part-{number}"
            train(config, [Stage(others, classes, steps=steps)], out, step, save_every=SAVE_EVERY)
            segmenters[name] = load_segmenter(out, config.device)

        # 2. Predict, twice: all shares of a set would need too much memory
        predicted = 0

        def compare() -> Iterator[tuple[Sample, np.ndarray, np.ndarray]]:
            nonlocal predicted
            for sample, part in zip(samples, parts, strict=True):
                yield sample, *_compared(sample, classes, segmenters[part].shares(sample.image, config.flip))
                predicted += 1
                report(folds * steps + predicted // IMAGES_PER_STEP, total, "comparing")

        usual = usual_shares(((shares, labels) for _, shares, labels in compare()), len(classes))
        shown = usual[1:][usual[1:] < 1]
        chance = 1 / len(usual)
        if shown.size and (shown.mean() - chance) / (1 - chance) < WELL_KNOWN:
            little = f"the segmenter hardly knows the classes: their own pixels get {shown.mean():.0%} of its shares"
            way = "more samples, or a --backbone that knows such images, may help"
            warnings.warn(f"{little}; the order may be no better than chance: {way}", Notice, stacklevel=2)
        found: dict[str, dict[str, float]] = {}
        for sample, shares, labels in compare():
            least = support(shares, labels, usual)
            found[sample.name] = {}
            if least is not None:
                found[sample.name] = {classes[least[0] - 1]: round(least[1], 4)}
    return [found.get(sample.name) for sample in data]


def write_support(
    folder: Path,
    config: TrainConfig,
    *,
    steps: int = DOUBT_STEPS,
    folds: int = DOUBT_FOLDS,
    report: Progress = lambda done, total, current: None,
) -> list[Row]:
    """Write `support` into the rows of the native dataset `folder`, and return its rows. The trainings are in a hidden
    folder beside it until then, so that the same call continues after an interruption. A mask that was changed in
    `look` teaches, too, but gets no support: the row describes the original. config, steps, folds, report: as for
    `cross_fit`. Raises UserError, also if another process writes to the dataset."""
    native.check_native(folder)
    own = real(folder)
    work = own.with_name(f".{own.name}.doubt")
    with open_folder(folder):
        data = Dataset.open(folder, "native")
        with open_folder(work, out=folder):
            found = cross_fit(data, config, steps=steps, folds=folds, work=work, report=report)
            masks = {sample.name: sample.row.mask_file_name for sample in data}
            by_name = dict(zip(masks, found, strict=True))
            made = [
                row.replace(support=by_name[row.sample] if row.mask_file_name == masks[row.sample] else None)
                for row in native.read_rows(folder)
            ]
            replace_rows(folder, made)
            shutil.rmtree(work)
        return [sample.row for sample in Dataset.open(folder, "native")]


def begin_work(work: Path, facts: str) -> Path:
    """The folder in `work` for trainings of which these are the facts. Folders of other trainings are removed."""
    name = hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()
    for other in work.glob("[!.]*"):
        if other.name != name:
            shutil.rmtree(other)
    return work / name


def _compared(sample: Sample, classes: Sequence[str], shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shares, labels): what is compared of a sample, of one size. Of a picture that was drawn of named classes, only
    the shares of these and of the background count. shares: (C + 1, h, w)."""
    h, w = shares.shape[1:]
    labels = sample.labels(len(classes))
    rows, columns = (
        ((np.arange(size) + 0.5) * full / size).astype(np.intp) for size, full in zip((h, w), labels.shape, strict=True)
    )
    row, ids = sample.row, ids_by_name(classes)
    if row.seed is not None and row.class_names:
        kept = np.zeros(len(shares), bool)
        kept[[0, *(ids[name] for name in row.class_names)]] = True
        shares = _normalized(shares * kept[:, None, None])
    return shares, labels[np.ix_(rows, columns)]


def usual_shares(compared: Iterable[tuple[np.ndarray, np.ndarray]], classes: int) -> np.ndarray:
    """(C + 1,) float64: for the background and each class, the mean share that its own pixels get over a set, at least
    LEAST_USUAL; 1 for a class without pixels. compared: (shares, labels) of each sample, as for `support`."""
    total, count = np.zeros(classes + 1), np.zeros(classes + 1)
    for shares, labels in compared:
        valid = labels != IGNORE
        total += np.bincount(labels[valid], _own(shares, labels)[valid], minlength=classes + 1)
        count += np.bincount(labels[valid], minlength=classes + 1)
    return np.where(count > 0, total / count.clip(1), 1).clip(LEAST_USUAL)


def support(shares: np.ndarray, labels: np.ndarray, usual: np.ndarray) -> tuple[int, float] | None:
    """(class id, support) of a label map; None if all of its pixels are ignored.

    The support, in [0, 1], is the soft minimum over the pixels of pᵢ, the share of the pixel's label after all shares
    were divided by `usual`: `Σ wᵢ pᵢ / Σ wᵢ` with `wᵢ = exp((min p − pᵢ) / 0.1)`. The class is that of the label at the
    lowest pᵢ; if that is the background, the class that has the highest share there.

    shares: (C + 1, H, W), the share of the background and of each class. labels: (H, W) uint8, 255 ignored. usual:
    (C + 1,), of `usual_shares`."""
    calibrated = _normalized(shares / usual[:, None, None])
    own = np.where(labels == IGNORE, np.inf, _own(calibrated, labels))
    y, x = np.unravel_index(own.argmin(), own.shape)
    if labels[y, x] == IGNORE:
        return None
    class_id = int(labels[y, x]) or 1 + int(calibrated[1:, y, x].argmax())
    own = own[labels != IGNORE]
    weights = np.exp((own.min() - own) / SHARPNESS)
    return class_id, float((weights * own).sum() / weights.sum())


def _normalized(shares: np.ndarray) -> np.ndarray:
    return shares / shares.sum(0).clip(1e-6)


def _own(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W): the share of each pixel's label; of the background where the label is ignored."""
    return np.take_along_axis(shares, np.where(labels == IGNORE, 0, labels)[None].astype(np.intp), 0)[0]
