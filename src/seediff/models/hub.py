"""Finds files by name, on this machine, in the hub's cache or on the hub, and fetches them. The hub's own client shows
the progress of a download, and continues one that broke off.

LoRAs and SAMs are single files of weights (`locate_weights`, `fetch_weights`); locate.py finds models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from glob import escape
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError, foreign_errors
from ..files.messages import plural

HubId = str
"""`owner/name`, the name of a repository on the hub."""
INDEX = "model_index.json"
"""The file that lists the parts of a whole model."""
WEIGHTS = (".safetensors", ".gguf")
"""Suffixes of files of weights that can be loaded."""
LORA_FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives a LoRA's file."""
ON_HUB = re.compile(r"(\w+(?:[.-]\w+)*/\w+(?:[.-]\w+)*)(?:/(.+\.(?:safetensors|gguf)))?", re.ASCII)
"""Matches `owner/name`, and a file in it: `owner/name/folder/file.safetensors`."""


class Address(NamedTuple):
    """An address on the hub: of `owner/name/unet/a.gguf`, `owner/name` and `unet/a.gguf`."""

    hub_id: HubId
    file: str
    """The path in the repository; "" for the whole repository."""


def path_or_address(name: str) -> Path | Address | None:
    """The folder or file with this name. If there is none, the address on the hub, which is not asked; None if no
    address looks like this. `~` is the user's folder."""
    path = Path(os.path.expanduser(name))
    if os.path.exists(path):  # methods of Path raise errors for some names
        return path
    matched = ON_HUB.fullmatch(name)
    return None if matched is None or ".." in name else Address(matched[1], matched[2] or "")


def cached_file(hub_id: HubId, name: str) -> Path | None:
    """The path of a hub id's file in the hub's cache; None if the cache lacks it. name: its path in the repository."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub_id, name)
    return Path(path) if isinstance(path, str) else None


def cached_folder(hub_id: HubId) -> Path | None:
    """The folder of a hub id in the hub's cache; None if the cache lacks its model_index.json."""
    path = cached_file(hub_id, INDEX)
    return path and path.parent


def fetch_file(hub_id: HubId, name: str, field: str = "model") -> Path:
    """The path of a hub id's file in the cache, after it was fetched if necessary. name: its path in the repository.
    field: the option that names the hub id, for messages. Raises UserError."""
    return cached_file(hub_id, name) or fetch_files(hub_id, [name], field) / name


def fetch_files(hub_id: HubId, names: Collection[str], field: str = "model", out: Path | None = None) -> Path:
    """The folder of a hub id, after its missing files were fetched.

    names: the paths of the files in the repository, as `hub_files` lists them. field: as in `fetch_file`. out: a folder
    to use instead of the hub's cache. Raises UserError."""
    from huggingface_hub import snapshot_download

    with _errors_of_hub(hub_id, field), _progress_bars(any(name.endswith(WEIGHTS) for name in names)):
        folder = Path(snapshot_download(hub_id, allow_patterns=[*map(escape, names)], local_dir=out))
    for name in names:
        if not (folder / name).is_file():
            raise UserError(field, f"{hub_id}: has no file {name}", "name a file that it has, or a whole model")
    return folder


def hub_files(hub_id: HubId, field: str = "model") -> list[str]:
    """The paths of all files of a hub id. field: as in `fetch_file`. Raises UserError."""
    from huggingface_hub import HfApi

    with _errors_of_hub(hub_id, field):
        return HfApi().list_repo_files(hub_id)


@contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    """In this block, the hub's client shows its progress, which transformers turns off when it is imported; or not."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    switches = (disable_progress_bars, enable_progress_bars)
    before = not are_progress_bars_disabled()
    switches[shown]()
    try:
        yield
    finally:
        switches[before]()


def _errors_of_hub(hub_id: HubId, field: str) -> AbstractContextManager[None]:
    """Turn every error in this block into a UserError: of the hub's client, the http client or the system. field: as in
    `fetch_file`."""
    fix = "check its name, its licence on its page and `hf auth login`; or, on a machine with a network, "
    fix += f"`hf download {hub_id} --local-dir FOLDER`, and then --{field} FOLDER"
    return foreign_errors(field, f"{hub_id} cannot be fetched from the hub", fix)


def locate_weights(field: str, name: str) -> Path | Address:
    """The path of a safetensors file, or its address on the hub, which is not asked.

    field: the option that names it, for messages. name: the path of the file or its folder, a hub id, or
    `owner/name/FILE`. Raises UserError for any other name."""
    found = path_or_address(name)
    is_weights = name.endswith(".safetensors")
    if isinstance(found, Path) and found.is_dir():
        return found / _only_weights(field, name, (file.name for file in found.iterdir()))
    is_of_hub = isinstance(found, Address) and is_weights == bool(found.file)
    if found is None or not (is_of_hub or (isinstance(found, Path) and is_weights)):
        problem = f"{name}: no such .safetensors file, nor a folder or hub id `owner/name` with one"
        raise UserError(field, problem)
    return found


def fetch_weights(field: str, name: str) -> Path:
    """The path of a safetensors file, after it was fetched from the hub if necessary. field, name: as in
    `locate_weights`. Raises UserError."""
    found = locate_weights(field, name)
    if isinstance(found, Path):
        return found
    hub_id, file = found
    cached = cached_file(hub_id, file or LORA_FILE)
    return cached or fetch_file(hub_id, file or _only_weights(field, hub_id, hub_files(hub_id, field)), field)


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
