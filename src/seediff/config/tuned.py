"""The file of `seediff tune`, which `--preset` takes: a model's own thresholds.

command = "tune"
model = "sd1.5"
presence = 0.81
name_threshold = 0.522
beta = 0.36
method = "ca_sa"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.documents import read_toml
from .fields import Share, check_table
from .settings import TUNED, SourcedValues

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""For each command, the threshold whose best value differs from model to model."""


@dataclass(frozen=True)
class Tuned:
    """A file of `seediff tune`. model: the model's name. weights: its fingerprint, "" if unknown.
    presence, name_threshold, beta: None if the set could not determine it. method: of masks, for which beta is. note:
    the photographs used, and the result."""

    command: ClassVar[str] = "tune"

    model: str
    weights: str = ""
    presence: Share | None = None
    name_threshold: Share | None = None
    beta: Share | None = None
    method: str = ""
    note: str = ""

    def to_toml(self) -> str:
        """The text of the file, for `read_tuned`."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})

    def sourced(self, command: str, chosen: Mapping[str, Any]) -> SourcedValues:
        """The thresholds for a command, and the model and the method unless others were chosen: then without beta,
        which is the method's. chosen: flat name → value."""
        name = THRESHOLDS[command]
        values = {"model": None if "model" in chosen else self.model, name: getattr(self, name)}
        if name == "presence" and self.beta is not None and chosen.get("mask.method", self.method) == self.method:
            values |= {"mask.method": self.method, "mask.beta": self.beta}
        there = {name: value for name, value in values.items() if value is not None}
        return SourcedValues(f"{TUNED}{self.model}", there)


def read_tuned(path: Path) -> Tuned:
    """The contents of a file of `seediff tune`. Raises UserError naming the file and the problem."""
    table = read_toml(path)
    if table.get("command") != Tuned.command or "model" not in table:
        raise UserError(path, "is not a file of `seediff tune`: it should say command = 'tune', and model")
    return Tuned(**check_table(Tuned, {k: v for k, v in table.items() if k not in ("command", "version")}, str(path)))
