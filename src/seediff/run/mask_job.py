"""`mask`: makes masks of named classes in the user's photographs, and writes a dataset like `generate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.class_names import join_classes
from ..config.photos_config import MaskPhotosConfig
from ..dataset.encoding import encode_photo
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.image_files import read_photo
from ..files.photo_files import Photo, photo_list
from ..models.describe import ModelInfo
from ..models.families.readers import Reader
from ..models.saving_memory import Offload
from ..prompts.specs import SampleSpec
from ..prompts.tokens import split_prompts
from ..rows.row import Row
from ..workers import Progress
from .engine import Engine
from .loop import RunResult, run
from .masked_sample import draw_strips, masked_sample, traced_classes
from .photos import PhotoJob, PhotoSpec

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..masks.photos import FoundClasses, PhotoMasker, PhotoView


def mask_photos(
    config: MaskPhotosConfig,
    photos: Iterable[Photo],
    out: Path | str,
    *,
    classes_of: Mapping[str, Sequence[str]] | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Make masks of `config.classes` in every photograph, in the dataset `out`. The same call continues a run that was
    stopped at any moment.

    photos: from `find_photos`. classes_of: photo name → the classes to look for in this photograph; in other
    photographs, all classes. offload, engine, progress: as in `generate`. Photographs that cannot be read do not stop
    the run: the result and failed.jsonl list them. Raises UserError as `generate` does.
    """
    job = MaskJob(config, photos, classes_of, offload=offload)
    return run(job, out, engine=engine, progress=progress)


class MaskJob(PhotoJob[MaskPhotosConfig, "PhotoView", "FoundClasses"]):
    """Makes masks of the classes in photographs with `PhotoMasker`, and writes the samples."""

    product, named = "masks", "Classes"

    def __init__(
        self,
        config: MaskPhotosConfig,
        photos: Iterable[Photo],
        classes_of: Mapping[str, Sequence[str]] | None = None,
        *,
        info: ModelInfo | None = None,
        offload: Offload = "none",
    ) -> None:
        """photos, classes_of: as in `mask_photos`. info: the model, if it was found already. offload: as in
        `load_model`."""
        photos = photo_list(photos)
        classes = [tuple((classes_of or {}).get(photo.name, config.classes)) for photo in photos]
        unknown = sorted(set().union(*classes) - set(config.classes))
        if unknown:
            raise UserError(f"classes of single photographs that the dataset does not have: {', '.join(unknown)}")
        settings_of = ["" if names == config.classes else repr(names) for names in classes]
        specs = [PhotoSpec(i, photo, words) for i, (photo, words) in enumerate(zip(photos, classes, strict=True))]
        super().__init__(config, specs, settings_of, info, offload)
        self.words = self.classes = config.classes

    @cached_property
    def traced(self) -> dict[int, list[str]]:
        """As `traced_classes` returns it."""
        return traced_classes(SampleSpec(spec.index, spec.words, "", self.config.seed) for spec in self.specs)

    def check_words(self, words: tuple[str, ...], readers: Sequence[Reader]) -> None:
        split_prompts(readers, words, self.config.prompts[0])

    @property
    def masker(self) -> PhotoMasker:
        """The `PhotoMasker` that makes the masks with the loaded model."""
        from ..masks.photos import PhotoMasker

        return PhotoMasker(self.model, self.config, self.loaded_plan)

    def read(self, spec: PhotoSpec) -> PhotoView:
        return self.masker.view(read_photo(spec.photo.path), spec.index)

    def see(self, specs: Sequence[PhotoSpec], photos: Sequence[PhotoView]) -> list[FoundClasses]:
        with self.timer("capturing attention"):
            return self.masker.find(photos, [spec.words for spec in specs])

    def sample(self, spec: PhotoSpec, seen: FoundClasses) -> Sample:
        traced, prompt = self.traced.get(spec.index, ()), ""
        with self.timer("masks"):
            masks = self.masker.masks(seen, trace=bool(traced))
        classes = masks.full.classes
        if classes:
            prompt = self.config.prompts[0].replace("{class}", join_classes(classes))
        row = Row(
            prompt=prompt,
            source=spec.photo.name,
            index=spec.index,
            asked=spec.words,
            presence={name: round(score, 4) for name, score in seen.scores.items()},
        )
        with self.timer("writing"):
            return masked_sample(
                self.config,
                spec.photo.name,
                encode_photo(spec.photo.path, seen.view.pixels),
                masks.full,
                masks.soft,
                seen.maps,
                draw_strips(masks.small, traced, self.classes),
                row,
            )

    def about(self, left_out: Sequence[Row]) -> dict[str, Any]:
        return {**super().about(left_out), "prompts": list(self.config.prompts)}
