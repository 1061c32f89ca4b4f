"""`ModelJob`: a job that runs a model and writes a dataset. It checks the configuration before and after the model is
loaded, plans which attention is captured, describes dry runs, and writes the files about the whole dataset."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import __version__
from ..attention.plan import CapturePlan, Expected, plan_capture, plan_segments
from ..config.generate_config import DatasetConfig, GenerateConfig
from ..config.method_constants import EVERYTHING, Reads
from ..config.methods import check_capture
from ..config.photos_config import MaskPhotosConfig, SegmentPhotosConfig, check_attention
from ..config.settings import RunConfig
from ..config.sizes import check_sides, pixels
from ..dataset import native
from ..dataset.writing import finish_set
from ..errors import UserError
from ..files.messages import show_bytes
from ..models.describe import ModelInfo, check_known_classes
from ..models.families.layers import Layer
from ..models.families.readers import Reader
from ..models.fingerprint import weights_fingerprint
from ..models.locate import check_weights
from ..models.registry import LoadOptions, check_options
from ..models.saving_memory import Offload, memory_bytes
from ..report.card import Product
from ..report.page import write_reports
from ..rows.row import Row
from .job import Captured, Item, Job

if TYPE_CHECKING:
    from ..models.registry import Model

ModelConfig = GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig
"""Configurations of the commands that run a model."""
AnyModelConfig = TypeVar("AnyModelConfig", bound=ModelConfig)


class ModelJob(Job[AnyModelConfig, Item, Captured]):
    """A job that runs a model and writes a dataset."""

    classes: Sequence[str]
    """The classes of the dataset."""
    product: Product
    """What the model makes, for the dataset card."""
    capture_plan: CapturePlan | None = None
    """Which attention is captured. It is made twice: by `plan` from the model's small files, to refuse faults before
    anything slow, and by `use` from the loaded model. None before `plan`, and if the small files are not on this
    machine."""
    reads: Reads | None = None
    """The attention that the job captures, if it needs other attention than masks do, for example to name segments.
    None: what the plan says."""
    model: Model
    """The loaded model."""
    warn: Callable[[str], None] = staticmethod(warnings.warn)
    """Shows a warning about doubtful results, before the first batch."""

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"capture_plan": None}

    def check_values(self) -> None:
        check_values(self.config, self.info)

    def check(self) -> None:
        self.plan()
        readers = self.info.readers()
        if readers:
            self.check_texts(readers)

    def plan(self) -> None:
        """Set `capture_plan` from the model's small files, if it is not set yet. Raises UserError as `check_model`
        does."""
        if self.capture_plan is None:
            self.capture_plan = check_model(self.config, self.info, self.info.layers())

    @abstractmethod
    def check_texts(self, readers: Sequence[Reader]) -> None:
        """Raise UserError for words that the model's tokenizers cannot find or would cut off."""

    def load(self) -> str:
        self.plan()
        config = replace(self.config, device=self.device or self.config.device)
        model, weights = load_weights(config, self.info, self.offload)
        self.use(model)
        return weights

    def use(self, model: Model) -> None:
        """Take this loaded model for all batches. Raises UserError for faults that only a loaded model shows."""
        self.model, self.info = model, model.info
        self.capture_plan = check_model(self.config, model.info, model.layers)

    @property
    def loaded_plan(self) -> CapturePlan:
        """The plan of what is captured of the loaded model."""
        assert self.capture_plan is not None
        return self.capture_plan

    @property
    def expected(self) -> Expected | None:
        """The shapes and bytes of one image's attention maps; None if the model's files do not say how large they
        are."""
        plan, lattice = self.capture_plan, lattice_of(self.config, self.info)
        if plan is None or lattice is None:
            return None
        return replace(plan, reads=self.reads or plan.reads).expected(lattice, self.info.pipeline)

    def about(self, left_out: Sequence[Row]) -> dict[str, Any]:
        """Facts about the whole run for the dataset card and the page: name → value. They have no times and no paths,
        so that they are reproducible. left_out: the rows about what did not become a sample."""
        return {"model": self.config.model_label, "method": self.config.method, "version": __version__}

    def finish(self, rows: Sequence[Row], left_out: Sequence[Row], out: Path) -> None:
        finish_set(out, self.classes, rows, self.about(left_out), self.product)

    def read_result(self, out: Path) -> dict[str, Any]:
        result = super().read_result(out)
        pages = out / native.CARD, out / native.PREVIEW
        if not all(page.is_file() and page.stat().st_size for page in pages):
            about = self.about(result.get(self.left_out[0], ()))
            write_reports(out, about, result["rows"], self.classes, product=self.product)
        return result

    def plan_lines(self, verbose: bool) -> list[str]:
        """Lines of a dry run about the model, its memory and the captured attention. verbose: also name captured
        layers, replaced levels and all settings."""
        config, plan, info, expected = self.resolved(), self.capture_plan, self.info, self.expected
        size = weight_bytes(config, info)
        lines = [
            model_line(config, info, self.offload, size),
            memory_line(config, size, expected and expected.map_bytes),
        ]
        if not verbose:
            return [*lines, "Layers and all settings: with --verbose"]
        if plan is None or expected is None:
            lines.append("Capture: not known, because the model's configuration is not on this machine")
        else:
            if expected.maps:
                nearly = ", nearly as much in other shapes" if getattr(config, "fit", "") == "keep" else ""
                lines.append(f"Capture: {expected}{nearly}")
            lines += [f"Levels: {note}" for note in plan.notes]
        return [*lines, *self.config.source_lines()]


