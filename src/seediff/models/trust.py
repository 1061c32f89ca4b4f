"""Checks the files of a model's folder before a library reads them: they may name only classes that the family knows,
and no code.

Libraries run code from a folder, or from a repository on the hub, if a configuration names it (`auto_map`) and is read
by a class that looks for it (`AutoModel`). Both are ruled out here: a part must be of a class that its family names,
and keys by which a configuration leads to code or to another model's files are refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.documents import TOO_DEEP
from ..files.messages import shown
from ..files.reading import SETTINGS, read_bytes
from .families.base import Family

ELSEWHERE = frozenset(
    {
        "auto_map", "custom_pipeline", "custom_pipelines", "custom_revision", "code_revision", "trust_remote_code",
        "_module",
        "transformers_weights", "adapter_kwargs",
    }
)  # fmt: skip
"""Keys of configurations that name code, or files outside the folder."""

OWN_ATTENTION: dict[str, Any] = {"trust_remote_code": False, "attn_implementation": None}
"""Arguments of transformers' `from_pretrained`. None: transformers chooses the attention, whatever a configuration asks
for, which may be a repository."""

MOST_LAYERS = 200


def check_index(path: Path, index: Mapping[str, Any], family: Family) -> set[str]:
    """The parts that a model_index.json lists and that are loaded. path: of the file, for messages.

    Raises UserError if a part is of a class that the family does not name: naming a library imports it, and classes
    that choose other classes (`AutoModel`) run code from the folder.
    """
    check_settings(path, index)
    skipped = {
        part for part, value in family.loading.items() if value is None
    }  # never loaded, such as the safety checker
    parts = {part: made_of for part, made_of in index.items() if isinstance(made_of, list) and not part.startswith("_")}
    for part, made_of in parts.items():
        library, classes = family.part_classes(part)
        if part not in skipped and made_of not in ([None, None], *([library, name] for name in classes)):
            known = " or ".join(f'["{library}", "{name}"]' for name in classes)
            raise UserError(
                f"{path}: {part} = {shown(made_of)} must be {known or f'left out: {family.title} has no such part'}"
            )
    return {part for part, made_of in parts.items() if part not in skipped and made_of[0] is not None}


def check_parts(folder: Path, parts: Iterable[str]) -> None:
    """Raise UserError for code or adapters among the files of these parts of a pipeline, and for configurations that
    lead to code or to other files, or that describe more layers than any model has: libraries would build such networks
    for hours."""
    for part in sorted(parts):
        for path in sorted((folder / part).glob("*")):
            if path.suffix == ".py" or path.name == "adapter_config.json":
                raise UserError(f"{path}: code and adapters in a model's folder are not read; remove this file")
            if path.name.endswith("config.json"):
                settings = _read_settings(path)
                check_settings(path, settings)
                _check_depth(path, settings)


def _read_settings(path: Path) -> Any:
    """A configuration, parsed as libraries do: diffusers writes infinite numbers, which standard JSON lacks."""
    try:
        return json.loads(read_bytes(path, SETTINGS))
    except (ValueError, RecursionError) as error:
        said = TOO_DEEP if isinstance(error, RecursionError) else f"is not JSON: {first_line(error)}"
        raise UserError(f"{path}: {said}") from error


def check_settings(path: Path | str, settings: Any) -> None:
    """Raise UserError where a configuration, at any depth, has a key of ELSEWHERE. path: for messages."""
    waiting = [settings]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key in value:
                if key in ELSEWHERE and value[key] is not None:
                    raise UserError(
                        f"{path}: {key} = {shown(value[key])} leads to code or files elsewhere; remove that key"
                    )
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_depth(path: Path, settings: Any) -> None:
    if not isinstance(settings, dict):
        raise UserError(f"{path}: must be a table, not {shown(settings)}")
    for key in (
        "layers_per_block",
        "transformer_layers_per_block",
        "num_hidden_layers",
        "num_layers",
        "num_single_layers",
        "n_layers",
    ):
        value = settings.get(key)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and number > MOST_LAYERS:
                raise UserError(f"{path}: {key} = {shown(value)}: at most {MOST_LAYERS} layers")


def import_without_kernels(name: str) -> None:
    """Import a library, if it is installed, while hiding the package `kernels`, with which the library would fetch and
    run a repository's code.

    If the import fails, no error is raised: most models do not need the library.
    """
    if name in sys.modules or find_spec(name) is None:
        return
    there = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        with suppress(Exception):  # a broken installation may raise anything
            import_module(name)
    finally:
        sys.modules.pop("kernels", None)
        if there is not None:
            sys.modules["kernels"] = there
