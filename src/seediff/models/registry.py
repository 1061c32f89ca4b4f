"""Loads a model by name: `load_model` returns a `Model`. Its steps, and the files that have them:

    name ─usable_device               refuses what this machine lacks                 saving_memory.py
         ─describe_model─▶ ModelInfo  family, sizes and defaults, by the small files  describe.py, families/
             locate─▶ ModelFiles      where its parts are                             locate.py, hub.py
         ─check_options               refuses what the model cannot do
         ─load─▶ Model                LoRA, scheduler, quantised weights; the device  pipeline.py, schedulers.py
             load_pipeline─▶ pipe     loads and checks the weights                    pipeline.py, weights.py

Commands describe the model before, and then call `load`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ..errors import UserError
from .describe import ModelInfo, describe_model
from .families.family import Family, Sizes
from .families.inputs import LATENTS_INPUTS, TIMESTEP_INPUTS, DrawRequest, Reader
from .hooks import NetworkInputs, hear_calls
from .layers import Layer
from .libraries import import_diffusers
from .pipeline import load_lora, load_pipeline
from .saving_memory import NEEDS, Offload, Quantize, check_offload, move_to, quantise
from .schedulers import check_scheduler, use_scheduler
from .weights import BYTES, weights_fingerprint

if TYPE_CHECKING:
    import torch

WORDS: dict[str, tuple[str, ...]] = {
    "dtype": tuple(BYTES),
    "offload": get_args(Offload),
    "quantize": get_args(Quantize),
}
"""Argument of `load_model` → its allowed words."""


@dataclass(frozen=True)
class LoadOptions:
    """The options that change what is loaded. Fields as in `RunConfig`; `scheduler` as in `GenerateConfig`."""

    lora: str | None = None
    lora_scale: float | None = None
    scheduler: str | None = None
    quantize: Quantize | None = None
    vae_tiling: bool = False

    @classmethod
    def of(cls, config: Any) -> LoadOptions:
        """The options in a command's configuration."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: getattr(config, name) for name in names if hasattr(config, name)})


class _Heard(Exception):
    """Stops a pipeline before its network runs."""


@dataclass(frozen=True)
class Model:
    """A loaded text-to-image model. device, dtype and offload are the arguments of `load_model`, or its choices."""

    pipe: Any
    """diffusers' pipeline, without safety checker and progress bar."""
    info: ModelInfo
    """The description of the model, with its parts' configurations as they were loaded."""
    sizes: Sizes
    """The sizes of the model's images."""
    device: str
    dtype: str
    offload: Offload = "none"
    weights: str = ""
    """The fingerprint of its weights."""

    @property
    def family(self) -> Family:
        """The model's architecture."""
        return self.info.family

    @property
    def network(self) -> Any:
        """The part of the pipeline with the attention."""
        return getattr(self.pipe, self.family.network_part)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """Name → attention layer, for all layers that can be captured."""
        return self.family.layers(self.network)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers, each with the text columns of its tokens."""
        return self.family.readers(self.pipe)

    def network_inputs(self, prompts: Sequence[str], height: int, width: int) -> NetworkInputs:
        """The inputs of the network's first call, when the pipeline draws images of this size in pixels without
        guidance. The network does not run."""
        import torch

        calls: list[NetworkInputs] = []

        def stop(_: Any, inputs: NetworkInputs) -> None:
            calls.append(inputs)
            raise _Heard

        noise = [torch.Generator().manual_seed(0) for _ in prompts]
        request = DrawRequest(prompts, "", height, width, steps=2, guidance_scale=1.0, generators=noise)
        arguments = self.family.pipeline_arguments(self.pipe, request)
        with suppress(_Heard), hear_calls(self.network, stop, first=True):
            self.pipe(**arguments)
        return {name: value for name, value in calls[0].items() if not name.startswith("kv_cache")}

    def denoise(self, latents: torch.Tensor, timestep: float, inputs: NetworkInputs) -> torch.Tensor:
        """(B, C, h, w): the network's prediction, without guidance. latents: (B, C, h, w), with noise. timestep: the
        noise level. inputs: from `network_inputs`, for these pictures' prompts and size."""
        family = self.family
        timesteps = latents.new_full((len(latents),), family.timestep_input(timestep))
        changed = dict.fromkeys(LATENTS_INPUTS, family.pack(latents)) | dict.fromkeys(TIMESTEP_INPUTS, timesteps)
        changed = {name: value for name, value in changed.items() if name in inputs}
        predicted = self.network(**{**inputs, **changed, "return_dict": False})[0]
        return family.unpack(predicted, latents.shape[1:])

    def rest(self) -> None:
        """With offload "model", move all parts off the device. Call this after a part ran without the pipeline."""
        if self.offload == "model":
            self.pipe.maybe_free_model_hooks()


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
) -> Model:
    """Load a model of a supported family, fetching what the hub's cache lacks. Runs no code from the model's files, and
    reads no pickles.

    Args:
        name: a short name (`seediff models`), a local folder in diffusers' format, a hub id `owner/name`, or a
            `.safetensors` or `.gguf` file. The file may be on the hub: `owner/name/file.safetensors`.
        base: the model that supplies what a single file, or a folder with a network alone, lacks. None: recognised by
            the file's tensors.
        device: None: cuda if there is a GPU, else mps, else cpu.
        dtype: "float32", "float16", "bfloat16", or torch's types of these names. None: half precision on cuda, float32
            elsewhere.
        lora, lora_scale, quantize, vae_tiling: as in `RunConfig`; scheduler: as in `GenerateConfig`.
        offload: "model" keeps parts, and "sequential" keeps single layers, in the computer's memory while they do not
            run. Results do not depend on it.

    Raises:
        UserError: no such model, weights that are broken or cannot be fetched, an unsupported family, or options that
            the model or the machine cannot serve.
    """
    # 1. What can be refused before anything is fetched
    values = (base, lora, device, dtype)
    base, lora, device, dtype = (None if value is None else str(value) for value in values)
    dtype = dtype and dtype.removeprefix("torch.")
    _check_words(dtype=dtype, quantize=quantize)
    device = usable_device(device, offload)

    # 2. What can be refused before weights are fetched and read
    info = describe_model(str(name), base)
    options = LoadOptions(lora, lora_scale, scheduler, quantize, vae_tiling)
    check_options(options, info)

    # 3. The weights
    return load(info, options, device=device, dtype=dtype, offload=offload)


