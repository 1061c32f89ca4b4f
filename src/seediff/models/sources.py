"""Finds where the parts of a model come from: a whole model in diffusers' format, and in addition perhaps a single file
with some of the parts, or the folder of the network."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from .checkpoint import NETWORKS, Checkpoint, read_checkpoint
from .families import pipeline_family
from .families.base import Family
from .hub import INDEX, cached_file, fetch_file, hub_part, path_of, resolve_name


@dataclass(frozen=True)
class Source:
    """Where the parts of a model come from.

    name: of the whole model. whole: its folder or hub id. Instead of some parts of it, if any of these is given:
    checkpoint: the file whose parts are taken. network: the folder of the network, with its config.json. part: (hub id,
    file) that has not been fetched yet.
    """

    name: str
    whole: Path | str
    checkpoint: Checkpoint | None = None
    network: Path | None = None
    part: tuple[str, str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all parts come from the whole model."""
        return self.checkpoint is None and self.network is None and self.part is None

    @property
    def is_gguf(self) -> bool:
        """Whether weights come from a GGUF file, fetched or not."""
        return self.checkpoint.is_gguf if self.checkpoint else self.part is not None and self.part[1].endswith(".gguf")

    def check(self, pipeline: str) -> None:
        """Raise UserError if the file belongs to another family than its base. pipeline: the base's pipeline class."""
        file, family = self.checkpoint, pipeline_family(pipeline)
        if file and file.layout and pipeline_family(file.layout.pipeline) is not family:
            problem = f"{file.path}: is of a {file.layout.pipeline}, but its base {self.name} is a {pipeline}"
            raise UserError("model", problem, "give another base")

    def parts_line(self, family: Family) -> str:
        """A description for people of where the parts come from, for a model that is not whole."""
        parts = ", ".join(self.checkpoint.parts(family, family.optional)) if self.checkpoint else family.network
        place = "the hub" if self.part else "the folder" if self.network else "the file"
        return f"{parts} from {place}, the rest from {self.name}"


def find_source(model: str, base: str | None = None) -> Source:
    """The source that the names of a model and of its base stand for. Raises UserError for names that stand for
    nothing, for a file that is not a model's, and for a base with a model that is already whole. Makes no network
    requests."""
    part = hub_part(model) if base is not None and not os.path.exists(path_of(model)) else None
    if base is not None and part and part[1] and cached_file(part[0], part[1]) is None:
        return Source(base, _whole_source(base), part=(part[0], part[1]))
    path = resolve_name(model)
    is_whole = isinstance(path, str) or (path / INDEX).is_file()
    if base is not None and is_whole:
        problem = f"{base}: is for a single file, here or on the hub, and for a folder with a network, not for {model}"
        raise UserError("base", problem, "leave it out")
    if isinstance(path, str) or (base is None and path.is_dir()):
        return Source(model, path)
    if base is not None and path.is_dir():
        return Source(base, _whole_source(base), network=_find_network(path))
    status = path.stat()
    checkpoint = _read_once(path, status.st_size, status.st_mtime_ns)
    name = base or checkpoint.base()
    return Source(name, _whole_source(name), checkpoint)


def fetch_part(source: Source) -> Source:
    """The source with its `part`, if it has one, fetched and read as its checkpoint. Raises UserError."""
    if source.part is None:
        return source
    return replace(source, checkpoint=read_checkpoint(fetch_file(*source.part)), part=None)


def _find_network(folder: Path) -> Path:
    """The folder of a model's network alone, as it is saved in training: this folder, or unet/ or transformer/ in it.
    Raises UserError if there is none."""
    here = folder.resolve()  # the name of `.` is empty
    for place in (here, *(here / name for name in NETWORKS)):
        if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
            return place
    problem = f"{folder}: has neither {INDEX} nor config.json beside diffusion_pytorch_model.safetensors"
    raise UserError("model", problem, "name a folder with a whole model or its network")


def _whole_source(base: str) -> Path | str:
    whole = resolve_name(base)
    if isinstance(whole, Path) and whole.is_file():
        raise UserError("base", f"{base} must be a model in diffusers' format, a folder or a hub id, not a file")
    return whole


@lru_cache
def _read_once(path: Path, size: int, changed: int) -> Checkpoint:
    """A file's checkpoint. size, changed: of the file, so that a rewritten file is read again."""
    return read_checkpoint(path)
