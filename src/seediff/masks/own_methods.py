"""A user's own function as a mask method: it becomes a value of `MaskConfig.method`, in Python or from a file that the
command line names. recipes/methods/ has examples.

def halves(maps, class_name, config):                 # AttentionMaps, one of their classes, MaskConfig
    return maps.cross_at(4, class_name) > 0.5          # (h, w), values in [0, 1]

seediff.register_method("halves", halves, {"mask": {"beta": 0.4}, "capture": {"normalize": False}})
seediff generate --method halves.py:halves …           # runs the file; its constants are in CONSTANTS there
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from runpy import run_path
from traceback import extract_tb
from typing import Any

import torch

from ..attention.maps import AttentionMaps
from ..config.methods import METHOD_FACTS, LastSteps, Levels, MaskConfig, MethodConstants, MethodFacts
from ..config.settings import check_table, table_values
from ..errors import UserError, first_line
from ..files.reading import fit, read_bytes
from .methods import METHODS
from .steps import SOFT_MASK, SoftMask

OwnMethod = Callable[[AttentionMaps, str, MaskConfig], "torch.Tensor | SoftMask"]


@dataclass(frozen=True, kw_only=True)
class StatedConstants(MethodConstants):
    """What a user's method may state: constants in place of the defaults, and the fields below."""

    guidance_scale: float | None = None
    plain_means: bool = False
    """Whether the method needs plain means of attention. They are then captured, instead of normalised maps."""
    levels: Levels = field(default_factory=Levels)
    """The levels whose maps the method reads. If they are stated, maps of other levels are not captured."""
    last_steps: LastSteps = field(default_factory=LastSteps)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Model → the tables `mask` and `capture` that were tuned for this model."""


def register_method(name: str, function: OwnMethod, constants: Mapping[str, Any] | None = None) -> None:
    """Make a function a mask method of this process, which `MaskConfig(method=name)` selects.

    function: takes an image's maps, which it must not change, a class name and the configuration. It returns the
    class's soft mask (h, w) in [0, 1], or a `SoftMask`. constants: the fields of `StatedConstants`. Raises UserError
    for a name of the package's own methods, and for unknown constants.
    """
    if name in METHOD_FACTS and METHOD_FACTS[name].user_function is None:
        raise UserError(f"method {name}", "is one of the package's", "choose another name")
    where = f"constants of method {name}"
    stated = check_table(StatedConstants, fit(constants or {}, dict[str, Any], where), where)
    levels = table_values(stated, "levels")
    tables = stated.get("models", {})
    plain_means = stated.get("plain_means", False)
    defaults = {"capture.normalize": False} if plain_means else {}
    of_config = ("mask.", "capture.", "guidance_scale")
    METHOD_FACTS[name] = MethodFacts(
        levels=Levels(**levels) if levels else None,
        plain_means=plain_means,
        defaults=defaults | {key: v for key, v in stated.items() if key.startswith(of_config) and v is not None},
        models={m: check_table(MethodConstants, table, f"{where} [models.{m}]") for m, table in tables.items()},
        last_steps=LastSteps(**table_values(stated, "last_steps")),
        user_function=function,
    )


def register_file(text: str) -> str:
    """Run a Python file, register one of its functions as a method, and return the method's name. The name has a digest
    of the file's bytes, so that a run continues only with the same file. text: FILE.py:FUNCTION. Raises UserError
    naming the file."""
    path, _, function = text.rpartition(":")
    if not path or not function:
        raise UserError("method", f"{text} must be FILE.py:FUNCTION")
    data = read_bytes(path)
    try:
        name = f"{Path(path).name}:{function}@{hashlib.sha256(data).hexdigest()[:12]}"
        content = run_path(path, run_name="seediff_method")
    except Exception as error:
        raise UserError(path, f"cannot be run: {_failure(error, str(path))}") from error
    if not callable(content.get(function)):
        raise UserError(path, f"has no function '{function}'", f"define def {function}(maps, class_name, config)")
    register_method(name, content[function], content.get("CONSTANTS"))
    return name


def call_method(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of a class by the function of `config.method`, the package's or the user's. Raises UserError if a
    user's function fails, or if it does not return a soft mask."""
    own = config.facts.user_function
    if own is None:
        return METHODS[config.method](maps, class_name, config)
    try:
        mask = own(maps, class_name, config)
    except UserError:
        raise
    except Exception as error:
        frames = extract_tb(error.__traceback__)  # the first is this function, the next the user's
        file = frames[1].filename if len(frames) > 1 else ""
        raise UserError(f"method {config.method}", _failure(error, file)) from error
    if not isinstance(mask, SoftMask):
        mask = SoftMask(mask)
    soft = _check_values(mask.soft, class_name, config)
    return replace(mask, soft=soft, trace=mask.trace or {replace(SOFT_MASK, main=True): soft})


def _failure(error: BaseException, file: str) -> str:
    """An error of the user's code in a line, with the last place in the user's file where it passed. file: its path."""
    text = f"{type(error).__name__}: {first_line(error)}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
    return f"{text} ({Path(file).name}, line {lines[-1]})" if lines else text


def _check_values(values: Any, class_name: str, config: MaskConfig) -> torch.Tensor:
    """What the user's function returned, as float32. Raises UserError unless it is (h, w) with values in [0, 1]."""
    try:
        soft = torch.as_tensor(values, dtype=torch.float32, device=getattr(values, "device", "cpu"))
        if soft.ndim == 2 and soft.numel() and ((soft >= 0) & (soft <= 1)).all():
            return soft
    except (TypeError, ValueError, RuntimeError):  # no numbers
        pass
    problem = f"returned {type(values).__name__} for class '{class_name}'"
    raise UserError(f"method {config.method}", problem, "return (h, w) values in [0, 1]")
