"""`segment`: divides photographs into segments without given classes, and writes a dataset whose objects are the
segments. A segment without a name has the class `segment`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.class_names import SEGMENT
from ..config.methods import EVERYTHING, Reads
from ..config.runs import SegmentPhotosConfig
from ..dataset.encoding import encode_photo
from ..dataset.sample import Sample
from ..dataset.shapes.objects import Objects
from ..dataset.writing import Encoded, encode_sample
from ..files.image_files import read_photo
from ..files.label_maps import IGNORE
from ..files.messages import plural
from ..files.photo_files import Photo
from ..models.describe import ModelInfo
from ..models.registry import Model
from ..models.saving_memory import Offload
from ..prompts.tokens import split_prompts
from ..rows.row import Row
from ..version import __version__
from ..workers import Progress
from .engine import Engine
from .job import EncodeSample, Made, Ready
from .loop import run
from .output import RunResult
from .photos import PhotoJob, PhotoSpec, read_each
from .plan import Plan, plan_model

if TYPE_CHECKING:
    from ..segments.make_segments import Segments
    from ..segments.naming import SegmentName
    from ..view import View


def segment_photos(
    config: SegmentPhotosConfig,
    photos: Iterable[Photo],
    out: Path | str,
    *,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Divide photographs into segments, in the dataset `out`. The same call continues a run that was stopped at any
    moment.

    photos: from `find_photos`. offload, engine, progress: as in `generate`. A photograph that cannot be used does not
    stop the run: the result and failed.jsonl list it. Raises UserError as `generate` does.
    """
    job = SegmentJob.of(config, photos, offload=offload)
    return run(job, out, engine=engine, progress=progress)


@dataclass(frozen=True, eq=False)
class SegmentJob(PhotoJob[SegmentPhotosConfig]):
    """Divides photographs into segments, and names the segments."""

    product = "segments"
    named = "names"

    @property
    def classes(self) -> Sequence[str]:
        return (SEGMENT, *self.words)

    def remarks(self, result: RunResult) -> list[str]:
        nameless = sum({*row.class_names} <= {SEGMENT} for row in result.rows)
        if not self.words or not nameless:
            return []
        why = f"no word reached --name-threshold {self.config.name_threshold}; a lower one names more, also wrongly"
        return [f"No segment has a name in {nameless} of {plural(len(result.rows), 'image')}: {why}"]

    def plan(self, model: ModelInfo | Model) -> Plan | None:
        reads: Reads | None = None
        if self.words:
            reads = {"cross": None} if self.config.segment.divides_features else EVERYTHING
        plan = plan_model(self.config, model, reads)
        for words in self.word_lists:  # refuses what the tokenizers cannot find
            split_prompts(model.readers, words)
        return plan

    def make(self, ready: Ready, items: Sequence[PhotoSpec]) -> Made:
        from ..segments.make_segments import make_segments
        from ..view import view_photo

        config = self.config
        model, _ = ready.of_model()
        with self.timer("reading"):
            specs, views, failed = read_each(
                items, lambda spec: view_photo(model.sizes, read_photo(spec.photo.path), config.fit, config.size)
            )
        with self.timer("segmenting"):
            segments = make_segments(model, views, config.segment, seed=config.seed, batch_size=config.batch_size)
        samples: list[EncodeSample] = []
        with self.timer("naming"):
            for spec, view, of_photo in zip(specs, views, segments, strict=True):
                names = self.names(model, spec.words, view, of_photo)
                samples.append(partial(self.encoded, spec, of_photo, names))
        return Made(samples, failed)

    def names(self, model: Model, words: tuple[str, ...], view: View, segments: Segments) -> list[SegmentName]:
        """The names of a photograph's segments; an empty list without words."""
        from ..segments.naming import name_photo

        if not words:
            return []
        timestep, threshold = self.config.segment.timestep_shown, self.config.name_threshold
        return name_photo(model, view, segments.label_map, words, timestep=timestep, threshold=threshold)

    def encoded(self, spec: PhotoSpec, segments: Segments, names: Sequence[SegmentName]) -> Encoded:
        """The row and files of a photograph. names: one per segment; empty without words."""
        assert segments.pixels is not None
        objects = as_objects(segments, names, self.classes)
        labels = np.where(objects.numbers > 0, objects.label_map(), np.uint8(IGNORE))
        row = Row(
            source=spec.photo.name,
            index=spec.index,
            asked=spec.words,
            flags=(),
            model=self.config.model_label,
            method=self.config.method,
            version=__version__,
        )
        with self.timer("writing"):
            image = encode_photo(spec.photo.path, segments.pixels)
            return encode_sample(Sample(image, labels, objects, row, name=spec.photo.name), self.classes)


def as_objects(segments: Segments, names: Sequence[SegmentName], classes: Sequence[str]) -> Objects:
    """The segments as objects of a dataset. Segment 0 becomes object 1, because object 0 stands for pixels outside all
    segments. names: one name per segment; empty without words. classes: `segment`, then all words."""
    ids = {word: number for number, word in enumerate(classes, 1)}
    class_ids = [ids[SEGMENT]] * len(segments.scores)
    for segment, named in enumerate(names):
        class_ids[segment] = ids[named.name or SEGMENT]
    return Objects(segments.label_map + 1, tuple(class_ids), tuple(segments.scores))
