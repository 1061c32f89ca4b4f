"""The attention from which a sample's mask was made: where its pixels and words attend, and how to capture it again."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.plan import fit_levels
from ..attention.windows import Window, cut, seen_window
from ..config.class_names import ANY_WORD, any_name, longest_first
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
from ..models.locate import locate
from ..prompts.tokens import locate_columns
from ..rows.row import said
from .pictures import read_image

if TYPE_CHECKING:
    from ..run.job import AnyJob, Ready

PIXELS = 8
"""Pixels of the picture along a side of one latent position, for an unknown model: the number of Stable Diffusion."""
MAX_WORDS = 100
"""Maximum number of words with a button on the page."""


@dataclass(frozen=True)
class SampleAttention:
    """The attention of one sample, and the picture as its model saw it."""

    maps: AttentionMaps
    image: np.ndarray
    """(h, w, 3) uint8: the picture as the model saw it."""
    size: tuple[int, int]
    """(H, W): the size of the sample in pixels."""
    part: Window
    """The part of the sample that the model saw."""
    config: MaskConfig
    part_pixels: np.ndarray
    """(H', W', 3) uint8: the part that the model saw, at the sample's own size."""
    edge_megapixels: float = 0.0
    """Maximum megapixels at which masks follow the edges of `part_pixels`. For 0, they follow the edges of `image`."""

    @property
    def classes(self) -> list[str]:
        return list(self.maps.words)


def read_config(folder: Path, name: str | None = None) -> DatasetConfig | None:
    """The configuration of the `generate` or `mask` run that made a sample; None if its file is missing or unreadable.
    folder: the dataset. name: `made` in the sample's row; None if the sample has no configuration of its own."""
    with suppress(UserError):
        path = native.made_by(folder, name)
        return path and load_dataset_config(path, MaskPhotosConfig)
    return None


def maps_path(sample: Sample) -> Path | None:
    """The file with a sample's attention maps; None if they were not saved."""
    path = sample.extras.get((native.ATTENTION, None))
    return path if isinstance(path, Path) else None


def cannot_capture(sample: Sample, config: DatasetConfig | None) -> str:
    """Why a sample's attention cannot be captured again; "" if it can. config: the configuration that made the sample;
    None if unknown."""
    if config is None:
        return "no model is known that made this mask by class names"
    if not sample.row.named:
        return "no class was found in this picture"
    here = False
    with suppress(UserError):
        here = locate(config.model, config.base).are_here
    if not here:
        return f"its model, {config.model_label}, is not on this machine"
    if isinstance(config, GenerateConfig) and said(sample.row.seed) is None:
        return "its row has no seed to draw it again"
    return ""


def attention_of(sample: Sample, maps: AttentionMaps, config: DatasetConfig | None) -> SampleAttention:
    """A sample's attention with the picture that its masks follow. maps: the sample's attention. config: the
    configuration that made the sample; None if unknown. Raises UserError for maps without a class."""
    image = read_image(sample)
    if not maps.words:
        raise UserError(f"sample '{sample.name}' has attention of no class")
    size = (image.shape[0], image.shape[1])
    whole = Window(0, 0, *size)
    if config is None:
        return SampleAttention(maps, image, size, whole, MaskConfig(), image)
    mask, info = config.mask, describe_here(config.model, config.base)
    if info is not None:
        there: dict[Kind, tuple[int, ...]] = {kind: maps.levels(kind) for kind in KINDS}
        mask, _ = fit_levels(there, mask, config.capture.layers, replaces_missing=info.family.replaces_missing_levels)
    if not isinstance(config, MaskPhotosConfig):
        return SampleAttention(maps, image, size, whole, mask, image)

    # The model saw a part of the photograph, at another size
    part = seen_window(*size, config.fit)
    sizes = info and info.sizes()
    pixels = sizes.position if sizes else PIXELS
    height, width = maps.latent_size
    seen = cut(image, part, (height * pixels, width * pixels))
    return SampleAttention(maps, seen, size, part, mask, image[part.slices], config.edge_megapixels)


def pixel_maps(attention: SampleAttention, x: int, y: int) -> list[dict[str, Any]]:
    """Where a pixel of the sample attends: for each level of self-attention, what `map_for_page` returns. x, y: the
    pixel. Raises UserError for a pixel that the model did not see."""
    part = attention.part
    x, y = x - part.left, y - part.top
    if not (0 <= x < part.width and 0 <= y < part.height):
        raise UserError("the model did not see this pixel")
    maps = []
    for (height, width), self_map in sorted(attention.maps.self_attention.items(), reverse=True):
        row, column = y * height // part.height, x * width // part.width
        maps.append(_scaled_map(attention.maps, self_map[row * width + column].reshape(height, width)))
    return maps


