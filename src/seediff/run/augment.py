"""`augment`: a dataset and changed copies of its samples, as a new dataset, batch by batch.

The configuration decides which operations and which sample make a new picture; everything random in it depends only on
(seed, its number). So its bytes do not depend on the order, the number of processes, or interruptions.
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
from ..dataset.reviews import review_summary
from ..dataset.rows import shown_classes
from ..dataset.sample import Sample
from ..dataset.store import instance_row, open_native
from ..errors import UserError
from ..files.messages import show_bytes
from ..files.output_folders import Out, check_apart, parse_out
from ..files.outputs import copy_new, write_atomic
from ..files.reading import PICTURE, inside, read_bytes
from ..prompts.specs import sample_seed
from ..report.tables import of_photograph
from ..workers import Progress
from .loop import Engine, Job, Processes, RunResult, run
from .output import BatchRecord

TRAIN = "train"
AUGMENTATIONS = "augmentations.jpg"
"""The picture of a sample before and after each kind of addition."""
MAX_ADDED = 10_000_000
"""Maximum number of new pictures, because their plan is held in memory."""


@dataclass(frozen=True)
class Task:
    """One sample of the output: a copy of a sample of the input, or a new picture that operations make from it.

    source: the position of that sample in the input. number: the number of a new picture, from 0; None for a copy.
    """

    name: str
    source: int
    operations: tuple[str, ...] = ()
    number: int | None = None


def augment(
    config: AugmentConfig,
    data: Path | str,
    out: Out | str,
    *,
    workers: int = 1,
    link: bool = False,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Make the dataset `out` from the native dataset `data` and the additions in `config`. If it is stopped at any
    moment, the same call continues.

    workers: processes that make the batches; with more than one, a script needs the usual `if __name__ == "__main__"`.
    link: make hard links to the originals' pictures instead of copies, if the file system has them. engine: as in
    `generate`, instead of `workers`. None of these changes a byte. Samples whose row has a `split` other than "train"
    are copied as they are, and are never a source. Raises UserError as `generate` does, and if a sample cannot be read
    or is not valid.
    """
    out = parse_out(out)
    check_apart(out, [Path(data)])
    job = AugmentJob(config, Path(data), link=link)
    return run(job, out, engine=engine or Processes(workers), progress=progress)


def fingerprint_items(classes: Sequence[str], items: Sequence[Sample]) -> str:
    """`120 samples (3f2a…)`: identifies a dataset by its classes, its rows and the sizes in bytes of its pictures."""
    digest = hashlib.blake2b(native.classes_text(classes), digest_size=6)
    for item in items:
        row = json.dumps([item.name, size_of(item), item.metadata], ensure_ascii=False)
        digest.update(row.encode("utf-8", "surrogatepass"))
    return f"{len(items)} samples ({digest.hexdigest()})"


def size_of(item: Sample) -> int:
    """The bytes of a sample's picture."""
    return len(source) if isinstance(source := item.stored(), bytes) else source.stat().st_size


def training_items(items: Sequence[Sample]) -> list[int]:
    """Positions of the samples from which new pictures may be made."""
    return [i for i, item in enumerate(items) if item.metadata.get("split") in (None, TRAIN)]


