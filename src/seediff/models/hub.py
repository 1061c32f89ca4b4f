"""Asks the hub about models, fetches their files, finds them in the hub's cache, and splits names of the hub."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future
from functools import lru_cache
from glob import escape
from pathlib import Path
from threading import Thread
from typing import Any

from ..errors import Notice, UserError, causes, first_line
from ..files.messages import show_bytes
from ..files.outputs import free_bytes
from ..files.reading import read_json
from .short_names import named_model

HubId = str
"""`owner/name`, the name of a repository on the hub."""
INDEX = "model_index.json"
WEIGHTS = (".safetensors", ".gguf")
"""Suffixes of files of weights that can be loaded."""
HUB_PART = re.compile(r"(\w+(?:[.-]\w+)*/\w+(?:[.-]\w+)*)(?:/(.+\.(?:safetensors|gguf)))?", re.ASCII)
"""Matches `owner/name`, and a file in it: `owner/name/folder/file.safetensors`."""

ANSWER_SECONDS = 5.0
"""The time within which the hub must answer."""
ANSWER_HOLDS = 60.0
"""For this many seconds, an answer about a hub id is kept instead of asking again."""


def hub_part(name: str) -> tuple[str, str | None] | None:
    """(hub id, file) of a name: `owner/name/unet/a.gguf` → `owner/name`, `unet/a.gguf`. The file is None if the name is
    a hub id alone. Returns None for a name that the hub cannot have."""
    matched = HUB_PART.fullmatch(name)
    return None if matched is None or ".." in name else (matched[1], matched[2])


def path_of(name: str) -> Path:
    """The path that a name may be, with `~` as the user's folder. Ask os.path whether it exists: methods of Path raise
    errors for some names."""
    return Path(os.path.expanduser(name))


def read_index(folder: Path) -> dict[str, Any]:
    """The contents of the model_index.json in a folder. Raises UserError if the file is missing or broken."""
    absent = "no such file; a folder written by diffusers' save_pretrained is needed"
    return read_json(folder / INDEX, dict[str, Any], absent=absent)


def cached_file(hub_id: str, name: str) -> Path | None:
    """The path of a hub id's file in the hub's cache; None if the cache lacks it. name: its path in the repository."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub_id, name)
    return Path(path) if isinstance(path, str) else None


def local_folder(source: Path | HubId) -> Path | None:
    """The folder of a model on this machine. A hub id's folder is in the cache; None if the cache lacks its
    model_index.json. source: a folder, which is returned, or a hub id."""
    if isinstance(source, Path):
        return source
    path = cached_file(source, INDEX)
    return path.parent if path else None


def fetch_file(hub_id: str, name: str, field: str = "model") -> Path:
    """The path of a hub id's file in the cache, after it was fetched if necessary. name: its path in the repository.
    field: the option that names the hub id, for messages. Raises UserError."""
    cached = cached_file(hub_id, name)
    if cached is not None:
        return cached
    size = hub_files(hub_id, field).get(name)  # a download alone would retry for a minute where there is no network
    if size and name.endswith(WEIGHTS):
        return fetch_files(hub_id, {name: size}, field=field) / name
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name))
    except Exception as error:  # of the hub client, the http client or the system
        raise not_fetched(hub_id, error, name, field) from error


def fetch_files(hub_id: str, files: Mapping[str, int], out: Path | None = None, field: str = "model") -> Path:
    """The folder of a hub id, after its missing files were fetched. A notice tells the user their size and licence. An
    interrupted download continues.

    files: path → bytes. out: a folder to use instead of the hub's cache. field: the option that names the hub id, for
    messages. Raises UserError."""
    from huggingface_hub import constants, snapshot_download

    place = out or Path(constants.HF_HUB_CACHE)
    if out is None:
        missing = [name for name in files if cached_file(hub_id, name) is None]
    else:
        missing = [name for name in files if not (out / name).is_file()]
    size, free = sum(files[name] for name in missing), free_bytes(place)
    if size > free:
        problem = f"{hub_id}: fetching it takes {show_bytes(size)}, and {place} has {show_bytes(free)} free"
        raise UserError(field, problem, "make room, or set HF_HOME to a folder on a larger disk")
    if size:
        text = f"fetching {show_bytes(size)} of {hub_id} into {place}, {show_bytes(free)} free; licence: "
        warnings.warn(f"{text}{hub_licence(hub_id)}", Notice, stacklevel=2)
    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*map(escape, files)], local_dir=out))
    except Exception as error:
        if is_unreachable(error):
            problem = f"{hub_id}: the download broke off ({first_line(error)})"
            raise UserError(field, problem, "run the same command to continue") from error
        raise not_fetched(hub_id, error, INDEX, field) from error


