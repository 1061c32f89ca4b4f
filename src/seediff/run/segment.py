"""`segment`: photographs into segments, no class given; label maps, overlays and COCO's JSON in a folder, batch by batch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.base import build, read_table
from ..config.names import BACKGROUND
from ..config.photographs import SegmentPhotosConfig, check_attention, check_names
from ..config.presets import model_thresholds, segment_preset
from ..config.tuned import THRESHOLDS
from ..dataset import native
from ..dataset.batches import LABELS, NAMED, OVERLAYS, BatchRecord, look_into, record_file
from ..errors import UserError
from ..files.addresses import Out
from ..files.outputs import make_folders, write_atomic
from ..files.photographs import Found, Photo, read_photo
from ..models.fingerprint import weights_fingerprint
from ..models.memory import Offload
from ..workers import Progress
from .engine import Engine, Job, Timer, run_job
from .model_files import check_loading, check_segment_files, segment_capture_line
from .opening import open_place
from .photo_files import failure, fingerprint_photos, photo_count, read_failures, write_failures
from .plan import model_line
from .segment_files import OVERVIEW, OVERVIEW_PHOTOS, coco, overlay_path, overview, photo_files, photo_row, read_segments

if TYPE_CHECKING:
    from ..evaluate.labels import LabelSet
    from ..models.registry import Model
    from ..segments.make import Segments

PRESETS: dict[str, dict[str, Any]] = {"coco": {"segment": {"kl_threshold": 1.1}}, "cityscapes": {"segment": {"kl_threshold": 0.9}}}
"""DiffSeg's thresholds for its two benchmarks."""


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run: its words, and with `k="truth"` the name of its label map, if it has one."""

    photo: Photo
    words: tuple[str, ...]
    label: str | None


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


def segment_config(line: Mapping[str, Any], file: Path | None, preset: str, tuned: Mapping[str, Any] | None = None) -> SegmentPhotosConfig:
    """The configuration of a command: its own values, then those of its --config file, then what `seediff tune` found (as
    `tuned.tuned_table` gives it), then the preset's. Raises UserError."""
    table = read_table(file, SegmentPhotosConfig) if file else {}
    more = tuned or {}
    model = next((t["model"] for t in (line, table, more) if "model" in t), SegmentPhotosConfig.model)
    method = next((t["segment"]["method"] for t in (line, table) if "method" in t.get("segment", {})), None)
    named = {name: value for name, value in model_thresholds(model).items() if name == THRESHOLDS[SegmentPhotosConfig.command]}
    constants = {**named, **PRESETS[preset]} if preset in PRESETS else segment_preset(model, method)
    return build(SegmentPhotosConfig, line, table, more, constants)


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
    device = config.device
    truth = open_truth(config, labels)
    config, specs = settle(config, photos, words or {}, truth)
    start = partial(SegmentJob, specs=specs, device=device, truth=truth, offload=offload)
    with open_place(out) as place:
        done, seconds = run_job(config, place, start, engine=engine, progress=progress)
        picture = OVERVIEW if (place.folder / OVERVIEW).is_file() else LABELS
        return SegmentPhotosResult(place.out, read_segments(place.folder), read_failures(place.folder), done, seconds, picture)


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
        PhotoSpec(photo, tuple(w for w in names_of[photo.name] if w != BACKGROUND), truth.find(photo.name) if truth else None)
        for photo in photos
    ]
    check_names(all_words(specs), "names" if config.names else "words of the photographs")
    if truth and not any(spec.label for spec in specs):
        raise UserError(f"--labels: no label map of any of the {len(specs)} photographs among the {truth.about}")
    shared = tuple(word for word in config.names if word != BACKGROUND)
    own = []
    for spec in specs:
        size = truth.files[spec.label].stat().st_size if truth and spec.label else None
        words_of = spec.words if spec.words != shared else None
        own.append(repr((words_of, spec.label, size)) if words_of is not None or spec.label else "")
    return replace(config, photos=fingerprint_photos(photos, own, "captions or label maps of their own")), specs


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
        reason = str(error).removeprefix(f"{path}: ").replace(str(path), path.name)
        raise UserError(f"label map '{name}': {reason}") from error
    if label_map.shape != shape:
        raise UserError(f"label map '{name}' is {label_map.shape[1]} × {label_map.shape[0]} pixels, the photograph {shape[1]} × {shape[0]}")
    count = count_segments(centre_square(label_map) if fit == "crop" else label_map, unlabelled=-1)
    if count > positions:
        raise UserError(f"label map '{name}' has {count} classes; K-Means divides only {positions} positions")
    return max(1, count)


