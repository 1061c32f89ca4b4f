"""Finds the files of a model by its name: `find_model`.

    the name                                  the weights                       the base
    sd1.5, owner/name                         a whole model on the hub          none
    mini, a folder with model_index.json      a whole model in a folder         none
    a .safetensors or .gguf file              a `Checkpoint`                    by its tensors, unless the user gives it
    owner/name/FILE, in the cache             a `Checkpoint`                    by its tensors, unless the user gives it
    owner/name/FILE, not in the cache         a `HubFile`                       must be given
    a folder with a network                   a `NetworkFolder`                 must be given

A whole model is in diffusers' format. The other weights replace some parts of a whole model, which is their base.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.messages import did_you_mean
from ..files.reading import check_unpacked, real
from .families import pipeline_family
from .families.family import NETWORK_PARTS, Family
from .hub import INDEX, WEIGHTS, HubId, cached_file, fetch_file, hub_part, local_folder, path_of, read_index
from .replacement import HubFile, NetworkFolder, Replacement, SingleFile, read_checkpoint
from .short_names import BY_NAME, EMBEDDED, named_model
from .weights import file_bytes, part_files


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model are. For example, `tuned.safetensors` may be a file made from `sd1.5`."""

    name: str
    """The name that the user gave: tuned.safetensors."""
    base: str
    """The name of the whole model: sd1.5. If the user named a whole model, it is the same as `name`."""
    whole: Path | HubId
    """The folder or hub id of the whole model: stable-diffusion-v1-5/stable-diffusion-v1-5."""
    replacement: Replacement | None = None
    """The weights that replace some parts of the whole model, such as a `Checkpoint`; None: all parts are its own."""

    @property
    def folder(self) -> Path | None:
        """The folder of the whole model, perhaps in the hub's cache. None if this machine lacks its
        model_index.json."""
        return local_folder(self.whole)

    def index(self) -> dict[str, Any]:
        """The contents of the whole model's model_index.json; empty if this machine lacks the file. Raises UserError
        for a broken file."""
        folder = self.folder
        return read_index(folder) if folder else {}

    @property
    def is_gguf(self) -> bool:
        """Whether some weights are in a GGUF file."""
        return self.replacement is not None and self.replacement.is_gguf

    def fetched(self) -> ModelFiles:
        """The same model, after its replacement was fetched from the hub if necessary. Raises UserError."""
        return replace(self, replacement=self.replacement and self.replacement.fetched())

    def replaced(self, family: Family, index: Mapping[str, Any]) -> Collection[str]:
        """The names of the parts that are replaced. family: the model's. index: the whole model's model_index.json."""
        return () if self.replacement is None else self.replacement.parts(family, index)

    def weight_bytes(self, family: Family, dtype: str) -> int | None:
        """Bytes of all weights, from the headers of their files; None if this machine lacks a file. family: the
        model's. dtype: the number format after loading. Raises UserError for files that cannot be read."""
        folder = self.folder
        if folder is None:
            return None
        index = read_index(folder)
        listed = [part for part in index if family.has_weights(part) and index[part] != [None, None]]
        replaced = self.replaced(family, index)
        parts = [part_files(folder, part, dtype)[1] for part in listed if part not in replaced]
        if self.replacement:
            parts.append(self.replacement.weight_files(dtype))
        if not listed or not all(parts):
            return None
        return sum(file_bytes(file, dtype) for file in chain.from_iterable(parts))

    def parts_line(self, family: Family) -> str:
        """Where the parts come from, such as "unet from the file, the rest from sd1.5"; "" for a whole model. family:
        the model's."""
        if self.replacement is None:
            return ""
        parts = ", ".join(self.replaced(family, self.index()))
        return f"{parts} from {self.replacement.place}, the rest from {self.base}"


