"""Loads a model by name: `load_model`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..errors import UserError, first_line
from ..files.messages import show_json
from .adapters import load_lora
from .families.family import NOT_LOADED, OF_PIPELINES, Family, Layer
from .families.readers import Reader
from .hub import INDEX, fetch_files, fetch_index, hub_files, read_index
from .info import ModelInfo, ModelSettings, check_known_classes, find_model
from .load_options import LoadOptions, check_options
from .memory import (
    Graphs,
    Offload,
    Quantize,
    check_graphs,
    check_offload,
    enable_tiling,
    place,
    quantise,
    why_no_graphs,
)
from .schedulers import follow_marks, use_scheduler
from .short_names import BYTES
from .single_file import load_parts
from .sources import Source
from .trust import check_index, check_parts, import_diffusers
from .weights import check_numbers, folder_files, is_enough, load_part, needed_files

if TYPE_CHECKING:
    import torch

WORDS: dict[str, tuple[str, ...]] = {
    "dtype": tuple(BYTES),
    "offload": get_args(Offload),
    "graphs": get_args(Graphs),
    "quantize": get_args(Quantize),
}
"""What these arguments of `load_model` may be."""


@dataclass(frozen=True)
class Model:
    """A loaded text-to-image model. device, dtype, offload: as in `load_model`."""

    pipe: Any
    """diffusers' pipeline, without safety checker and progress bar."""
    info: ModelInfo
    """What was known before it was loaded, with the configurations of its parts as they were loaded."""
    device: str
    dtype: str
    image_side: int
    """The side of its own images in pixels."""
    offload: Offload = "none"

    @property
    def name(self) -> str:
        """As in `load_model`."""
        return self.info.name

    @property
    def family(self) -> Family:
        """Its architecture."""
        return self.info.family

    @property
    def settings(self) -> ModelSettings:
        """What its folder says about it: all classes that it can draw, all words that it knows, and what was tuned."""
        return self.info.settings

    @property
    def network(self) -> Any:
        """The part of the pipeline that contains the attention."""
        return getattr(self.pipe, self.family.network)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers of attention that can be captured, by name."""
        return self.family.layers(self.network)

    @property
    def pixels(self) -> int:
        """Pixels per position of L."""
        return self.family.pixels(self.pipe.vae_scale_factor, self.network.config)

    @property
    def size_rules(self) -> tuple[int, int | None]:
        """(number of pixels that image sides must be multiples of, largest side in pixels or None for no limit)."""
        factor, config = self.pipe.vae_scale_factor, self.network.config
        return self.family.multiple(factor, config), self.family.largest(factor, config)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers, and where their tokens are among the columns of attention to text."""
        return self.family.readers(self.pipe)

    def rest(self) -> None:
        """Move parts that take turns on the device off it, after running parts outside the pipeline's call."""
        if self.offload == "model":
            self.pipe.maybe_free_model_hooks()

    def check_known(self, classes: Sequence[str]) -> None:
        """Raise UserError, listing what the model knows, if it does not know one of the classes."""
        check_known_classes(self.name, self.settings.classes, classes)


def load_model(
    name: str | Path,
    *,
    base: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    lora: str | Path | None = None,
    lora_scale: float | None = None,
    scheduler: str | None = None,
    quantize: Quantize | None = None,
    vae_tiling: bool = False,
    offload: Offload = "none",
    graphs: Graphs = "off",
) -> Model:
    """Load a model of one of the families without running third-party code: in diffusers' format, safetensors only, or
    as a single file on top of such a model.

    Args:
        name: a short name (`seediff models`), a local folder, a hub id `owner/name`, or a `.safetensors` or `.gguf`
            file, local or on the hub, `owner/name/file.safetensors`. What is not in the hub's cache is fetched.
        base: for a single file, and for a folder of a network alone, the model that supplies the rest. None: recognised
            by the file's tensors.
        device: None: cuda, else mps, else cpu.
        dtype: "float32", "float16" or "bfloat16", or torch's; None: half precision on cuda, float32 elsewhere.
        lora, lora_scale, scheduler, quantize, vae_tiling: as in `RunConfig`.
        offload: what waits in the computer's memory while it is not running. Results do not depend on it.
        graphs: whether the network's calls are replayed as CUDA graphs while attention is captured. auto: if the first
            calls show that this is faster here and gives the same bytes. Results do not depend on it.

    Raises:
        UserError: no such model, weights that are broken or cannot be fetched, an unsupported family, or options that
            the model or the machine cannot serve.
    """
    name = str(name)
    words = (base, lora, device, dtype)
    base, lora, device, dtype = (None if value is None else str(value) for value in words)
    dtype = dtype and dtype.removeprefix("torch.")
    _check_words(dtype=dtype, quantize=quantize)
    info = find_model(name, base, must=True)
    assert info is not None  # else it was refused
    options = LoadOptions(lora, lora_scale, scheduler, quantize, vae_tiling)
    check_options(options, info.family, name, gguf=info.source.is_gguf)
    return load_found(info, options, device=device, dtype=dtype, offload=offload, graphs=graphs)


