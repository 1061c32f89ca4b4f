"""`generate` on one machine: batch by batch from the configuration to a dataset on disk, continuing where a killed run ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .dataset import native
from .errors import UserError
from .fingerprint import model_fingerprint
from .levels import check_levels
from .model_files import check_files
from .prompts import redraw, sample_specs
from .run_config import GenerateConfig, resolve_device
from .run_folder import (
    BatchRecord,
    check_weights,
    discard_unfinished,
    has_records,
    look_into,
    make_room,
    open_folder,
    read_record,
    record_file,
    record_written,
    remove_records,
    write_record,
)

# torch takes seconds to import: a run that only says what is wrong, or that all is done, should not wait for it.
if TYPE_CHECKING:
    from .types import AttentionMaps, MaskResult, SampleSpec

Draw = Callable[[Sequence["SampleSpec"]], tuple[Sequence[np.ndarray], Sequence["AttentionMaps"]]]
"""Specs → their images (H, W, 3) uint8 and attention, one each. The same specs must always give the same."""

Progress = Callable[[int, int, str], None]
"""Called with (images done, images in all, what is going on): once at the start, then before and after every batch."""

TRACED_CLASSES, TRACED_SAMPLES = 8, 2
"""Of this many classes, the masks of the first samples are kept with every step, for preview.html: more than one, for `reject`."""


@dataclass(frozen=True)
class RunResult:
    """What there is after a run, and how long the parts of this run took.

    rows: those of metadata.jsonl. rejected: those of rejected.jsonl. drawn: images made by this run and not an earlier one.
    seconds: "loading" the model, "drawing" (UNet, VAE and capture), "masks", "writing".
    """

    out: Path
    rows: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    drawn: int
    seconds: Mapping[str, float]

    @property
    def made(self) -> int:
        return len(self.rows)


def generate(config: GenerateConfig, out: Path | str, *, draw: Draw | None = None, progress: Progress | None = None) -> RunResult:
    """Make the dataset that `config` describes in the folder `out`.

    A run that was interrupted at any moment is continued by calling this again with the same arguments, and the result has the
    same bytes as an uninterrupted one's. A finished dataset is left as it is. `draw` replaces the model.

    Raises UserError for whatever a user can put right: the folder holds something else, a dataset of another configuration or
    another run at work; the model is not there; a class it does not know. OSError when the disk fills up.
    """
    out, device = Path(out), config.device
    report = progress or (lambda done, total, what: None)
    state, config = look_into(out, config)
    if state == "complete" and not has_records(out):
        return _complete(out)
    with open_folder(out):
        state, config = look_into(out, config)  # again, now that no other run can change it
        if state == "complete":
            remove_records(out)
            return _complete(out)
        if state == "new" and draw is None:
            config = resolve_device(config)
        with cpu_threads(config.threads):
            return _make(out, config, state == "new", draw, device, report)


def _make(out: Path, config: GenerateConfig, new: bool, draw: Draw | None, device: str | None, report: Progress) -> RunResult:
    """Draw the batches that are not there yet and finish the dataset. The folder is locked, `config` resolved and checked against it.

    new: nothing in the folder is to be continued. device: as the user named it, with an index perhaps.
    """
    specs = sample_specs(config)
    batches = [[specs[i] for i in batch] for batch in config.batches(len(specs))]
    records = [None if new else read_record(out, number) for number in range(len(batches))]
    done = sum(len(batch) for batch, record in zip(batches, records, strict=True) if record)
    run = _Run(config, out, traced_classes(specs))
    weights = ""
    if None in records and draw is None:
        with run.timed("loading"):
            report(done, len(specs), f"loading {config.model_label}")
            draw = model_draw(config, specs, device)
            weights = model_fingerprint(config.model)  # after loading, which may have fetched them
    if new:
        discard_unfinished(out)
        # First of all what tells this folder from a foreign one, should the next moment be the last.
        native.write_atomic(out / native.CONFIG, config.to_toml(weights).encode("utf-8"))
    else:
        check_weights(out, config.model, weights)
    make_room(out, run.folders)
    report(done, len(specs), "")
    drawn = 0
    for number, batch in enumerate(batches):
        if records[number] is None:
            assert draw is not None
            report(done, len(specs), ", ".join(dict.fromkeys(name for spec in batch for name in spec.classes)))
            records[number] = run.batch(number, batch, draw)
            done += len(batch)
            drawn += len(batch)
            report(done, len(specs), "")
    report(done, len(specs), "finishing")
    finished = [record for record in records if record]
    finish(out, config, [row for record in finished for row in record.rows], [row for record in finished for row in record.rejected])
    return replace(_complete(out), drawn=drawn, seconds=run.seconds)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Have torch use `count` threads meanwhile: sums are split among them, so that their number shows in the last bits. None: as it is."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def model_draw(config: GenerateConfig, specs: Sequence[SampleSpec], device: str | None = None) -> Draw:
    """Load the configuration's model, check everything that could fail while drawing, and return what draws a batch with it."""
    from .models.registry import load_model
    from .pipeline import check_inputs, generate_batch
    from .tokens import locate_words, token_offsets

    check_files(config)
    model = load_model(config.model, device=device or config.device, dtype=config.dtype)
    check_inputs(model, specs, steps=config.steps, size=config.size)
    for prompt, classes in dict.fromkeys((spec.prompt, spec.classes) for spec in specs):
        locate_words(model.pipe.tokenizer, prompt, classes)
    if config.guidance_scale > 1:  # without guidance nobody reads it
        try:
            token_offsets(model.pipe.tokenizer, config.negative_prompt)
        except UserError as error:
            raise UserError(f"negative_prompt: {error}") from error
    check_levels(model.pipe.unet.config, config.mask, config.capture)

    def draw(batch: Sequence[SampleSpec]) -> tuple[list[np.ndarray], list[AttentionMaps]]:
        return generate_batch(
            model,
            batch,
            steps=config.steps,
            guidance_scale=config.guidance_scale,
            negative_prompt=config.negative_prompt,
            size=config.size,
            capture=config.capture,
        )

    return draw


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


