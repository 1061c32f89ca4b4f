"""`mask`: masks of named classes in the user's own photographs, as the same dataset folder that `generate` makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.levels import check_levels
from ..config.names import join_classes
from ..config.photographs import MaskPhotosConfig, check_attention
from ..dataset.batches import BatchRecord, look_into
from ..errors import UserError
from ..files.addresses import Out
from ..files.photographs import Found, Photo, read_photo
from ..models.fingerprint import weights_fingerprint
from ..models.memory import Offload
from ..workers import Progress
from .engine import Engine, Job, Timer, run_job
from .model_files import captured_maps, check_files, check_loading, fitted_mask, mask_capture_line, untuned_line
from .opening import open_place
from .photo_files import failure, fingerprint_photos, photo_count, picture_file, read_failures, write_failures
from .plan import attention_line, model_line
from .samples import RunResult, SampleWriter, finish_dataset, read_by_finish, read_result, traced_classes

if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.results import MaskResult
    from ..models.registry import Model
    from ..prompts.specs import SampleSpec


@dataclass(frozen=True)
class PhotoSpec:
    """One photograph of a run: its number in the dataset, where it is, and the classes to look for."""

    index: int
    photo: Photo
    classes: tuple[str, ...]


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
    device = config.device
    config, specs = settle(config, photos, classes_of or {})
    with open_place(out) as place:
        done, seconds = run_job(
            config, place, partial(MaskJob, specs=specs, device=device, offload=offload), engine=engine, progress=progress
        )
        return MaskPhotosResult(read_result(place, done, seconds), read_failures(place.folder))


def settle(
    config: MaskPhotosConfig, photos: Sequence[Photo], classes_of: Mapping[str, Sequence[str]]
) -> tuple[MaskPhotosConfig, list[PhotoSpec]]:
    """The configuration with its photographs, by which a folder to continue is known, and what is to be done to each."""
    listed = {photo.name: tuple(classes_of.get(photo.name, config.classes)) for photo in photos}
    if unknown := sorted({name for names in listed.values() for name in names} - set(config.classes)):
        raise UserError(f"classes of single photographs that the dataset does not have: {', '.join(unknown)}")
    own = ["" if listed[photo.name] == config.classes else repr(listed[photo.name]) for photo in photos]
    config = replace(config, photos=fingerprint_photos(photos, own, "classes of their own"))
    return config, [PhotoSpec(index, photo, listed[photo.name]) for index, photo in enumerate(photos)]


class MaskJob(Job[PhotoSpec]):
    """Read, capture, mask, map back, write. device: as the user named it, with an index perhaps."""

    def __init__(
        self, config: MaskPhotosConfig, out: Path, specs: Sequence[PhotoSpec], device: str | None, offload: Offload = "none"
    ) -> None:
        self.config, self.out, self.device = config, out, device
        self.offload: Offload = offload
        self.batches = [[specs[i] for i in batch] for batch in config.batches(len(specs))]
        self.writer = SampleWriter(config, out, traced_classes([self.sample(spec, spec.classes) for spec in specs]))
        self.folders = self.writer.folders
        self.timer = Timer()
        self.model: Model | None = None
        self.method = config.mask
        """With levels that the model has."""

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
        for classes in dict.fromkeys(spec.classes for batch in self.batches for spec in batch):
            self.prompts(classes)
        return weights_fingerprint(*self.config.weight_sources)

    def prompts(self, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """The sentences that name the classes, as few as the text encoder has room for, and the classes of each."""
        from ..segments.naming import split_prompts

        assert self.model is not None
        return split_prompts(self.model.readers, classes, self.config.prompts[0])

    def describe(self, batch: Sequence[PhotoSpec]) -> str:
        return batch[0].photo.name

    def do(self, batch: Sequence[PhotoSpec]) -> BatchRecord:
        return self.begin(batch)()

    def begin(self, batch: Sequence[PhotoSpec]) -> Callable[[], BatchRecord]:
        from ..attention.fit import batches_by_shape, cut, seen_shape, windows

        assert self.model is not None
        record = BatchRecord()
        readable: list[tuple[PhotoSpec, np.ndarray, np.ndarray]] = []
        with self.timer("reading"):
            for spec in batch:
                try:
                    photo = read_photo(spec.photo.path)
                    shape = seen_shape(self.model, photo.shape, self.config.fit, self.config.size)
                except UserError as error:
                    record.rejected.append(failure(spec.photo, error))
                    continue
                (window,) = windows(photo.shape[0], photo.shape[1], self.config.fit)
                readable.append((spec, photo, cut(photo, window, shape)))
        scores: list[dict[str, float]] = [{}] * len(readable)
        maps: list[AttentionMaps | None] = [None] * len(readable)
        with self.timer("capturing attention"):
            for together in batches_by_shape([seen.shape for _, _, seen in readable], self.config.batch_size):
                found = self.capture([(readable[i][0], readable[i][2]) for i in together])
                for i, one, attention in zip(together, *found, strict=True):
                    scores[i], maps[i] = one, attention

        def rest() -> BatchRecord:
            for (spec, photo, seen), one, attention in zip(readable, scores, maps, strict=True):
                self.mask(record, spec, photo, seen, one, attention)
            return record

        return rest

    def capture(self, readable: Sequence[tuple[PhotoSpec, np.ndarray]]) -> tuple[list[dict[str, float]], list[AttentionMaps | None]]:
        """Of every photograph as the model sees it, all of one shape: the presence score of each class asked for, and the attention to
        those that are there; None where there are none."""
        from ..attention.photograph import capture_classes, encode_images
        from ..masks.presence import find_classes

        assert self.model is not None
        scores: list[dict[str, float]] = [{} for _ in readable]
        maps: list[AttentionMaps | None] = [None] * len(readable)
        asked = [i for i, (spec, _) in enumerate(readable) if spec.classes]
        if not asked:
            return scores, maps
        latents = encode_images(self.model, [readable[i][1] for i in asked])  # once: the score and the maps look at the same
        sentences = [self.prompts(readable[i][0].classes) for i in asked]
        found = find_classes(self.model, latents, sentences, template=self.config.prompts[0])
        present = [[name for name, score in one.items() if score >= self.config.presence] for one in found]
        photo_rows = [row for row, classes in enumerate(present) if classes]
        captured = capture_classes(
            self.model,
            latents[photo_rows],
            [self.prompts(present[row]) for row in photo_rows],
            timesteps=self.config.timesteps,
            seed=self.config.seed,
            capture=self.config.capture,
            reads=captured_maps(self.config),
            indices=[readable[asked[row]][0].index for row in photo_rows],
        )
        for i, one in zip(asked, found, strict=True):
            scores[i] = one
        for row, one in zip(photo_rows, captured, strict=True):
            maps[asked[row]] = one
        return scores, maps

    def mask(
        self,
        record: BatchRecord,
        spec: PhotoSpec,
        photo: np.ndarray,
        shown: np.ndarray,
        scores: Mapping[str, float],
        maps: AttentionMaps | None,
    ) -> None:
        """Masks of the classes that are there, at the photograph's own size, and its files."""
        from ..masks.make import make_masks

        with self.timer("masks"):
            small = make_masks(shown, maps, list(maps.words), self.method, trace=spec.index in self.writer.traced) if maps else None
            full = self.enlarged(small, (photo.shape[0], photo.shape[1]))
        with self.timer("writing"):
            more = {
                "source": spec.photo.name,
                "asked": list(spec.classes),
                "presence": {name: round(score, 4) for name, score in scores.items()},
            }
            picture = picture_file(spec.photo.path, photo)
            seen = (shown, small) if small else None
            self.writer.write(record, self.sample(spec, full.classes), picture, full, maps, more=more, seen=seen)

    def enlarged(self, small: MaskResult | None, size: tuple[int, int]) -> MaskResult:
        """Masks of what the model saw as masks of the photograph: soft ones enlarged, then thresholded; 255 outside. The
        soft masks themselves only where they are to be kept."""
        import torch

        from ..attention.fit import windows
        from ..masks.make import IGNORE, label_pixels
        from ..masks.normalize import resize
        from ..masks.results import MaskResult

        window = windows(*size, self.config.fit)[0]
        labels = np.full(size, IGNORE, np.uint8)
        if small is None:
            labels[window.slices] = 0
            return MaskResult(labels, torch.zeros(0, *size), (), ("no_class",))
        labels[window.slices] = label_pixels(small.soft, self.config.mask, (window.height, window.width)).numpy()
        soft = torch.zeros(len(small.soft) if self.config.keep_soft else 0, *size)  # hundreds of megabytes for a large photograph
        for whole, one in zip(soft, small.soft, strict=False):
            whole[window.slices] = resize(one[None], (window.height, window.width))[0]
        return MaskResult(labels, soft, small.classes, small.flags)

    def read_by_finish(self, records: Sequence[BatchRecord]) -> Sequence[str]:
        return read_by_finish(records)

    def finish(self, records: Sequence[BatchRecord]) -> None:
        write_failures(self.out, [row for record in records for row in record.rejected])
        finish_dataset(self.out, self.config, [row for record in records for row in record.rows])


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
        f"Dataset in {out}: images/, masks/{', soft/' if config.keep_soft else ''}{', attention/' if config.keep_attention else ''}, "
        "metadata.jsonl, classes.txt, README.md, seediff.toml, preview.html",
    ]
    if state == "complete":
        lines.insert(0, f"{out} is complete already: nothing would be done.")
    return "\n".join(lines)
