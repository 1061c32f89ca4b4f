"""From finished masks to the files of a native dataset, whatever command made them: sample by sample, then the set as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..config.generate import DatasetConfig
from ..dataset import native
from ..dataset.rows import shown_classes
from ..files.outputs import check_inside, write_atomic
from ..files.places import Out
from .place import BatchRecord, Place

# torch takes seconds to import: a run that only says what is wrong, or that all is done, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make import MaskResult
    from ..prompts.specs import SampleSpec

TRACED_CLASSES, TRACED_SAMPLES = 8, 2
"""Of this many classes, the masks of the first samples are kept with every step, for preview.html: more than one, for `reject`."""


@dataclass(frozen=True)
class RunResult:
    """What there is after a run, and how long the parts of this run took.

    rows: those of metadata.jsonl. rejected: those of rejected.jsonl. drawn: images made by this run and not an earlier one.
    seconds: "loading" the model, "drawing" (network, VAE and capture; of photographs "capturing attention"), "masks", "writing".
    """

    out: Out
    rows: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    drawn: int
    seconds: Mapping[str, float]

    @property
    def made(self) -> int:
        return len(self.rows)


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


def sample_folders(config: DatasetConfig) -> list[str]:
    """Folders that files of samples go to."""
    return [native.IMAGES, native.MASKS, native.STEPS] + [native.SOFT] * config.keep_soft + [native.ATTENTION] * config.keep_attention


class SampleWriter:
    """Writes the samples of one dataset. specs: of all of them. traced: sample index → the classes whose steps are kept there."""

    def __init__(self, config: DatasetConfig, specs: Sequence[SampleSpec]) -> None:
        self.config, self.traced = config, traced_classes(specs)
        self.ids = {name: i + 1 for i, name in enumerate(config.classes)}

    def write(
        self,
        record: BatchRecord,
        out: Path,
        spec: SampleSpec,
        picture: tuple[str, bytes],
        result: MaskResult,
        attention: AttentionMaps | None,
        *,
        more: Mapping[str, Any],
        seen: tuple[np.ndarray, MaskResult] | None = None,
    ) -> None:
        """Write one sample's files into the folder `out` and add its row to the record.

        picture: the image file's suffix without a dot, and its bytes. result: masks of its size, of `result.classes`.
        more: what this command adds to the row. seen: the image as the model saw it and its masks at that size, for the steps that
        preview.html draws; None: no steps are kept.
        """
        config, index = self.config, spec.index
        class_ids = [self.ids[name] for name in result.classes]
        labels = native.dataset_labels(result.label_map, class_ids)
        file_name, mask = native.image_path(index, picture[0]), native.mask_path(index)
        record.write(out, file_name, picture[1])
        record.write(out, mask, native.encode_mask(labels))
        if config.keep_soft:
            for class_id, soft in zip(class_ids, result.soft.cpu().numpy(), strict=True):
                record.write(out, native.soft_path(index, class_id), native.encode_soft(soft))
        if config.keep_attention and attention is not None:
            _save(record, out, native.attention_path(index), attention.save)
        if seen:
            self._write_steps(record, out, spec, *seen)
        shown = shown_classes(labels, config.classes, result.classes)
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
                "model": config.model_label,
                "method": config.mask.method,
                "version": __version__,
            }
        )

    def _write_steps(self, record: BatchRecord, out: Path, spec: SampleSpec, image: np.ndarray, result: MaskResult) -> None:
        """The steps of the masks that preview.html draws."""
        from ..report import save_trace, traced_sample

        for name in self.traced.get(spec.index, ()):
            if name in result.classes:
                labels = native.dataset_labels(result.label_map, [self.ids[other] for other in result.classes])
                traced = traced_sample(spec.index, image, result, name, prompt=spec.prompt, label_map=labels, pamr=self.config.mask.pamr)
                _save(record, out, native.steps_path(spec.index, self.ids[name]), partial(save_trace, traced=traced))


def _save(record: BatchRecord, out: Path, name: str, write: Callable[[Path], object]) -> None:
    """Have `write` write a safetensors file, and note it."""
    check_inside(out, name.rpartition("/")[0])
    write(out / name)
    record.note(out, name)


def finish_dataset(
    out: Path, config: DatasetConfig, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]] | None = None
) -> None:
    """Write everything that is about the whole dataset. metadata.jsonl is last: once it is there, the dataset is complete.

    rejected: the rows of rejected.jsonl, None for a command that rejects nothing.
    """
    from ..report import dataset_card

    write_atomic(out / native.CLASSES, native.classes_text(config.classes))
    if rejected is not None:
        write_atomic(out / native.REJECTED, native.jsonl(rejected))
    card = dataset_card(summary=summarize(config, rejected or []), rows=rows, class_names=config.classes)
    write_atomic(out / native.CARD, card.encode("utf-8"))
    preview(out, config, rows, rejected or [])
    write_atomic(out / native.METADATA, native.jsonl(rows))


def read_by_finish(records: Sequence[BatchRecord]) -> list[str]:
    """Which files of the batches `finish_dataset` reads: what preview.html shows."""
    from ..report.preview import shown_rows

    rows = [row for record in records for row in record.rows]
    shown = [row[field] for row in shown_rows(rows) for field in ("file_name", "mask")]
    return [*shown, *(name for record in records for name in record.files if name.startswith(native.STEPS + "/"))]


def preview(out: Path, config: DatasetConfig, rows: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]) -> Path:
    """Write preview.html from what is in the folder, and return its path."""
    from ..report import load_trace, write_preview

    steps = [load_trace(path) for path in sorted((out / native.STEPS).glob("*.safetensors"))]
    return write_preview(
        out, summary=summarize(config, rejected), rows=rows, class_names=config.classes, steps=steps, traced_images=TRACED_CLASSES
    )


def summarize(config: DatasetConfig, rejected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the report and the dataset card say about the run as a whole; no times and no paths, so that it is reproducible."""
    return {
        "model": config.model_label,
        "method": config.mask.method,
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
            kind, _, name = flag.partition(":")
            for one in [name] if name else row["classes"]:
                counts.setdefault(one, Counter())[kind] += 1
    return {name: dict(sorted(reasons.items())) for name, reasons in counts.items()}


def read_result(place: Place, drawn: int, seconds: Mapping[str, float]) -> RunResult:
    """What a run left in a complete dataset."""
    out = place.folder
    rejected = native.read_rows(out, native.REJECTED) if (out / native.REJECTED).is_file() else []
    return RunResult(place.out, native.read_rows(out), rejected, drawn, seconds)
