"""`mask`: masks of named classes in the user's photographs, written as a dataset folder like that of `generate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..attention.windows import batches_by_shape, cut, seen_shape, seen_window
from ..config.names import join_classes
from ..config.photos_config import MaskPhotosConfig
from ..dataset.encoding import encode_photo
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.messages import plural
from ..files.photo_files import Found, Photo, read_photo
from ..masks.flags import degenerate, flag_kind
from ..models.describe import ModelInfo
from ..models.families.readers import Reader
from ..models.memory import Graphs, Offload
from ..prompts.specs import SampleSpec
from ..prompts.tokens import split_prompts
from ..workers import Progress
from .dataset_job import DatasetJob, MaskedSample
from .loop import Engine, RunResult, run
from .output import BatchRecord
from .photos import PhotoBatch, PhotoJob, PhotoSpec

if TYPE_CHECKING:
    import torch

    from ..attention.maps import AttentionMaps
    from ..masks.make_masks import MaskResult

SizedPhoto = tuple[PhotoSpec, np.ndarray, np.ndarray]
"""A photograph (H, W, 3), and that as the model sees it (h, w, 3), uint8."""
FoundClasses = tuple[dict[str, float], "AttentionMaps | None"]
"""The presence score of each requested class, and attention to the classes that are present; None if there are none."""


class CapturedPhoto(NamedTuple):
    """A photograph and what the model sees in it: `SizedPhoto` and `FoundClasses`."""

    spec: PhotoSpec
    photo: np.ndarray
    seen: np.ndarray
    scores: Mapping[str, float]
    maps: AttentionMaps | None


def mask_photos(
    config: MaskPhotosConfig,
    photos: Sequence[Photo] | Found,
    out: Path | str,
    *,
    classes_of: Mapping[str, Sequence[str]] | None = None,
    offload: Offload = "none",
    graphs: Graphs = "auto",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Make masks of `config.classes` in every photograph, in the dataset `out`. If it is stopped at
    any moment, the same call continues.

    photos: from `find_photos`. classes_of: photo name → the classes of `config.classes` to look for in it; other
    photographs get all classes. Photographs that cannot be read do not stop the run: they are listed in the result and
    in failed.jsonl. offload, graphs, engine: as in `generate`. Raises UserError as `generate` does.
    """
    job = MaskJob(config, photos, classes_of)
    job.offload, job.graphs = offload, graphs
    return run(job, out, engine=engine, progress=progress)