def load_weights(config: ModelConfig, info: ModelInfo, offload: Offload = "none") -> tuple[Model, str]:
    """(model, weights): the loaded model of a configuration, and the fingerprint of its weights. Raises UserError."""
    from ..models.registry import load_found

    sam = None
    if isinstance(config, DatasetConfig) and config.mask.sam is not None:
        from ..masks.sam import load_sam

        load_sam(config.mask.sam)
        sam = config.mask.sam_weights
    how = LoadOptions.of(config)
    model = load_found(info, how, device=config.device, dtype=config.dtype, offload=offload)
    return model, weights_fingerprint(model.info.files, lora=config.lora, sam=sam)


def check_model(config: ModelConfig, info: ModelInfo, layers: Mapping[str, Layer] | None) -> CapturePlan | None:
    """The plan of which attention of a model is captured; None if its layers are not known yet.

    layers: name → layer with attention, from the loaded model or its small files; None: not known yet. Raises UserError
    for everything in the configuration that does not fit the model.
    """
    check_values(config, info)
    if layers is None:
        return None
    lattice = lattice_of(config, info)
    if isinstance(config, DatasetConfig):
        reads = EVERYTHING if config.keep_attention else None
        plan = plan_capture(info.family, layers, config.capture, mask=config.mask, reads=reads)
    else:
        plan = plan_segments(info.family, layers, config.segment, config.model)
        if lattice:
            from ..segments.make_segments import check_positions  # imports torch

            check_positions(config.segment, plan.levels("self"), lattice)
    if lattice and config.size is not None:
        there, maps = memory_bytes(), plan.expected(lattice, info.pipeline).map_bytes
        if there and maps > there:
            needed = f"attention maps of an image of this size take {show_bytes(maps)}"
            problem = f"{config.size}: {needed}, and this computer has {show_bytes(there)} of memory"
            raise UserError("size", problem, "choose a smaller one")
    return plan


def check_values(config: ModelConfig, info: ModelInfo) -> None:
    """Raise UserError for values that do not fit each other or the model."""
    check_options(LoadOptions.of(config), info)
    if config.lora is not None:
        check_weights("lora", config.lora)
    if isinstance(config, SegmentPhotosConfig):
        check_known_classes(config.model, info.settings.words, config.names, "names")
    else:
        if config.mask.sam_weights is not None:
            check_weights("mask.sam", config.mask.sam_weights)
        check_capture(config.method, config.capture.normalize)
        check_known_classes(config.model, info.settings.classes, config.classes)
    if isinstance(config, GenerateConfig):
        info.check_drawing(config.guidance_scale, config.negative_prompt)
    sizes = info.sizes()
    if sizes:
        if not isinstance(config, GenerateConfig):
            check_attention(config.size, sizes.position)
        check_sides(pixels(config.size or sizes.side), "size", config.model, sizes.multiple, sizes.largest)


def lattice_of(config: ModelConfig, info: ModelInfo) -> tuple[int, int] | None:
    """(height, width) of the latent on which the model draws or sees a picture, in positions: for example (64, 64) for
    512 × 512 pixels. None if the model's files do not say how many pixels a position has."""
    sizes = info.sizes()
    if sizes is None:
        return None
    height, width = pixels(config.size or sizes.side)
    return height // sizes.position, width // sizes.position


def model_line(config: RunConfig, info: ModelInfo, offload: Offload, size: int | None) -> str:
    """The line of a dry run about the model. size: bytes of its weights; None: not all weights are on this machine."""
    named, where = info.files.named, "on this machine"
    if size is None and not isinstance(info.files.whole, Path):
        where = "not on this machine; the run downloads it"
        if named:
            where += f": {show_bytes(named.weight_bytes(str(config.dtype)))} in {config.dtype}"
    if not info.files.is_whole:
        where = f"{info.family.title}: {info.files.parts_line(info.family)}, {where}"
    line = f"Model: {config.model} ({where})"
    return line if offload == "none" else f"{line}, offload {offload}"


def weight_bytes(config: RunConfig, info: ModelInfo) -> int | None:
    """Bytes of a model's weights in the configuration's number format; None if not all weights are on this machine."""
    with suppress(UserError):  # loading reports what is wrong with a file
        return info.files.weight_bytes(info.family, str(config.dtype))
    return None


def memory_line(config: RunConfig, size: int | None, maps: int | None) -> str:
    """The line of a dry run about memory. size: bytes of the model's weights. maps: bytes of an image's attention maps.
    None for either: not known."""
    line = "Memory: not known, because the weights are not all on this machine"
    if size:
        line = f"Memory: {show_bytes(size)} of weights in {config.dtype}"
        if config.quantize:
            line += f", before {config.quantize}"
    if maps:
        line += f"; {show_bytes(maps)} of attention maps an image"
    return line
