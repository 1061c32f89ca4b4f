"""The attention of a store's samples, saved or captured again, and the masks that other constants make from it. It is
quick, because attention, soft masks and PAMR's weights stay in memory.

The steps are the same as in `masks.make_masks`, and constants come from the same function as those of `generate` and
`mask` (`usual_constants`), so the page shows the masks that these commands would write."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta, Struct

from ..attention.maps import AttentionMaps
from ..attention.plan import fit_levels
from ..config.methods import METHOD_FACTS, MaskConfig, MethodFacts, SegmentConfig
from ..config.resolve import configure_run
from ..config.runs import DatasetConfig, GenerateConfig, MaskPhotosConfig, load_run_config
from ..config.settings import RunConfig, check_table, table_values
from ..dataset.native import ATTENTION, CONFIGS, dataset_labels
from ..dataset.sample import Sample
from ..devices import check_device, cpu_threads, default_device
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..files.reading import Json
from ..masks.make_masks import Edges, enlarge, label_pixels, refine, soft_masks
from ..models.describe import ModelInfo, describe_here, describe_model
from ..models.layers import KINDS, Kind
from ..models.registry import LoadOptions, Model, load
from ..rows.values import ids_by_name
from ..view import View, seen_window, view_photo
from .sample_pictures import Cache, read_image
from .store import SampleState, Store

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


class Moved(Struct, kw_only=True):
    """The constants of masks that a person moved on the page; None for those that nobody moved."""

    method: str | None = None
    alpha: Annotated[float, Meta(gt=0, le=1)] | None = None
    beta: Annotated[float, Meta(gt=0, lt=1)] | None = None
    pamr: bool | None = None

    def over(self, row: MaskConfig, model: ModelInfo | None) -> MaskConfig:
        """All constants of the mask. What nobody moved is the row's; with another method than the row's, it is what
        that method usually has. row: what made the sample's mask. model: for `usual_constants`, which raises
        UserError."""
        config = row
        if self.method is not None and self.method != row.method:
            config = usual_constants(self.method, model)
        names = ("alpha", "beta", "pamr")
        moved = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.beta is not None:
            moved["ignore_band"] = None  # which β replaces
        return replace(config, **moved)


def usual_constants(method: str, model: ModelInfo | None) -> MaskConfig:
    """What `generate --method METHOD --model MODEL` takes. model: None if it is unknown. Raises UserError for a method
    that is not known here."""
    if model is None:
        own = METHOD_FACTS.get(method, MethodFacts()).defaults
        return MaskConfig(method=method, **table_values(own, "mask"))
    typed = {"classes": ("any",), "model": model.name, "mask.method": method}
    return configure_run(MaskPhotosConfig, typed, model=model)[0].mask


def shown_constants(config: MaskConfig) -> Json:
    """What the page shows of constants. alpha: None if the method has no seeds. beta: a text if each image has a
    threshold of its own ("otsu"), or a band is ignored."""
    alpha = config.alpha if "alpha" in config.facts.options else None
    beta = config.beta
    if config.ignore_band:
        beta = "–".join(map(str, config.ignore_band))
    return {"alpha": alpha, "beta": beta, "pamr": config.pamr}


@dataclass(frozen=True)
class SampleAttention:
    """The attention of one sample, and how its model saw or drew it."""

    maps: AttentionMaps
    view: View
    config: DatasetConfig | None = None
    """The configuration that made the sample; None if it is unknown."""
    model: ModelInfo | None = None
    """The model of `config`; None if this machine does not know it."""
    edges: Edges = field(default_factory=lambda: Edges(kept={}))
    """How PAMR follows its picture, whose weights are kept."""
    soft: Cache[torch.Tensor] = field(default_factory=partial(Cache, CACHED))
    """The soft masks that were made of it last."""

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for *_, tensor in self.maps.tensors())

    def fit(self, mask: MaskConfig) -> MaskConfig:
        """Constants with levels of attention that the maps have. Raises UserError as `fit_levels` does."""
        if self.config is None or self.model is None:
            return mask
        there: dict[Kind, tuple[int, ...]] = {kind: self.maps.levels(kind) for kind in KINDS}
        replaces = self.model.family.replaces_missing_levels
        return fit_levels(there, mask, self.config.capture.layers, replaces_missing=replaces)[0]

    @property
    def classes(self) -> list[str]:
        return list(self.maps.words)


def weights_of(config: RunConfig) -> int:
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
    if not sample.row.class_names:
        return "no class was found in this image"
    if isinstance(config, GenerateConfig) and sample.row.seed is None:
        return "its row has no seed to draw it again"
    return cannot_look(config)


def cannot_look(config: RunConfig | None) -> str:
    """Why no model can look at a sample's picture; "" if one can. config: names the model; None if unknown."""
    if config is None:
        return "No model is known for these images; `seediff look SET --model NAME` names one."
    if not weights_of(config):
        return f"its model, {config.model_label}, is not on this machine"
    return ""


