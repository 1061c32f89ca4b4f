"""Finds the files of a model by its name: `find_model`.

    a name                                        the model                      its base
    sd1.5, owner/name                             the whole model of a hub id
    mini, a folder with model_index.json          the whole model in a folder
    a .safetensors or .gguf file                  a `Checkpoint`                 given, or recognised by its tensors
    owner/name/FILE                               a `Checkpoint` or `HubFile`    given; if it is in the cache, as above
    a folder of a network, and a base             a `NetworkFolder`              given

A whole model is in diffusers' format. The others replace some parts of a whole model, their base.
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
from ..files.reading import check_unpacked
from .families import pipeline_family
from .families.family import NETWORK_PARTS, Family
from .hub import INDEX, WEIGHTS, HubId, cached_file, fetch_file, hub_part, local_folder, path_of, read_index
from .replacement import HubFile, NetworkFolder, Replacement, SingleFile, read_checkpoint
from .short_names import BY_NAME, EMBEDDED, named_model
from .weights import file_bytes, part_files


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model are. Examples: `sd1.5`, and a file `tuned.safetensors` that was made from it."""

    name: str
    """The name that the user gave: sd1.5; tuned.safetensors."""
    base: str
    """The name of the whole model: sd1.5 in both examples."""
    whole: Path | HubId
    """The folder or hub id of the whole model: stable-diffusion-v1-5/stable-diffusion-v1-5."""
    replacement: Replacement | None = None
    """The weights that replace some parts of the whole model: None; a `Checkpoint`."""

    @property
    def folder(self) -> Path | None:
        """The folder of the whole model, which may be in the hub's cache; None if its model_index.json is not on
        this machine."""
        return local_folder(self.whole)

    def index(self) -> dict[str, Any]:
        """The contents of the whole model's model_index.json; empty if the file is not on this machine. Raises
        UserError."""
        folder = self.folder
        return read_index(folder) if folder else {}

    @property
    def is_gguf(self) -> bool:
        """Whether weights come from a GGUF file."""
        return self.replacement is not None and self.replacement.is_gguf

    def fetched(self) -> ModelFiles:
        """The same files, after a replacement on the hub was fetched. Raises UserError."""
        return replace(self, replacement=self.replacement and self.replacement.fetched())

    def replaced(self, family: Family, index: Mapping[str, Any]) -> Collection[str]:
        """The parts that the replacement has. index: the whole model's model_index.json."""
        return () if self.replacement is None else self.replacement.parts(family, index)

    def weight_bytes(self, family: Family, dtype: str) -> int | None:
        """Bytes of all weights in the number format `dtype`, from the headers of their files; None if a file is not
        on this machine. Raises UserError for files that cannot be read."""
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
        """A line that says where the parts come from, such as "unet from the file, the rest from sd1.5"; empty for a
        whole model."""
        if self.replacement is None:
            return ""
        parts = ", ".join(self.replaced(family, self.index()))
        return f"{parts} from {self.replacement.place}, the rest from {self.base}"


def find_model(name: str, base: str | None = None) -> ModelFiles:
    """Find the files of a model, and fetch the small ones that are not on this machine.

    name: as a user gives it. base: the name of the whole model, for a single file or a network's folder. Raises
    UserError as `locate_model` and `fetch_configurations` do."""
    files = locate_model(name, base)
    fetch_configurations(files)
    return files


def fetch_configurations(files: ModelFiles, *, planned: bool = False) -> None:
    """Fetch the small files by which a model is described, if the model is on the hub.

    planned: for a dry run, which asks the hub nothing about models with short names. Raises UserError if the hub
    does not deliver them, except for a model with a short name, which can be described without."""
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
    """`find_model` without asking the hub. Raises UserError if nothing has this name, if the file is not a model's,
    and if a whole model is given a base."""
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
    """The folder of the network: `folder` itself, or unet/ or transformer/ in it. Raises UserError."""
    here = folder.resolve()  # the name of `.` is empty
    for place in (here, *(here / name for name in NETWORK_PARTS)):
        if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
            return NetworkFolder(place)
    problem = f"{folder}: has neither {INDEX} nor config.json beside diffusion_pytorch_model.safetensors"
    raise UserError("model", problem, "name a folder with a whole model or its network")


def resolve_name(name: str) -> Path | HubId | SingleFile:
    """What a name stands for: a folder on this machine, a hub id, or a single file of weights. Makes no network
    requests. Raises UserError for any other name, and for a file that cannot be read."""
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
