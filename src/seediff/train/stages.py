"""Opens the data of a training, in any format: the stages, which are trained on one after the other, and the samples
for validation, all with one class list.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import check_meaning
from ..config.train import TrainConfig, TrainingOptions
from ..dataset.class_lists import check_class_list
from ..dataset.dataset import Dataset
from ..dataset.merge import missing_classes, missing_notes
from ..dataset.sample import Sample, renumber, renumber_table
from ..dataset.split import assign_splits
from ..errors import UserError
from ..files.image_files import stored_bytes
from ..files.messages import plural
from ..files.reading import composed
from ..rows.values import check_parts, part_of

Data = Dataset | Path | str
"""Training data: a dataset, or its folder."""
MOST_STEPS = 10**9
"""The maximum number of steps or epochs."""
FROM_SCRATCH = 300
"""About half of the training in docs/training.md from random weights. With fewer steps, a network hardly knows more
than the most frequent class."""


@dataclass(frozen=True)
class Stage:
    """A part of a training: its samples, and its length in either epochs or steps."""

    items: Sequence[Sample]
    """Samples; in their label maps, id i + 1 is classes[i]."""
    classes: tuple[str, ...]
    epochs: float | None = None
    steps: int | None = None
    name: str = "train"

    def __post_init__(self) -> None:
        if not self.items:
            raise UserError(f"stage '{self.name}'", "has no samples to train on")
        if (self.epochs is None) == (self.steps is None):
            raise UserError("steps", "there must be either epochs or steps", "give one of the two")
        lengths = {"epochs": self.epochs, "steps": self.steps}
        for what, length in lengths.items():
            if length is not None and not 0 < length <= MOST_STEPS:
                field = what if self.name == "train" else f"{self.name}_{what}"
                raise UserError(field, f"{length:g} must be above 0 and at most {MOST_STEPS:,}")

    def step_count(self, batch_size: int) -> int:
        """The number of steps in the stage. An epoch, which shows each sample once, need not be a whole number of
        steps."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * len(self.items) / batch_size))


@dataclass(frozen=True)
class TrainingData:
    """The data of a training."""

    classes: tuple[str, ...]
    stages: tuple[Stage, ...]
    validation: tuple[Sample, ...] = ()
    sets: Sequence[Dataset] = ()
    """The opened datasets. Their readings count the label maps that were read."""

    @property
    def notes(self) -> list[str]:
        """For each dataset: the classes of the training that it lacks, and what to know of its masks."""
        lines: list[str] = []
        for one in self.sets:
            name = one.path or "a dataset"
            lines += missing_notes(name, one.classes, self.classes)
            lines += [f"{name}: {doubt}" for doubt in one.doubts]
        return lines


def open_training(data: Sequence[Data], **options: Any) -> TrainingData:
    """Open datasets and make the stage `train`, and the stage `finetune` if there are datasets for it.

    data: the datasets of the first stage; a dataset that is named twice counts twice. options: fields of
    `TrainingOptions` (config/train.py). A stage has 10 epochs unless they say otherwise. Of a dataset for validation
    that has a `val` part, only that part is used. Without `classes`, they are those of every dataset, in the order of
    the first. Raises UserError, also for datasets with different classes without `classes`, and for a dataset with
    unclear parts (`check_parts`) without `split`.
    """
    how = TrainingOptions(**options)
    finetune: Sequence[Data] = how.finetune
    validation: Data | None = how.validation
    split = how.split
    if not data:
        raise UserError("no data: name the folder of a dataset")
    if validation is not None and how.validation_share is not None:
        problem = f"{how.validation_share} is given together with other validation sets"
        raise UserError("validation_share", problem, "give one of the two")
    if not finetune and (how.finetune_epochs, how.finetune_steps) != (None, None):
        raise UserError("finetune_epochs and finetune_steps", "need a second stage", "name its datasets as finetune")

    # 1. The datasets, and one class list for all of them
    sources = [*data, *finetune]
    if validation is not None:
        sources.append(validation)
    sets = open_sets(sources, split, how.with_rejected)
    names = class_list([*sets.values()], how.classes)
    renumbered = {source: as_classes(dataset, names) for source, dataset in sets.items()}

    # 2. The samples for training, of each set, and for validation
    train = {source: trained_on(items, split) for source, items in renumbered.items()}
    if validation is not None:
        validated = _of_part(renumbered[validation], "val") or renumbered[validation]
    elif how.validation_share is not None:
        # Also where this dataset is named again
        train[data[0]], validated = _split_off(renumbered[data[0]], split, names, how.validation_share)
    else:
        marked = _of_part(chain.from_iterable(renumbered.values()), "val")
        # A dataset may be named in two ways; its samples are for validation only once
        validated = list({(item.source, item.name): item for item in marked}.values())
    if validation is not None and not validated:
        raise UserError("validation", f"{validation} has no samples")
    for source in data:
        if not train[source]:
            raise UserError(source, "has no samples to train on")

    # 3. The stages
    first = list(chain.from_iterable(train[source] for source in data))
    stages = [Stage(first, names, *_length(how.epochs, how.steps))]
    if finetune:
        second = list(chain.from_iterable(train[source] for source in finetune))
        stages.append(Stage(second, names, *_length(how.finetune_epochs, how.finetune_steps), name="finetune"))
    return TrainingData(names, tuple(stages), tuple(validated), [*sets.values()])


