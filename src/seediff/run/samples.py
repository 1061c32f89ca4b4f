"""From finished masks to the files of a native dataset, whatever command made them: sample by sample, then the set as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import __version__
from ..config.generate import DatasetConfig
from ..dataset import native
from ..dataset.encoding import Instances, encode_grey
from ..dataset.rows import shown_classes
from ..dataset.store import instance_row
from ..files.outputs import check_inside, write_atomic
from ..models.memory import Offload
from .loop import Captured, Item, Job
from .output import BatchRecord

# torch takes seconds to import: a run that only says what is wrong, or that all is done, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make import MaskResult
    from ..objects.make import ObjectMap
    from ..prompts.specs import SampleSpec

Dataset = TypeVar("Dataset", bound=DatasetConfig)
TRACED_CLASSES, TRACED_SAMPLES = 8, 2
"""Of this many classes, the masks of the first samples are kept with every step, for preview.html: more than one, for `reject`."""


class DatasetJob(Job[Dataset, Item, Captured]):
    """A job whose output is a native dataset."""

    def __init__(self, config: Dataset, offload: Offload = "none") -> None:
        folders = [native.IMAGES, native.MASKS, native.STEPS]
        folders += [native.SOFT] * config.keep_soft + [native.ATTENTION] * config.keep_attention
        folders += [native.INSTANCES] * bool(config.objects)
        super().__init__(config, folders, offload)
        self.ids = {name: i + 1 for i, name in enumerate(config.classes)}

    @abstractmethod
    def samples(self) -> Sequence[SampleSpec]:
        """What each sample shows."""

    @cached_property
    def traced(self) -> dict[int, list[str]]:
        """Sample index → the classes whose steps are kept there."""
        return traced_classes(self.samples())

    def write_sample(
        self,
        record: BatchRecord,
        out: Path,
        spec: SampleSpec,
        picture: tuple[str, bytes],
        result: MaskResult,
        attention: AttentionMaps | None,
        *,
        more: Mapping[str, Any],
        soft: Iterable[np.ndarray] | None = None,
        seen: tuple[np.ndarray, MaskResult] | None = None,
        objects: ObjectMap | None = None,
    ) -> None:
        """Write one sample's files into the folder `out` and add its row to the record.

        picture: the image file's suffix without a dot, and its bytes. result: masks of its size, of `result.classes`.
        more: what this command adds to the row. soft: each class's soft mask, where the result has none. seen: the image as the model saw
        it and its masks at that size, for the steps that preview.html draws; None: no steps are kept. objects: of the same classes; None:
        they are not kept.
        """
        config, index = self.config, spec.index
        class_ids = [self.ids[name] for name in result.classes]
        labels = native.dataset_labels(result.label_map, class_ids)
        name = f"{index:06d}"
        file_name, mask = native.sample_files(name, picture[0])
        record.write(out, file_name, picture[1])
        record.write(out, mask, native.encode_mask(labels))
        if config.keep_soft:
            for class_id, values in zip(class_ids, result.soft.cpu().numpy(), strict=True):
                record.write(out, f"{native.SOFT}/{name}_{class_id}.png", native.encode_soft(values))
        told: dict[str, Any] = {}
        if objects is not None:
            instances = Instances(objects.numbers, tuple(class_ids[i - 1] for i in objects.class_ids), objects.scores)
            record.write(out, f"{native.INSTANCES}/{name}.png", encode_grey(instances.numbers))
            told = instance_row(instances)
        if config.keep_attention and attention is not None:
            _save(record, out, f"{native.ATTENTION}/{name}.safetensors", attention.save)
        if seen:
            self._write_steps(record, out, spec, *seen)
        shown = shown_classes(labels, config.classes, result.classes)
        sure = confidences(result.label_map, result.classes, result.soft.cpu().numpy() if soft is None else soft)
        record.rows.append(
            {
                "file_name": file_name,
                "mask": mask,
                "prompt": spec.prompt,
                "classes": shown["classes"],
                "class_ids": shown["class_ids"],
                **more,
                "flags": list(result.flags),
                "area": shown["area"],
                "confidence": sure,
                "model": config.model_label,
                "method": config.mask.maker,
                "version": __version__,
                **told,
            }
        )

    def _write_steps(self, record: BatchRecord, out: Path, spec: SampleSpec, image: np.ndarray, result: MaskResult) -> None:
        """The steps of the masks that preview.html draws."""
        from ..report import save_trace, traced_sample

        for name in self.traced.get(spec.index, ()):
            if name in result.classes:
                labels = native.dataset_labels(result.label_map, [self.ids[other] for other in result.classes])
                traced = traced_sample(spec.index, image, result, name, prompt=spec.prompt, label_map=labels, pamr=self.config.mask.pamr)
                _save(record, out, f"{native.STEPS}/{spec.index:06d}_{self.ids[name]}.safetensors", partial(save_trace, traced=traced))

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        """What preview.html shows."""
        from ..report.preview import shown_rows

        rows = [row for record in records for row in record.rows]
        shown = [row[field] for row in shown_rows(rows) for field in ("file_name", "mask")]
        return [*shown, *(name for record in records for name in record.files if name.startswith(native.STEPS + "/"))]

    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        """metadata.jsonl is last: once it is there, the dataset is complete."""
        from ..report import dataset_card

        write_atomic(out / native.CLASSES, native.classes_text(self.config.classes))
        card = dataset_card(summary=summarize(self.config, rejected), rows=rows, class_names=self.config.classes)
        write_atomic(out / native.CARD, card.encode("utf-8"))
        preview(out, self.config, rows, rejected)
        write_atomic(out / native.METADATA, native.jsonl(rows))


def confidences(labels: np.ndarray, classes: Sequence[str], soft: Iterable[np.ndarray]) -> dict[str, float]:
    """How sure each class's soft mask (H, W) is of its pixels, i + 1 in labels (H, W), to four digits, as `filter` has it of soft/."""
    from ..dataset.encoding import soft_levels
    from ..dataset.quality.select import confidence  # imports scipy

    numbered = enumerate(zip(classes, soft, strict=True), 1)
    return {name: round(confidence(labels, soft_levels(values), number), 4) for number, (name, values) in numbered}


