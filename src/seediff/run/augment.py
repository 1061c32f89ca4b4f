"""`augment`: a dataset and changed copies of its samples, as a new dataset, batch by batch.

Everything random in a new picture depends only on (seed, its number), so its bytes do not depend on the order, the
number of processes, or interruptions.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..config.augment import AugmentConfig
from ..dataset import native
from ..dataset.augment import Picture, apart, apply, with_objects
from ..dataset.encoding import Instances, encode_objects
from ..dataset.native_folder import instance_row, open_native
from ..dataset.reviews import review_summary
from ..dataset.rows import shown_classes
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.messages import show_bytes
from ..files.output_folders import check_apart, parse_folder
from ..files.outputs import copy_new, write_atomic
from ..files.pictures import in_rgb, open_picture
from ..files.reading import inside
from ..prompts.specs import sample_seed
from ..report.strips import Pair
from ..report.tables import of_photograph, operations_of
from ..workers import Progress
from .loop import Engine, Job, Processes, RunResult, run
from .output import BatchRecord

AUGMENTATIONS = "augmentations.jpg"
"""The picture of a sample before and after each kind of addition."""
MAX_ADDED = 10_000_000
"""Their plan is held in memory."""


@dataclass(frozen=True)
class Task:
    """One sample of the output. source: the position in the input of the sample that is copied or changed. number: of a
    new picture, from 0; None for a copy."""

    name: str
    source: int
    operations: tuple[str, ...] = ()
    number: int | None = None


def augment(
    config: AugmentConfig,
    data: Path | str,
    out: Path | str,
    *,
    workers: int = 1,
    link: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Make the dataset `out` from the native dataset `data` and the additions in `config`. If it is stopped at any
    moment, the same call continues.

    workers: processes that make the batches. link: hard links to the originals' pictures instead of copies. engine: as
    in `generate`, instead of `workers`. Samples whose row has a `split` other than "train" are copied, and are never a
    source. Raises UserError as `generate` does, and if a sample cannot be read or is not valid.
    """
    out = parse_folder(out)
    check_apart(out, [Path(data)])
    job = AugmentJob(config, Path(data), link=link)
    return run(job, out, engine=engine or Processes(workers), progress=progress)


Written = tuple[np.ndarray, Instances | None, dict[str, Any]]
"""A label map, its objects and its row."""


