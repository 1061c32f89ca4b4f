"""Checks the files of a model's folder before a library reads them, so that no code in them runs.

A configuration can name code in the folder or in a repository on the hub (`auto_map`). Libraries run this code if they
read the configuration with a class that looks for it (`AutoModel`). So a part must be of a class of diffusers or
transformers that always loads the same thing, and keys that lead to code or to another model's files are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.messages import show_json
from ..files.reading import read_bytes
from .families.family import NOT_LOADED, Family

PART_CLASSES = {
    "vae": r"diffusers \w+",
    "scheduler": r"diffusers \w+Scheduler",
    "text_encoder": r"transformers \w+",
    "tokenizer": r"transformers \w*(Tokenizer(Fast)?|TokenizersBackend|Processor)",
    "processor": r"transformers \w+Processor",
}
"""Part of a pipeline without its number → a pattern for its library and class: text_encoder_2 is a text_encoder. The
network is not in this table: its family names its class."""
NAMED_BY_FILES = re.compile(r"Auto[A-Z]|Pipeline")
"""Matches the names of classes that load whatever a configuration names. No part may have such a class."""
ELSEWHERE = frozenset(
    {
        "auto_map", "custom_pipeline", "custom_pipelines", "custom_revision", "code_revision", "trust_remote_code",
        "_module", "transformers_weights", "adapter_kwargs", "base_model_name_or_path",
    }
)  # fmt: skip
"""Keys of configurations that name code, or files outside the folder."""

SHARD = re.compile(r"[\w.-]+\.safetensors")
"""Matches the names of files in a list of weights."""
OWN_ATTENTION: dict[str, Any] = {"trust_remote_code": False, "attn_implementation": None}
"""Arguments for transformers' `from_pretrained`, with which transformers chooses the implementation of attention.
Otherwise a configuration could name one in a repository."""


def check_index(path: Path, index: Mapping[str, Any], family: Family) -> set[str]:
    """The names of the parts of a pipeline that are loaded, after a check of their classes. path: of model_index.json,
    for messages. index: its contents. family: the pipeline's.

    Raises UserError for a network of another class than the family's, for parts that PART_CLASSES does not allow, and
    for a missing part that the family needs."""
    check_settings(path, index)
    # Needed parts: all models of the family have them, or this file names them.
    listed = set[str]()
    needed = {family.network_part, "vae", "text_encoder", family.tokenizer_part}
    for part, made_of in index.items():
        if not isinstance(made_of, list) or part.startswith("_") or part in NOT_LOADED:
            continue  # no part, or one that is not loaded
        if all(isinstance(value, int | float) for value in made_of):
            continue  # a list of numbers is a setting
        needed.add(part)
        if made_of == [None, None]:
            continue
        allowed = PART_CLASSES.get(re.sub("_[0-9]$", "", part), "")
        if part == family.network_part:
            allowed = f"diffusers {family.class_name}"
        part_class = " ".join(map(str, made_of))
        if not re.fullmatch(allowed, part_class) or NAMED_BY_FILES.search(part_class):
            library = f"of {allowed.split()[0]}, not Auto…" if allowed else "left out"
            raise UserError(path, f"{part} = {show_json(made_of)} must be {library}")
        listed.add(part)
    missing = needed - listed - {*family.optional_parts}
    if missing:
        raise UserError(path, f"has no {min(missing)}, which {family.title} needs", "download that folder again")
    return listed


def check_parts(folders: Iterable[Path]) -> None:
    """Raise UserError for configurations of parts that `check_settings` refuses. folders: the parts'."""
    for folder, kind in product(folders, ("*config.json", "*.index*.json")):
        for path in sorted(folder.glob(kind)):
            with suppress(ValueError, RecursionError):  # a library cannot read the file either, and says so
                check_settings(path, json.loads(read_bytes(path)))


def check_settings(path: Path | str, settings: Any) -> None:
    """Raise UserError if a configuration has a key of ELSEWHERE, at any depth, or if it lists files of weights other
    than safetensors in its folder. path: its file, for messages. settings: its contents."""
    waiting = [settings]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key in ELSEWHERE & value.keys():
                if value[key] is not None:
                    problem = f"{key} = {show_json(value[key])} leads to code or files elsewhere"
                    raise UserError(path, problem, "remove that key")
            shards = value.get("weight_map")
            if isinstance(shards, Mapping) and not all(SHARD.fullmatch(str(name)) for name in shards.values()):
                raise UserError(path, "names weights that are no safetensors files beside it")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
