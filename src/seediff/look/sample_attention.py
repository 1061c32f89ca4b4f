"""The attention behind a sample's mask, saved in the dataset or captured again; and where pixels and words attend."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.plan import fit_levels
from ..attention.windows import Window, cut, seen_window
from ..config.class_names import WORD, any_name, longest_first
from ..config.generate_config import DatasetConfig, GenerateConfig, load_dataset_config
from ..config.method_constants import MaskConfig, level_name
from ..config.photos_config import MaskPhotosConfig
from ..dataset import native
from ..dataset.sample import Sample
from ..devices import check_device, default_device
from ..errors import UserError
from ..models.describe import describe_here
from ..models.families.readers import Reader
from ..models.layer_choice import KINDS, Kind
from ..models.model_files import HubFile, locate_model
from ..prompts.tokens import locate_columns
from .samples import read_image

PIXELS = 8
"""Side of a position of L in pixels, if the model's is not known: Stable Diffusion's."""
MAX_WORDS = 100


@dataclass(frozen=True)
class SampleAttention:
    """The attention of one sample, and the sample as its model saw it. image: (h, w, 3) uint8, as the model saw it.
    size: (H, W) of the sample. part: the part of it that the model saw. photo: the pixels (H', W', 3) of this part of a
    photograph, whose edges masks follow at up to `edge_megapixels`; None: masks of the size of `image` are final."""

    maps: AttentionMaps
    image: np.ndarray
    size: tuple[int, int]
    part: Window
    config: MaskConfig
    photo: np.ndarray | None = None
    edge_megapixels: float = 0.0

    @property
    def classes(self) -> list[str]:
        return list(self.maps.words)


def read_config(folder: Path, name: str | None = None) -> DatasetConfig | None:
    """The configuration that made a dataset, or the samples whose rows name it as `made`; None if there is none of
    `generate` or `mask` that can be read."""
    with suppress(UserError):
        path = native.made_by(folder, name)
        return path and load_dataset_config(path, MaskPhotosConfig)
    return None


def maps_path(sample: Sample) -> Path | None:
    """The file of a sample's attention; None if the dataset has none."""
    return sample.extras.get((native.ATTENTION, None))


def cannot_capture(sample: Sample, config: DatasetConfig | None) -> str:
    """Why a sample's attention cannot be captured again; empty if it can."""
    if config is None:
        return "no model is known that made this mask by class names"
    if not sample.metadata.get("classes"):
        return "no class was found in this picture"
    here = False
    with suppress(UserError):
        files = locate_model(config.model, config.base)
        here = files.folder is not None and not isinstance(files.replacement, HubFile)
    if not here:
        return f"its model, {config.model_label}, is not on this machine"
    if isinstance(config, GenerateConfig) and sample.metadata.get("seed") is None:
        return "its row has no seed to draw it again"
    return ""


def attention_of(sample: Sample, maps: AttentionMaps, config: DatasetConfig | None) -> SampleAttention:
    """A sample and its maps, ready for making masks. config: what made it, if that is known. Raises UserError without
    a class."""
    image = read_image(sample)
    if not maps.words:
        raise UserError(f"sample '{sample.name}' has attention of no class")
    size = (image.shape[0], image.shape[1])
    whole = Window(0, 0, *size)
    if config is None:
        return SampleAttention(maps, image, size, whole, MaskConfig())
    mask, info = config.mask, describe_here(config.model, config.base)
    if info is not None:
        there: dict[Kind, tuple[int, ...]] = {kind: maps.levels(kind) for kind in KINDS}
        mask, _ = fit_levels(there, mask, config.capture.layers, fitted=info.family.replaces_missing_levels)
    if not isinstance(config, MaskPhotosConfig):
        return SampleAttention(maps, image, size, whole, mask)

    # A photograph, of which the model saw a part, at a size of its own
    part = seen_window(*size, config.fit)
    sizes = info and info.sizes()
    pixels = sizes.position if sizes else PIXELS
    height, width = maps.latent_size
    seen = cut(image, part, (height * pixels, width * pixels))
    return SampleAttention(maps, seen, size, part, mask, image[part.slices], config.edge_megapixels)


def grids(maps: AttentionMaps) -> dict[int, tuple[int, int]]:
    """Divisor of L → (h, w) of the attention at that level, the finest first."""
    return {maps.level(grid): grid for grid in sorted({*maps.self_attention, *maps.cross_attention}, reverse=True)}


def pixel_maps(of: SampleAttention, x: int, y: int) -> list[dict[str, Any]]:
    """Where the position under pixel (x, y) of the sample attends, at each level, from the map's minimum to its
    maximum. Raises UserError for a pixel that the model did not see."""
    part = of.part
    if not (part.top <= y < part.top + part.height and part.left <= x < part.left + part.width):
        raise UserError("the model did not see this pixel")
    maps = []
    for (height, width), own in sorted(of.maps.self_attention.items(), reverse=True):
        row, column = (y - part.top) * height // part.height, (x - part.left) * width // part.width
        maps.append(_levels(of.maps, own[row * width + column].reshape(height, width)))
    return maps