class SegmentJob(Job[PhotoSpec]):
    """Read, segment, name, write. device: as the user named it, with an index perhaps."""

    def __init__(
        self,
        config: SegmentPhotosConfig,
        out: Path,
        specs: Sequence[PhotoSpec],
        device: str | None,
        truth: LabelSet | None,
        offload: Offload = "none",
    ) -> None:
        self.config, self.out, self.device, self.truth = config, out, device, truth
        self.offload: Offload = offload
        self.batches = [[specs[i] for i in batch] for batch in config.batches(len(specs))]
        self.named = any(spec.words for spec in specs)
        self.ids = {name: i + 1 for i, name in enumerate(all_words(specs))}
        self.folders = [LABELS] + [OVERLAYS] * config.overlays + [NAMED] * self.named
        self.timer = Timer()
        self.model: Model | None = None

    def load(self) -> str:
        from ..models.registry import load_model
        from ..segments.make import check_fits

        check_segment_files(self.config)
        device = self.device or self.config.device
        self.model = load_model(self.config.model, device=device, dtype=self.config.dtype, offload=self.offload, **self.config.loading)
        check_attention(self.config.size, self.model.pixels)
        check_fits(self.model, self.config.segment, self.config.size)
        for words in dict.fromkeys(spec.words for batch in self.batches for spec in batch if spec.words):
            self.check_words(words)
        return weights_fingerprint(*self.config.weight_sources)

    def describe(self, batch: Sequence[PhotoSpec]) -> str:
        return batch[0].photo.name

    def do(self, batch: Sequence[PhotoSpec]) -> BatchRecord:
        return self.begin(batch)()

    def begin(self, batch: Sequence[PhotoSpec]) -> Callable[[], BatchRecord]:
        """Label maps, and names for them, need the model; overlays, PNGs and run lengths do not."""
        from ..segments.make import make_segments

        assert self.model is not None
        record = BatchRecord()
        readable: list[ReadPhoto] = []
        with self.timer("reading"):
            for spec in batch:
                try:
                    readable.append(self.read(spec))
                except UserError as error:
                    record.rejected.append(failure(spec.photo, error))
        config = self.config
        with self.timer("segmenting"):
            found = make_segments(
                self.model,
                [one.pixels for one in readable],
                config.segment,
                fit=config.fit,
                size=config.size,
                counts=[one.count for one in readable],
                seed=config.seed,
                batch_size=config.batch_size,
            )
        with self.timer("naming"):
            called = [self.names(one, segments) for one, segments in zip(readable, found, strict=True)]

        def rest() -> BatchRecord:
            with self.timer("writing"):
                for one, segments, names in zip(readable, found, called, strict=True):
                    self.write(record, one.spec, one.pixels, segments, names)
            return record

        return rest

    def read(self, spec: PhotoSpec) -> ReadPhoto:
        """Raises UserError for a photograph that cannot be used."""
        from ..attention.fit import MAX_WINDOWS, seen_shape, window_count

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

    def names(self, one: ReadPhoto, segments: Segments) -> Sequence[tuple[str | None, float]]:
        """What each segment of a photograph is called, and its score; empty for a photograph without words."""
        if not one.spec.words:
            return []
        from ..segments.make import timestep_of
        from ..segments.naming import name_photos

        assert self.model is not None
        (named,) = name_photos(
            self.model,
            [one.pixels],
            [segments.label_map],
            [one.spec.words],
            fit=self.config.fit,
            size=self.config.size,
            timestep=timestep_of(self.config.segment),
            vote=self.config.vote,
            threshold=self.config.name_threshold,
        )
        return named

    def write(
        self, record: BatchRecord, spec: PhotoSpec, photo: np.ndarray, segments: Segments, called: Sequence[tuple[str | None, float]]
    ) -> None:
        """Write one photograph's files and add its row to the record."""
        files = photo_files(spec.photo.name, photo, segments.label_map, called, self.ids, overlays=self.config.overlays)
        for name, data in files.items():
            make_folders(self.out, name.rpartition("/")[0])
            record_file(self.out, record, name, data)
        about = {"photo": spec.photo.name, "file_name": spec.photo.file_name}
        record.rows.append({**about, **photo_row(segments.label_map, segments.scores, called)})

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        rows = [row for record in records for row in record.rows]
        return [overlay_path(row["photo"]) for row in rows[:OVERVIEW_PHOTOS]] if self.config.overlays else []

    def finish(self, records: Sequence[BatchRecord]) -> None:
        rows = [row for record in records for row in record.rows]
        write_failures(self.out, [row for record in records for row in record.rejected])
        if self.named:
            write_atomic(self.out / native.CLASSES, native.classes_text(tuple(self.ids)))
        if self.config.overlays and rows:
            write_atomic(self.out / OVERVIEW, overview(self.out, rows))
        write_atomic(self.out / SegmentPhotosConfig.last_file, json.dumps(coco(rows, self.ids), ensure_ascii=False).encode("utf-8"))


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
    constants = {
        "diffseg": f"kl_threshold {method.kl_threshold}, {method.num_points}² anchors, weights {method.weights}, refine {method.refine}",
        "kmeans": f"k {method.k}, weights {method.weights}",
        "diffcut": f"cut_threshold {method.cut_threshold}, cut_power {method.cut_power:g}",
    }[method.method]
    lines = [
        f"Would {'continue' if state == 'unfinished' else 'do'}: {photo_count(found)}, in batches of up to {config.batch_size}",
        f"Method: {method.method}, {constants}",
        f"Photographs: fit {config.fit}, seen at {size}",
        model_line(config, offload),
        *segment_capture_line(config, named=named),
        f"Names: {', '.join(config.names) or ('those of the captions' if named else 'none')}",
        f"Files in {out}: {', '.join(files)}",
    ]
    if state == "complete":
        lines.insert(0, f"{out} is complete already: nothing would be done.")
    return "\n".join(lines)
