"""`mask`: makes masks of named classes in the user's photographs, and writes a dataset like `generate`, whose samples
`encode_masked` writes, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.class_names import join_classes
from ..config.runs import GenerateConfig, MaskPhotosConfig
from ..dataset import native
from ..dataset.encoding import encode_photo, encode_soft
from ..dataset.sample import SOFT, Extras, Sample
from ..dataset.shapes.objects import scored_pieces
from ..dataset.writing import Encoded, encode_sample
from ..files.image_files import read_photo
from ..files.photo_files import Photo
from ..models.describe import ModelInfo
from ..models.registry import Model
from ..models.saving_memory import Offload
from ..prompts.tokens import split_prompts
from ..rows.row import Row
from ..rows.values import ids_by_name
from ..version import __version__
from ..workers import Progress
from .engine import Engine
from .job import Made, Ready
from .loop import run
from .output import RunResult
from .photos import PhotoJob, PhotoSpec, read_each
from .plan import Plan, plan_model

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.photos import FoundClasses, PhotoMasker
    from ..masks.results import MaskResult


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
    job = MaskJob.of(config, photos, classes_of, offload=offload)
    return run(job, out, engine=engine, progress=progress)


@dataclass(frozen=True, eq=False)
class MaskJob(PhotoJob[MaskPhotosConfig]):
    """Makes masks of the classes in photographs with `PhotoMasker`."""

    product = "masks"
    named = "classes"
    counts_none = True

    @property
    def classes(self) -> Sequence[str]:
        return self.config.classes

    def plan(self, model: ModelInfo | Model) -> Plan | None:
        plan = plan_model(self.config, model)
        for words in self.word_lists:  # refuses what the tokenizers cannot find
            split_prompts(model.readers, words, self.config.prompts[0])
        return plan

    def masker(self, ready: Ready) -> PhotoMasker:
        """The `PhotoMasker` that makes the masks with the loaded model."""
        from ..masks.photos import PhotoMasker

        model, capture = ready.of_model()
        return PhotoMasker(model, self.config, capture)

    def make(self, ready: Ready, items: Sequence[PhotoSpec]) -> Made:
        masker = self.masker(ready)
        with self.timer("reading"):
            specs, views, failed = read_each(items, lambda spec: masker.view(read_photo(spec.photo.path)))
        with self.timer("capturing attention"):
            found = masker.find(views, [spec.words for spec in specs], [spec.index for spec in specs])
        seen = zip(specs, found, strict=True)
        return Made([partial(self.encoded, masker, spec, of_photo) for spec, of_photo in seen], failed)

    def encoded(self, masker: PhotoMasker, spec: PhotoSpec, found: FoundClasses) -> Encoded:
        """The row and files of a photograph, after its masks are made. found: what the model sees in it."""
        view = found.view
        prompt = ""
        assert view.pixels is not None
        with self.timer("masks"):
            masks = masker.masks(found)
        if masks.classes:
            prompt = self.config.prompts[0].replace("{class}", join_classes(masks.classes))
        row = Row(
            prompt=prompt,
            source=spec.photo.name,
            index=spec.index,
            asked=spec.words,
            presence={name: round(score, 4) for name, score in found.scores.items()},
        )
        with self.timer("writing"):
            return encode_masked(
                self.config, spec.photo.name, encode_photo(spec.photo.path, view.pixels), masks, found.maps, row
            )


def encode_masked(
    config: GenerateConfig | MaskPhotosConfig,
    name: str,
    image: bytes,
    masks: MaskResult,
    attention: AttentionMaps | None,
    row: Row,
) -> Encoded:
    """The row and files of a picture and its masks, with the files that the configuration asks for.

    image: the contents of the picture's file, as PNG or JPEG. masks: at the picture's size (H, W). row: what only one
    of the commands knows of the sample, such as the `seed` of `generate`.
    """
    ids = ids_by_name(config.classes)
    class_ids = tuple(ids[kind] for kind in masks.classes)
    labels = native.dataset_labels(masks.label_map, class_ids)
    extras: Extras = {}
    objects = None
    if config.keep_soft:
        for class_id, soft in zip(class_ids, masks.whole_softs(), strict=True):
            extras[SOFT, class_id] = encode_soft(soft)
    if config.objects:
        objects = scored_pieces(labels, class_ids, masks.whole_softs())
    if config.keep_attention and attention is not None:
        extras[native.ATTENTION, None] = attention.encode()
    row = row.replace(
        classes=masks.classes,
        class_ids=class_ids,
        flags=masks.flags,
        confidence=dict(masks.confidence),
        model=config.model_label,
        method=config.method,
        version=__version__,
    )
    return encode_sample(Sample(image, labels, objects, row, name=name, extras=extras), config.classes)
