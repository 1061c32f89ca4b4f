"""`mask`: masks of named classes in the user's own photographs, as the same dataset folder that `generate` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.levels import check_levels
from ..config.names import join_classes
from ..config.photographs import MaskPhotosConfig, check_attention
from ..errors import UserError
from ..files.photographs import Found, Photo, read_photo
from ..files.places import Out
from ..models.fingerprint import weights_fingerprint
from ..models.memory import Offload
from ..workers import Progress
from .loop import Engine, run
from .model_files import captured_maps, check_files, check_loading, fitted_mask, mask_capture_line, untuned_line
from .photos import Captured, PhotoJob, PhotoSpec, fingerprint_photos, photo_count, picture_file, read_failures, write_failures
from .place import BatchRecord, look_into, open_place
from .plan import attention_line, model_line, source_lines
from .samples import RunResult, SampleWriter, finish_dataset, read_by_finish, read_result, sample_folders

if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make import MaskResult
    from ..prompts.specs import SampleSpec


@dataclass(frozen=True)
class MaskPhotosResult:
    """What there is after a run. dataset: as of `generate`. failed: {"photo", "reason"} of each that could not be masked."""

    dataset: RunResult
    failed: Sequence[Mapping[str, str]]


def mask_photos(
    config: MaskPhotosConfig,
    photos: Sequence[Photo],
    out: Out | str,
    *,
    classes_of: Mapping[str, Sequence[str]] | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> MaskPhotosResult:
    """Mask `config.classes` in every photograph, into the dataset `out`, a folder or a URL. Stopped at any moment, the same call continues.

    photos: what `find_photos` found. classes_of: photo name → the classes to look for in it, of `config.classes`; a photograph that
    is not named has all of them. Photographs that cannot be read do not stop the others: they are listed in the result and in
    failed.jsonl. offload, engine: as in `generate`. Raises UserError as `generate` does.
    """
    job = MaskJob(*settle(config, photos, classes_of or {}), offload)
    with open_place(out) as place:
        done = run(job, place, engine=engine, progress=progress)
        return MaskPhotosResult(read_result(place, done, job.timer.seconds), read_failures(place.folder))


def settle(
    config: MaskPhotosConfig, photos: Sequence[Photo], classes_of: Mapping[str, Sequence[str]]
) -> tuple[MaskPhotosConfig, list[PhotoSpec]]:
    """The configuration with its photographs, by which a folder to continue is known, and what is to be done to each."""
    listed = {photo.name: tuple(classes_of.get(photo.name, config.classes)) for photo in photos}
    if unknown := sorted({name for names in listed.values() for name in names} - set(config.classes)):
        raise UserError(f"classes of single photographs that the dataset does not have: {', '.join(unknown)}")
    others = ["" if listed[photo.name] == config.classes else repr(listed[photo.name]) for photo in photos]
    config = replace(config, photos=fingerprint_photos(photos, others, "classes of their own"))
    return config, [PhotoSpec(index, photo, listed[photo.name]) for index, photo in enumerate(photos)]


@dataclass(frozen=True)
class Looked:
    """A photograph that was looked at. photo (H, W, 3) and seen (h, w, 3), as the model sees it: uint8. scores: of each class that was
    asked for, whether it is there. maps: attention to those that are; None where there are none."""

    spec: PhotoSpec
    photo: np.ndarray
    seen: np.ndarray
    scores: Mapping[str, float]
    maps: AttentionMaps | None


class MaskJob(PhotoJob[MaskPhotosConfig, Looked]):
    """Read, capture, mask, map back, write."""

    def __init__(self, config: MaskPhotosConfig, specs: Sequence[PhotoSpec], offload: Offload = "none") -> None:
        super().__init__(config, sample_folders(config), specs, offload)
        self.method = config.mask
        """With levels that the model has."""

    @cached_property
    def writer(self) -> SampleWriter:
        return SampleWriter(self.config, [self.sample(spec, spec.words) for spec in self.specs])

    def sample(self, spec: PhotoSpec, classes: tuple[str, ...]) -> SampleSpec:
        """A photograph with some of its classes as a sample; its prompt is what they are called with."""
        from ..prompts.specs import SampleSpec

        prompt = self.config.prompts[0].replace("{class}", join_classes(classes)) if classes else ""
        return SampleSpec(spec.index, classes, prompt, self.config.seed)

    def load(self) -> str:
        from ..attention.generate import check_shape
        from ..config.sizes import pixels
        from ..models.registry import load_model

        check_files(self.config)
        device = self.device or self.config.device
        self.model = load_model(self.config.model, device=device, dtype=self.config.dtype, offload=self.offload, **self.config.loading)
        self.model.check_known(self.config.classes)
        check_attention(self.config.size, self.model.pixels)
        check_shape(self.model, pixels(self.config.size or self.model.image_side), "size")
        check_levels(self.model.network.config, self.config.mask, self.config.capture, self.model.family)
        self.method = fitted_mask(self.config)[0]
        for classes in dict.fromkeys(spec.words for spec in self.specs):
            self.prompts(classes)
        return weights_fingerprint(*self.config.weight_sources)

    def prompts(self, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """The sentences that name the classes, as few as the text encoder has room for, and the classes of each."""
        from ..segments.naming import split_prompts

        assert self.model is not None
        return split_prompts(self.model.readers, classes, self.config.prompts[0])

    def capture(self, batch: Sequence[PhotoSpec]) -> Captured[Looked]:
        from ..attention.windows import batches_by_shape

        photos, failed = self.read_all(batch, self.read)
        looked: dict[int, Looked] = {}
        with self.timer("capturing attention"):
            for together in batches_by_shape([seen.shape for _, _, seen in photos], self.config.batch_size):
                answers = self.look([(photos[i][0], photos[i][2]) for i in together])
                looked |= {i: Looked(*photos[i], *answer) for i, answer in zip(together, answers, strict=True)}
        return [looked[i] for i in range(len(photos))], failed

    def read(self, spec: PhotoSpec) -> tuple[PhotoSpec, np.ndarray, np.ndarray]:
        """A photograph (H, W, 3) and what the model will see of it (h, w, 3), uint8. Raises UserError for one that cannot be used."""
        from ..attention.windows import cut, seen_shape, windows

        assert self.model is not None
        photo = read_photo(spec.photo.path)
        shape = seen_shape(self.model, photo.shape, self.config.fit, self.config.size)
        (window,) = windows(photo.shape[0], photo.shape[1], self.config.fit)
        return spec, photo, cut(photo, window, shape)

    def look(self, photos: Sequence[tuple[PhotoSpec, np.ndarray]]) -> list[tuple[dict[str, float], AttentionMaps | None]]:
        """Of every photograph as the model sees it, all of one shape: the presence score of each class asked for, and the attention to
        those that are there; None where there are none."""
        from ..attention.photograph import capture_classes, encode_images
        from ..masks.presence import find_classes

        assert self.model is not None
        answers: list[tuple[dict[str, float], AttentionMaps | None]] = [({}, None) for _ in photos]
        asked = [i for i, (spec, _) in enumerate(photos) if spec.words]
        if not asked:
            return answers
        latents = encode_images(self.model, [photos[i][1] for i in asked])  # once: the score and the maps look at the same
        sentences = [self.prompts(photos[i][0].words) for i in asked]
        scores = find_classes(self.model, latents, sentences, template=self.config.prompts[0])
        present = [[name for name, score in of.items() if score >= self.config.presence] for of in scores]
        rows = [row for row, classes in enumerate(present) if classes]
        captured = capture_classes(
            self.model,
            latents[rows],
            [self.prompts(present[row]) for row in rows],
            timesteps=self.config.timesteps,
            seed=self.config.seed,
            capture=self.config.capture,
            reads=captured_maps(self.config),
            indices=[photos[asked[row]][0].index for row in rows],
        )
        maps = dict(zip(rows, captured, strict=True))
        for row, i in enumerate(asked):
            answers[i] = scores[row], maps.get(row)
        return answers

    def write(self, captured: Captured[Looked], out: Path) -> BatchRecord:
        """Masks of the classes that are there, at the photographs' own size, and their files."""
        from ..masks.make import make_masks

        looked, failed = captured
        record = BatchRecord(rejected=list(failed))
        for photo in looked:
            spec, maps = photo.spec, photo.maps
            with self.timer("masks"):
                traced = spec.index in self.writer.traced
                small = make_masks(photo.seen, maps, list(maps.words), self.method, trace=traced) if maps else None
                full = self.enlarged(small, (photo.photo.shape[0], photo.photo.shape[1]))
            with self.timer("writing"):
                more = {
                    "source": spec.photo.name,
                    "asked": list(spec.words),
                    "presence": {name: round(score, 4) for name, score in photo.scores.items()},
                }
                picture = picture_file(spec.photo.path, photo.photo)
                seen = (photo.seen, small) if small else None
                self.writer.write(record, out, self.sample(spec, full.classes), picture, full, maps, more=more, seen=seen)
        return record

    def enlarged(self, small: MaskResult | None, size: tuple[int, int]) -> MaskResult:
        """Masks of what the model saw as masks of the photograph: soft ones enlarged, then thresholded; 255 outside. The
        soft masks themselves only where they are to be kept."""
        import torch

        from ..attention.windows import windows
        from ..masks.arithmetic import resize
        from ..masks.make import IGNORE, MaskResult, label_pixels

        window = windows(*size, self.config.fit)[0]
        labels = np.full(size, IGNORE, np.uint8)
        if small is None:
            labels[window.slices] = 0
            return MaskResult(labels, torch.zeros(0, *size), (), ("no_class",))
        labels[window.slices] = label_pixels(small.soft, self.config.mask, (window.height, window.width)).numpy()
        soft = torch.zeros(len(small.soft) if self.config.keep_soft else 0, *size)  # hundreds of megabytes for a large photograph
        for full, part in zip(soft, small.soft, strict=False):
            full[window.slices] = resize(part[None], (window.height, window.width))[0]
        return MaskResult(labels, soft, small.classes, small.flags)

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        return read_by_finish(records)

    def finish(self, records: Sequence[BatchRecord], out: Path) -> None:
        write_failures(out, [row for record in records for row in record.rejected])
        finish_dataset(out, self.config, [row for record in records for row in record.rows])