class MaskJob(
    PhotoJob[MaskPhotosConfig, SizedPhoto, CapturedPhoto],
    DatasetJob[MaskPhotosConfig, PhotoSpec, PhotoBatch[CapturedPhoto]],
):
    """Reads photographs, captures attention, makes masks, enlarges and writes them."""

    drawn = False

    def __init__(
        self,
        config: MaskPhotosConfig,
        photos: Sequence[Photo] | Found,
        classes_of: Mapping[str, Sequence[str]] | None = None,
        *,
        info: ModelInfo | None = None,
    ) -> None:
        """Arguments as in `mask_photos`."""
        photos = photos.photos if isinstance(photos, Found) else photos
        listed = [tuple((classes_of or {}).get(photo.name, config.classes)) for photo in photos]
        unknown = sorted(set().union(*listed) - set(config.classes))
        if unknown:
            raise UserError(f"classes of single photographs that the dataset does not have: {', '.join(unknown)}")
        own = ["" if classes == config.classes else repr(classes) for classes in listed]
        specs = [PhotoSpec(i, *each) for i, each in enumerate(zip(photos, listed, strict=True))]
        super().__init__(config, specs, own, info)

    def samples(self) -> Sequence[SampleSpec]:
        return [self.sample(spec, spec.words) for spec in self.specs]

    def sample(self, spec: PhotoSpec, classes: tuple[str, ...]) -> SampleSpec:
        """The sample of a photograph with some of its classes; the prompt names them."""
        prompt = self.config.prompts[0].replace("{class}", join_classes(classes)) if classes else ""
        return SampleSpec(spec.index, classes, prompt, self.config.seed)

    def check_words(self, words: tuple[str, ...], readers: Sequence[Reader]) -> None:
        split_prompts(readers, words, self.config.prompts[0])

    def prompts(self, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """The sentences that name the classes, as few as the text encoders' limits allow, and the classes in each."""
        return split_prompts(self.model.readers, classes, self.config.prompts[0])

    def read(self, spec: PhotoSpec) -> SizedPhoto:
        photo = read_photo(spec.photo.path)
        return spec, photo, self.seen(photo)

    def see(self, photos: Sequence[SizedPhoto]) -> list[CapturedPhoto]:
        answers: dict[int, FoundClasses] = {}
        with self.timer("capturing attention"):
            for together in batches_by_shape([seen.shape for *_, seen in photos], self.config.batch_size):
                looked = self.look([(photos[i][0], photos[i][2]) for i in together])
                answers |= zip(together, looked, strict=True)
        return [CapturedPhoto(*photo, *answers[i]) for i, photo in enumerate(photos)]

    def seen(self, photo: np.ndarray) -> np.ndarray:
        """A photograph (H, W, 3) as the model sees it (h, w, 3), uint8."""
        shape = seen_shape(self.model, photo.shape, self.config.fit, self.config.size)
        window = seen_window(photo.shape[0], photo.shape[1], self.config.fit)
        return cut(photo, window, shape)

    def look(self, photos: Sequence[tuple[PhotoSpec, np.ndarray]]) -> list[FoundClasses]:
        """What the model sees in each photograph. photos: as the model sees them, all of one shape."""
        from ..attention.see_photos import encode_images
        from ..masks.presence import find_classes

        answers: list[FoundClasses] = [({}, None) for _ in photos]
        asked = [i for i, (spec, _) in enumerate(photos) if spec.words]
        if not asked:
            return answers
        latents = encode_images(self.model, [photos[i][1] for i in asked])  # once, for both scores and maps
        sentences = [self.prompts(photos[i][0].words) for i in asked]
        scores = find_classes(self.model, latents, sentences, template=self.config.prompts[0])
        present = [[name for name, score in of.items() if score >= self.config.presence] for of in scores]
        rows = [row for row, classes in enumerate(present) if classes]
        seen, indices = [photos[asked[row]][1] for row in rows], [photos[asked[row]][0].index for row in rows]
        captured = self.attention(seen, latents[rows], [present[row] for row in rows], indices)
        maps = dict(zip(rows, captured, strict=True))
        for row, i in enumerate(asked):
            answers[i] = scores[row], maps.get(row)
        return answers

    def attention(
        self,
        seen: Sequence[np.ndarray],
        latents: torch.Tensor,
        classes: Sequence[Sequence[str]],
        indices: Sequence[int],
    ) -> list[AttentionMaps]:
        """Attention to each photograph's classes. seen: as the model sees them; latents: theirs."""
        from ..attention.see_photos import capture_classes, encode_mirrored

        mirrored = encode_mirrored(self.model, seen, self.config.capture) if seen else None
        return capture_classes(
            self.model,
            latents,
            [self.prompts(names) for names in classes],
            timesteps=self.config.timesteps,
            seed=self.config.seed,
            plan=self.loaded_plan,
            indices=indices,
            mirrored=mirrored,
        )

    def write_photo(self, record: BatchRecord, out: Path, photo: CapturedPhoto) -> None:
        spec, pixels, seen, scores, maps = photo
        with self.timer("masks"):
            small, full = self.masks(pixels, seen, maps, trace=spec.index in self.traced)
        with self.timer("writing"):
            suffix, image = encode_photo(spec.photo.path, pixels)
            facts = {
                "source": spec.photo.name,
                "index": spec.index,
                "asked": list(spec.words),
                "presence": {name: round(score, 4) for name, score in scores.items()},
            }
            sample = MaskedSample(
                name=spec.photo.name,
                spec=self.sample(spec, full.classes),
                suffix=suffix,
                image=image,
                masks=full,
                soft=partial(self.enlarged_soft, small, pixels.shape),
                seen=small,
                attention=maps,
                facts=facts,
            )
            self.write_sample(record, out, sample)

    def masks(
        self, photo: np.ndarray, seen: np.ndarray, maps: AttentionMaps | None, *, trace: bool = False
    ) -> tuple[MaskResult | None, MaskResult]:
        """Masks (h, w) at the size that the model sees, None without a class; and (H, W) at the photograph's."""
        from ..masks.make_masks import make_masks

        small = None
        if maps:
            small = make_masks(seen, maps, list(maps.words), self.mask_config, trace=trace)
        return small, self.enlarged(small, (photo.shape[0], photo.shape[1]))

    def enlarged(self, small: MaskResult | None, size: tuple[int, int]) -> MaskResult:
        """Masks at the photograph's full size: the soft masks, enlarged, then thresholded; 255 outside the part that
        the model sees. The result has no soft masks, which take hundreds of megabytes for a large photograph.
        `degenerate` is about the shares of the whole photograph, as `area` is."""
        import torch

        from ..masks.make_masks import MaskResult, label_pixels

        window = seen_window(*size, self.config.fit)
        labels = np.full(size, IGNORE, np.uint8)
        if small is None:
            labels[window.slices] = 0
            return MaskResult(labels, torch.zeros(0, *size), (), ("no_class",))
        labels[window.slices] = label_pixels(small.soft, self.config.mask, (window.height, window.width)).numpy()
        shares = np.bincount(labels.ravel(), minlength=256)[1 : len(small.classes) + 1] / labels.size
        flags = [flag for flag in small.flags if flag_kind(flag) != "degenerate"]
        flags += degenerate(dict(zip(small.classes, shares.tolist(), strict=True)))
        return MaskResult(labels, torch.zeros(0, *size), small.classes, tuple(flags), agreement=small.agreement)

    def enlarged_soft(self, small: MaskResult | None, size: Sequence[int]) -> Iterator[np.ndarray]:
        """The soft masks, one after the other, enlarged to the photograph's (H, W)."""
        from ..masks.arithmetic import resize

        window = seen_window(size[0], size[1], self.config.fit)
        for part in small.soft if small else ():
            full = np.zeros(size[:2], np.float32)
            full[window.slices] = resize(part[None], (window.height, window.width))[0].numpy()
            yield full

    def describe(self, verbose: bool) -> list[str]:
        count = len(self.specs)
        what = f"masks of {plural(count, 'photograph')} in {plural(len(self.config.batches(count)), 'batch')}"
        return [what, f"Classes: {', '.join(self.config.classes)}", *self.settings(count, verbose)]
