"""Loads diffusers' pipeline of a model, part by part: `load_pipeline`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from .families.family import NOT_LOADED, Family
from .hub import INDEX, fetch_file, fetch_files, hub_files, read_index
from .model_files import ModelFiles
from .sampling import follow_marks
from .trust import check_index, check_parts
from .weights import check_numbers, has_all, load_part, naming, needed_files


def load_pipeline(files: ModelFiles, family: Family, dtype: str) -> Any:
    """diffusers' pipeline of a model, with all weights in the number format `dtype`. Files that the hub's cache
    lacks are fetched. Raises UserError."""
    import diffusers
    import torch

    folder = files.whole
    if isinstance(folder, str):
        folder = _complete_folder(files, family, dtype)
    index = read_index(folder)
    listed, weighted = _parts(folder, files, family)
    check_parts(folder, listed)

    # 1. Tokenizers, processors and the scheduler
    with naming(folder / "tokenizer"):
        tokenizers = family.tokenizers(folder)
    loaded: dict[str, Any] = {}
    for part in sorted(part for part in listed - {*tokenizers} if not family.has_weights(part)):
        with naming(folder / part):
            loaded[part] = _part_class(index, part).from_pretrained(str(folder / part))

    # 2. Parts with weights
    networks: dict[str, Any] = {}
    for part in weighted:
        with naming(folder / part):
            networks[part] = load_part(_part_class(index, part), folder, part, dtype, files.name)
    replacement = files.replacement
    if replacement is not None:
        networks |= replacement.load(family, folder, index, dtype, files.name)

    # 3. The pipeline of these parts
    absent = dict.fromkeys({*NOT_LOADED, *family.optional} - listed)
    switches = {"requires_safety_checker": False, "add_watermarker": False}  # of some pipelines
    # A pipeline needs a processor at once; a tokenizer may be of another class than model_index.json names.
    given = {part: one if hasattr(one, "tokenizer") else None for part, one in tokenizers.items()}
    options = {**absent, **switches, **loaded, **networks, **given, "dtype": getattr(torch, dtype)}
    with naming(folder):
        kind = getattr(diffusers, index["_class_name"])
        pipe = kind.from_pretrained(str(folder), use_safetensors=True, trust_remote_code=False, **options)
        pipe.register_modules(**tokenizers)
    check_numbers(pipe, files.name, networks)
    if replacement is not None:
        follow_marks(pipe, replacement.marks)
    return pipe


def fetch_pipeline(files: ModelFiles, family: Family, dtype: str, out: Path | None = None) -> Path:
    """Fetch all files of the whole model that are loaded in a number format, and return their folder. The whole
    model must be a hub id. out: a folder to use instead of the hub's cache. Raises UserError."""
    hub_id = str(files.whole)
    sizes = hub_files(hub_id)
    needed = needed_files(sizes, *_parts(fetch_file(hub_id, INDEX).parent, files, family), dtype)
    return fetch_files(hub_id, {file: sizes[file] for file in needed}, out)


def _complete_folder(files: ModelFiles, family: Family, dtype: str) -> Path:
    """The folder of a hub id in the cache, after its missing files were fetched. Raises UserError."""
    folder = fetch_file(str(files.whole), INDEX).parent
    here = [path.relative_to(folder).as_posix() for path in folder.glob("*/*")]
    if has_all(here, *_parts(folder, files, family), dtype):
        return folder
    return fetch_pipeline(files, family, dtype)


def _parts(folder: Path, files: ModelFiles, family: Family) -> tuple[set[str], list[str]]:
    """(listed, weighted). listed: the parts in the whole model's model_index.json. weighted: those among them whose
    weights are loaded from the whole model. Raises UserError."""
    index = read_index(folder)
    listed = check_index(folder / INDEX, index, family)
    replaced = files.replaced(family, index)
    return listed, [part for part in sorted(listed) if family.has_weights(part) and part not in replaced]


def _part_class(index: dict[str, Any], part: str) -> Any:
    """The class of a part, from diffusers or transformers. index: model_index.json, already checked."""
    library, name = index[part]
    return getattr(import_module(library), name)
