"""Thresholds that `seediff tune` found for a model on labelled photographs, and which of those in use nobody ever sought for the model.

A model brings its own in the `preset` of its `seediff.json`; for any other the file of `seediff tune` takes that place, given to `--preset`
or `--config`:

    command = "tune"
    model = "sd2-base"
    presence = 0.81
    name_threshold = 0.522
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import tomli_w

from .. import __version__
from ..errors import UserError
from ..files.documents import read_toml
from ..files.schema import checked
from .presets import check_threshold, model_thresholds

THRESHOLDS = {"mask": "presence", "segment": "name_threshold"}
"""Of each command the threshold whose best value is another one for every model."""


@dataclass(frozen=True)
class Tuned:
    """model: for which. weights: its fingerprint, "" when not known. presence, name_threshold: None where the set could not tell it.
    note: on how many photographs of what, and how well."""

    command: ClassVar[str] = "tune"

    model: str
    weights: str = ""
    presence: float | None = None
    name_threshold: float | None = None
    note: str = ""

    def to_toml(self) -> str:
        """The text of the file, which `read_tuned` reads back."""
        values = {name: value for name, value in vars(self).items() if value not in (None, "")}
        return tomli_w.dumps({"command": self.command, "version": __version__, **values})


def is_tuned(path: Path | None) -> bool:
    """Whether a --config file is one that `seediff tune` wrote."""
    return path is not None and read_toml(path).get("command") == Tuned.command


def read_tuned(path: Path) -> Tuned:
    """Raises UserError naming the file and what is wrong in it."""
    table = read_toml(path)
    if table.get("command") != Tuned.command:
        raise UserError(f"{path}: is no file of `seediff tune`: it should say command = 'tune'")
    values = checked(Tuned, {key: value for key, value in table.items() if key not in ("command", "version")}, str(path))
    if "model" not in values:
        raise UserError(f"{path}: does not say which model it was found for (model = …)")
    for name in THRESHOLDS.values():
        check_threshold(name, values.get(name), str(path))
    return Tuned(**values)


def tuned_table(tuned: Tuned | None, command: str, model: str | None) -> dict[str, Any]:
    """The values of a tuned file for `build`: its threshold, and its model where no other is named."""
    if tuned is None:
        return {}
    name = THRESHOLDS[command]
    threshold = {} if getattr(tuned, name) is None else {name: getattr(tuned, name)}
    return threshold if model is not None else {"model": tuned.model, **threshold}


def never_tuned(command: str, config: Any, tables: Iterable[Mapping[str, Any]], tuned: Tuned | None = None) -> str:
    """A line that says that the threshold in use was never sought for the model; "" where it was, or where the user chose it.

    config: settled. tables: what the user gave, on the command line and in a file. tuned: the file of `seediff tune`, if any.
    """
    name = THRESHOLDS[command]
    if any(name in table for table in tables):
        return ""
    for_model = tuned.model if tuned is not None and getattr(tuned, name) is not None else None
    if for_model == config.model or (for_model is None and name in model_thresholds(config.model)):
        return ""
    option, value = "--" + name.replace("_", "-"), getattr(config, name)
    found = f"it was sought for '{for_model}'" if for_model else "it is another model's"
    return (
        f"{name} = {value} was never tuned for model '{config.model}' ({found}): "
        f"choose one with {option}, or find it on a few labelled photographs with `seediff tune SET --model {config.model}`"
    )