def find_model(name: str, base: str | None = None) -> ModelFiles:
    """The files of a model, after its small files were fetched if this machine lacks them.

    name: the name that the user gave. base: the name of the whole model, for a single file or a network's folder. None:
    recognised by the file's tensors. Raises UserError as `locate_model` and `fetch_configurations` do."""
    files = locate_model(name, base)
    fetch_configurations(files)
    return files


def fetch_configurations(files: ModelFiles, *, planned: bool = False) -> None:
    """Fetch the small files by which `describe` describes a model, if the whole model is on the hub.

    files: the model's. planned: whether this is a dry run, which asks the hub only about models without a short name.
    Raises UserError if the files cannot be fetched, but not for a model with a short name: the table of short names is
    enough to describe it."""
    has_short_name = named_model(files.base) is not None
    if isinstance(files.whole, Path) or (planned and has_short_name):
        return
    try:
        index = read_index(fetch_file(files.whole, INDEX).parent)
        family = pipeline_family(index.get("_class_name"))
        if family is not None:
            for part in (family.network_part, "vae"):
                fetch_file(files.whole, f"{part}/config.json")
    except UserError:
        if not has_short_name:
            raise


def locate_model(name: str, base: str | None = None) -> ModelFiles:
    """The files of a model, without asking the hub. name, base: as in `find_model`. Raises UserError if nothing has
    this name, if the file is not a model's, and for a whole model with a base."""
    place = resolve_name(name)
    if isinstance(place, SingleFile):
        replacement = place
        base = base or place.base()
    elif base is None:
        return ModelFiles(name, name, place)
    elif isinstance(place, str) or (place / INDEX).is_file():
        problem = f"{base}: is for a single file, here or on the hub, and for a folder with a network, not for {name}"
        raise UserError("base", problem, "leave it out")
    else:
        replacement = _network_in(place)
    whole = resolve_name(base)
    if isinstance(whole, SingleFile):
        raise UserError("base", f"{base} must be a model in diffusers' format, a folder or a hub id, not a file")
    return ModelFiles(name, base, whole, replacement)


def _network_in(folder: Path) -> NetworkFolder:
    """The folder with a network's configuration and weights: `folder` itself, or unet/ or transformer/ in it. Raises
    UserError."""
    resolved = real(folder)  # the name of `.` is empty
    for place in (resolved, *(resolved / name for name in NETWORK_PARTS)):
        if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
            return NetworkFolder(place)
    problem = f"{folder}: has neither {INDEX} nor config.json beside diffusion_pytorch_model.safetensors"
    raise UserError("model", problem, "name a folder with a whole model or its network")


def resolve_name(name: str) -> Path | HubId | SingleFile:
    """What a name stands for: a folder on this machine, a hub id, or a single file of weights. Asks no hub. Raises
    UserError for any other name, and for a file that cannot be read."""
    if name in EMBEDDED:
        if not (EMBEDDED[name] / INDEX).is_file():
            raise UserError("model", f"{name}: is missing", "take it from SeeDiff's repository, or reinstall seediff")
        return EMBEDDED[name]
    if name in BY_NAME:
        return BY_NAME[name].hub_id
    path = path_of(name)
    if os.path.isdir(path):
        return path
    if os.path.isfile(path) and path.suffix in WEIGHTS:
        return read_checkpoint(path)
    check_unpacked(path)
    if os.path.exists(path):
        problem = "must be a folder, or a file of weights in safetensors or GGUF; pickles can run code"
        raise UserError("model", f"{name} {problem}", "convert it to .safetensors")
    hub_id, file = hub_part(name) or (None, None)
    if file is None and path.suffix in WEIGHTS:
        raise UserError("model", f"{name}: no such file")
    if hub_id is None:
        near = did_you_mean(name, (*EMBEDDED, *BY_NAME))
        fix = "`seediff models` lists the names; others are a folder, a file or a hub id `owner/name`"
        raise UserError("model", f"{name}: no such folder or file{near}", fix)
    if file is None:
        return hub_id
    cached = cached_file(hub_id, file)
    return HubFile(hub_id, file) if cached is None else read_checkpoint(cached)
