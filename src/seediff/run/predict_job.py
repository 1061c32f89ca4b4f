"""`predict`: segments photographs with a trained segmenter, and writes a dataset like `mask`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config.runs import PredictConfig
from ..dataset.encoding import encode_photo
from ..dataset.sample import Sample
from ..dataset.writing import Encoded, encode_sample
from ..files.image_files import read_photo
from ..files.names import FAILED
from ..files.photo_files import Photo, find_photos
from ..models.weights import weights_fingerprint
from ..rows.row import Row
from ..train.record import check_segmenter, read_about, read_trained_on
from ..train.stages import image_digest
from ..version import __version__
from ..workers import Progress
from .job import Job, Made, Ready, gpu_of
from .loop import run
from .output import Loaded, RunResult
from .photos import PhotoSpec, fingerprinted, photo_specs, read_each


def predict(
    model: Path | str, paths: Sequence[Path | str], out: Path | str, *, progress: Progress | None = None, **options: Any
) -> RunResult:
    """Segment photographs with a trained segmenter, in the dataset `out`. The same call continues a run that was
    stopped at any moment.

    model: the segmenter's folder. paths: images, or folders of images. progress: a function to report to. options:
    fields of PredictConfig, such as flip=True. Images that cannot be read do not stop the run: the result and
    failed.jsonl list them. Raises UserError.
    """
    config = PredictConfig(model=str(model), **options)
    return run(PredictJob.of(config, find_photos(paths, exclude=Path(out)).photos), out, progress=progress)


@dataclass(frozen=True, eq=False)
class PredictJob(Job[PredictConfig, PhotoSpec]):
    """Segments photographs with a trained segmenter."""

    left_out_file = FAILED
    explained = False

    specs: Sequence[PhotoSpec] = ()

    def items(self) -> Sequence[PhotoSpec]:
        return self.specs

    @classmethod
    def of(cls, config: PredictConfig, photos: Iterable[Photo]) -> PredictJob:
        """The job for these photographs."""
        specs = photo_specs(photos, (), {})
        return cls(fingerprinted(config, specs, ()), specs=specs)

    @cached_property
    def classes(self) -> Sequence[str]:
        return read_about(Path(self.config.model))[1]

    @cached_property
    def trained_on(self) -> frozenset[str]:
        """The digests of the pictures that the segmenter was trained on."""
        return read_trained_on(Path(self.config.model))

    def check(self) -> None:
        check_segmenter(Path(self.config.model))

    def load(self) -> Ready:
        from ..train.predict import load_segmenter  # imports torch

        segmenter = load_segmenter(self.config.model, self.runs_on, self.config.dtype)
        return Ready(Loaded(weights_fingerprint({"network": segmenter.network}), gpu_of(self.runs_on)), segmenter)

    def make(self, ready: Ready, items: Sequence[PhotoSpec]) -> Made:
        config = self.config
        with self.timer("reading"):
            specs, images, failed = read_each(items, lambda spec: read_photo(spec.photo.path))
        with self.timer("segmenting"):
            found = ready.model.label_maps(images, scales=config.scales, flip=config.flip, side=config.side)
        photos = zip(specs, images, found, strict=True)
        return Made([partial(self.encoded, *photo) for photo in photos], failed)

    def encoded(self, spec: PhotoSpec, pixels: np.ndarray, labels: np.ndarray) -> Encoded:
        """The row and files of a photograph. pixels: (H, W, 3) uint8. labels: (H, W) uint8."""
        was_seen = image_digest(spec.photo.path) in self.trained_on
        row = Row(source=spec.photo.name, method=self.config.command, version=__version__, trained_on=was_seen or None)
        with self.timer("writing"):
            image = encode_photo(spec.photo.path, pixels)
            return encode_sample(Sample(image, labels, row=row, name=spec.photo.name), self.classes)
