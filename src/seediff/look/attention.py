"""The attention of a store's samples, saved or captured again, and the masks that other constants make from it. It is
quick, because attention, soft masks and PAMR's weights stay in memory.

The steps are the same as in `masks.make_masks`, so the page shows the masks that `generate` and `mask` would write with
these constants."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from msgspec import Meta, Struct

from ..attention.maps import AttentionMaps
from ..attention.plan import fit_levels
from ..config.methods import METHOD_FACTS, MaskConfig
from ..config.runs import DatasetConfig, GenerateConfig, MaskPhotosConfig, load_dataset_config
from ..config.settings import table_values
from ..dataset.native import ATTENTION, CONFIGS, dataset_labels
from ..dataset.sample import Sample
from ..devices import check_device, cpu_threads, default_device
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.reading import fit
from ..masks.make_masks import Edges, enlarge, label_pixels, refine, soft_masks
from ..models.describe import describe_here
from ..models.layers import KINDS, Kind
from ..rows.values import ids_by_name
from ..view import View, seen_window
from .sample_pictures import Cache, read_image
from .store import SampleState, Store

if TYPE_CHECKING:
    from ..run.job import AnyJob, Ready

PIXELS = 8
"""Pixels of the picture along a side of one latent position, for an unknown model: the number of Stable Diffusion."""
CACHED = 3
"""Maximum number of soft masks that are kept of a sample."""
CORRECTED = "This mask was changed; attention explains the mask before that."
UNKNOWN = "It is not known how this mask was made: masks and steps shown here use the default constants."
THREADS = torch.get_num_threads()
LOADING = threading.Lock()
"""Locked while attention is read, because otherwise two threads would read the same file."""
ALONE = threading.Lock()
"""Locked while a mask is made, because that sets torch's number of threads for the whole process."""


class Constants(Struct, kw_only=True):
    """The constants of masks that the page can change."""

    method: str
    alpha: Annotated[float, Meta(gt=0, le=1)]
    beta: Annotated[float, Meta(gt=0, lt=1)]
    pamr: bool

    def __post_init__(self) -> None:
        if self.method not in METHOD_FACTS:  # for example, a user's method whose file is not named this time
            raise ValueError(f"method {self.method!r} is not known here")

    def change(self, config: MaskConfig) -> MaskConfig:
        """A configuration with these constants. A new method also brings the other constants that its authors chose.
        Any change turns `ignore_band` off."""
        if self.values() == constants_of(config).values():
            return config
        brought = {}
        if self.method != config.method:
            brought = table_values(METHOD_FACTS[self.method].defaults, "mask")
        return replace(config, **{**brought, **self.values(), "ignore_band": None})

    def values(self) -> dict[str, Any]:
        """The constants by name, without the further fields of a subclass."""
        return {name: getattr(self, name) for name in Constants.__struct_fields__}


def constants_of(config: MaskConfig) -> Constants:
    """The constants of a configuration. If each image has a threshold of its own (β = "otsu"), β is the usual 0.3."""
    beta = 0.3 if config.beta == "otsu" else config.beta
    return Constants(method=config.method, alpha=config.alpha, beta=beta, pamr=config.pamr)


@dataclass(frozen=True)
class SampleAttention:
    """The attention of one sample, and how its model saw or drew it."""

    maps: AttentionMaps
    view: View
    config: MaskConfig
    edges: Edges = field(default_factory=lambda: Edges(kept={}))
    """How PAMR follows its picture, whose weights are kept."""
    soft: Cache[torch.Tensor] = field(default_factory=partial(Cache, CACHED))
    """The soft masks that were made of it last."""

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for *_, tensor in self.maps.tensors())

    @property
    def classes(self) -> list[str]:
        return list(self.maps.words)


def weights_of(config: DatasetConfig) -> int:
    """Bytes of the files of weights of a configuration's model; 0 if they are not on this machine."""
    info = describe_here(config.model, config.base)
    if info and info.files.folder and info.files.are_here:
        return sum(path.stat().st_size for path in info.files.folder.rglob("*.safetensors"))
    return 0


def cannot_capture(sample: Sample, config: DatasetConfig | None) -> str:
    """Why a sample's attention cannot be captured again; "" if it can. config: the configuration that made the sample;
    None if unknown."""
    if config is None:
        return "no model is known that made this mask by class names"
    if not sample.row.named:
        return "no class was found in this image"
    if not weights_of(config):
        return f"its model, {config.model_label}, is not on this machine"
    if isinstance(config, GenerateConfig) and sample.row.seed is None:
        return "its row has no seed to draw it again"
    return ""


def attention_of(store: Store, state: SampleState, maps: AttentionMaps) -> SampleAttention:
    """A sample's attention with the picture that its masks follow. maps: the sample's attention. Raises UserError for
    maps without a class."""
    image = read_image(state.sample)
    config = config_of(store, state)
    if not maps.words:
        raise UserError(f"sample '{state.sample.name}' has attention of no class")
    view = View.whole(image.shape, image)
    mask = MaskConfig()
    if config is None:
        return SampleAttention(maps, view, mask)
    mask = config.mask
    info = describe_here(config.model, config.base)
    if info is not None:
        there: dict[Kind, tuple[int, ...]] = {kind: maps.levels(kind) for kind in KINDS}
        mask, _ = fit_levels(there, mask, config.capture.layers, replaces_missing=info.family.replaces_missing_levels)

    # The model saw a part of a photograph, at another size
    if isinstance(config, MaskPhotosConfig):
        sizes = info and info.sizes
        pixels = sizes.position if sizes else PIXELS
        height, width = maps.lattice
        view = replace(view, window=seen_window(*view.size, config.fit), shape=(height * pixels, width * pixels))
        return SampleAttention(maps, view, mask, Edges(config.edge_megapixels, {}))
    return SampleAttention(maps, view, mask)