def describe(
    config: MaskPhotosConfig,
    found: Found,
    out: Path,
    *,
    classes_of: Mapping[str, Sequence[str]] | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
) -> str:
    """The plan of a run as text, for --dry-run. classes_of, offload, engine: as in `mask_photos`. Raises UserError where the run would at
    once."""
    device = config.device
    config, _ = settle(config, found.photos, classes_of or {})
    state, config = look_into(out, config)
    check_files(config)
    if state != "complete":
        check_loading(config, device, offload, engine)
    lines = [
        f"Would {'continue' if state == 'unfinished' else 'do'}: {photo_count(found)}, in batches of up to {config.batch_size}",
        f"Classes: {', '.join(config.classes)}; a class that scores below {config.presence} gets no mask",
        f"Prompt: {config.prompts[0]}; timesteps {', '.join(map(str, config.timesteps))}; fit {config.fit}",
        model_line(config, offload),
        f"Masks: {config.mask.method}, alpha {config.mask.alpha}, beta {config.mask.beta}, PAMR {'on' if config.mask.pamr else 'off'}",
        attention_line(config.capture),
        *mask_capture_line(config),
        *(f"Levels: {note}" for note in fitted_mask(config)[1]),
        *untuned_line(config),
        *source_lines(config),
        f"Dataset in {out}: images/, masks/{', soft/' if config.keep_soft else ''}{', attention/' if config.keep_attention else ''}, "
        "metadata.jsonl, classes.txt, README.md, seediff.toml, preview.html",
    ]
    if state == "complete":
        lines.insert(0, f"{out} is complete already: nothing would be done.")
    return "\n".join(lines)
