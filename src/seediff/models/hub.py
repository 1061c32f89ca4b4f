"""The hub of models: asks it about repositories, fetches their files, and finds files in its cache."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Collection
from concurrent.futures import Future
from functools import lru_cache
from glob import escape
from pathlib import Path
from threading import Thread
from typing import Any

from ..errors import Notice, UserError, causes, first_line
from ..files.messages import show_bytes
from ..files.outputs import free_bytes

HubId = str
"""`owner/name`, the name of a repository on the hub."""
INDEX = "model_index.json"
"""The file that lists the parts of a whole model."""
WEIGHTS = (".safetensors", ".gguf")
"""Suffixes of files of weights that can be loaded."""

ANSWER_SECONDS = 5.0
"""The time within which the hub must answer."""
ANSWER_HOLDS = 60.0
"""For this many seconds, an answer about a hub id is kept instead of asking again."""


def cached_file(hub_id: HubId, name: str) -> Path | None:
    """The path of a hub id's file in the hub's cache; None if the cache lacks it. name: its path in the repository."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(hub_id, name)
    return Path(path) if isinstance(path, str) else None


def cached_folder(hub_id: HubId) -> Path | None:
    """The folder of a hub id in the hub's cache; None if the cache lacks its model_index.json."""
    path = cached_file(hub_id, INDEX)
    return path.parent if path else None


def fetch_file(hub_id: HubId, name: str, field: str = "model") -> Path:
    """The path of a hub id's file in the cache, after it was fetched by `fetch_files` if necessary. name: its path in
    the repository. field: as there. Raises UserError as it does."""
    return cached_file(hub_id, name) or fetch_files(hub_id, [name], field) / name


def fetch_files(
    hub_id: HubId,
    names: Collection[str],
    field: str = "model",
    *,
    out: Path | None = None,
    licence: str = "",
) -> Path:
    """The folder of a hub id, after its missing files were fetched. An interrupted download continues. If weights are
    among them, a notice tells the user the size and the licence.

    names: the paths of the files in the repository.
    field: the option that names the hub id, for messages.
    out: a folder to use instead of the hub's cache.
    licence: the licence if it is known; "": as the tags of its page say.
    Raises UserError."""
    from huggingface_hub import constants, snapshot_download

    # 1. What is missing, and whether there is room for it
    sizes, place = hub_files(hub_id, field), out or Path(constants.HF_HUB_CACHE)
    absent = [name for name in names if name not in sizes]
    if absent:
        fix = "name one that it has"
        if INDEX in absent:
            fix = f"for a single file or just a network, name the file, {hub_id}/FILE, and the base"
        raise UserError(field, f"{hub_id}: has no file {absent[0]}", fix)
    if out is None:
        missing = [name for name in names if cached_file(hub_id, name) is None]
    else:
        missing = [name for name in names if not (out / name).is_file()]
    size, free = sum(sizes[name] for name in missing), free_bytes(place)
    if size > free:
        problem = f"{hub_id}: fetching it takes {show_bytes(size)}, and {place} has {show_bytes(free)} free"
        raise UserError(field, problem, "make room, or set HF_HOME to a folder on a larger disk")

    # 2. The download
    if any(name.endswith(WEIGHTS) for name in missing):
        text = f"fetching {show_bytes(size)} of {hub_id} into {place}, {show_bytes(free)} free; licence: "
        warnings.warn(f"{text}{licence or _licence(hub_id)}", Notice, stacklevel=2)
    try:
        return Path(snapshot_download(hub_id, allow_patterns=[*map(escape, names)], local_dir=out))
    except Exception as error:  # of the hub client, the http client or the system
        if is_unreachable(error):
            problem = f"{hub_id}: the download broke off ({first_line(error)})"
            raise UserError(field, problem, "run the same command to continue") from error
        raise _not_fetched(hub_id, error, field) from error


def hub_files(hub_id: HubId, field: str = "model") -> dict[str, int]:
    """Path → bytes, for all files of a hub id. field: as in `fetch_files`. Raises UserError if the hub refuses, or
    does not answer in time."""
    return {file.rfilename: file.size or 0 for file in _ask_hub(hub_id, field).siblings or ()}


def _licence(hub_id: HubId) -> str:
    tags = [tag for tag in _ask_hub(hub_id, "model").tags or () if tag.startswith("license:")]
    return tags[0].removeprefix("license:") if tags else "its page names none"


def _ask_hub(hub_id: HubId, field: str) -> Any:
    """The hub's answer about a hub id: its files and tags. field: as in `fetch_files`. Raises UserError."""
    from huggingface_hub import constants

    try:
        answer = _answer(constants.ENDPOINT, hub_id, int(time.monotonic() // ANSWER_HOLDS))
    except Exception as error:  # a refusal, which is not kept, because a login may end it
        answer = error
    if isinstance(answer, Exception):
        raise _not_fetched(hub_id, answer, field) from answer
    return answer


@lru_cache(maxsize=64)
def _answer(endpoint: str, hub_id: HubId, period: int) -> Any:
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


def _not_fetched(hub_id: HubId, error: Exception, field: str) -> UserError:
    """The error for files of a hub id that could not be fetched. error: what fetching or asking raised. field: as in
    `fetch_files`."""
    from huggingface_hub import constants, errors

    # What the hub refuses
    consent = f"accept it at {constants.ENDPOINT}/{hub_id}, then `hf auth login`"
    private = "check the name; `hf auth login` opens private ones"
    refusals = (
        (errors.GatedRepoError, "the hub wants its licence accepted first", consent),
        (errors.RepositoryNotFoundError, "the hub has no such model, or it is private", private),
    )
    for kind, problem, fix in refusals:
        if isinstance(error, kind):
            return UserError(field, f"{hub_id}: {problem}", fix)

    # The hub was not reached, or failed
    why = "the hub cannot be reached" if is_unreachable(error) else first_line(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        why += ", because HF_HUB_OFFLINE=1 is set"
    state = "is not" if cached_file(hub_id, INDEX) is None else "is incomplete"
    command = f"hf download {hub_id} --local-dir FOLDER"
    if field == "model":
        command = f"seediff download {hub_id} --out FOLDER"
    problem = f"{hub_id} {state} in {constants.HF_HUB_CACHE} and cannot be fetched: {why}"
    return UserError(field, problem, f"on a machine with a network: `{command}`, then --{field} FOLDER")
