"""Where the parts of a model are from: a whole model in diffusers' format, and beside it a single file that has some of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from .checkpoint import Checkpoint, read_checkpoint
from .families import pipeline_family
from .families.base import Family
from .hub import resolve_name


@dataclass(frozen=True)
class Source:
    """name: of the whole model. whole: its folder or hub id. checkpoint: the file whose parts are taken instead of its own; None: none."""

    name: str
    whole: Path | str
    checkpoint: Checkpoint | None = None

    def check(self, pipeline: str) -> None:
        """Raise UserError where the file is of another family than a base of this pipeline class."""
        file, family = self.checkpoint, pipeline_family(pipeline)
        if file and file.layout and pipeline_family(file.layout.pipeline) is not family:
            kind = f"{family.title} ({pipeline})" if family else pipeline
            raise UserError(f"model {file.path}: is of a {file.layout.pipeline}, but its base '{self.name}' is {kind}; name another --base")

    def parts_line(self, family: Family) -> str:
        """What is from where, for people; empty where all is from one place."""
        if self.checkpoint is None:
            return ""
        parts = ", ".join(self.checkpoint.parts(family, family.optional))
        return f"{parts} from the file, the rest from {self.name}"


def find_source(model: str, base: str | None = None) -> Source:
    """What the names of a model and of its base stand for. Raises UserError for names that are none, for a file that is no model's, and for
    a base where there is nothing to go with it. Asks no network."""
    path = resolve_name(model)
    if not (isinstance(path, Path) and path.is_file()):
        if base is not None:
            raise UserError(f"base {base}: model '{model}' is whole; leave it out, or name a single file as the model")
        return Source(model, path)
    status = path.stat()
    checkpoint = _checkpoint(path, status.st_size, status.st_mtime_ns)
    name = base or checkpoint.base()
    whole = resolve_name(name)
    if isinstance(whole, Path) and whole.is_file():
        raise UserError(f"base {name}: is a file; name a model in diffusers' format, a folder or a hub id")
    return Source(name, whole, checkpoint)


@lru_cache
def _checkpoint(path: Path, size: int, changed: int) -> Checkpoint:
    """Read once; a file that was written again is read again."""
    return read_checkpoint(path)
