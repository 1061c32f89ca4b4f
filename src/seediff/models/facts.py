"""`Facts`: what is known of a model. Its small files answer before its weights are read, and then the loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from .describe import ModelInfo, Sizes
from .families.inputs import Reader
from .families.layers import Layer
from .hub import INDEX
from .locate import read_index
from .no_code import check_index, check_parts, import_diffusers
from .registry import Model
from .sampling import use_scheduler


@dataclass(frozen=True)
class Facts:
    """What is known of a model. A fact that is not known is None, and nothing follows from it."""

    info: ModelInfo
    """Its family, its configurations, and what its seediff.json says."""
    layers: Mapping[str, Layer] | None = None
    """Name → attention layer, for all layers that can be captured."""
    readers: tuple[Reader, ...] | None = None
    """The tokenizers."""
    scheduler: Any = None
    """diffusers' scheduler, with which pictures are drawn."""
    pipe: Any = None
    """The loaded pipeline."""

    @property
    def sizes(self) -> Sizes | None:
        """The sizes of the model's images."""
        return self.info.sizes()

    def predictions(self, steps: int) -> int | None:
        """How often the network predicts with the prompt in a drawing of this many steps. Raises what the scheduler
        raises for steps that it cannot make."""
        if self.scheduler is None:
            return None
        return self.info.family.count_predictions(SimpleNamespace(scheduler=self.scheduler), steps)

    def reads_negative(self, guidance_scale: float) -> bool | None:
        """Whether a negative prompt changes the picture at this guidance scale."""
        return None if self.pipe is None else self.info.family.reads_negative(self.pipe, guidance_scale)


def facts_of_files(info: ModelInfo, scheduler: str | None = None) -> Facts:
    """What a model's small files say. Takes up to some seconds. Raises UserError for attention that cannot be captured,
    and for a scheduler that cannot be made of the model's own.

    Args:
        info: the model.
        scheduler: the scheduler by name, as in `load_model`; None: the model's own.
    """
    network, layers = info.network(), None
    if network is not None:
        layers = info.family.layers(network)
        info = replace(info, network_config={**network.config, **info.network_config})  # with the class's defaults
    return Facts(info, layers, info.readers() or None, _scheduler_of_files(info, scheduler))


def facts_of_model(model: Model) -> Facts:
    """What a loaded model says."""
    return Facts(model.info, model.layers, model.readers, model.pipe.scheduler, model.pipe)


def _scheduler_of_files(info: ModelInfo, name: str | None) -> Any:
    """The scheduler with which a whole model will draw; None if this machine lacks its file, or cannot read it, which
    loading reports. A single file may change its base's scheduler. name: as in `facts_of_files`."""
    folder, made = info.files.folder, SimpleNamespace(scheduler=None)
    if folder is None or info.files.file is not None:
        return None
    with suppress(Exception):  # the file may hold anything
        import_diffusers()
        import diffusers

        index = read_index(folder)
        check_index(folder / INDEX, index, info.family)
        check_parts([folder / "scheduler"])
        kind = getattr(diffusers, index["scheduler"][1])
        made.scheduler = kind.from_pretrained(folder / "scheduler")
    if name is not None and made.scheduler is not None:
        use_scheduler(made, name)
    return made.scheduler
