"""Finds where the parts of a model come from: a whole model in diffusers' format, and in addition perhaps a single file
with some of the parts, or the folder of the network."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from .checkpoint import NETWORKS, Checkpoint, read_checkpoint, read_part
from .families import pipeline_family
from .families.base import Family
from .hub import (
    WEIGHTS,
    cached_file,
    cached_folder,
    fetch_file,
    hub_files,
    hub_part,
    not_fetched,
    path_of,
    resolve_name,
)
from .known import BY_NAME
from .weights import choose_variant

PLACES = ("", *(f"{name}/" for name in NETWORKS))
"""Folders of a repository that may hold the network: the root, or a folder named after the part."""


@dataclass(frozen=True)
class Source:
    """Where the parts of a model come from.

    name: of the whole model. whole: its folder or hub id. checkpoint: the file or folder whose parts replace the whole
    model's, if any. part: the hub id, or the file in a repository, that holds such parts and has not been fetched yet.
    """

    name: str
    whole: Path | str
    checkpoint: Checkpoint | None = None
    part: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all parts come from the whole model."""
        return self.checkpoint is None and self.part is None

    @property
    def is_gguf(self) -> bool:
        """Whether weights come from a GGUF file, fetched or not."""
        return self.checkpoint.is_gguf if self.checkpoint else (self.part or "").endswith(".gguf")

    def check(self, pipeline: str) -> None:
        """Raise UserError if the file belongs to another family than its base. pipeline: the base's pipeline class."""
        file, family = self.checkpoint, pipeline_family(pipeline)
        if file and file.layout and pipeline_family(file.layout.pipeline) is not family:
            kind = f"{family.title} ({pipeline})" if family else pipeline
            raise UserError(
                f"model {file.path}: is of a {file.layout.pipeline}, but its base '{self.name}' is {kind}; name another"
                " --base"
            )

    def parts_line(self, family: Family) -> str:
        """A description for people of where the parts come from; empty if all come from the whole model."""
        if self.part is not None:
            return f"{family.network} from the hub, the rest from {self.name}"
        if self.checkpoint is None:
            return ""
        parts = ", ".join(self.checkpoint.parts(family, family.optional))
        return f"{parts} from the {'folder' if self.checkpoint.config else 'file'}, the rest from {self.name}"


def find_source(model: str, base: str | None = None) -> Source:
    """The source that the names of a model and of its base stand for. Raises UserError for names that stand for
    nothing, for a file that is not a model's, and for a base with a model that is already whole. Makes no network
    requests."""
    if (
        base is not None
        and model not in BY_NAME
        and not path_of(f"model '{model}'", model).exists()
        and (part := hub_part(model))
    ):
        if part[1] is None and cached_folder(model):
            raise _whole(model, base)
        there = _cached_part(*part)
        return Source(base, _whole_source(base), there, None if there else model)
    path = resolve_name(model)
    if isinstance(path, str) or (base is None and path.is_dir()):
        if base is not None:
            raise _whole(model, base)
        return Source(model, path)
    if path.is_dir() and (path / "model_index.json").is_file():
        raise _whole(model, str(base))
    status = path.stat()
    # A folder's time does not tell whether a file in it was rewritten.
    checkpoint = read_part(path) if path.is_dir() else _read_once(path, status.st_size, status.st_mtime_ns)
    name = base or checkpoint.base()
    return Source(name, _whole_source(name), checkpoint)


def fetch_part(source: Source) -> Source:
    """The source with its `part`, if it has one, read as its checkpoint and fetched if it is not in the cache. Raises
    UserError.
    """
    if source.part is None:
        return source
    part = hub_part(source.part)
    assert part is not None
    path = fetch_file(part[0], part[1]) if part[1] else _fetch_network(part[0])
    return replace(source, checkpoint=read_part(path) if path.is_dir() else read_checkpoint(path), part=None)


def _cached_part(hub_id: str, name: str | None) -> Checkpoint | None:
    """A part from the hub's cache; None unless it is complete there."""
    names = [name] if name else [f"{place}config.json" for place in PLACES]
    path = next(filter(None, (cached_file(hub_id, name) for name in names)), None)
    if path is None and not name:
        path = _only_file(hub_id)
    if path is None:
        return None
    try:
        checkpoint = read_part(path.parent) if path.name == "config.json" else read_checkpoint(path)
    except UserError:
        if name:
            raise
        return None
    return checkpoint if checkpoint.is_all_there else None


def _only_file(hub_id: str) -> Path | None:
    """The only single file of weights that the hub's cache has of a repository; None if it has none or several."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(hub_id, allow_patterns=[f"*{suffix}" for suffix in WEIGHTS], local_files_only=True)
        )
    except Exception:  # of the hub client or the system: nothing is there, or not all
        return None
    files = [file for file in folder.rglob("*") if file.suffix in WEIGHTS]
    return files[0] if len(files) == 1 and not files[0].name.startswith("diffusion_pytorch_model") else None


def _fetch_network(hub_id: str) -> Path:
    """The cached folder with a repository's network, or its only file of weights; fetches what is not in the cache.
    Raises UserError.
    """
    try:
        names = hub_files(hub_id)
    except Exception as error:  # of the hub client, the http client or the system
        raise not_fetched(hub_id, error) from error
    for place in PLACES:
        files = [name for name in names if re.fullmatch(rf"{place}diffusion_pytorch_model[^/]*\.safetensors", name)]
        variant = choose_variant([f"part/{name.removeprefix(place)}" for name in files], "float32", ("part",))
        if files and f"{place}config.json" in names:
            for name in files:
                if (
                    (f".{variant}." in name or f".{variant}-" in name)
                    if variant
                    else re.search(r"model(-\d+-of-\d+)?\.safetensors$", name)
                ):
                    fetch_file(hub_id, name)
            return fetch_file(hub_id, f"{place}config.json").parent
    single = [name for name in names if name.endswith(WEIGHTS)]
    if len(single) == 1:
        return fetch_file(hub_id, single[0])
    if not single:
        raise UserError(f"model '{hub_id}': has no weights in safetensors")
    raise UserError(
        f"model '{hub_id}': has {len(single)} files of weights; name one of them, as in --model {hub_id}/{single[0]}"
    )


def _whole_source(base: str) -> Path | str:
    whole = resolve_name(base)
    if isinstance(whole, Path) and whole.is_file():
        raise UserError(f"base {base}: is a file; name a model in diffusers' format, a folder or a hub id")
    return whole


def _whole(model: str, base: str) -> UserError:
    return UserError(f"base {base}: model '{model}' is whole; leave it out, or name a single file or part as the model")


@lru_cache
def _read_once(path: Path, size: int, changed: int) -> Checkpoint:
    """A file's checkpoint. size, changed: of the file, so that a rewritten file is read again."""
    return read_checkpoint(path)
