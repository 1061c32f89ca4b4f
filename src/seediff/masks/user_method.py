"""A user's own mask methods: a function becomes a value of `MaskConfig.method`, in Python or from a file that the
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
from ..config.fields import check_table
from ..config.method_constants import MaskConfig, MethodConstants
from ..config.methods import METHOD_FACTS, Finish, Levels, MethodFacts
from ..errors import UserError, first_line
from ..files.reading import fit, read_bytes
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
    finish: Finish = field(default_factory=Finish)
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
    levels = None
    if "levels" in stated:
        levels = Levels(**stated.pop("levels"))
    finish = Finish(**stated.pop("finish", {}))
    tables = stated.pop("models", {}).items()
    models = {model: check_table(MethodConstants, table, f"{where} [models.{model}]") for model, table in tables}
    plain_means = stated.pop("plain_means", False)
    if plain_means:
        stated["capture"] = {"normalize": False, **stated.get("capture", {})}
    METHOD_FACTS[name] = MethodFacts(
        levels=levels,
        plain_means=plain_means,
        defaults=stated,
        models=models,
        finish=finish,
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
    except (Exception, SystemExit) as error:
        raise UserError(path, f"cannot be run: {_failure(error, str(path))}") from error
    if not callable(content.get(function)):
        raise UserError(path, f"has no function '{function}'", f"define def {function}(maps, class_name, config)")
    register_method(name, content[function], content.get("CONSTANTS"))
    return name


def call_own(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of a class from the user's function, which `config.method` names. Raises UserError if the function
    fails, or if it does not return a soft mask."""
    try:
        assert config.facts.user_function is not None
        mask = config.facts.user_function(maps, class_name, config)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # `sys.exit(0)` would end the run as if it were done
        frames = extract_tb(error.__traceback__)  # the first is this function, the next the user's
        file = frames[1].filename if len(frames) > 1 else ""
        raise UserError(f"method {config.method}", _failure(error, file)) from error
    if not isinstance(mask, SoftMask):
        mask = SoftMask(mask)
    soft, second = _check_values(mask.soft, class_name, config), mask.second
    if second is not None:
        second = _check_values(second, class_name, config)
    return replace(mask, soft=soft, trace=mask.trace or {SOFT_MASK: soft}, second=second)


def _failure(error: BaseException, file: str) -> str:
    """An error of the user's code in a line, with the last place in the user's file where it passed. file: its path."""
    text = f"{type(error).__name__}: {first_line(error)}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
    return f"{text} ({Path(file).name}, line {lines[-1]})" if lines else text


def _check_values(values: Any, class_name: str, config: MaskConfig) -> torch.Tensor:
    """What the user's function returned, as float32. Raises UserError unless it is (h, w) with values in [0, 1]."""
    try:
        soft = torch.as_tensor(values).float()
        low, high = (float(bound) for bound in soft.aminmax())
        returned = f"{tuple(soft.shape)} with values from {low:.3g} to {high:.3g}"
        if soft.ndim == 2 and 0 <= low <= high <= 1:
            return soft
    except (TypeError, ValueError, RuntimeError):  # no numbers, or an empty array
        returned = type(values).__name__
        if isinstance(values, torch.Tensor):
            returned = f"{tuple(values.shape)}"
    fix = "return (h, w) values in [0, 1]"
    raise UserError(f"method {config.method}", f"returned {returned} for class '{class_name}'", fix)