def attention_of(store: Store, state: SampleState, maps: AttentionMaps) -> SampleAttention:
    """A sample's attention with the picture that its masks follow. maps: the sample's attention. Raises UserError for
    maps without a class."""
    image = read_image(state.sample)
    config = config_of(store, state)
    if not maps.words:
        raise UserError(f"sample '{state.sample.name}' has attention of no class")
    view = View.whole(image.shape, image)
    info = config and describe_here(config.model, config.base)
    if not isinstance(config, MaskPhotosConfig):
        return SampleAttention(maps, view, config, info)

    # The model saw a part of a photograph, at another size
    sizes = info and info.sizes
    pixels = sizes.position if sizes else PIXELS
    height, width = maps.lattice
    view = replace(view, window=seen_window(*view.size, config.fit), shape=(height * pixels, width * pixels))
    return SampleAttention(maps, view, config, info, Edges(config.edge_megapixels, {}))


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
    """Captures the attention of samples by running models. The last model stays loaded. Only one thread may use it at a
    time."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._key: Any = None

    def capture(self, sample: Sample, config: DatasetConfig) -> AttentionMaps:
        """The attention of a sample, after its model has drawn it again or seen its photograph again. config: the
        configuration that made the sample. Raises UserError."""
        # Only this function needs the jobs of `run`, which import much.
        from ..run.plan import plan_model

        row = sample.row
        number = sample_index(sample)
        config = replace(config, keep_attention=True)  # all maps: the page shows each of them, and tries all methods
        model = self._load(config)
        assert isinstance(config, GenerateConfig | MaskPhotosConfig)
        plan = plan_model(config, model)
        assert plan is not None
        if isinstance(config, GenerateConfig):
            from ..prompts.specs import SampleSpec
            from ..run.generate_job import GenerateJob
            from ..run.job import Ready

            spec = SampleSpec(number, row.class_names, str(row.prompt), row.seed or 0)
            return GenerateJob(config).draw_batch(Ready(model=model, plan=plan), [spec])[1][0].cpu()

        from ..masks.photos import PhotoMasker

        masker = PhotoMasker(model, config, plan.capture)
        views = [masker.view(read_image(sample))]
        return masker.attention(views, [row.class_names], masker.encode(views), [number])[0].cpu()

    def look(self, sample: Sample, config: RunConfig) -> SampleAttention:
        """The self-attention of a sample's picture without words, as `segment` reads it. config: names the model.
        Raises UserError."""
        from ..segments.make_segments import capture_inputs

        model = self._load(config)
        view = view_photo(model.sizes, read_image(sample), "keep", None)
        (maps,) = capture_inputs(model, [view.seen], SegmentConfig())
        assert isinstance(maps, AttentionMaps)
        return SampleAttention(maps.cpu(), view)

    def _load(self, config: RunConfig) -> Model:
        """The loaded model of a configuration: the model of the last call, if they load the same."""
        device, dtype = config.device, config.dtype
        try:
            check_device(device or default_device())
        except UserError:  # this machine lacks the device
            device = dtype = None
        how = LoadOptions.of(config)
        key = config.model, config.base, how, device, dtype
        if self._model is None or self._key != key:
            self._model = None  # one model at a time
            self._model = load(describe_model(config.model, config.base), how, device=device, dtype=dtype)
            self._key = key
        return self._model


CAPTURER = Capturer()


def run_of(store: Store, state: SampleState) -> RunConfig | None:
    """The configuration of the run of a model that made a sample; None if its file is missing or unreadable."""
    path = state.sample.extras.get((CONFIGS, None))
    if isinstance(path, Path):
        with suppress(UserError):
            return store.configs.get_or_make(path, partial(load_run_config, path))
    return None


def config_of(store: Store, state: SampleState) -> DatasetConfig | None:
    """The configuration of the `generate` or `mask` run that made a sample; None if that is unknown."""
    config = run_of(store, state)
    return config if isinstance(config, DatasetConfig) else None


def row_constants(store: Store, state: SampleState) -> tuple[MaskConfig, str]:
    """(constants, note). constants: what made a sample's current mask, or the default constants if that is unknown.
    note: what the page says about it; "" if everything is known."""
    row = state.row(store.classes)
    config = config_of(store, state)
    remade = row.review_or_empty.made
    if remade is not None:
        with suppress(UserError):
            return MaskConfig(**check_table(MaskConfig, remade, "the constants")), ""
    notes = [CORRECTED] if row.replaced else []
    if config is None or remade is not None:
        notes.append(UNKNOWN)
    return config.mask if config else MaskConfig(), " ".join(notes)


def constants_of(store: Store, state: SampleState, moved: Moved) -> MaskConfig:
    """The constants of a sample's mask, after a person moved some. Raises UserError as `get` and `Moved.over` do."""
    return moved.over(row_constants(store, state)[0], get(store, state).model)


def find(store: Store, state: SampleState) -> SampleAttention | None:
    """The attention of a sample; None if it was neither saved nor captured again. Raises UserError for an unusable
    file."""
    path = state.sample.extras.get((ATTENTION, None))
    if not isinstance(path, Path):
        return store.attention.get(state.number)
    with LOADING:
        return store.attention.get_or_make(state.number, lambda: attention_of(store, state, AttentionMaps.load(path)))


def get(store: Store, state: SampleState) -> SampleAttention:
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


def look_at(store: Store, state: SampleState) -> SampleAttention:
    """The attention that divides a sample into segments: what `find` finds, or else that of its picture without words,
    which the model sees now. A model that the person named comes first. Raises UserError if there is none."""
    attention = find(store, state)
    if attention is not None and store.looking is None:
        return attention
    config = store.looking or run_of(store, state)
    reason = cannot_look(config)
    if config is None or reason:
        raise UserError(reason)
    return store.attention.get_or_make((state.number, "alone"), partial(CAPTURER.look, state.sample, config))


def make_labels(store: Store, state: SampleState, mask: MaskConfig) -> np.ndarray:
    """(H, W) uint8: the label map of a sample with these constants. It is computed with as many threads as the set was,
    because rounding depends on them. Raises UserError as `get` does, for a class that the set lacks, and for a level
    that was not captured."""
    attention = get(store, state)
    made_by = config_of(store, state)
    ids = ids_by_name(store.classes)
    for name in attention.classes:
        if name not in ids:
            raise UserError(f"class '{name}' is not a class of the set")
    # Soft masks do not depend on the threshold, unless SAM refines them. So configurations that differ only in it have
    # one key, and the first one makes the masks for all.
    config = attention.fit(mask)
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