def _check_words(**given: str | None) -> None:
    for field, value in given.items():
        if value not in (None, *WORDS[field]):
            raise UserError(field, f"{value} must be one of {', '.join(WORDS[field])}")


def load_found(
    info: ModelInfo,
    options: LoadOptions,
    *,
    device: str | None = None,
    dtype: str | None = None,
    offload: Offload = "none",
    graphs: Graphs = "off",
) -> Model:
    """`load_model` for a model that was found, with options that were checked (`check_options`)."""
    # 1. What can be refused before weights are read
    _check_words(offload=offload, graphs=graphs)
    torch = import_diffusers()
    from ..devices import check_device, default_device, default_dtype

    name, family = info.name, info.family
    device = check_device(device or default_device())
    check_offload(offload, device)
    if graphs == "on":
        check_graphs(device)

    # 2. The pipeline
    source = info.source.fetched()
    dtype = dtype or default_dtype(device, family.half)
    pipe = _load_pipeline(source, family, dtype, name)

    # 3. What is loaded on top, and the device
    if options.lora is not None:
        load_lora(pipe, family, options.lora, 1.0 if options.lora_scale is None else options.lora_scale, name)
    if options.scheduler is not None:
        use_scheduler(pipe, options.scheduler)
    if options.quantize is not None:
        quantise(pipe, family, options.quantize, getattr(torch, dtype))
    if options.vae_tiling:
        enable_tiling(pipe, name)
    pipe.set_progress_bar_config(disable=True)
    network = getattr(pipe, family.network)
    try:
        place(pipe, device, offload)
    except torch.OutOfMemoryError as error:
        fix = {"none": "use offload model, or ", "model": "use offload sequential, or "}.get(offload, "use ")
        raise UserError("model", f"{name}: does not fit into the memory of {device}", f"{fix}dtype float16") from error
    is_plain = family.recordable and options.quantize is None and not info.source.is_gguf and offload == "none"
    if graphs == "on" or (graphs == "auto" and is_plain and not why_no_graphs(device)):
        from .graphs import CudaRecording, GraphedNetwork

        GraphedNetwork(network, CudaRecording(torch.device(device)), trial=graphs == "auto")

    # 4. The model's image size, and its configurations as they were loaded
    config = {**network.config, **{key: pipe.config[key] for key in OF_PIPELINES if key in pipe.config}}
    info = replace(info, pipeline=type(pipe).__name__, source=source, network=config, vae=pipe.vae.config)
    sizes = info.sizes()
    if sizes is None:
        problem = f"{name}: config.json of its {family.network} does not tell the size of its images"
        raise UserError("model", problem, "download it again")
    return Model(pipe, info, device, dtype, sizes.side, offload)


class _Unreadable(UserError):
    """Libraries cannot load a folder: it is broken or, in the hub's cache, not all there."""


def _load_pipeline(source: Source, family: Family, dtype: str, name: str) -> Any:
    """diffusers' pipeline, with each part from its source; what the hub's cache lacks is fetched. Raises UserError."""
    if isinstance(source.whole, Path):
        return _load_folder(source.whole, source, family, dtype, name)
    folder, refusal = fetch_index(source.whole), None
    _, parts = _parts(folder, source, family)
    if not is_enough(folder_files(folder, parts), parts, dtype):
        try:
            folder = fetch_source(source, family, dtype)
        except UserError as error:
            refusal = error
    try:  # without a question to the hub, if the cache may have all
        return _load_folder(folder, source, family, dtype, name)
    except _Unreadable as error:
        if refusal:
            raise refusal from error
        folder = fetch_source(source, family, dtype)
        return _load_folder(folder, source, family, dtype, name)