def finish(out: Path, config: GenerateConfig, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]]) -> None:
    """Write everything that is about the whole dataset. metadata.jsonl is last: once it is there, the dataset is complete."""
    from .report import dataset_card

    native.write_atomic(out / native.CLASSES, native.classes_text(config.classes))
    if config.reject:
        native.write_atomic(out / native.REJECTED, native.jsonl(rejected))
    card = dataset_card(summary=summarize(config, rejected), rows=rows, class_names=config.classes)
    native.write_atomic(out / native.CARD, card.encode("utf-8"))
    preview(out, config, rows, rejected)
    native.write_atomic(out / native.METADATA, native.jsonl(rows))
    remove_records(out)


def preview(out: Path, config: GenerateConfig, rows: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]) -> Path:
    """Write preview.html from what is in the folder, and return its path."""
    from .report import load_trace, write_preview

    steps = [load_trace(path) for path in sorted((out / native.STEPS).glob("*.safetensors"))]
    return write_preview(
        out, summary=summarize(config, rejected), rows=rows, class_names=config.classes, steps=steps, traced_images=TRACED_CLASSES
    )


def summarize(config: GenerateConfig, rejected: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the report and the dataset card say about the run as a whole; no times and no paths, so that it is reproducible."""
    return {
        "model": config.model_label,
        "method": config.mask.method,
        "version": __version__,
        "prompts": list(config.prompts),
        "config": {**asdict(config), "model": config.model_label},
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


def _complete(out: Path) -> RunResult:
    rejected = native.read_rows(out, native.REJECTED) if (out / native.REJECTED).is_file() else []
    return RunResult(out, native.read_rows(out), rejected, 0, {})


class _Run:
    """What all batches of a run share."""

    def __init__(self, config: GenerateConfig, out: Path, traced: Mapping[int, Sequence[str]]) -> None:
        self.config, self.out, self.traced = config, out, traced
        self.ids = {name: i + 1 for i, name in enumerate(config.classes)}
        self.seconds: dict[str, float] = {}
        self.folders = [native.IMAGES, native.MASKS, native.STEPS]
        self.folders += [native.SOFT] * config.keep_soft + [native.ATTENTION] * config.keep_attention

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start

    def batch(self, number: int, specs: Sequence[SampleSpec], draw: Draw) -> BatchRecord:
        """Draw, mask and write one batch and commit it. With `reject`, flagged samples are drawn again together, as a smaller
        batch, until none is left or the attempts are used up: who is in which follows from the configuration alone."""
        from .masks import make_masks

        record, todo = BatchRecord(), list(specs)
        for attempt in range(self.config.attempts if self.config.reject else 1):
            if attempt:
                todo = [redraw(spec, self.config.seed, attempt) for spec in todo]
            with self.timed("drawing"):
                images, maps = draw(todo)
            again = []
            for spec, image, attention in zip(todo, images, maps, strict=True):
                with self.timed("masks"):
                    result = make_masks(image, attention, spec.classes, self.config.mask)
                if self.config.reject and result.flags:
                    row = {
                        "index": spec.index,
                        "attempt": attempt,
                        "seed": spec.seed,
                        "classes": list(spec.classes),
                        "flags": list(result.flags),
                    }
                    record.rejected.append(row)
                    again.append(spec)
                    continue
                with self.timed("writing"):
                    self.write(record, spec, attempt, image, attention, result)
            todo = again
            if not todo:
                break
        record.rows.sort(key=lambda row: row["file_name"])
        with self.timed("writing"):
            write_record(self.out, number, record)
        return record

    def write(
        self, record: BatchRecord, spec: SampleSpec, attempt: int, image: np.ndarray, attention: AttentionMaps, result: MaskResult
    ) -> None:
        """Write one sample's files and add its row to the record."""
        config, index = self.config, spec.index
        class_ids = [self.ids[name] for name in spec.classes]
        labels = native.dataset_labels(result.label_map, class_ids)
        file_name, mask = native.image_path(index, config.image_format), native.mask_path(index)
        record_file(self.out, record, file_name, native.encode_image(image, config.image_format))
        record_file(self.out, record, mask, native.encode_mask(labels))
        if config.keep_soft:
            for class_id, soft in zip(class_ids, result.soft.cpu().numpy(), strict=True):
                record_file(self.out, record, native.soft_path(index, class_id), native.encode_soft(soft))
        if config.keep_attention:
            self.save(record, native.attention_path(index), attention.save)
        for name in self.traced.get(index, ()):
            self.save_steps(record, native.steps_path(index, self.ids[name]), spec, name, image, labels, result)
        record.rows.append(
            {
                "file_name": file_name,
                "mask": mask,
                "prompt": spec.prompt,
                "classes": list(spec.classes),
                "class_ids": class_ids,
                "seed": spec.seed,
                "attempt": attempt,
                "flags": list(result.flags),
                "area": {name: round(float((labels == i).mean()), 6) for name, i in zip(spec.classes, class_ids, strict=True)},
                "model": config.model_label,
                "method": config.mask.method,
                "version": __version__,
            }
        )

    def save_steps(
        self, record: BatchRecord, path: str, spec: SampleSpec, name: str, image: np.ndarray, labels: np.ndarray, result: MaskResult
    ) -> None:
        from .report import save_trace, traced_sample

        traced = traced_sample(spec.index, image, result, name, prompt=spec.prompt, label_map=labels, pamr=self.config.mask.pamr)
        self.save(record, path, lambda file: save_trace(file, traced))

    def save(self, record: BatchRecord, name: str, write: Callable[[Path], None]) -> None:
        """Have `write` write a safetensors file, and note it. OSError when that fails, as it would for any other file."""
        from safetensors import SafetensorError

        try:
            write(self.out / name)
        except (OSError, SafetensorError) as error:
            (self.out / f"{name}.part").unlink(missing_ok=True)
            if isinstance(error, SafetensorError):
                raise OSError(f"{self.out / name} cannot be written: {error}") from error
            raise
        record_written(self.out, record, name)
