"""Where the files of a model are, by its name: `locate`.

    the name                                  the weights                       the base
    sd1.5, owner/name                         a whole model on the hub          none
    mini, a folder with model_index.json      a whole model in a folder         none
    a .safetensors or .gguf file              a `SingleFile`                    by its tensors, unless the user gives it
    owner/name/FILE                           a `SingleFile`                    the same; must be given if not here
    a folder with a network                   this folder                       must be given

A whole model is in diffusers' format. The other weights replace some parts of a whole model, which is their base.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.messages import did_you_mean
from ..files.reading import check_unpacked, read_json, real
from .families.family import NETWORK_PARTS
from .hub import INDEX, WEIGHTS, HubId, cached_folder, path_or_address
from .short_names import EMBEDDED, SHORT_NAMES, NamedModel, named_model
from .single_file import SingleFile


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model are. For example, `tuned.safetensors` may be a file made from `sd1.5`."""

    name: str
    """The name that the user gave: tuned.safetensors."""
    base: str
    """The name of the whole model: sd1.5. If the user named a whole model, it is the same as `name`."""
    whole: Path | HubId
    """The folder or hub id of the whole model: stable-diffusion-v1-5/stable-diffusion-v1-5."""
    network: Path | None = None
    """The folder of the network, with config.json and weights as training saves them; None: it is the whole model's."""
    file: SingleFile | None = None
    """The single file that replaces some parts of the whole model."""

    @property
    def folder(self) -> Path | None:
        """The folder of the whole model, perhaps in the hub's cache. None if this machine lacks its
        model_index.json."""
        if isinstance(self.whole, Path):
            return self.whole
        return cached_folder(self.whole)

    @property
    def are_here(self) -> bool:
        """Whether this machine has the whole model's model_index.json, and the file that replaces some of its parts."""
        return self.folder is not None and (self.file is None or self.file.path is not None)

    @property
    def is_whole(self) -> bool:
        """Whether all parts are the whole model's own."""
        return self.network is None and self.file is None

    @property
    def named(self) -> NamedModel | None:
        """The table's entry of the whole model; None if it has no short name."""
        return named_model(self.base)

    def index(self) -> dict[str, Any]:
        """The contents of the whole model's model_index.json; empty if this machine lacks the file. Raises UserError
        for a broken file."""
        folder = self.folder
        return read_index(folder) if folder else {}


def read_index(folder: Path) -> dict[str, Any]:
    """The contents of the model_index.json in a folder. Raises UserError if the file is missing or broken."""
    absent = "no such file; a folder written by diffusers' save_pretrained is needed"
    return read_json(folder / INDEX, dict[str, Any], absent=absent)


def locate(name: str, base: str | None = None) -> ModelFiles:
    """The files of a model, without asking the hub.

    name: the name that the user gave. base: the name of the whole model, for a single file or a network's folder. None:
    recognised by the file's tensors. Raises UserError if nothing has this name, if the tensors do not decide the base,
    and for a whole model with a base."""
    file = network = None
    target = resolve_name(name)
    if isinstance(target, SingleFile):
        file = target
        base = base or target.base()
    elif base is None:
        return ModelFiles(name, name, target)
    elif isinstance(target, str) or (target / INDEX).is_file():
        problem = f"{base}: is for a single file, here or on the hub, and for a folder with a network, not for {name}"
        raise UserError("base", problem, "leave it out")
    else:
        network = _network_in(target)
    whole = resolve_name(base)
    if isinstance(whole, SingleFile):
        raise UserError("base", f"{base} must be a model in diffusers' format, a folder or a hub id, not a file")
    return ModelFiles(name, base, whole, network, file)


def _network_in(folder: Path) -> Path:
    """The folder with a network's configuration and weights: `folder` itself, or unet/ or transformer/ in it. Raises
    UserError."""
    resolved = real(folder)  # the name of `.` is empty
    for network in (resolved, *(resolved / name for name in NETWORK_PARTS)):
        if (network / "config.json").is_file() and any(network.glob("*.safetensors")):
            return network
    problem = f"{folder}: has neither {INDEX} nor config.json beside diffusion_pytorch_model.safetensors"
    raise UserError("model", problem, "name a folder with a whole model or its network")


def resolve_name(name: str) -> Path | HubId | SingleFile:
    """What a name stands for: a folder on this machine, a hub id, or a single file of weights. Asks no hub. Raises
    UserError for any other name, and for a file that cannot be read."""
    if name in EMBEDDED:
        if not (EMBEDDED[name] / INDEX).is_file():
            raise UserError("model", f"{name}: is missing", "take it from SeeDiff's repository, or reinstall seediff")
        return EMBEDDED[name]
    if name in SHORT_NAMES:
        return SHORT_NAMES[name].hub_id
    target = path_or_address(name)
    if isinstance(target, Path):
        if target.is_dir():
            return target
        if target.is_file() and target.suffix in WEIGHTS:
            return SingleFile(str(target))
        check_unpacked(target)
        problem = "must be a folder, or a file of weights in safetensors or GGUF; pickles can run code"
        raise UserError("model", f"{name} {problem}", "convert it to .safetensors")
    if target is not None and target.file:
        return SingleFile(target.file, target.hub_id)
    if name.endswith(WEIGHTS):  # of a file: no hub id ends like this
        raise UserError("model", f"{name}: no such file")
    if target is not None:
        return target.hub_id
    near = did_you_mean(name, (*EMBEDDED, *SHORT_NAMES))
    fix = "`seediff models` lists the names; others are a folder, a file or a hub id `owner/name`"
    raise UserError("model", f"{name}: no such folder or file{near}", fix)
