"""`segment`: photographs into segments, no class given; label maps, overlays and COCO's JSON in a folder, batch by batch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.names import BACKGROUND
from ..config.photographs import SegmentPhotosConfig, check_attention, check_names
from ..dataset import native
from ..dataset.native import LABELS, NAMED, OVERLAYS
from ..errors import UserError
from ..files.outputs import make_folders, write_atomic
from ..files.photographs import Found, Photo, read_photo
from ..files.places import Out
from ..models.fingerprint import weights_fingerprint
from ..models.memory import Offload
from ..workers import Progress
from .loop import Engine, run
from .model_files import check_loading, check_segment_files, segment_capture_line
from .photos import Captured, PhotoJob, PhotoSpec, fingerprint_photos, photo_count, read_failures, write_failures
from .place import BatchRecord, look_into, open_place
from .plan import model_line, source_lines
from .segment_files import OVERVIEW, OVERVIEW_PHOTOS, coco, overlay_path, overview, photo_files, photo_row, read_segments

if TYPE_CHECKING:
    from ..evaluate.labels import LabelSet
    from ..segments.make import Segments


@dataclass(frozen=True)
class ReadPhoto:
    """A photograph's pixels (H, W, 3) uint8, and with `k="truth"` how many segments it has."""

    spec: PhotoSpec
    pixels: np.ndarray
    count: int


@dataclass(frozen=True)
class SegmentPhotosResult:
    """What there is after a run.

    rows: {"photo", "width", "height", "segments": […]} of each photograph. failed: {"photo", "reason"} of each that could not be used.
    done: photographs of this run and not an earlier one. seconds: "loading", "reading", "segmenting", "naming", "writing".
    picture: the name of the file to look at, or of a folder of them.
    """

    out: Out
    rows: Sequence[Mapping[str, Any]]
    failed: Sequence[Mapping[str, str]]
    done: int
    seconds: Mapping[str, float]
    picture: str = LABELS


