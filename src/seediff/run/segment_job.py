"""`segment`: divides photographs into segments without given classes, and writes a dataset whose objects are the
segments. A segment without a name has the class `segment`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..config.class_names import BACKGROUND, MAX_CLASSES, SEGMENT
from ..config.methods import EVERYTHING, Reads
from ..config.runs import SegmentPhotosConfig, check_segment_names
from ..dataset.dataset import Dataset
from ..dataset.encoding import encode_photo
from ..dataset.sample import Sample
from ..dataset.shapes.objects import Objects
from ..dataset.writing import Encoded, encode_sample
from ..errors import UserError
from ..files.image_files import read_photo
from ..files.label_maps import IGNORE, centre_square
from ..files.photo_files import Photo, match_names, photo_list
from ..metrics.matching import count_segments
from ..models.describe import ModelInfo, check_known_classes
from ..models.registry import Model
from ..models.saving_memory import Offload
from ..prompts.tokens import split_prompts
from ..rows.row import Row
from ..version import __version__
from ..workers import Progress
from .job import EncodeSample, Made, Ready
from .loop import Engine, RunResult, run
from .photos import PhotoSpec, SeenPhotoJob, fingerprinted, read_each
from .plan import Plan, plan_model

if TYPE_CHECKING:
    from ..segments.make_segments import Segments
    from ..segments.naming import SegmentName


class CountedPhoto(NamedTuple):
    """A photograph, and the number of segments into which K-Means divides it."""

    pixels: np.ndarray
    """(H, W, 3) uint8."""
    count: int
    """For `k="truth"`, the number of classes in the photograph's label map; otherwise 1, which has no effect."""


