"""Resolves a model's name to a local folder, a file or a hub id, and reads from the hub and its cache."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.documents import read_json
from ..files.messages import did_you_mean
from ..files.reading import SETTINGS
from .known import BY_NAME, EMBEDDED, hub_ids

INDEX = "model_index.json"
NOT_WHOLE = (
    "has no model_index.json, and so is no whole model: name its --base, and of several files the one, --model"
    " owner/name/FILE"
)
WEIGHTS = (".safetensors", ".gguf")
"""Suffixes of single files that are read."""
HUB_PART = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:/(.+\.(?:safetensors|gguf)))?")
"""`owner/name`, or a file in it: `owner/name/folder/file.safetensors`. `hub_part` also knows what else the hub
refuses.
"""


PICKLES = (".ckpt", ".bin", ".pt", ".pth")
CONVERT = (
    "import torch, safetensors.torch as s; t = torch.load('{old}', 'cpu', weights_only=True); t = t.get('state_dict',"
    " t); s.save_file({{k: v.clone() for k, v in t.items() if torch.is_tensor(v)}}, '{new}')"
)
"""A program that converts a pickle to safetensors; `weights_only` keeps the pickle from running code."""


def hub_part(name: str) -> tuple[str, str | None] | None:
    """(hub id, the file in it or None) that a name stands for; None if the hub can have neither."""
    matched = HUB_PART.fullmatch(name)
    if matched is None or ".." in re.split(r"[/\\]", matched[2] or ""):
        return None
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(matched[1])
    except HFValidationError:
        return None
    return matched[1], matched[2]


def path_of(what: str, name: str, fix: str = "name a folder, a file or a hub id `owner/name`") -> Path:
    """The path of a name, with `~` as the user's folder. what, fix: for messages. Raises UserError for a name that no
    file can have.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long; `~` of a user that is not there
        reason = (getattr(error, "strerror", None) or first_line(error)).rstrip(".")
        raise UserError(what, f"is not a path ({reason})", fix) from error
    return path


def resolve_name(name: str) -> Path | str:
    """What a model's name stands for: a local folder, a single file of weights, or a hub id; of several hub ids of the
    same model, preferably one that is in the cache. Raises UserError if it is none of these. Makes no network requests.
    """
    if name in EMBEDDED:
        if not (EMBEDDED[name] / "model_index.json").is_file():
            raise UserError(
                f"the embedded model is missing ({EMBEDDED[name]}): reinstall seediff"
                if name == "mini"
                else (
                    f"model '{name}' is for measuring and not in the package: clone SeeDiff's repository, and name its"
                    f" folder, --model recipes/weights/{name}"
                )
            )
        return EMBEDDED[name]
    if name not in BY_NAME:
        path = path_of(f"model '{name}'", name)
        if path.is_dir() or (path.is_file() and path.suffix in WEIGHTS):
            return path
        if path.suffix.lower() in PICKLES and path.exists():
            raise UserError(
                f"model '{name}': {path.suffix} files are pickles, which can run code when they are read; convert it,"
                " in a folder without "
                f'others: python -c "{CONVERT.format(old=path.name, new=path.with_suffix(".safetensors").name)}"'
            )
        if path.suffix.lower() == ".dduf" and path.is_file():
            raise UserError(
                f"model '{name}': a .dduf file is a zip of a folder: python -m zipfile -e '{path}' FOLDER, then --model"
                " FOLDER"
            )
        if path.exists():
            raise UserError(
                f"model '{name}' is a file, but no {' or '.join(WEIGHTS)}; name one, or a folder in diffusers' format"
            )
        part = hub_part(name)
        if part and part[1]:
            if (cached := cached_file(part[0], part[1])) is not None:
                return cached
            raise UserError(
                f"model '{name}': is not in the hub's cache, so that nothing tells its family: name its --base; then it"
                " is fetched"
            )
        if not part:
            names = (*EMBEDDED, *BY_NAME)
            raise UserError(
                f"no model '{name}'{did_you_mean(name, names)}: there is no such folder; known names:"
                f" {', '.join(names)}, or a hub id `owner/name`"
            )
    ids = hub_ids(name)
    return next(filter(cached_folder, ids), ids[0])