def _parts(folder: Path, source: Source, family: Family) -> tuple[set[str], list[str]]:
    """The parts that the model_index.json of a whole model lists, and those whose weights are loaded from there. Raises
    UserError."""
    index = read_index(folder)
    listed = check_index(folder / INDEX, index, family)
    given = source.given(family, index)
    return listed, [part for part in sorted(listed) if family.has_weights(part) and part not in given]


def fetch_source(source: Source, family: Family, dtype: str, out: Path | None = None) -> Path:
    """The folder with all files of a model on the hub that are loaded in a number format, after fetching what is not
    there. out: as in `fetch_files`. Raises UserError."""
    hub_id = str(source.whole)
    files = hub_files(hub_id)
    needed = needed_files(files, *_parts(fetch_index(hub_id), source, family), dtype)
    return fetch_files(hub_id, {file: files[file] for file in needed}, out)


def _load_folder(folder: Path, source: Source, family: Family, dtype: str, name: str) -> Any:
    """The pipeline from a folder, with what the source takes from elsewhere."""
    import diffusers
    import torch

    index = read_index(folder)
    listed, parts = _parts(folder, source, family)
    check_parts(folder, listed)
    loaded: dict[str, Any] = {}
    number_format, place = getattr(torch, dtype), folder / "tokenizer"
    options = dict.fromkeys({*NOT_LOADED, *family.optional} - listed)
    options |= {"use_safetensors": True, "trust_remote_code": False}
    options |= {"requires_safety_checker": False, "add_watermarker": False}  # if its pipeline has these
    try:
        # 1. The small parts, each alone, so that an error names it
        tokenizers = family.tokenizers(folder)
        for part in sorted(part for part in listed - {*tokenizers} if not family.has_weights(part)):
            library, kind = index[part]
            place = folder / part
            options[part] = getattr(import_module(library), kind).from_pretrained(str(place))

        # 2. Those with weights
        for part in parts:
            library, kind = index[part]
            place = folder / part
            loaded[part] = load_part(getattr(import_module(library), kind), folder, part, dtype, name)
        if source.network:
            place = source.network
            check_parts(place.parent, [place.name])
            kind = getattr(diffusers, family.class_name)
            loaded[family.network] = load_part(kind, place.parent, place.name, dtype, name)
        if source.checkpoint:
            loaded |= load_parts(source.checkpoint, family, folder, index, number_format)
        place = folder
        # None of another kind than model_index.json names; a processor is needed at once.
        given = {part: one if hasattr(one, "tokenizer") else None for part, one in tokenizers.items()}
        options |= {**loaded, **given}
        pipe = getattr(diffusers, index["_class_name"]).from_pretrained(str(folder), dtype=number_format, **options)
        pipe.register_modules(**tokenizers)
    except UserError:
        raise
    except Exception as error:  # a broken folder may raise anything
        raise _Unreadable(place, f"cannot be loaded ({first_line(error)})") from error
    check_numbers(pipe, name, loaded)
    _check_readers(pipe, name, family)
    if source.checkpoint:
        follow_marks(pipe, source.checkpoint.tensors)
    return pipe


def _check_readers(pipe: Any, name: str, family: Family) -> None:
    """Raise UserError for a tokenizer that reads more tokens than CLIP has places, or none."""
    for reader in family.readers(pipe):
        encoder = getattr(pipe, reader.name.replace("tokenizer", "text_encoder"))
        limit, places = reader.tokenizer.model_max_length, math.inf
        if type(encoder).__name__.startswith("CLIP"):
            places = encoder.config.max_position_embeddings
        if type(limit) is not int or not 0 < limit <= places:
            problem = f"{name}: its {reader.name} gives {show_json(limit)} tokens at a time"
            raise UserError("model", f"{problem}, which its text encoder cannot read", "download that folder again")