def segment_photos(
    config: SegmentPhotosConfig,
    photos: Iterable[Photo],
    out: Path | str,
    *,
    words: Mapping[str, Sequence[str]] | None = None,
    labels: Path | str | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Divide photographs into segments, in the dataset `out`. The same call continues a run that was stopped at any
    moment.

    photos: from `find_photos`. words: photo name → the words that may name its segments, instead of `config.names`.
    labels: for `k="truth"`, a folder of label maps with the photographs' names. offload, engine, progress: as in
    `generate`. A photograph that cannot be used, or whose label map cannot be used, does not stop the run: the
    result and failed.jsonl list it. Raises UserError as `generate` does.
    """
    job = SegmentJob.of(config, photos, words=words, labels=labels, offload=offload)
    return run(job, out, engine=engine, progress=progress)


def truth_count(truth: Mapping[str, Sample], name: str | None, shape: tuple[int, ...], fit: str) -> int:
    """The number of segments for `k="truth"`: the number of classes in a photograph's label map, at least 1.

    truth: name → sample with a label map. name: the label map's name; None: no label map. shape: (H, W) of the
    photograph. fit: with "crop", only the centred square of the label map counts. Raises UserError if the label map is
    missing or has another size than the photograph.
    """
    if name is None:
        raise UserError("it has no label map, or more than one matches; -k truth needs exactly one")
    what = f"label map '{name}'"
    try:
        label_map = truth[name].unchecked_labels()
    except UserError as error:
        raise UserError(what, error.reason) from error
    if label_map.shape != shape:
        (rows, columns), (height, width) = label_map.shape, shape
        raise UserError(f"{what} is {columns} × {rows} pixels, the photograph {width} × {height}")
    if fit == "crop":
        label_map = centre_square(label_map)
    return max(1, count_segments(label_map, unlabelled=IGNORE))


def naming_words(words: Iterable[str]) -> tuple[str, ...]:
    """The words without repetitions, and without `background` and `segment`, which captions may contain."""
    return tuple(word for word in dict.fromkeys(words) if word not in (BACKGROUND, SEGMENT))


def label_digest(sample: Sample) -> str | None:
    """A digest of a label map's pixels, so that only a run with the same labels continues. None if the label map cannot
    be read; `truth_count` reports that later."""
    try:
        return hashlib.sha256(sample.unchecked_labels().tobytes()).hexdigest()
    except UserError:
        return None


@dataclass(frozen=True, eq=False)
class SegmentJob(SeenPhotoJob[SegmentPhotosConfig]):
    """Divides photographs into segments, and names the segments."""

    product, named = "segments", "Names"

    truth: Mapping[str, Sample] = field(default_factory=dict)
    """For `k="truth"`: name → sample with a label map."""

    @classmethod
    def of(
        cls,
        config: SegmentPhotosConfig,
        photos: Iterable[Photo],
        *,
        words: Mapping[str, Sequence[str]] | None = None,
        labels: Path | str | None = None,
        info: ModelInfo | None = None,
        offload: Offload = "none",
    ) -> SegmentJob:
        """The job for these photographs. config: the model, the method and its constants. photos, words, labels: as in
        `segment_photos`. info: the model, if it was found already. offload: as in `load_model`. Raises UserError for
        words that cannot be names, and for label maps that are missing or cannot be read."""
        truth, about = dict[str, Sample](), ""
        if config.segment.k == "truth":
            if labels is None:
                fix = "name a folder of label maps with the photographs' names"
                raise UserError("segment.k", "truth: needs labels", fix)
            # The classes of a plain folder are not needed, because ids are only counted.
            opened = Dataset.open(labels, labels_alone=True, num_classes=MAX_CLASSES)
            truth, about = {sample.name: sample for sample in opened}, opened.about
        words_of_all = naming_words(config.names)
        specs: list[PhotoSpec] = []
        settings_of: list[str] = []
        found = photo_list(photos)
        labels_of, _ = match_names([photo.name for photo in found], truth, Path(labels or ""))
        for index, photo in enumerate(found):
            names = (words or {}).get(photo.name, config.names)
            if isinstance(names, str):
                raise UserError(f"words of '{photo.name}'", f"must be a list of words, like [{names!r}]")
            photo_words = naming_words(names)
            label = labels_of.get(photo.name)
            specs.append(PhotoSpec(index, photo, photo_words, label))
            digest = label_digest(truth[label]) if label else None
            settings_of.append(repr((photo_words if photo_words != words_of_all else None, label, digest)))
        all_words = tuple(dict.fromkeys(chain.from_iterable(spec.words for spec in specs)))
        check_segment_names(all_words, "names" if config.names else "words of the photographs")
        if truth and not any(spec.label for spec in specs):
            none = f"no label map of any of the {len(specs)} photographs"
            raise UserError("labels", f"{none} among the {about}")
        config = fingerprinted(config, specs, settings_of)
        return cls(config, info=info, offload=offload, specs=specs, words=all_words, truth=truth)

    @property
    def classes(self) -> Sequence[str]:
        return (SEGMENT, *self.words)

    def check(self) -> None:
        super().check()
        check_known_classes(self.model_info.name, self.model_info.settings.words, self.words)

    def plan(self, model: ModelInfo | Model) -> Plan | None:
        reads: Reads | None = None
        if self.words:
            reads = {"cross": None} if self.config.segment.divides_features else EVERYTHING
        plan = plan_model(self.config, model, reads)
        for words in self.word_lists:  # refuses what the tokenizers cannot find
            split_prompts(model.readers, words)
        return plan

    def read(self, model: Model, spec: PhotoSpec) -> CountedPhoto:
        """Read a photograph. Raises UserError if it cannot be divided."""
        from ..attention.windows import seen_shape

        config = self.config
        pixels = read_photo(spec.photo.path)
        seen_shape(model, pixels.shape, config.fit, config.size)  # refuses what is too long and narrow
        count = 1
        if self.truth:
            count = truth_count(self.truth, spec.label, pixels.shape[:2], config.fit)
        return CountedPhoto(pixels, count)

    def make(self, ready: Ready, items: Sequence[PhotoSpec]) -> Made:
        from ..segments.make_segments import make_segments

        config = self.config
        model, _ = ready.of_model()
        with self.timer("reading"):
            specs, photos, failed = read_each(items, partial(self.read, model))
        with self.timer("segmenting"):
            segments = make_segments(
                model,
                [photo.pixels for photo in photos],
                config.segment,
                counts=[photo.count for photo in photos],
                fit=config.fit,
                size=config.size,
                seed=config.seed,
                batch_size=config.batch_size,
            )
        samples: list[EncodeSample] = []
        with self.timer("naming"):
            for spec, photo, of_photo in zip(specs, photos, segments, strict=True):
                names = self.names(model, spec.words, photo.pixels, of_photo)
                samples.append(partial(self.encoded, spec, photo.pixels, of_photo, names))
        return Made(samples, failed)

    def names(self, model: Model, words: tuple[str, ...], pixels: np.ndarray, segments: Segments) -> list[SegmentName]:
        """The names of a photograph's segments; an empty list without words. pixels: (H, W, 3) uint8."""
        from ..segments.naming import name_photo

        if not words:
            return []
        return name_photo(
            model,
            pixels,
            segments.label_map,
            words,
            fit=self.config.fit,
            size=self.config.size,
            timestep=self.config.segment.timestep_shown,
            threshold=self.config.name_threshold,
        )

    def encoded(self, spec: PhotoSpec, pixels: np.ndarray, segments: Segments, names: Sequence[SegmentName]) -> Encoded:
        """The row and files of a photograph. pixels: (H, W, 3) uint8. names: one per segment; empty without words."""
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
            image = encode_photo(spec.photo.path, pixels)
            return encode_sample(Sample(image, labels, objects, row, name=self.name_of(spec)), self.classes)


def as_objects(segments: Segments, names: Sequence[SegmentName], classes: Sequence[str]) -> Objects:
    """The segments as objects of a dataset. Segment 0 becomes object 1, because object 0 stands for pixels outside all
    segments. names: one name per segment; empty without words. classes: `segment`, then all words."""
    ids = {word: number for number, word in enumerate(classes, 1)}
    class_ids = [ids[SEGMENT]] * len(segments.scores)
    for segment, named in enumerate(names):
        class_ids[segment] = ids[named.name or SEGMENT]
    return Objects(segments.label_map + 1, tuple(class_ids), tuple(segments.scores))