def open_sets(sources: Sequence[Data], split: str | None, with_rejected: bool) -> dict[Data, Dataset]:
    """Source → its dataset with the samples for training; each source is opened once. split, with_rejected: as for
    `open_training`. Raises UserError for unclear parts without `split`."""
    sets: dict[Data, Dataset] = {}
    for source in dict.fromkeys(sources):
        dataset = source
        if not isinstance(dataset, Dataset):
            dataset = Dataset.open(dataset)
        if split is None:
            check_parts((sample.row.part for sample in dataset), dataset.path or "data")
        sets[source] = dataset.labelled(with_rejected).watched()
    return sets


def class_list(sets: Sequence[Dataset], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes of a training. sets: at least one. classes: None: those of the first set, which all
    others must have, too. Raises UserError."""
    first, *others = sets
    if classes is None:
        for other in others:
            check_same_classes(first, other)
        names = first.classes
    else:
        names = tuple(map(composed, classes))
    known = list(chain.from_iterable(dataset.classes for dataset in sets))
    check_meaning(missing_classes(known, names))
    check_class_list(names)
    if not names:
        raise UserError(first.path or "data", "has no classes besides the background")
    return names


def trained_on(items: Sequence[Sample], split: str | None) -> list[Sample]:
    """The samples for training: those of the parts in `split`, separated by commas; None: all but `val` and `test`."""
    if split is None:
        return [item for item in items if item.row.part not in ("val", "test")]
    parts = [part_of(name) or name for name in split.split(",")]
    return _of_part(items, *parts)


def _of_part(items: Iterable[Sample], *parts: str) -> list[Sample]:
    return [item for item in items if item.row.part in parts]


def _split_off(
    items: Sequence[Sample], split: str | None, classes: Sequence[str], share: float
) -> tuple[list[Sample], list[Sample]]:
    """(samples for training, samples for validation), divided as `seediff split` divides a data set. items: a set's.
    split: as for `trained_on`, but without it the part `val` is divided, too. share: the share for validation, in
    [0, 1]."""
    if not 0 <= share <= 1:
        raise UserError("validation_share", f"{share:g} must be a share, in [0, 1]")
    pool = trained_on(items, split)
    if split is None:
        pool = [item for item in items if item.row.part != "test"]
    parts = assign_splits(pool, classes, share)
    train, val = ([i for i, part in zip(pool, parts, strict=True) if part == wanted] for wanted in ("train", "val"))
    if share and not val:
        raise UserError("validation_share", f"{share} leaves none of the {len(pool)} samples for validation")
    return train, val


def _length(epochs: float | None, steps: int | None) -> tuple[float | None, int | None]:
    """(epochs, steps) of a stage, of which one is None; 10 epochs if neither is given."""
    if epochs is None and steps is None:
        return 10.0, None
    return epochs, steps


def check_same_classes(first: Dataset, other: Dataset) -> None:
    """Raises UserError if one of two datasets lacks a class of the other, because it would be background there."""
    for one, names in ((first, other.classes), (other, first.classes)):
        missing = missing_classes(one.classes, names)
        if missing:
            every = dict.fromkeys([*first.classes, *other.classes])
            problem = f"never labels {', '.join(missing)}, which would be background there"
            names_all = f"--classes {shlex.quote(','.join(every))}"
            fix = (
                f"name all classes if that is right, {names_all}; otherwise join the sets with"
                " `seediff merge --ignore-background`"
            )
            raise UserError(one.path or "data", problem, fix)


def as_classes(dataset: Dataset, names: Sequence[str]) -> list[Sample]:
    """A dataset's samples, with label maps in which id i + 1 is names[i]. Raises UserError for a class outside
    `names`."""
    unknown = [name for name in dataset.classes if name not in names]
    if unknown:
        fix = f"name all of them, --classes {','.join([*names, *unknown])}, or rename this one"
        raise UserError(dataset.path or "data", f"class '{unknown[0]}' is not in {', '.join(names)}", fix)
    ids = renumber_table(dataset.classes, names)
    return [renumber(item, ids, len(dataset.classes)) for item in dataset.samples]


def find_doubts(data: TrainingData, config: TrainConfig) -> list[str]:
    """Warnings about a training: classes that no label map shows, pictures that are both trained on and validated with,
    and too few steps for a network that knows nothing. Reads label maps until every class was seen."""
    lines: list[str] = []
    items = list(chain.from_iterable(stage.items for stage in data.stages))

    # 1. Classes that cannot be learned
    missing = dict(enumerate(data.classes, 1))
    for item in items:
        if not missing:
            break
        for number in np.flatnonzero(np.bincount(item.labels(len(data.classes)).ravel())).tolist():
            missing.pop(number, None)
    if missing:
        lines.append(f"no label map that is trained on shows {', '.join(missing.values())}: it cannot be learned")

    # 2. Pictures of both kinds
    if data.validation:  # otherwise no picture needs to be read
        trained = {image_digest(item.image_file) for item in items}
        both = sum(image_digest(item.image_file) in trained for item in data.validation)
        if both:
            of_all = f"{both} of {len(data.validation)} samples for validation"
            lines.append(f"{of_all} are also trained on, so its scores are too high")

    # 3. Steps
    steps = sum(stage.step_count(config.batch_size) for stage in data.stages)
    if config.weights == "scratch" and steps < FROM_SCRATCH:
        lines.append(
            f"from scratch, {plural(steps, 'step')} are too few to learn classes; take at least {FROM_SCRATCH}, or"
            " --weights pretrained"
        )
    return lines


def image_digest(image: Path | bytes) -> str:
    """A digest of the bytes of a picture's file. image: the file, or its bytes."""
    return hashlib.blake2b(stored_bytes(image), digest_size=8).hexdigest()


def validation_steps(stages: Sequence[Stage], batch_size: int, validate_every: int | None) -> list[int]:
    """For each stage, the number of steps between validations. validate_every: as in `train`."""
    by_epoch = [max(50, round(len(stage.items) / batch_size)) for stage in stages]
    return [validate_every or steps for steps in by_epoch]


def data_fingerprint(data: TrainingData, batch_size: int, validate_every: int | None) -> dict[str, Any]:
    """Fact → value, for all facts about the data that decide the training: each stage's length and classes, a digest of
    its samples and of the samples for validation, and the steps between validations. A digest changes with the samples'
    names, the sizes of their picture files, and their label maps. validate_every: as in `train`.

    Reads every label map once. Raises UserError if labels cannot be read, have unknown ids or show no class at all.
    """
    classes = data.classes
    facts: dict[str, Any] = {}
    for stage in data.stages:
        what = f"stage '{stage.name}'"
        facts |= {
            f"classes of {what}": list(classes),
            f"steps of {what}": stage.step_count(batch_size),
            f"samples and masks of {what}": _digest(what, stage.items, len(classes)),
        }
    if data.validation:
        facts["samples and masks of validation"] = _digest("validation", data.validation, len(classes))
    facts["steps between validations"] = validation_steps(data.stages, batch_size, validate_every)
    return facts


def _digest(what: str, items: Sequence[Sample], classes: int) -> str:
    digest = hashlib.blake2b(digest_size=6)
    shows_a_class = False
    for item in items:  # all of them, to find every fault now
        labels = item.labels(classes)
        shows_a_class |= bool(((labels > 0) & (labels < 255)).any())
        source = item.image_file
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        digest.update(f"{item.name}\n{size} {labels.shape}\n".encode("utf-8", "surrogatepass") + labels.tobytes())
    if not shows_a_class:
        raise UserError(what, f"none of its {len(items)} label maps shows a class: there is nothing to learn")
    return digest.hexdigest()