def word_maps(attention: SampleAttention, columns: tuple[int, ...]) -> list[dict[str, Any]]:
    """How much each position attends to words: for each level of cross-attention, what `map_for_page` returns. columns:
    the columns of the words in the text; the maps show their mean. Raises UserError for a column that the text
    lacks."""
    maps = []
    for grid, cross_map in sorted(attention.maps.cross_attention.items(), reverse=True):
        if max(columns) >= cross_map.shape[1]:
            raise UserError(f"the text has columns 0 to {cross_map.shape[1] - 1}")
        maps.append(_scaled_map(attention.maps, cross_map[:, list(columns)].mean(1).reshape(grid)))
    return maps


def _scaled_map(maps: AttentionMaps, values: torch.Tensor) -> dict[str, Any]:
    """What `map_for_page` returns for a map, scaled so that its minimum becomes 0 and its maximum 255. maps: the
    attention, which knows the names of its levels. values: (h, w), the map."""
    name = level_name(maps.level((values.shape[0], values.shape[1])))
    low, high = map(float, values.aminmax())
    scaled = ((values - low) / max(high - low, 1e-20) * 255).round().to(torch.uint8)
    return map_for_page(name, scaled.cpu().numpy())


def map_for_page(name: str, values: np.ndarray) -> dict[str, Any]:
    """A map as JSON for the page: {name, height, width, data}. `data` has the values row by row, in base64. name: the
    title of the map. values: (h, w) uint8."""
    height, width = values.shape
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
    return {"name": name, "height": height, "width": width, "data": data}


def find_words(maps: AttentionMaps, model: str | None) -> list[dict[str, Any]]:
    """The words of the prompt whose columns of cross-attention are known, in order: {start, end, columns} each, where
    prompt[start:end] is the word. maps: the attention, which knows the columns of the classes. model: the model whose
    tokenizers find the other words, if they are on this machine; None to find only the classes."""
    # 1. Classes
    names, found = longest_first(list(maps.words)), dict[tuple[int, int], tuple[int, ...]]()
    for match in any_name(names).finditer(maps.prompt):
        found[match.span()] = maps.words[names[(match.lastindex or 1) - 1]]

    # 2. Words outside the classes' names
    readers = _readers(model) if model and " | " not in maps.prompt else ()
    for match in re.finditer(rf"{ANY_WORD}|\d+", maps.prompt):
        overlaps = any(start < match.end() and match.start() < end for start, end in found)
        if overlaps or not readers or len(found) >= MAX_WORDS:
            continue
        with suppress(UserError):  # too long for the model, or no token of its own
            found[match.span()] = locate_columns(readers, maps.prompt, [match[0]])[match[0]]
    return [{"start": start, "end": end, "columns": columns} for (start, end), columns in sorted(found.items())]


@cache
def _readers(model: str) -> Sequence[Reader]:
    """The tokenizers of a model on this machine, loaded without its weights; empty if they cannot be loaded."""
    info = describe_here(model)
    return info.readers() if info else ()


def sample_index(sample: Sample) -> int:
    """A sample's number in its run, from which the model's noise is made. A generated sample has this number as its
    name."""
    number = said(sample.row.index)
    if number is not None:
        return number
    last = sample.name.rpartition("/")[2]
    if last.isdecimal() and len(last) < 12:
        return int(last)
    return 0


class Capturer:
    """Captures the attention of samples again by running their models. The last model stays loaded. Only one thread may
    use it at a time."""

    def __init__(self) -> None:
        self._ready: Ready | None = None
        self._key = ""

    def capture(self, sample: Sample, config: DatasetConfig) -> AttentionMaps:
        """The attention of a sample, after its model has drawn it again or seen its photograph again. config: the
        configuration that made the sample. Raises UserError."""
        row, number = sample.row, sample_index(sample)
        config = replace(config, keep_attention=True)  # all maps: the page shows each of them, and tries all methods
        try:
            check_device(config.device or default_device())
        except UserError:  # this machine lacks the device
            config = replace(config, device=None, dtype=None)
        # Only this function needs the jobs of `run`, which import much.
        if isinstance(config, GenerateConfig):
            from ..prompts.specs import SampleSpec
            from ..run.generate_job import GenerateJob

            spec = SampleSpec(number, row.named, str(said(row.prompt)), said(row.seed) or 0)
            drawing = GenerateJob(config)
            return drawing.draw_batch(self._load(config, drawing), [spec])[1][0].cpu()

        from ..files.photo_files import Photo
        from ..run.mask_job import MaskJob

        assert isinstance(config, MaskPhotosConfig)
        photo = Photo(Path(sample.name), sample.name)
        seeing = MaskJob.of(config, [photo])
        masker = seeing.masker(self._load(config, seeing))
        views = [masker.view(read_image(sample), number)]
        return masker.attention(views, [row.named], masker.encode(views))[0].cpu()

    def _load(self, config: DatasetConfig, job: AnyJob) -> Ready:
        """The loaded model of a job. It is the model of the last call if the configurations differ only in their
        classes. config: the job's configuration."""
        key = repr(replace(config, classes=("any",)))
        if self._key != key or self._ready is None:
            self._ready, self._key = None, ""  # one model at a time
            self._ready, self._key = job.load(), key
        return self._ready