def tasks(config: AugmentConfig, items: Sequence[Sample]) -> list[Task]:
    """All samples of the output, in order: the originals, then the new pictures. Sources take turns, in another order
    each round, so that all are used equally often. Raises UserError if there is no source, nothing to add, or too much.
    """
    sources = training_items(items)
    if not sources:
        why = f": by their rows' `split` all are set aside, and only those for '{TRAIN}' are changed" if items else ""
        raise UserError(f"the dataset has no samples to augment{why}")
    prefix, again = "augmented", 1
    while any(item.name.startswith(prefix) for item in items):  # the dataset was augmented before
        again += 1
        prefix = f"augmented{again}"
    planned = [Task(item.name, position) for position, item in enumerate(items)] if config.keep_originals else []
    additions = [(addition.operations, addition.of(len(sources))) for addition in config.additions()]
    if (total := sum(count for _, count in additions)) > MAX_ADDED:
        raise UserError("add", f"asks for {total:,} new pictures; at most {MAX_ADDED:,} can be added at once")
    number, order = 0, np.arange(0)
    for operations, count in additions:
        for _ in range(count):
            if number % len(sources) == 0:
                order = np.random.default_rng([config.seed, number // len(sources)]).permutation(len(sources))
            source = sources[order[number % len(sources)]]
            planned.append(Task(f"{prefix}-{number:06d}", source, operations, number))
            number += 1
    if not number:
        raise UserError("add", "adds no picture", "for example flip:50%")
    return planned


class AugmentJob(Job[AugmentConfig, Task, Sequence[Task]]):
    """Copies originals, makes new pictures and writes both. samples: the input's. sources: positions of those for new
    pictures.
    """

    on_device = False

    def __init__(self, config: AugmentConfig, data: Path, *, link: bool = False) -> None:
        """Arguments as in `augment`. The dataset's fingerprint goes into the configuration, so that only the same run
        continues.
        """
        self.classes, self.samples = open_native(data)
        self.objects = any(item.stored_instances is not None for item in self.samples)
        """Whether any sample has objects; then every new picture has them, too."""
        super().__init__(replace(config, data=fingerprint_items(self.classes, self.samples)))
        self.link = link
        self.sources = training_items(self.samples)

    @property
    def originals(self) -> int:
        """The number of samples of the input that are copied."""
        return len(self.samples) if self.config.keep_originals else 0

    @property
    def reviewed(self) -> str:
        """A line on people's verdicts and corrections of the samples that are used; empty if there are none."""
        used = range(len(self.samples)) if self.config.keep_originals else self.sources
        return review_summary(self.samples[i].metadata for i in used)

    def items(self) -> list[Task]:
        return tasks(self.config, self.samples)

    def capture(self, batch: Sequence[Task]) -> Sequence[Task]:
        return batch

    def write(self, captured: Sequence[Task], out: Path) -> BatchRecord:
        record = BatchRecord()
        for task in captured:
            with self.timer("copying" if task.number is None else "augmenting"):
                if task.number is None:
                    self.copy(record, out, self.samples[task.source])
                else:
                    self.make(record, out, task, task.number)
        return record

    def make(self, record: BatchRecord, out: Path, task: Task, number: int) -> None:
        """Make and write a new sample. The same task always gives the same bytes. Raises UserError naming a sample that
        cannot be read."""
        seed = sample_seed(self.config.seed, number, 0)
        rng = np.random.default_rng(seed)
        item = self.samples[task.source]
        position = bisect_left(self.sources, task.source)

        def others(count: int) -> list[Picture]:
            if len(self.sources) == 1:
                return [self.read(task.source)] * count
            chosen = rng.choice(len(self.sources) - 1, count, replace=count >= len(self.sources))
            return [self.read(self.sources[i + (i >= position)]) for i in chosen]

        picture, steps = apply(self.read(task.source), task.operations, rng, self.config.strength, others)
        suffix, labels = self.config.image_format or item.suffix, np.ascontiguousarray(picture.labels)
        labels, objects = apart(labels) if self.objects else (labels, None)
        # The prompt, if no other sample is part of the picture, and the model, if it drew it; not the flags, which are
        # about the source's mask.
        keys = ["prompt"] * (not any(step.get("sources") for step in steps)) + ["split"]
        keys += ["model"] * (not of_photograph(item.metadata))
        file_name, mask = native.sample_files(task.name, suffix)
        row = {
            "file_name": file_name,
            "mask": mask,
            **{key: item.metadata[key] for key in keys if key in item.metadata},
            **shown_classes(labels, self.classes),
            "recipe": {"source": item.name, "seed": seed, "steps": steps},
            "version": __version__,
        }
        record.write(out, file_name, native.encode_image(np.ascontiguousarray(picture.image), suffix))
        self.note(record, out, task.name, native.encode_mask(labels), objects, row)

    def read(self, position: int) -> Picture:
        """A sample of the input, its objects in its label map (`with_objects`) if the dataset has any. Raises UserError
        naming a file that cannot be read, or a label map that does not fit."""
        item = self.samples[position]
        image, labels = np.asarray(item.picture()), item.labels(len(self.classes))
        return Picture(item.name, image, with_objects(labels, item.objects(labels)) if self.objects else labels)

    def copy(self, record: BatchRecord, out: Path, item: Sample) -> None:
        """Copy an original's picture, label map and objects, and its row with the new paths."""
        file_name, mask = native.sample_files(item.name, item.suffix)
        if self.link and (file := item.file()):
            inside(out, file_name).unlink(missing_ok=True)
            record.save(out, file_name, lambda target: copy_new(file, target, link=True))
        else:
            record.write(out, file_name, item.data())
        row = {**item.metadata, "file_name": file_name, "mask": mask}
        self.note(record, out, item.name, item.mask_data(item.labels(len(self.classes))), item.instances, row)

    def note(
        self, record: BatchRecord, out: Path, name: str, mask: bytes, objects: Instances | None, row: dict[str, Any]
    ) -> None:
        """Write a sample's label map and objects, and add its row."""
        record.write(out, row["mask"], mask)
        if objects is not None:
            record.write(out, f"{native.INSTANCES}/{name}.png", encode_objects(objects, f"sample '{name}'"))
            row |= instance_row(objects)
        record.rows.append(row)

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        from ..report.preview import first_of_each, shown_rows

        rows = [row for record in records for row in record.rows]
        shown = [*shown_rows(rows), *first_of_each(rows[self.originals :])]
        return sorted({str(row[kind]) for row in shown for kind in ("file_name", "mask")})

    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        """Writes metadata.jsonl last: a dataset that has it is complete."""
        from ..report.card import dataset_card
        from ..report.preview import before_after

        originals = {item.name: item for item in self.samples}
        new = rows[self.originals :]  # a copied row may have a recipe, too, whose source is of an earlier dataset
        sheet = before_after(out, new, lambda name: (originals[name].image, originals[name].labels(len(self.classes))))
        about = summarize(self.config, rows)
        write_atomic(out / native.CLASSES, native.classes_text(self.classes))
        write_atomic(out / AUGMENTATIONS, sheet)
        write_atomic(out / native.CARD, dataset_card(about, rows, self.classes).encode("utf-8"))
        preview(out, self.config, rows)
        write_atomic(out / native.METADATA, native.jsonl(rows))

    def plan(self) -> list[str]:
        counts = Counter("+".join(task.operations) for batch in self.batches.values() for task in batch)
        total, originals = counts.total(), counts.pop("", 0)
        size = total * sum(map(size_of, self.samples)) / len(self.samples)
        return [
            f"{total} samples of {len(self.classes)} classes, in batches of up to {self.config.batch_size}, about "
            f"{show_bytes(size)}",
            f"Originals: {originals} of {len(self.samples)}; for training, and so sources of new ones: "
            f"{len(self.sources)}",
            *(f"  {name}: {count}" for name, count in counts.items()),
        ]


def preview(out: Path, config: AugmentConfig, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write preview.html from the files in the folder, and return its path. Raises UserError naming a file that cannot
    be read.
    """
    from ..report.preview import write_preview

    summary, names = summarize(config, rows), native.read_classes(out)
    sheet = read_bytes(out / AUGMENTATIONS, PICTURE)
    return write_preview(out, summary=summary, rows=rows, class_names=names, steps=(), augmentations=sheet)


def summarize(config: AugmentConfig, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts about the whole run for the card and the preview; without times and paths, so that they are
    reproducible.
    """
    from ..report.preview import operations_of

    names = [native.sample_name(row["file_name"]) for row in rows]
    # Originals may have recipes, too. New pictures come last, and the beginning of their names is no original's.
    beginning = names[-1].rpartition("-")[0] + "-" if names else ""
    counts = Counter(operations_of(row) for row, name in zip(rows, names, strict=True) if name.startswith(beginning))
    counts.pop("", 0)
    added = ", ".join(f"{name} {count}" for name, count in counts.items())
    return {
        "command": "augment",
        "originals": len(rows) - counts.total(),
        "added": added,
        "seed": config.seed,
        "version": __version__,
    }
