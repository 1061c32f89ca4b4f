"""`generate`: draws images of classes, makes their masks and writes them as a dataset, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.generate import GenerateConfig
from ..config.levels import check_levels
from ..dataset import native
from ..dataset.batches import BatchRecord
from ..files.addresses import Out
from ..models.fingerprint import weights_fingerprint
from ..models.memory import Offload
from ..prompts.specs import redraw, sample_specs
from ..workers import Progress
from .engine import Engine, Job, Timer, run_job
from .model_files import captured_maps, check_files, fitted_mask
from .opening import open_place
from .samples import RunResult, SampleWriter, finish_dataset, read_by_finish, read_result, traced_classes

# torch takes seconds to import: a run that only says what is wrong, or that all is done, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.results import MaskResult
    from ..prompts.specs import SampleSpec

Draw = Callable[[Sequence["SampleSpec"]], tuple[Sequence[np.ndarray], Sequence["AttentionMaps"]]]
"""Specs → their images (H, W, 3) uint8 and attention, one each. The same specs must always give the same."""


def generate(
    config: GenerateConfig,
    out: Out | str,
    *,
    draw: Draw | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Make the dataset that `config` describes in `out`: a folder, or a URL of a store such as s3://bucket/name.

    A run that was interrupted at any moment is continued by calling this again with the same arguments, and the result has the
    same bytes as an uninterrupted one's. A finished dataset is left as it is. `draw` replaces the model. offload: what
    waits in the computer's memory while it does not work; changes no byte. engine: who does the batches; None: this process.

    Raises UserError for whatever a user can put right: the folder holds something else, a dataset of another configuration or
    another run at work; the model is not there; a class it does not know. OSError when the disk fills up.
    """
    start = partial(GenerateJob, draw=draw, device=config.device, offload=offload)
    with open_place(out) as place:
        drawn, seconds = run_job(config, place, start, engine=engine, progress=progress, resolve=draw is None)
        return read_result(place, drawn, seconds)


class GenerateJob(Job["SampleSpec"]):
    """Draw, mask and write. device: as the user named it, with an index perhaps."""

    def __init__(self, config: GenerateConfig, out: Path, draw: Draw | None, device: str | None, offload: Offload = "none") -> None:
        specs = sample_specs(config)
        self.config, self.out, self.draw, self.device = config, out, draw, device
        self.offload: Offload = offload
        self.batches = [[specs[i] for i in batch] for batch in config.batches(len(specs))]
        self.writer = SampleWriter(config, out, traced_classes(specs))
        self.folders = self.writer.folders
        self.timer = Timer()
        self.mask = config.mask
        """With levels that the model has."""

    def load(self) -> str:
        if self.draw is not None:
            return ""
        self.draw = model_draw(self.config, [spec for batch in self.batches for spec in batch], self.device, self.offload)
        self.mask = fitted_mask(self.config)[0]
        return weights_fingerprint(*self.config.weight_sources)  # after loading, which may have fetched the weights

    def describe(self, batch: Sequence[SampleSpec]) -> str:
        return ", ".join(dict.fromkeys(name for spec in batch for name in spec.classes))

    def do(self, batch: Sequence[SampleSpec]) -> BatchRecord:
        return self.begin(batch)()

    def begin(self, batch: Sequence[SampleSpec]) -> Callable[[], BatchRecord]:
        """With `reject`, flagged samples are drawn again together, as a smaller batch, until none is left or the attempts are used
        up: who is in which follows from the configuration alone. Then their masks are made here, else with the files."""
        assert self.draw is not None
        record, todo = BatchRecord(), list(batch)
        kept: list[Callable[[], None]] = []
        for attempt in range(self.config.attempts if self.config.reject else 1):
            if attempt:
                todo = [redraw(spec, self.config.seed, attempt) for spec in todo]
            with self.timer("drawing"):
                images, maps = self.draw(todo)
            again = []
            for spec, image, attention in zip(todo, images, maps, strict=True):
                result = self.masks(spec, image, attention) if self.config.reject else None
                if result and result.flags:
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
                kept.append(partial(self.write, record, spec, attempt, image, attention, result))
            todo = again
            if not todo:
                break

        def rest() -> BatchRecord:
            for write in kept:
                write()
            record.rows.sort(key=lambda row: row["file_name"])
            return record

        return rest

    def masks(self, spec: SampleSpec, image: np.ndarray, attention: AttentionMaps) -> MaskResult:
        from ..masks.make import make_masks

        with self.timer("masks"):
            return make_masks(image, attention, spec.classes, self.mask, trace=spec.index in self.writer.traced)

    def write(
        self, record: BatchRecord, spec: SampleSpec, attempt: int, image: np.ndarray, attention: AttentionMaps, result: MaskResult | None
    ) -> None:
        result = result or self.masks(spec, image, attention)
        with self.timer("writing"):
            picture = self.config.image_format, native.encode_image(image, self.config.image_format)
            more = {"seed": spec.seed, "attempt": attempt}
            self.writer.write(record, spec, picture, result, attention, more=more, seen=(image, result))

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        return read_by_finish(records)

    def finish(self, records: Sequence[BatchRecord]) -> None:
        rows = [row for record in records for row in record.rows]
        rejected = [row for record in records for row in record.rejected]
        finish_dataset(self.out, self.config, rows, rejected if self.config.reject else None)


def model_draw(config: GenerateConfig, specs: Sequence[SampleSpec], device: str | None = None, offload: Offload = "none") -> Draw:
    """Load the configuration's model, check everything that could fail while drawing, and return what draws a batch with it."""
    from ..attention.generate import check_guidance, check_inputs, generate_batch
    from ..models.registry import load_model
    from ..prompts.tokens import locate_columns

    check_files(config)
    model = load_model(config.model, device=device or config.device, dtype=config.dtype, offload=offload, **config.loading)
    check_inputs(model, specs, steps=config.steps, size=config.size)
    for prompt, classes in dict.fromkeys((spec.prompt, spec.classes) for spec in specs):
        locate_columns(model.readers, prompt, classes)
    check_guidance(model, config.guidance_scale, config.negative_prompt)
    check_levels(model.network.config, config.mask, config.capture, model.family)
    reads = captured_maps(config)

    def draw(batch: Sequence[SampleSpec]) -> tuple[list[np.ndarray], list[AttentionMaps]]:
        images, maps = generate_batch(
            model,
            batch,
            steps=config.steps,
            guidance_scale=config.guidance_scale,
            negative_prompt=config.negative_prompt,
            size=config.size,
            capture=config.capture,
            reads=reads,
        )
        return images, maps[config.capture.layers]

    return draw
