"""Masks and segments of one picture in memory, as the commands `mask` and `segment` make them for a folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..config.resolve import recommend
from ..config.runs import MaskPhotosConfig, SegmentPhotosConfig
from ..config.settings import ModelConfig
from ..dataset import native
from ..errors import Notice, UserError
from ..files.image_files import ImageInput, as_pixels
from ..masks.photos import PhotoMasker
from ..masks.results import MaskResult
from ..models.describe import ModelInfo
from ..models.registry import LoadOptions, Model
from ..run.photos import doubt_line
from ..run.plan import Plan, check_values, load_planned, plan_model
from ..segments.make_segments import Segments, make_segments
from ..view import view_photo

OF_FOLDERS = {"batch_size", "keep_attention", "keep_soft", "name_threshold", "names", "objects", "photos", "threads"}
"""Options of the commands that do nothing for one picture."""


def mask(image: ImageInput, classes: Sequence[str], *, model: str | Path | Model = "", **options: Any) -> MaskResult:
    """Masks of named classes in one picture: soft masks, and a label map (H, W) of the picture's size, with 0 for the
    background, i + 1 for classes[i], 255 for ignored pixels. (`mask_photos` is the command `seediff mask`.)

    image: a Pillow picture, (H, W, 3) uint8, or the path of a file. classes: the classes' names. model: required: a
    model from `load_model`, or a name as for `--model`, which is loaded in each call. options: fields of
    MaskPhotosConfig, such as presence=0, or of MaskConfig, such as beta=0.4, as in `Captured.masks`.

    A class that scores below `presence` has no pixels, and the result has the flag `absent:NAME`. A warning, once a
    process, says if the model knows its own drawings alone. Raises UserError for a picture or option that cannot be
    used, and for a class that the model does not know.
    """
    config, info = _configure(MaskPhotosConfig, model, {**options, "classes": classes})
    pixels = as_pixels(image)
    loaded, plan = _prepare(config, info, model)
    masker = PhotoMasker(loaded, config, plan.capture)
    (found,) = masker.find([masker.view(pixels)], [config.classes], [0])
    shown = masker.masks(found, trace=True)

    # All requested classes, also absent ones
    ids = [config.classes.index(name) + 1 for name in shown.classes]
    shapes = pixels.shape[:2], shown.unrefined.shape[1:]
    count = len(config.classes)
    soft, unrefined = (torch.zeros(count, *shape, dtype=torch.float32, device="cpu") for shape in shapes)
    for number, values, before in zip(ids, shown.whole_softs(), shown.unrefined, strict=True):
        soft[number - 1] = torch.from_numpy(values)
        unrefined[number - 1] = before
    absent = [f"absent:{name}" for name in config.classes if name not in shown.classes]
    whole = {"label_map": native.dataset_labels(shown.label_map, ids), "classes": config.classes}
    return replace(shown, **whole, soft=soft, window=None, unrefined=unrefined, flags=(*shown.flags, *absent))


def segment(image: ImageInput, *, model: str | Path | Model = "", **options: Any) -> Segments:
    """Segments of one picture without any class: a label map (H, W) int32 of the picture's size with their ids, and how
    clear each segment is.

    image, model: as in `mask`. options: fields of SegmentPhotosConfig, such as fit="crop", or of SegmentConfig, such as
    method="kmeans" and k=6, as in `Captured.segments`. Raises UserError for a picture or option that cannot be used.
    """
    config, info = _configure(SegmentPhotosConfig, model, options)
    pixels = as_pixels(image)
    loaded, _ = _prepare(config, info, model)
    view = view_photo(loaded.sizes, pixels, config.fit, config.size)
    (segments,) = make_segments(loaded, [view], config.segment, seed=config.seed)
    return segments


def _configure(
    command: type[ModelConfig], model: str | Path | Model, options: Mapping[str, Any]
) -> tuple[ModelConfig, ModelInfo]:
    """(config, info): the configuration with a script's options, and the model's facts.

    command: the class of its configuration. model, options: as in `mask`. Raises UserError for an option that cannot be
    used. For example, options for loading, such as `lora`, cannot be used with a loaded model.
    """
    for name in options:
        if name in OF_FOLDERS and hasattr(command, name):
            fix = f"leave it out, or use {command.command}_photos"
            raise UserError(name, "does nothing for an image in memory", fix)
    if not isinstance(model, Model):
        return recommend(command, {**options, "model": model})
    for name in ("base", *(field.name for field in fields(LoadOptions)), "device", "dtype"):
        if options.get(name):
            raise UserError(name, "the model is loaded already", "give it to load_model")
    return recommend(command, {**options, "model": model.info.name}, model.info)


def _prepare(
    config: MaskPhotosConfig | SegmentPhotosConfig, info: ModelInfo, model: str | Path | Model
) -> tuple[Model, Plan]:
    """(model, plan): the loaded model, and the plan of what is captured of it. config, info: from `_configure`. model:
    as in `mask`. Warns, once a process, of a model that knows its own drawings alone. Raises UserError if the model
    cannot do what the configuration says."""
    check_values(config, info)
    if isinstance(model, Model):
        loaded = model
        plan = plan_model(config, model)
    else:
        loaded, _, plan = load_planned(config, info, partial(plan_model, config))
    assert plan is not None
    line = doubt_line(loaded.info, config.model_label)
    if line:
        warnings.warn(line, Notice, stacklevel=1)  # from one place, so that Python shows it once
    return loaded, plan