def word_maps(of: SampleAttention, columns: tuple[int, ...]) -> list[dict[str, Any]]:
    """How much each position attends to some columns of the text (their mean), in the form of `pixel_maps`. Raises
    UserError for a column that the text lacks."""
    maps = []
    for grid, crossed in sorted(of.maps.cross_attention.items(), reverse=True):
        if max(columns) >= crossed.shape[1]:
            raise UserError(f"the text has columns 0 to {crossed.shape[1] - 1}")
        maps.append(_levels(of.maps, crossed[:, list(columns)].mean(1).reshape(grid)))
    return maps


def _levels(maps: AttentionMaps, values: torch.Tensor) -> dict[str, Any]:
    """A map (h, w) for the page, from its minimum to its maximum."""
    name = level_name(maps.level((values.shape[0], values.shape[1])))
    low, high = map(float, values.aminmax())
    levels = ((values - low) / max(high - low, 1e-20) * 255).round().to(torch.uint8)
    return show_levels(name, levels.cpu().numpy())


def show_levels(name: str, levels: np.ndarray) -> dict[str, Any]:
    """A map (h, w) uint8 for the page: {name, height, width, data}. data: base64 of the levels, row by row."""
    height, width = levels.shape
    data = base64.b64encode(np.ascontiguousarray(levels).tobytes()).decode("ascii")
    return {"name": name, "height": height, "width": width, "data": data}


def find_words(maps: AttentionMaps, model: str | None) -> list[dict[str, Any]]:
    """The words of the prompt that have columns of cross-attention: classes and, if the model's tokenizers are here,
    others: {start, end, columns}, with their places in the prompt."""
    # 1. Classes
    names, found = longest_first(list(maps.words)), dict[tuple[int, int], tuple[int, ...]]()
    for match in any_name(names).finditer(maps.prompt):
        found[match.span()] = maps.words[names[(match.lastindex or 1) - 1]]

    # 2. Words that are in none of them
    readers = _readers(model) if model and " | " not in maps.prompt else ()
    for match in re.finditer(rf"{WORD}|\d+", maps.prompt):
        overlaps = any(start < match.end() and match.start() < end for start, end in found)
        if overlaps or not readers or len(found) >= MAX_WORDS:
            continue
        with suppress(UserError):  # too long for the model, or no token of its own
            found[match.span()] = locate_columns(readers, maps.prompt, [match[0]])[match[0]]
    return [{"start": start, "end": end, "columns": columns} for (start, end), columns in sorted(found.items())]


@cache
def _readers(model: str) -> Sequence[Reader]:
    """A local model's tokenizers, without its weights; empty if they cannot be loaded."""
    info = describe_here(model)
    return info.readers() if info else ()


def sample_index(sample: Sample) -> int:
    """A sample's number in its run, which determines its noise. Drawings have it as their name."""
    last = sample.name.rpartition("/")[2]
    return sample.metadata.get("index", int(last) if last.isdecimal() and len(last) < 12 else 0)


class Capturer:
    """Captures the attention of samples again with their models. The last model stays loaded. Not thread-safe."""

    def __init__(self) -> None:
        self._job: Any = None
        self._key = ""

    def capture(self, sample: Sample, config: DatasetConfig) -> AttentionMaps:
        """A sample's attention, from drawing it again or giving its photograph to the model again. Raises UserError."""
        row, number = sample.metadata, sample_index(sample)
        config = replace(config, keep_attention=True)  # all maps: people look at any of them, and try other methods
        try:
            check_device(config.device or default_device())
        except UserError:  # this machine lacks the device
            config = replace(config, device=None, dtype=None)
        if isinstance(config, GenerateConfig):
            from ..prompts.specs import SampleSpec
            from ..run.generate_job import GenerateJob

            spec = SampleSpec(number, tuple(row["classes"]), str(row["prompt"]), int(row["seed"]))
            return self._load(config, partial(GenerateJob, config)).draw_batch([spec])[1][0].cpu()

        from ..files.photo_files import Photo
        from ..run.mask_job import MaskJob

        assert isinstance(config, MaskPhotosConfig)
        photo = Photo(Path(sample.name), sample.name)
        masker = self._load(config, partial(MaskJob, config, [photo])).masker
        views = [masker.view(read_image(sample), number)]
        return masker.attention(views, [row["classes"]], masker.encode(views))[0].cpu()

    def _load(self, config: DatasetConfig, make: Callable[[], Any]) -> Any:
        """The job that `make` makes, with its model; the last one, if only the classes differ."""
        key = repr(replace(config, classes=("any",)))
        if self._key != key:
            self._job, self._key = None, ""  # one model at a time
            self._job = make()
            self._job.load()
            self._key = key
        return self._job