def _check_words(**given: str | None) -> None:
    """Raise UserError for a word that WORDS does not allow. given: argument of `load_model` → its value."""
    for field, value in given.items():
        if value not in (None, *WORDS[field]):
            raise UserError(field, f"{value} must be one of {', '.join(WORDS[field])}")


def check_options(options: LoadOptions, info: ModelInfo) -> None:
    """Raise UserError for options that contradict each other or the model. Reads no weights. info: the model."""
    lora, scale = options.lora, options.lora_scale
    needed = NEEDS.get(options.quantize or "", "")
    if needed and find_spec(needed) is None:
        raise UserError("quantize", f"{options.quantize}: needs {needed}", "pip install 'seediff[quantize]'")
    if options.scheduler is not None:
        check_scheduler(info.family, options.scheduler)
    if scale is not None and lora is None:
        raise UserError("lora_scale", f"{scale} needs a lora")
    if lora is not None:
        import_diffusers()
        import diffusers

        if not hasattr(getattr(diffusers, info.pipeline), "load_lora_weights"):
            raise UserError("lora", f"{lora}: diffusers cannot load a LoRA into {info.family.title}")


def load(
    info: ModelInfo, options: LoadOptions, *, device: str | None, dtype: str | None, offload: Offload = "none"
) -> Model:
    """Load a model that was described before. Raises UserError.

    info: the model. options: they have passed `check_options`. device, dtype, offload: as in `load_model`."""
    device = usable_device(device, offload)
    import_diffusers()
    import torch

    from ..devices import default_dtype

    # 1. The pipeline, and what changes it
    family = info.family
    dtype = dtype or default_dtype(device, family.half)
    pipe = load_pipeline(info.files, family, dtype)
    if options.lora is not None:
        load_lora(pipe, family, options.lora, 1.0 if options.lora_scale is None else options.lora_scale)
    if options.scheduler is not None:
        use_scheduler(pipe, options.scheduler)
    parts = {name: part for name, part in pipe.components.items() if part is not None and family.has_weights(name)}
    weights = weights_fingerprint(parts)
    if options.quantize is not None:
        quantise(pipe, family, options.quantize, getattr(torch, dtype))
    if options.vae_tiling:
        pipe.vae.enable_tiling()  # in overlapping tiles on pictures larger than its own size
    pipe.set_progress_bar_config(disable=True)

    # 2. The device
    try:
        move_to(pipe, device, offload)
    except torch.OutOfMemoryError as error:
        fix = {"none": "use offload model, or ", "model": "use offload sequential, or "}.get(offload, "use ")
        problem = f"{info.name}: does not fit into the memory of {device}"
        raise UserError("model", problem, f"{fix}dtype float16") from error

    # 3. The description, with the configurations as they were loaded
    network = getattr(pipe, family.network_part)
    config = {**network.config, **{key: pipe.config[key] for key in family.of_pipeline if key in pipe.config}}
    info = replace(info, pipeline=type(pipe).__name__, network_config=config, vae_config=pipe.vae.config)
    sizes = info.sizes
    if sizes is None:
        problem = f"{info.name}: config.json of its {family.network_part} does not tell the size of its images"
        raise UserError("model", problem, "download it again")
    return Model(pipe, info, sizes, device, dtype, offload, weights)


def usable_device(device: str | None, offload: Offload) -> str:
    """The device on which a model runs: `device`, or by default the fastest. Raises UserError if this machine lacks the
    device, or if the device cannot offload as asked. device, offload: as in `load_model`."""
    _check_words(offload=offload)
    import_diffusers()
    from ..devices import check_device, default_device

    device = check_device(device or default_device())
    check_offload(offload, device)
    return device
