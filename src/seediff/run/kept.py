"""Keeps the arrays of finished pictures in a folder while a command works, so that a stopped command can continue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.outputs import write_tensors
from ..files.tensors import read_header

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kept:
    """folder: None keeps nothing. key: everything that the arrays depend on."""

    folder: Path | None
    key: str

    def arrays(self, name: str, work: Callable[[], Arrays]) -> Arrays:
        """The arrays of `work`: from the folder if a stopped run stored them there, otherwise computed now and stored. Raises UserError if
        they were stored with another key."""
        if self.folder is None:
            return work()
        path, key = self.folder / f"{name}.safetensors", hashlib.sha256(self.key.encode()).hexdigest()
        if not path.is_file():
            write_tensors(path, done := work(), {"key": key})
            return done
        file = read_header(path)
        if file.metadata.get("key") != key:
            problem = "holds finished pictures of another evaluation that was stopped"
            raise UserError(self.folder, problem, "give the options as they were, or remove the folder")
        return file.load("np")
