"""Finds where the parts of a model come from: a whole model in diffusers' format, and in addition perhaps a single file
with some of the parts, or the folder of the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError
from .families.family import Family
from .hub import INDEX, cached_file, fetch_file, hub_part, local_folder, path_of, read_index, resolve_name
from .single_file import NETWORKS, Checkpoint, read_checkpoint
from .weights import file_bytes, part_files


@dataclass(frozen=True)
class Source:
    """Where the parts of a model come from: name, whole: of the whole model, and its folder or hub id; instead of some
    of its parts, checkpoint: a file's; network: of a folder with its config.json; or part: (hub id, file) that has not
    been fetched yet."""

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
        if self.checkpoint:
            return self.checkpoint.is_gguf
        return self.part is not None and self.part[1].endswith(".gguf")

    def fetched(self) -> Source:
        """The same with its `part`, if it has one, fetched and read as its checkpoint. Raises UserError."""
        if self.part is None:
            return self
        return replace(self, checkpoint=read_checkpoint(fetch_file(*self.part)), part=None)

    def given(self, family: Family, index: Mapping[str, Any]) -> list[str]:
        """The parts that do not come from the whole model. index: its model_index.json."""
        if self.network:
            return [family.network]
        return list(self.checkpoint.parts(family, index)) if self.checkpoint else []

    def weight_bytes(self, family: Family, dtype: str) -> int | None:
        """Bytes of the weights in a number format, counted in the headers of their files; None if not all are here.
        Raises UserError for files that cannot be read."""
        folder = local_folder(self.whole)
        if folder is None or self.part:
            return None
        index = read_index(folder)
        listed = [part for part in index if family.has_weights(part) and index[part] != [None, None]]
        given = self.given(family, index)
        parts = [part_files(folder, part, dtype)[1] for part in listed if part not in given]
        if self.network:
            parts.append(part_files(self.network.parent, self.network.name, dtype)[1])
        if self.checkpoint:
            parts.append([self.checkpoint.path])
        files = chain.from_iterable(parts)
        return sum(file_bytes(file, dtype) for file in files) if listed and all(parts) else None

    def parts_line(self, family: Family) -> str:
        """A description for people of where the parts come from, for a model that is not whole."""
        folder = local_folder(self.whole)
        index = read_index(folder) if folder else {}
        parts, place = ", ".join(self.given(family, index)) or family.network, "the file"
        if self.part:
            place = "the hub"
        elif self.network:
            place = "the folder"
        return f"{parts} from {place}, the rest from {self.name}"


def find_source(model: str, base: str | None = None) -> Source:
    """The source that the names of a model and of its base stand for. Raises UserError for names of nothing, for a file
    that is not a model's, and for a base of a whole model. Makes no network requests."""
    if base is not None and not os.path.exists(path_of(model)):
        hub_id, file = hub_part(model) or ("", None)
        if file and cached_file(hub_id, file) is None:
            return Source(base, _whole(base), part=(hub_id, file))
    path = resolve_name(model)
    is_file = isinstance(path, Path) and path.is_file()
    if base is None and not is_file:
        return Source(model, path)
    if isinstance(path, str) or (path / INDEX).is_file():
        problem = f"{base}: is for a single file, here or on the hub, and for a folder with a network, not for {model}"
        raise UserError("base", problem, "leave it out")
    if not is_file:
        return Source(str(base), _whole(str(base)), network=_find_network(path))
    checkpoint = read_checkpoint(path)
    name = base or checkpoint.base()
    return Source(name, _whole(name), checkpoint)


def _find_network(folder: Path) -> Path:
    """The folder of a model's network alone, as it is saved in training: this folder, or unet/ or transformer/ in it.
    Raises UserError if there is none."""
    here = folder.resolve()  # the name of `.` is empty
    for place in (here, *(here / name for name in NETWORKS)):
        if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
            return place
    problem = f"{folder}: has neither {INDEX} nor config.json beside diffusion_pytorch_model.safetensors"
    raise UserError("model", problem, "name a folder with a whole model or its network")


def _whole(base: str) -> Path | str:
    """The folder or hub id of a base. Raises UserError for a single file."""
    whole = resolve_name(base)
    if isinstance(whole, Path) and whole.is_file():
        raise UserError("base", f"{base} must be a model in diffusers' format, a folder or a hub id, not a file")
    return whole