def sample_index(sample: Sample) -> int:
    """A sample's number in its run, from which the model's noise is made. A generated sample has this number as its
    name."""
    number = sample.row.index
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
        row = sample.row
        number = sample_index(sample)
        config = replace(config, keep_attention=True)  # all maps: the page shows each of them, and tries all methods
        try:
            check_device(config.device or default_device())
        except UserError:  # this machine lacks the device
            config = replace(config, device=None, dtype=None)
        # Only this function needs the jobs of `run`, which import much.
        if isinstance(config, GenerateConfig):
            from ..prompts.specs import SampleSpec
            from ..run.generate_job import GenerateJob

            spec = SampleSpec(number, row.named, str(row.prompt), row.seed or 0)
            drawing = GenerateJob(config)
            return drawing.draw_batch(self._load(config, drawing), [spec])[1][0].cpu()

        from ..files.photo_files import Photo
        from ..run.mask_job import MaskJob

        assert isinstance(config, MaskPhotosConfig)
        photo = Photo(Path(sample.name), sample.name)
        seeing = MaskJob.of(config, [photo])
        masker = seeing.masker(self._load(config, seeing))
        views = [masker.view(read_image(sample))]
        return masker.attention(views, [row.named], masker.encode(views), [number])[0].cpu()

    def _load(self, config: DatasetConfig, job: AnyJob) -> Ready:
        """The loaded model of a job. It is the model of the last call if the configurations differ only in their
        classes. config: the job's configuration."""
        key = repr(replace(config, classes=("any",)))
        if self._key != key or self._ready is None:
            self._ready, self._key = None, ""  # one model at a time
            self._ready, self._key = job.load(), key
        return self._ready


CAPTURER = Capturer()


def config_of(store: Store, state: SampleState) -> DatasetConfig | None:
    """The configuration of the `generate` or `mask` run that made a sample; None if its file is missing or
    unreadable."""
    path = state.sample.extras.get((CONFIGS, None))
    if isinstance(path, Path):
        with suppress(UserError):
            return store.configs.get_or_make(path, partial(load_dataset_config, path))
    return None


def constants_for(store: Store, state: SampleState) -> tuple[Constants, str]:
    """(constants, note). constants: what made a sample's current mask, or the default constants if that is unknown.
    note: what the page says about it; "" if everything is known."""
    row = state.row(store.classes)
    config = config_of(store, state)
    remade = row.decided.made
    if remade is not None:
        with suppress(UserError):
            return fit(remade, Constants, "the constants"), ""
    notes = [CORRECTED] if row.replaced else []
    if config is None or remade is not None:
        notes.append(UNKNOWN)
    return constants_of(config.mask if config else MaskConfig()), " ".join(notes)


def find(store: Store, state: SampleState) -> SampleAttention | None:
    """The attention of a sample; None if it was neither saved nor captured again. Raises UserError for an unusable
    file."""
    path = state.sample.extras.get((ATTENTION, None))
    if not isinstance(path, Path):
        return store.attention.get(state.number)
    with LOADING:
        return store.attention.get_or_make(state.number, lambda: attention_of(store, state, AttentionMaps.load(path)))


def load(store: Store, state: SampleState) -> SampleAttention:
    """The attention of a sample. Raises UserError if it was neither saved nor captured again, or the file is
    unusable."""
    attention = find(store, state)
    if attention is None:
        raise UserError("no attention maps were saved; recompute them first")
    return attention


def capture_again(store: Store, state: SampleState) -> None:
    """Capture the attention of a sample again, and keep it in memory. This takes as long as drawing the sample. Raises
    UserError."""
    config = config_of(store, state)
    reason = cannot_capture(state.sample, config)
    if config is None or reason:
        raise UserError(f"cannot recompute: {reason}")
    store.attention.put(state.number, attention_of(store, state, CAPTURER.capture(state.sample, config)))


def make_labels(store: Store, state: SampleState, constants: Constants) -> np.ndarray:
    """(H, W) uint8: the label map of a sample with other constants. It is computed with as many threads as the set was,
    because rounding depends on them. Raises UserError as `load` does, for a class that the set lacks, and for a level
    that was not captured."""
    attention = load(store, state)
    made_by = config_of(store, state)
    ids = ids_by_name(store.classes)
    for name in attention.classes:
        if name not in ids:
            raise UserError(f"class '{name}' is not a class of the set")
    # Soft masks do not depend on the threshold, unless SAM refines them. So configurations that differ only in it have
    # one key, and the first one makes the masks for all.
    config = constants.change(attention.config)
    key = config if config.sam else replace(config, beta=MaskConfig.beta, ignore_band=None)
    threads = made_by and made_by.threads
    view = attention.view
    with ALONE, cpu_threads(threads or 1, THREADS):
        soft = attention.soft.get_or_make(key, partial(_refined, attention, config))
        labels = view.paste(label_pixels(soft, config, view.inside.shape).numpy(), IGNORE)
    return dataset_labels(labels, [ids[name] for name in attention.classes])


def _refined(attention: SampleAttention, config: MaskConfig) -> torch.Tensor:
    """(C, h, w) float32: the soft mask of each class, before its threshold."""
    view = attention.view
    soft = enlarge(soft_masks(attention.maps, attention.classes, config), view, config)
    return refine(view, soft, config, attention.edges)
