"""Masks and segments of one picture in memory, without a folder, as the commands `mask` and `segment` make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from ..config.base import LOADING
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from ..dataset import native
from ..errors import UserError
from ..files.photo_files import Photo, read_picture
from ..masks.flags import FOREIGN
from ..masks.make_masks import MaskResult
from ..models import registry
from ..models.registry import Model
from ..run.mask import MaskJob
from ..run.photos import PhotoSpec, are_foreign
from ..run.segment import SegmentJob
from ..segments.make_segments import Segments

Picture = Path | str | Image.Image | np.ndarray
"""A file's path, a Pillow picture, or (H, W, 3) uint8."""
Job = TypeVar("Job", MaskJob, SegmentJob)
HERE = Photo(Path("the picture"), "the picture")


def mask(image: Picture, classes: Sequence[str], *, model: str | Path | Model = "mini", **options: Any) -> MaskResult:
    """Masks of named classes in one picture: a label map (H, W) of its size, 0 background, i + 1 = classes[i], 255
    ignored; and soft masks. (The command `seediff mask` is `mask_photos`.)

    model: a name as for `--model`, or a model from `load_model`; the one that was named last stays loaded. options:
    fields of MaskPhotosConfig, such as presence=0 or mask={"beta": 0.4}. A class that scores below `presence` has no
    pixels, and the result has the flag `absent:NAME`. Raises UserError for a picture or option that cannot be used, and
    for a class that the model does not know.
    """
    config = MaskPhotosConfig.recommended(**{**_options(options, model), "classes": classes})
    picture = read_picture(image)
    job = _prepare(MaskJob(config, ()), model)
    spec = PhotoSpec(0, HERE, config.classes)
    seen = job.seen(picture)
    ((_, maps),) = job.look([(spec, seen)])
    small, full = job.masks(picture, seen, maps, trace=True)
    ids = [config.classes.index(name) + 1 for name in full.classes]
    soft = torch.zeros(len(config.classes), *picture.shape[:2])
    for number, values in zip(ids, job.enlarged_soft(small, picture.shape), strict=True):
        soft[number - 1] = torch.from_numpy(values)
    absent = [f"absent:{name}" for name in config.classes if name not in full.classes]
    labels, trace = native.dataset_labels(full.label_map, ids), small.trace if small else {}
    strange = [FOREIGN] * are_foreign(job.model, [picture])[0]
    return MaskResult(labels, soft, config.classes, (*strange, *full.flags, *absent), trace, full.agreement, picture)


def segment(image: Picture, *, model: str | Path | Model = "mini", **options: Any) -> Segments:
    """Segments of one picture without any class: label map (H, W) int32 of ids at its size, and how clear each segment
    is. model: as in `mask`. options: fields of SegmentPhotosConfig, such as segment={"method": "kmeans", "k": 6} or
    fit="tile". Raises UserError for a picture or option that cannot be used.
    """
    if "names" in options:
        fix = "use segment_photos, or ask `mask` for the words"
        raise UserError("names", "segments of a picture in memory are not named", fix)
    config = SegmentPhotosConfig.recommended(**_options(options, model))
    picture = read_picture(image)
    if config.segment.k == "truth":
        raise UserError("segment.k", "truth: there are no label maps of a picture in memory", "give a number")
    job = _prepare(SegmentJob(config, ()), model)
    (segments,) = job.segments([job.checked(PhotoSpec(0, HERE, ()), picture)])
    return segments


def _options(options: Mapping[str, Any], model: str | Path | Model) -> dict[str, Any]:
    """The options with the model whose constants they begin with. Raises UserError for an option of loading beside a
    model that is loaded."""
    if not isinstance(model, Model):
        return {**options, "model": model}
    for name in (*LOADING, "device", "dtype"):
        if options.get(name):
            raise UserError(name, "the model is loaded already", "give it to load_model")
    return {**options, "model": model.name, "base": model.base}


def _prepare(job: Job, model: str | Path | Model) -> Job:
    """The job with its model."""
    if not isinstance(model, Model):
        job.check()
        config = job.config
        model = _load(config.model, config.device, config.dtype, tuple(config.loading.items()))
    job.use(model)
    return job


@lru_cache(maxsize=1)
def _load(name: str, device: str | None, dtype: str | None, loading: tuple[tuple[str, Any], ...]) -> Model:
    """Load a model; the one that was named last is kept."""
    return registry.load_model(name, device=device, dtype=dtype, **dict(loading))