def read_index(folder: Path) -> dict[str, Any]:
    """model_index.json of a local folder. Raises UserError where there is none."""
    absent = "there is no such file; a folder written by diffusers' save_pretrained is needed"
    return read_json(folder / "model_index.json", dict[str, Any], limit=SETTINGS, absent=absent)


def cached_file(hub_id: str, name: str) -> Path | None:
    """The path of a hub id's file in the hub's cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub_id, name)
    return Path(path) if isinstance(path, str) else None


def cached_folder(hub_id: str) -> Path | None:
    """The folder of a hub id in the hub's cache; None if it has no model_index.json there."""
    path = cached_file(hub_id, "model_index.json")
    return path.parent if path else None


def local_folder(source: Path | str) -> Path | None:
    """The folder on this machine with a model's files; None if there is none. source: as returned by `resolve_name`."""
    return source if isinstance(source, Path) else cached_folder(source)


def fetch_index(name: str) -> tuple[str, Path]:
    """(the hub id to use for a name, the cached folder with its model_index.json). The file is from the cache or the
    hub, so that the family is known before gigabytes are fetched. If a repository is gone, the next one with the same
    model is tried. Raises UserError."""
    ids = hub_ids(name)
    for hub_id in ids:
        folder = cached_folder(hub_id)
        if folder is not None:
            return hub_id, folder
    first_refusal: Exception | None = None
    for hub_id in ids:
        refusal = hub_error(hub_id)
        if refusal is None:
            return hub_id, fetch_file(hub_id, "model_index.json").parent
        first_refusal = first_refusal or refusal
        if not _is_gone(refusal):
            break
    assert first_refusal is not None
    raise not_fetched(ids[0], first_refusal) from first_refusal


def fetch_file(hub_id: str, name: str, what: str = "model") -> Path:
    """The path of a hub id's file, from the cache or the hub. what: the option that names the hub id. Raises
    UserError.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name))
    except Exception as error:
        raise not_fetched(hub_id, error, name, what) from error


def hub_files(hub_id: str) -> list[str]:
    """The names of a hub id's files. Makes one request, where a download would retry for half a minute. Raises the
    errors of the hub client, the http client or the system."""
    from huggingface_hub import HfApi

    return [file.rfilename for file in HfApi().model_info(hub_id, timeout=10).siblings or ()]


def check_repository(hub_id: str) -> None:
    """Raise UserError for a hub id without a whole model. Passes if the hub does not answer."""
    names: list[str] = []
    with suppress(Exception):  # of the hub client, the http client or the system
        names = hub_files(hub_id)
    if names and "model_index.json" not in names:
        raise UserError(f"model '{hub_id}': {NOT_WHOLE}")


def hub_error(hub_id: str) -> Exception | None:
    """The error with which the hub refuses a model, or with which the request fails; None if there is none."""
    try:
        hub_files(hub_id)
    except Exception as error:
        return error
    return None


def not_fetched(hub_id: str, error: Exception, file: str = INDEX, what: str = "model") -> UserError:
    """The error for a hub id whose weights are not all in the cache: why they cannot be fetched, and what would help.
    file: the one that was asked for. what: the option that names the hub id."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return UserError(
            f"{what} '{hub_id}': {NOT_WHOLE if file == INDEX else f'has no file {file}; name one that it has'}"
        )
    if isinstance(error, GatedRepoError):
        why = "the hub wants its licence accepted first (then `hf auth login`)"
    elif isinstance(error, RepositoryNotFoundError):
        why = "the hub has no such model, or it is private (`hf auth login`)"
    elif isinstance(error, HfHubHTTPError):
        why = f"the hub answers {error.response.status_code}"
    elif isinstance(error, (ConnectionError, TimeoutError)) or _is_offline(error):
        why = "the hub cannot be reached"
    else:
        why = first_line(error)
    return UserError(
        f"weights of '{hub_id}' are not all in {HF_HUB_CACHE} and cannot be fetched: {why}. "
        f"Where there is a network: `hf download {hub_id} --local-dir FOLDER`, then --{what} FOLDER"
    )


def _is_gone(error: Exception) -> bool:
    """Whether the hub reports that a model does not exist, or is private."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def _is_offline(error: BaseException) -> bool:
    """Whether an error or one of its causes is a failed connection, recognised by the class names of the http
    clients.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (LocalEntryNotFoundError, OfflineModeIsEnabled)) or re.search(
            r"Connect|Timeout|Proxy", type(cause).__name__
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