def hub_files(hub_id: str, field: str = "model") -> dict[str, int]:
    """Path → bytes, for all files of a hub id. field: as in `fetch_file`. Raises UserError."""
    return {file.rfilename: file.size or 0 for file in _ask_hub(hub_id, field).siblings or ()}


def hub_licence(hub_id: str) -> str:
    """A model's licence: from the table of short names, else from the tags of its page. Raises UserError."""
    named = named_model(hub_id)
    if named:
        return named.licence
    tags = [tag for tag in _ask_hub(hub_id).tags or () if tag.startswith("license:")]
    return tags[0].removeprefix("license:") if tags else "its page names none"


def _ask_hub(hub_id: str, field: str = "model") -> Any:
    """The hub's answer about a hub id: its files and tags. field: as in `fetch_file`. Raises UserError."""
    from huggingface_hub import constants

    try:
        answer = _answer(constants.ENDPOINT, hub_id, int(time.monotonic() // ANSWER_HOLDS))
    except Exception as error:  # a refusal, which is not kept, because a login may end it
        answer = error
    if isinstance(answer, Exception):
        raise not_fetched(hub_id, answer, INDEX, field) from answer
    return answer


@lru_cache(maxsize=64)
def _answer(endpoint: str, hub_id: str, period: int) -> Any:
    """The hub's answer about a hub id, or the error if the hub could not be reached within ANSWER_SECONDS. The cache
    keeps what is returned, and not what is raised: so a hub that does not answer is asked once, and a refusal
    (HfHubHTTPError) is raised.

    endpoint: the hub's address. period: the number of the present interval of ANSWER_HOLDS seconds. A new one makes
    kept answers outdated.
    """
    from huggingface_hub import HfApi, errors

    waiting = Future[Any]()

    def ask() -> None:  # in a thread, because looking up the hub's address has no time limit of its own
        try:
            waiting.set_result(HfApi().model_info(hub_id, files_metadata=True, timeout=ANSWER_SECONDS))
        except Exception as error:  # of the hub client, the http client or the system
            waiting.set_exception(error)

    Thread(target=ask, daemon=True).start()
    try:
        return waiting.result(ANSWER_SECONDS)
    except errors.HfHubHTTPError:
        raise
    except Exception as error:
        return error


def is_unreachable(error: Exception) -> bool:
    """Whether an error means that the hub cannot be reached, by the class names of the error and its causes."""
    names = re.compile("Connect|Timeout|Proxy|ReadError|RemoteProtocol|LocalEntryNotFound|OfflineMode")
    return any(names.search(type(cause).__name__) for cause in causes(error))


def not_fetched(hub_id: str, error: Exception, file: str, field: str) -> UserError:
    """The error for a hub id's file that the cache lacks and that could not be fetched. error: what fetching it raised.
    file: its path in the repository. field: as in `fetch_file`."""
    from huggingface_hub import constants, errors

    # What the hub refuses
    other = f"for a single file or just a network, name the file, {hub_id}/FILE, and the base"
    if file != INDEX:
        other = "name one that it has"
    consent = f"accept it at {constants.ENDPOINT}/{hub_id}, then `hf auth login`"
    private = "check the name; `hf auth login` opens private ones"
    refusals = (
        (errors.GatedRepoError, "the hub wants its licence accepted first", consent),
        (errors.RepositoryNotFoundError, "the hub has no such model, or it is private", private),
        (errors.EntryNotFoundError, f"has no file {file}", other),
    )
    for kind, problem, fix in refusals:
        if isinstance(error, kind) and not isinstance(error, errors.LocalEntryNotFoundError):
            return UserError(field, f"{hub_id}: {problem}", fix)

    # The hub was not reached, or failed
    why = "the hub cannot be reached" if is_unreachable(error) else first_line(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        why += ", because HF_HUB_OFFLINE=1 is set"
    state = "is not" if cached_file(hub_id, file) is None else "is incomplete"
    command = f"hf download {hub_id} --local-dir FOLDER"
    if field == "model":
        named = named_model(hub_id)
        command = f"seediff download {named.name if named else hub_id} --out FOLDER"
    problem = f"{hub_id} {state} in {constants.HF_HUB_CACHE} and cannot be fetched: {why}"
    return UserError(field, problem, f"on a machine with a network: `{command}`, then --{field} FOLDER")
