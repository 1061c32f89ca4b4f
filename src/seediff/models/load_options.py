"""The options that change how a model is loaded, and which of them a model cannot have."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import UserError
from .families.family import Family
from .saving_memory import Quantize, check_quantize
from .schedulers import check_scheduler


@dataclass(frozen=True)
class LoadOptions:
    """Options of `load_model` that change what is loaded. The fields are as in `RunConfig`."""

    lora: str | None = None
    lora_scale: float | None = None
    scheduler: str | None = None
    quantize: Quantize | None = None
    vae_tiling: bool = False

    @classmethod
    def of(cls, config: Any) -> LoadOptions:
        """The options in a configuration."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: getattr(config, name) for name in names if hasattr(config, name)})


def check_options(options: LoadOptions, family: Family, *, gguf: bool) -> None:
    """Raise UserError for options that contradict each other or the model, before its weights are read. family: the
    model's. gguf: whether its weights are in GGUF."""
    lora, scale = options.lora, options.lora_scale
    if options.quantize is not None:
        check_quantize(options.quantize, quantised=gguf)
    if options.scheduler is not None:
        check_scheduler(family, options.scheduler)
    if scale is not None and lora is None:
        raise UserError("lora_scale", f"{scale} needs a lora")
    if lora is not None and not family.loads_loras:
        raise UserError("lora", f"{lora}: diffusers cannot load a LoRA into {family.title}")
