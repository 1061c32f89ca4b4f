"""Writes a native dataset from finished masks, for `generate` and `mask`: sample by sample, then the files about the
whole set.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import __version__
from ..config.constants import MaskConfig
from ..config.generate import DatasetConfig, GenerateConfig
from ..dataset import native
from ..dataset.encoding import encode_objects, soft_levels
from ..dataset.native_folder import instance_row
from ..dataset.rows import shown_classes
from ..dataset.shapes.objects import scored_pieces
from ..files.outputs import write_atomic
from ..files.reading import inside
from ..models.memory import Offload
from .loop import Captured, Item
from .model_job import ModelJob
from .output import BatchRecord

# torch takes seconds to import. A run that only reports an error, or that everything is done, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make import MaskResult
    from ..prompts.specs import SampleSpec

Dataset = TypeVar("Dataset", bound=DatasetConfig)
TRACED_CLASSES, TRACED_SAMPLES = 8, 2
"""Of so many classes, the first samples keep the steps of their masks for preview.html: two, as `reject` drops some."""


class DatasetJob(ModelJob[Dataset, Item, Captured]):
    """A job whose output is a native dataset."""

    def __init__(self, config: Dataset, offload: Offload = "none") -> None:
        super().__init__(config, offload)
        self.ids = {name: i + 1 for i, name in enumerate(config.classes)}

    @abstractmethod
    def samples(self) -> Sequence[SampleSpec]:
        """The specification of each sample."""

    @cached_property
    def traced(self) -> dict[int, list[str]]:
        """Sample index → the classes of which it keeps the steps."""
        traced: dict[int, list[str]] = {}
        seen: Counter[str] = Counter()
        for spec in self.samples():
            for name in spec.classes:
                if seen[name] < TRACED_SAMPLES and (name in seen or len(seen) < TRACED_CLASSES):
                    seen[name] += 1
                    traced.setdefault(spec.index, []).append(name)
        return traced

    @property
    def mask_config(self) -> MaskConfig:
        """The constants of masks, with levels that the model has."""
        return self.capture_plan.mask if self.capture_plan else self.config.mask

    def write_sample(
        self,
        record: BatchRecord,
        out: Path,
        name: str,
        spec: SampleSpec,
        picture: tuple[str, bytes],
        result: MaskResult,
        attention: AttentionMaps | None,
        *,
        more: Mapping[str, Any],
        soft: Callable[[], Iterable[np.ndarray]],
        seen: tuple[np.ndarray, MaskResult] | None,
    ) -> None:
        """Write the files of the sample `name` into the folder `out` and add its row to the record.

        picture: the image file's suffix without a dot, and its bytes. result: masks at the image's size. more: fields
        of the row that only this command has. soft: makes each class's soft mask (H, W). seen: the image as the model
        saw it and its masks at that size, for the steps that preview.html draws.
        """
        from ..dataset.quality.select import confidence  # imports scipy
        from ..report.saved_steps import save_trace, traced_sample

        config, classes = self.config, result.classes
        class_ids = [self.ids[kind] for kind in classes]
        labels = native.dataset_labels(result.label_map, class_ids)
        file_name, mask = native.sample_files(name, picture[0])
        record.write(out, file_name, picture[1])
        record.write(out, mask, native.encode_mask(labels))
        if config.keep_soft:
            for class_id, values in zip(class_ids, soft(), strict=True):
                record.write(out, f"{native.SOFT}/{name}_{class_id}.png", native.encode_soft(values))
        objects: dict[str, Any] = {}
        if config.objects:
            instances = scored_pieces(labels, class_ids, soft())
            record.write(out, f"{native.INSTANCES}/{name}.png", encode_objects(instances, name))
            objects = instance_row(instances)
        if config.keep_attention and attention is not None:
            record.write_by(out, f"{native.ATTENTION}/{name}.safetensors", attention.save)
        for kind in self.traced.get(spec.index, ()):
            if seen and kind in seen[1].classes:
                small = native.dataset_labels(seen[1].label_map, [self.ids[one] for one in seen[1].classes])
                how: dict[str, Any] = {"prompt": spec.prompt, "pamr": config.mask.pamr}
                traced = traced_sample(name, *seen, kind, small, **how)
                path = f"{native.STEPS}/{name}_{self.ids[kind]}.safetensors"
                record.write_by(out, path, partial(save_trace, traced=traced))
        shown = shown_classes(labels, config.classes, classes)
        sure = [confidence(labels, soft_levels(values), i) for i, values in zip(class_ids, soft(), strict=True)]
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
                "confidence": {kind: round(value, 4) for kind, value in zip(classes, sure, strict=True)},
                **({"agreement": dict(result.agreement)} if result.agreement else {}),
                "model": config.model_label,
                "method": config.mask.method,
                "version": __version__,
                **objects,
            }
        )

    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        from ..report.card import dataset_card

        path, text = out / native.CLASSES, native.classes_text(self.config.classes)
        if not path.is_file() or not path.read_bytes().startswith(text):  # people add classes in `look`
            write_atomic(path, text)
        summary, drawn = summarize(self.config, rejected), isinstance(self.config, GenerateConfig)
        card = dataset_card(summary, rows, self.config.classes, drawn=drawn)
        write_atomic(out / native.CARD, card.encode("utf-8"))
        preview(out, self.config, rows, rejected)
        write_atomic(out / native.METADATA, native.jsonl(rows))


def preview(
    out: Path, config: DatasetConfig, rows: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]
) -> Path:
    """Write preview.html from the files in the folder, and return its path."""
    from ..report.preview import write_preview
    from ..report.saved_steps import load_trace

    steps = [load_trace(inside(out, path)) for path in sorted((out / native.STEPS).rglob("*.safetensors"))]
    how: dict[str, Any] = {"class_names": config.classes, "steps": steps, "traced_images": TRACED_CLASSES}
    return write_preview(out, summary=summarize(config, rejected), rows=rows, **how)


def summarize(config: DatasetConfig, rejected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts about the whole run, without times and paths, so that they are reproducible."""
    return {
        "model": config.model_label,
        "method": config.mask.method,
        "version": __version__,
        "prompts": list(config.prompts),
        "config": {**config.values(), "model": config.model_label},
        "rejected": rejections(rejected),
    }


def rejections(rejected: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Class → flag → the number of draws rejected for it. A flag without a class counts for each class of its image."""
    counts: dict[str, Counter[str]] = {}
    for row in rejected:
        for flag in row["flags"]:
            kind, _, class_name = flag.partition(":")
            for name in [class_name] if class_name else row["classes"]:
                counts.setdefault(name, Counter())[kind] += 1
    return {name: dict(sorted(reasons.items())) for name, reasons in counts.items()}
