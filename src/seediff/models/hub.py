"""The hub of models: lists a repository's files, fetches them, and finds files in the hub's cache. The hub's own client
shows the progress of a download, and continues one that broke off."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from ..errors import UserError, first_line

HubId = str
"""`owner/name`, the name of a repository on the hub."""
INDEX = "model_index.json"
"""The file that lists the parts of a whole model."""
WEIGHTS = (".safetensors", ".gguf")
"""Suffixes of files of weights that can be loaded."""


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
    """The path of a hub id's file in the cache, after it was fetched if necessary. name: its path in the repository.
    field: the option that names the hub id, for messages. Raises UserError."""
    return cached_file(hub_id, name) or fetch_files(hub_id, [name], field) / name


def fetch_files(hub_id: HubId, names: Collection[str], field: str = "model", out: Path | None = None) -> Path:
    """The folder of a hub id, after its missing files were fetched.

    names: the paths of the files in the repository, as `hub_files` lists them. field: as in `fetch_file`. out: a folder
    to use instead of the hub's cache. Raises UserError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    with _errors_of_hub(hub_id, field):
        (enable_progress_bars if any(name.endswith(WEIGHTS) for name in names) else disable_progress_bars)()
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
def _errors_of_hub(hub_id: HubId, field: str) -> Iterator[None]:
    """Turn every error in this block into a UserError: of the hub's client, the http client or the system. field: as in
    `fetch_file`."""
    try:
        yield
    except Exception as error:
        fix = "check its name, its licence on its page and `hf auth login`; or, on a machine with a network, "
        fix += f"`hf download {hub_id} --local-dir FOLDER`, and then --{field} FOLDER"
        raise UserError(field, f"{hub_id} cannot be fetched from the hub: {first_line(error)}", fix) from error