def traced_classes(specs: Sequence[SampleSpec]) -> dict[int, list[str]]:
    """Sample index → the classes whose steps are kept there: the first samples of each of the first few classes."""
    traced: dict[int, list[str]] = {}
    seen: Counter[str] = Counter()
    for spec in specs:
        for name in spec.classes:
            if seen[name] < TRACED_SAMPLES and (name in seen or len(seen) < TRACED_CLASSES):
                seen[name] += 1
                traced.setdefault(spec.index, []).append(name)
    return traced


def _save(record: BatchRecord, out: Path, name: str, write: Callable[[Path], object]) -> None:
    """Have `write` write a safetensors file, and note it."""
    check_inside(out, name.rpartition("/")[0])
    write(out / name)
    record.note(out, name)


def preview(out: Path, config: DatasetConfig, rows: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]) -> Path:
    """Write preview.html from what is in the folder, and return its path. rejected: rows of rejected.jsonl."""
    from ..report import load_trace, write_preview

    steps = [load_trace(path) for path in sorted((out / native.STEPS).glob("*.safetensors"))]
    return write_preview(
        out, summary=summarize(config, rejected), rows=rows, class_names=config.classes, steps=steps, traced_images=TRACED_CLASSES
    )


def summarize(config: DatasetConfig, rejected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the report and the dataset card say about the run as a whole; no times and no paths, so that it is reproducible."""
    return {
        "model": config.model_label,
        "method": config.mask.maker,
        "version": __version__,
        "prompts": list(config.prompts),
        "config": {**config.values(), "model": config.model_label},
        "rejected": rejections(rejected),
    }


def rejections(rejected: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Class → flag → how many draws were not kept for it. A flag without a class counts for each class of its image."""
    counts: dict[str, Counter[str]] = {}
    for row in rejected:
        for flag in row["flags"]:
            kind, _, class_name = flag.partition(":")
            for name in [class_name] if class_name else row["classes"]:
                counts.setdefault(name, Counter())[kind] += 1
    return {name: dict(sorted(reasons.items())) for name, reasons in counts.items()}