class AugmentJob(Job[AugmentConfig, Task, Sequence[Task]]):
    """samples: the input's. sources: the positions of those for new pictures. objects: whether any sample has objects;
    then every new picture has them. originals: the number of samples that are copied."""

    on_device = False

    def __init__(self, config: AugmentConfig, data: Path, *, link: bool = False) -> None:
        self.classes, self.samples = open_native(data)
        self.link = link
        self.objects = any(item.stored_instances is not None for item in self.samples)
        self.sources = [i for i, item in enumerate(self.samples) if item.metadata.get("split") in (None, "train")]
        self.originals = len(self.samples) if config.keep_originals else 0
        # By its classes, rows and sizes of pictures, so that only the same run continues.
        digest = hashlib.blake2b(native.classes_text(self.classes), digest_size=6)
        self.bytes = 0
        for item in self.samples:
            picture = item.stored()
            assert isinstance(picture, Path)
            size = picture.stat().st_size
            row = json.dumps([item.name, size, item.metadata], ensure_ascii=False)
            digest.update(row.encode("utf-8", "surrogatepass"))
            self.bytes += size
        data_id = f"{len(self.samples)} samples ({digest.hexdigest()})"
        super().__init__(replace(config, data=data_id))

    @property
    def reviewed(self) -> str:
        used = range(self.originals) if self.originals else self.sources
        return review_summary(self.samples[i].metadata for i in used)

    def items(self) -> list[Task]:
        """The originals, then the new pictures. Sources take turns, in another order each round."""
        count = len(self.sources)
        if not count:
            raise UserError("the dataset has no samples to augment: only those whose `split` is 'train' are changed")
        prefix, again = "augmented", 1
        while any(item.name.startswith(prefix) for item in self.samples):  # the dataset was augmented before
            again += 1
            prefix = f"augmented{again}"
        additions = [(addition.operations, addition.of(count)) for addition in self.config.additions()]
        total = sum(number for _, number in additions)
        if not total:
            raise UserError("add", "adds no pictures", "for example flip:50%")
        if total > MAX_ADDED:
            raise UserError("add", f"asks for {total:,} new pictures; at most {MAX_ADDED:,} can be added at once")
        rounds = (np.random.default_rng([self.config.seed, turn]).permutation(count) for turn in range(total))
        order = (self.sources[i] for turn in rounds for i in turn)
        wanted = (operations for operations, number in additions for _ in range(number))
        new = [Task(f"{prefix}-{n:06d}", next(order), operations, n) for n, operations in enumerate(wanted)]
        return [*(Task(item.name, i) for i, item in enumerate(self.samples[: self.originals])), *new]

    def capture(self, batch: Sequence[Task]) -> Sequence[Task]:
        return batch

    def write(self, captured: Sequence[Task], out: Path) -> BatchRecord:
        record = BatchRecord()
        for task in captured:
            with self.timer("copying" if task.number is None else "augmenting"):
                write = self.copy if task.number is None else self.make
                labels, objects, row = write(record, out, task)
                record.write(out, row["mask"], native.encode_mask(labels))
                if objects is not None:
                    encoded = encode_objects(objects, f"sample '{task.name}'")
                    record.write(out, f"{native.INSTANCES}/{task.name}.png", encoded)
                    row |= instance_row(objects)
                record.rows.append(row)
        return record

    def copy(self, record: BatchRecord, out: Path, task: Task) -> Written:
        """Copy an original's picture."""
        item = self.samples[task.source]
        file_name, mask = native.sample_files(item.name, item.suffix)
        if self.link and (file := item.file()):
            inside(out, file_name).unlink(missing_ok=True)
            record.write_by(out, file_name, lambda target: copy_new(file, target, link=True))
        else:
            record.write(out, file_name, item.data())
        row = {**item.metadata, "file_name": file_name, "mask": mask}
        return item.labels(len(self.classes)), item.instances, row

    def make(self, record: BatchRecord, out: Path, task: Task) -> Written:
        """Make a new picture. The same task gives the same bytes."""
        seed = sample_seed(self.config.seed, task.number or 0, 0)
        rng = np.random.default_rng(seed)
        item, place, rest = self.samples[task.source], bisect_left(self.sources, task.source), len(self.sources) - 1

        def others(count: int) -> list[Picture]:
            if not rest:
                return [self.read(task.source)] * count
            chosen = rng.choice(rest, count, replace=count > rest)
            return [self.read(self.sources[i + (i >= place)]) for i in chosen]

        picture, steps = apply(self.read(task.source), task.operations, rng, self.config.strength, others)
        labels, objects = apart(picture.labels) if self.objects else (np.ascontiguousarray(picture.labels), None)
        # The prompt, if no other sample is part of the picture, and the model, if it drew it; not the flags, which are
        # about the source's mask.
        keys = ["prompt"] * (not any(step.get("sources") for step in steps)) + ["split"]
        keys += ["model"] * (not of_photograph(item.metadata))
        suffix = self.config.image_format or item.suffix
        file_name, mask = native.sample_files(task.name, suffix)
        record.write(out, file_name, native.encode_image(np.ascontiguousarray(picture.image), suffix))
        row = {
            "file_name": file_name,
            "mask": mask,
            **{key: item.metadata[key] for key in keys if key in item.metadata},
            **shown_classes(labels, self.classes),
            "recipe": {"source": item.name, "seed": seed, "steps": steps},
            "version": __version__,
        }
        return labels, objects, row

    def read(self, position: int) -> Picture:
        item = self.samples[position]
        image, labels = np.asarray(item.picture()), item.labels(len(self.classes))
        return Picture(item.name, image, with_objects(labels, item.objects(labels)) if self.objects else labels)

    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        """Writes metadata.jsonl last: a dataset that has it is complete."""
        from ..report.card import dataset_card
        from ..report.page import write_page
        from ..report.strips import before_after

        originals = {item.name: item for item in self.samples}
        new = rows[self.originals :]  # a copied row may have a recipe, too, whose source is of an earlier dataset
        sheet = before_after([self.pair(out, row, originals[row["recipe"]["source"]]) for row in first_of_each(new)])
        write_atomic(out / native.CLASSES, native.classes_text(self.classes))
        write_atomic(out / AUGMENTATIONS, sheet)
        card = dataset_card(summarize(self.config, rows), rows, self.classes)
        write_atomic(out / native.CARD, card.encode("utf-8"))
        write_page(out, summarize(self.config, rows), rows, self.classes)
        write_atomic(out / native.METADATA, native.jsonl(rows))

    def pair(self, out: Path, row: Mapping[str, Any], source: Sample) -> tuple[str, Pair, Pair]:
        with open_picture(out / row["file_name"]) as image, open_picture(out / row["mask"]) as mask:
            after = np.asarray(in_rgb(image)), np.asarray(mask)
        return operations_of(row), (source.image, source.labels(len(self.classes))), after

    def plan(self) -> list[str]:
        counts = Counter("+".join(task.operations) for batch in self.batches.values() for task in batch)
        total, of = counts.total(), len(self.classes)
        counts.pop("", None)
        size = show_bytes(total * self.bytes / len(self.samples))
        return [
            f"{total} samples of {of} classes, in batches of up to {self.config.batch_size}, about {size}",
            f"Originals: {self.originals} of {len(self.samples)}; for training, and so sources of new ones: "
            f"{len(self.sources)}",
            *(f"  {name}: {count}" for name, count in counts.items()),
        ]


def summarize(config: AugmentConfig, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts about the run for the card and the page, without times and paths, so that they are reproducible."""
    # Originals may have recipes, too. New pictures come last, and the beginning of their names is no original's.
    beginning = str(rows[-1]["file_name"]).rpartition("-")[0] + "-" if rows else ""
    new = [row for row in rows if row["file_name"].startswith(beginning)]
    counts = Counter(filter(None, map(operations_of, new)))
    return {
        "command": "augment",
        "originals": len(rows) - counts.total(),
        "added": ", ".join(f"{name} {count}" for name, count in counts.items()),
        "seed": config.seed,
        "version": __version__,
    }


def first_of_each(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each kind of recipe, at most 24."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(operations_of(row), row)
    first.pop("", None)
    return list(first.values())[:24]