def segment_photos(
    config: SegmentPhotosConfig,
    photos: Sequence[Photo],
    out: Out | str,
    *,
    words: Mapping[str, Sequence[str]] | None = None,
    labels: Path | str | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> SegmentPhotosResult:
    """Divide photographs into segments, into `out`, a folder or a URL. Stopped at any moment, the same call continues.

    photos: what `find_photos` found. words: photo name → the words that its segments may be called, instead of `config.names`.
    labels: for `k="truth"`, a folder of label maps called as the photographs. Photographs that cannot be used, or whose label maps cannot,
    do not stop the others: they are listed in the result and in failed.jsonl. offload, engine: as in `generate`. Raises UserError as
    `generate` does.
    """
    truth = open_truth(config, labels)
    job = SegmentJob(*settle(config, photos, words or {}, truth), truth, offload)
    with open_place(out) as place:
        done = run(job, place, engine=engine, progress=progress)
        picture = OVERVIEW if (place.folder / OVERVIEW).is_file() else LABELS
        return SegmentPhotosResult(place.out, read_segments(place.folder), read_failures(place.folder), done, job.timer.seconds, picture)


def open_truth(config: SegmentPhotosConfig, labels: Path | str | None) -> LabelSet | None:
    """The label maps that `k="truth"` counts in; None where nothing is counted. Raises UserError where they are not there."""
    if config.segment.k != "truth":
        return None
    if labels is None:
        raise UserError("-k truth: needs --labels, a folder of label maps called as the photographs")
    from ..evaluate.labels import open_labels

    return open_labels(labels)


def settle(
    config: SegmentPhotosConfig, photos: Sequence[Photo], words: Mapping[str, Sequence[str]], truth: LabelSet | None
) -> tuple[SegmentPhotosConfig, list[PhotoSpec]]:
    """The configuration with its photographs, by which a folder to continue is known, and what is to be done to each.

    words: as in `segment_photos`; "background", which captions say of what is no object, is the name of id 0 and no word.
    """
    names_of = {photo.name: dict.fromkeys(words.get(photo.name, config.names)) for photo in photos}
    specs = [
        PhotoSpec(index, photo, tuple(w for w in names_of[photo.name] if w != BACKGROUND), truth.find(photo.name) if truth else None)
        for index, photo in enumerate(photos)
    ]
    check_names(all_words(specs), "names" if config.names else "words of the photographs")
    if truth and not any(spec.label for spec in specs):
        raise UserError(f"--labels: no label map of any of the {len(specs)} photographs among the {truth.about}")
    shared = tuple(word for word in config.names if word != BACKGROUND)
    others = []
    for spec in specs:
        size = truth.files[spec.label].stat().st_size if truth and spec.label else None
        words_of = spec.words if spec.words != shared else None
        others.append(repr((words_of, spec.label, size)) if words_of is not None or spec.label else "")
    return replace(config, photos=fingerprint_photos(photos, others, "captions or label maps of their own")), specs


def all_words(specs: Sequence[PhotoSpec]) -> tuple[str, ...]:
    """The words of all photographs, each once, in the order of their ids."""
    return tuple(dict.fromkeys(word for spec in specs for word in spec.words))


def truth_count(truth: LabelSet, name: str | None, shape: tuple[int, ...], fit: str, positions: int) -> int:
    """How many classes the label map of a photograph (H, W) shows, within the centred square for `fit="crop"`: the k of K-Means-S.

    Raises UserError where that cannot be said, or is more than the `positions` that K-Means has.
    """
    from ..files.label_maps import centre_square, read_segment_ids
    from ..metrics.matching import count_segments

    if name is None:
        raise UserError("there is no label map of it, or more than one could be; -k truth counts in it")
    path = truth.files[name]
    try:
        # Which classes a plain folder has is not asked: ids are only counted.
        label_map = read_segment_ids(path) if truth.layout == "folder" else truth.read(name)
    except UserError as error:
        raise UserError(f"label map '{name}'", error.reason) from error
    if label_map.shape != shape:
        raise UserError(f"label map '{name}' is {label_map.shape[1]} × {label_map.shape[0]} pixels, the photograph {shape[1]} × {shape[0]}")
    count = count_segments(centre_square(label_map) if fit == "crop" else label_map, unlabelled=-1)
    if count > positions:
        raise UserError(f"label map '{name}' has {count} classes; K-Means divides only {positions} positions")
    return max(1, count)


@dataclass(frozen=True)
class Divided:
    """A photograph (H, W, 3) uint8, its segments, and what each of them is called with the score of that; no names without words."""

    spec: PhotoSpec
    pixels: np.ndarray
    segments: Segments
    names: Sequence[tuple[str | None, float]]


class SegmentJob(PhotoJob[SegmentPhotosConfig, Divided]):
    """Read, segment, name, write."""

    def __init__(
        self, config: SegmentPhotosConfig, specs: Sequence[PhotoSpec], truth: LabelSet | None = None, offload: Offload = "none"
    ) -> None:
        self.truth = truth
        self.named = any(spec.words for spec in specs)
        self.ids = {name: i + 1 for i, name in enumerate(all_words(specs))}
        super().__init__(config, [LABELS] + [OVERLAYS] * config.overlays + [NAMED] * self.named, specs, offload)

    def load(self) -> str:
        from ..models.registry import load_model
        from ..segments.make import check_fits

        check_segment_files(self.config)
        device = self.device or self.config.device
        self.model = load_model(self.config.model, device=device, dtype=self.config.dtype, offload=self.offload, **self.config.loading)
        check_attention(self.config.size, self.model.pixels)
        check_fits(self.model, self.config.segment, self.config.size)
        for words in dict.fromkeys(spec.words for spec in self.specs if spec.words):
            self.check_words(words)
        return weights_fingerprint(*self.config.weight_sources)

    def capture(self, batch: Sequence[PhotoSpec]) -> Captured[Divided]:
        """Label maps, and names for them, which need the model."""
        from ..segments.make import make_segments

        assert self.model is not None
        readable, failed = self.read_all(batch, self.read)
        config = self.config
        with self.timer("segmenting"):
            segments = make_segments(
                self.model,
                [photo.pixels for photo in readable],
                config.segment,
                fit=config.fit,
                size=config.size,
                counts=[photo.count for photo in readable],
                seed=config.seed,
                batch_size=config.batch_size,
            )
        with self.timer("naming"):
            divided = [Divided(p.spec, p.pixels, of, self.names(p, of)) for p, of in zip(readable, segments, strict=True)]
        return divided, failed

    def write(self, captured: Captured[Divided], out: Path) -> BatchRecord:
        """Overlays, PNGs and run lengths."""
        divided, failed = captured
        record = BatchRecord(rejected=list(failed))
        with self.timer("writing"):
            for photo in divided:
                name, segments = photo.spec.photo.name, photo.segments
                files = photo_files(name, photo.pixels, segments.label_map, photo.names, self.ids, overlays=self.config.overlays)
                for path, data in files.items():
                    make_folders(out, path.rpartition("/")[0])
                    record.write(out, path, data)
                row = photo_row(segments.label_map, segments.scores, photo.names)
                record.rows.append({"photo": name, "file_name": photo.spec.photo.file_name, **row})
        return record

    def read(self, spec: PhotoSpec) -> ReadPhoto:
        """Raises UserError for a photograph that cannot be used."""
        from ..attention.windows import MAX_WINDOWS, seen_shape, window_count

        assert self.model is not None
        pixels = read_photo(spec.photo.path)
        height, width = pixels.shape[:2]
        if (count := window_count(height, width, self.config.fit)) > MAX_WINDOWS:
            raise UserError(f"{width} × {height} pixels would be {count} squares, more than {MAX_WINDOWS}; cut it up, or use --fit resize")
        shape = seen_shape(self.model, pixels.shape, self.config.fit, self.config.size)
        positions = math.prod(side // self.model.pixels for side in shape)
        if isinstance(k := self.config.segment.k, int) and k > positions:
            raise UserError(f"k = {k}: this photograph is seen at {shape[1]} × {shape[0]} pixels, which are only {positions} positions")
        if self.truth is None:
            return ReadPhoto(spec, pixels, 1)
        return ReadPhoto(spec, pixels, truth_count(self.truth, spec.label, (height, width), self.config.fit, positions))

    def check_words(self, words: Sequence[str]) -> None:
        """Raise UserError for words that the model does not know or cannot read, before any photograph is."""
        from ..segments import naming

        assert self.model is not None
        naming.check_names(self.model, words)
        naming.split_prompts(self.model.readers, words)

    def names(self, photo: ReadPhoto, segments: Segments) -> Sequence[tuple[str | None, float]]:
        """What each segment of a photograph is called, and its score; empty for a photograph without words."""
        if not photo.spec.words:
            return []
        from ..segments.naming import name_photos

        assert self.model is not None
        (named,) = name_photos(
            self.model,
            [photo.pixels],
            [segments.label_map],
            [photo.spec.words],
            fit=self.config.fit,
            size=self.config.size,
            timestep=self.config.segment.timestep_shown,
            vote=self.config.vote,
            threshold=self.config.name_threshold,
        )
        return named

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        rows = [row for record in records for row in record.rows]
        return [overlay_path(row["photo"]) for row in rows[:OVERVIEW_PHOTOS]] if self.config.overlays else []

    def finish(self, records: Sequence[BatchRecord], out: Path) -> None:
        rows = [row for record in records for row in record.rows]
        write_failures(out, [row for record in records for row in record.rejected])
        if self.named:
            write_atomic(out / native.CLASSES, native.classes_text(tuple(self.ids)))
        if self.config.overlays and rows:
            write_atomic(out / OVERVIEW, overview(out, rows))
        write_atomic(out / SegmentPhotosConfig.last_file, json.dumps(coco(rows, self.ids), ensure_ascii=False).encode("utf-8"))


def describe(
    config: SegmentPhotosConfig,
    found: Found,
    out: Path,
    *,
    words: Mapping[str, Sequence[str]] | None = None,
    labels: Path | str | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
) -> str:
    """The plan of a run as text, for --dry-run. words, labels, offload, engine: as in `segment_photos`. Raises UserError where the run
    would at once."""
    device = config.device
    config, specs = settle(config, found.photos, words or {}, open_truth(config, labels))
    named = any(spec.words for spec in specs)
    files = [f"{LABELS}/*.png", *[f"{OVERLAYS}/*.jpg", OVERVIEW] * config.overlays, *[f"{NAMED}/*.png", "classes.txt"] * named]
    files += ["segments.json", "seediff.toml"]
    state, config = look_into(out, config)
    check_segment_files(config)
    if state != "complete":
        check_loading(config, device, offload, engine)
    size = (
        "the model's own size"
        if config.size is None
        else f"{config.size} pixels" + ", as many positions in any shape" * (config.fit == "keep")
    )
    method = config.segment
    constants = ", ".join(f"{name} {getattr(method, name)}" for name in method.facts.options)
    lines = [
        f"Would {'continue' if state == 'unfinished' else 'do'}: {photo_count(found)}, in batches of up to {config.batch_size}",
        f"Method: {method.method}, {constants}",
        f"Photographs: fit {config.fit}, seen at {size}",
        model_line(config, offload),
        *segment_capture_line(config, named=named),
        f"Names: {', '.join(config.names) or ('those of the captions' if named else 'none')}",
        *source_lines(config),
        f"Files in {out}: {', '.join(files)}",
    ]
    if state == "complete":
        lines.insert(0, f"{out} is complete already: nothing would be done.")
    return "\n".join(lines)
