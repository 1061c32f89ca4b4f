"""Resolves a model's name to a local folder, a file or a hub id, and reads from the hub and its cache."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UserError, causes, first_line
from ..files.documents import read_json
from ..files.messages import did_you_mean
from ..files.reading import SETTINGS
from .short_names import BY_NAME, EMBEDDED

INDEX = "model_index.json"
WEIGHTS = (".safetensors", ".gguf")
"""Suffixes of single files that are read."""
HUB_PART = re.compile(r"(\w+(?:[.-]\w+)*/\w+(?:[.-]\w+)*)(?:/(.+\.(?:safetensors|gguf)))?", re.ASCII)
"""`owner/name`, or a file in it: `owner/name/folder/file.safetensors`."""


def hub_part(name: str) -> tuple[str, str | None] | None:
    """(hub id, the file in it or None) that a name stands for; None if the hub can have neither."""
    matched = HUB_PART.fullmatch(name)
    return None if matched is None or ".." in name else (matched[1], matched[2])


def path_of(name: str) -> Path:
    """The path of a name, with `~` as the user's folder. Ask os.path whether it is there, which no name upsets."""
    return Path(os.path.expanduser(name))


def resolve_name(name: str) -> Path | str:
    """What a model's name stands for: a local folder, a single file of weights, or a hub id. Raises UserError if it is
    none of these. Makes no network requests."""
    if name in EMBEDDED:
        if not (EMBEDDED[name] / INDEX).is_file():
            raise UserError("model", f"{name}: is missing", "take it from SeeDiff's repository, or reinstall seediff")
        return EMBEDDED[name]
    if name in BY_NAME:
        return BY_NAME[name].hub_id
    path = path_of(name)
    if os.path.isdir(path) or (os.path.isfile(path) and path.suffix in WEIGHTS):
        return path
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
    if cached is None:
        problem = f"{name}: no such file, neither here nor in the hub's cache"
        raise UserError("model", problem, "to fetch a file of the hub, give its base as well")
    return cached


def read_index(folder: Path) -> dict[str, Any]:
    """model_index.json of a local folder. Raises UserError where there is none."""
    absent = "no such file; a folder written by diffusers' save_pretrained is needed"
    return read_json(folder / INDEX, dict[str, Any], limit=SETTINGS, absent=absent)


def cached_file(hub_id: str, name: str) -> Path | None:
    """The path of a hub id's file in the hub's cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub_id, name)
    return Path(path) if isinstance(path, str) else None


def local_folder(source: Path | str) -> Path | None:
    """The folder with the files of a local model, or of a hub id in the cache; None if its model_index.json is not
    there. source: as returned by `resolve_name`."""
    if isinstance(source, Path):
        return source
    path = cached_file(source, INDEX)
    return path.parent if path else None


def fetch_index(hub_id: str) -> Path:
    """The cached folder with a hub id's model_index.json, from the cache or the hub. Raises UserError."""
    folder = local_folder(hub_id)
    if folder is not None:
        return folder
    hub_files(hub_id)
    return fetch_file(hub_id, INDEX).parent


def fetch_file(hub_id: str, name: str, what: str = "model") -> Path:
    """The path of a hub id's file, from the cache or the hub. what: the field that names the hub id. Raises
    UserError."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name))
    except Exception as error:  # of the hub client, the http client or the system
        raise not_fetched(hub_id, error, name, what) from error


def fetch_files(hub_id: str, names: Iterable[str]) -> Path:
    """The cached folder of a hub id, after fetching those of these files that are not there. Raises UserError."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(names)))
    except Exception as error:
        raise not_fetched(hub_id, error) from error


def hub_files(hub_id: str, what: str = "model") -> list[str]:
    """The names of a hub id's files, by one request: a download would retry for half a minute. Raises UserError."""
    from huggingface_hub import HfApi

    try:
        return [file.rfilename for file in HfApi().model_info(hub_id, timeout=10).siblings or ()]
    except Exception as error:
        raise not_fetched(hub_id, error, what=what) from error


def not_fetched(hub_id: str, error: Exception, file: str = INDEX, what: str = "model") -> UserError:
    """The error for a file of a hub id that is not in the cache and cannot be fetched. what: as in `fetch_file`."""
    from huggingface_hub import constants, errors

    offline = (ConnectionError, TimeoutError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled)
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        fix = f"for a single file or just a network, name the file, {hub_id}/FILE, and the base"
        if file != INDEX:
            fix = "name one that it has"
        return UserError(what, f"{hub_id}: has no file {file}", fix)
    if isinstance(error, errors.GatedRepoError):
        why = "the hub wants its licence accepted first (then `hf auth login`)"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = "the hub has no such model, or it is private (`hf auth login`)"
    elif any(isinstance(e, offline) or re.search("Connect|Timeout|Proxy", type(e).__name__) for e in causes(error)):
        why = "the hub cannot be reached"
    else:
        why = first_line(error)
    fix = f"on a machine with a network: `hf download {hub_id} --local-dir FOLDER`, then --{what} FOLDER"
    return UserError(what, f"{hub_id}: is incomplete in {constants.HF_HUB_CACHE} and cannot be fetched: {why}", fix)
