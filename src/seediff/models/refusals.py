"""Why a model could not be had or loaded, in a line for the user: a pipeline that no family has, and the errors of the hub's client and of
the libraries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import printable, shown
from .families import FAMILIES, why_not

TORCHVISION = (
    "the installed torchvision does not fit the installed torch and breaks diffusers and transformers; "
    "nothing here needs it: `pip uninstall torchvision`"
)


def unsupported(name: str, pipeline: Any) -> UserError:
    """What to tell of a model whose model_index.json names a pipeline class that no family has, or something that is no class."""
    said = printable(pipeline[:100]) if isinstance(pipeline, str) else shown(pipeline)
    supported = ", ".join(f"{one.title} ({', '.join(one.pipelines)})" for one in FAMILIES)
    return UserError(f"model '{name}' is a {said}; supported are {supported}: {why_not(said)}")


def not_loaded(source: Path | str, error: Exception) -> UserError:
    """What to tell when diffusers did not load a local folder or a hub id: whatever a broken folder or a dead connection leads to."""
    if blames_torchvision(error):
        return UserError(TORCHVISION)
    if isinstance(source, Path):
        return UserError(f"model folder {source}: cannot be loaded ({printable(first_line(error))})")
    return not_fetched(source, hub_error(source) or error)


def hub_error(hub_id: str) -> Exception | None:
    """Why the hub does not give this model, None when it would. Asks once, where a download would try for half a minute."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(hub_id, timeout=10)
    except Exception as error:  # the hub client's own, the http client's, the system's
        return error
    return None


def is_gone(error: Exception) -> bool:
    """Whether the hub says that there is no such model, or none that anybody may see."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def not_fetched(hub_id: str, error: Exception) -> UserError:
    """What to tell of a hub id whose weights are not all in the cache, and what would help."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

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
        f"Where there is a network: `hf download {hub_id} --local-dir FOLDER`, then --model FOLDER"
    )


def _is_offline(error: BaseException) -> bool:
    """Whether an error, or what led to it, is a failed connection in the words of the http client in use."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (LocalEntryNotFoundError, OfflineModeIsEnabled)) or re.search(r"Connect|Timeout|Proxy", type(cause).__name__):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def blames_torchvision(error: BaseException) -> bool:
    """Whether an error, or what led to it, speaks of torchvision, which nothing here needs."""
    cause: BaseException | None = error
    while cause is not None:
        if "torchvision" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
