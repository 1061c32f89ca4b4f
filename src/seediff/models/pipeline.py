"""Loads a model's diffusers pipeline, part by part: `load_pipeline`.

A LoRA comes from safetensors only. Attention capture reads queries and keys behind the layers that make them, so it
sees what a LoRA adds.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import Notice, UserError, first_line
from ..files.tensors import read_header
from .families.family import NOT_LOADED, Family
from .hub import INDEX, fetch_file, fetch_files, fetch_weights, hub_files
from .libraries import heard
from .locate import ModelFiles, read_index
from .no_code import check_index, check_parts
from .schedulers import follow_marks
from .weight_files import has_all, needed_files
from .weights import errors_about, load_part


def load_pipeline(files: ModelFiles, family: Family, dtype: str) -> Any:
    """The diffusers pipeline of a model. Files that the hub's cache lacks are fetched.

    files: the model's. family: its architecture. dtype: the number format of all weights. Raises UserError."""
    import diffusers
    import torch

    folder = files.whole
    if files.file:
        files.file.fetch()
    if isinstance(folder, str):
        folder = fetch_pipeline(files, family, dtype)
    index = read_index(folder)
    listed = check_index(folder / INDEX, index, family)
    check_parts(folder / part for part in listed)
    if files.network:
        check_parts([files.network])

    # 1. Tokenizers, processors and the scheduler
    with errors_about(folder / "tokenizer"):
        tokenizers = family.tokenizers(folder)
    loaded: dict[str, Any] = {}
    for part in sorted(part for part in listed - {*tokenizers} if not family.has_weights(part)):
        with errors_about(folder / part):
            loaded[part] = _part_class(index, part).from_pretrained(str(folder / part))

    # 2. Parts with weights
    networks: dict[str, Any] = {}
    own = sorted(filter(family.has_weights, listed))
    for part, part_folder in weight_folders(files, family, folder, index, own).items():
        with errors_about(part_folder):
            networks[part] = load_part(_part_class(index, part), part_folder, part, dtype, files.name)
    if files.file:
        warnings.warn(f"{files.name}: {parts_line(files, family)}", Notice, stacklevel=2)
        networks |= files.file.load(family, folder, index, dtype)

    # 3. The pipeline of these parts
    absent = dict.fromkeys({*NOT_LOADED, *family.optional_parts} - listed)
    switches = {"requires_safety_checker": False, "add_watermarker": False}  # of some pipelines
    # A pipeline needs its processor when it is made. A tokenizer is registered afterwards, because its class may differ
    # from the class in model_index.json.
    processors = {part: made if hasattr(made, "tokenizer") else None for part, made in tokenizers.items()}
    options = {**absent, **switches, **loaded, **networks, **processors, "dtype": getattr(torch, dtype)}
    with errors_about(folder):
        pipeline_class = getattr(diffusers, index["_class_name"])
        pipe = pipeline_class.from_pretrained(str(folder), use_safetensors=True, trust_remote_code=False, **options)
        pipe.register_modules(**tokenizers)
    if files.file and files.file.path and not files.file.is_gguf:
        follow_marks(pipe, read_header(files.file.path).tensors)
    return pipe


def fetch_pipeline(files: ModelFiles, family: Family, dtype: str, out: Path | None = None) -> Path:
    """The folder of a whole model on the hub, after its files were fetched, as far as a number format needs them. If
    the hub's cache has all of them, the hub is not asked.

    files: the model's; `files.whole` must be a hub id. family: its architecture. dtype: the number format. out: a
    folder to use instead of the hub's cache. Raises UserError."""
    hub_id = str(files.whole)
    folder = fetch_file(hub_id, INDEX).parent
    index = read_index(folder)
    listed = check_index(folder / INDEX, index, family)
    replaced = replaced_parts(files, family, index)
    own = [part for part in sorted(listed) if family.has_weights(part) and part not in replaced]
    cached = [path.relative_to(folder).as_posix() for path in folder.glob("*/*")]
    if out is None and has_all(cached, listed, own, dtype):
        return folder
    return fetch_files(hub_id, needed_files(hub_files(hub_id), listed, own, dtype), out=out)


def replaced_parts(files: ModelFiles, family: Family, index: Mapping[str, Any]) -> Collection[str]:
    """The names of the parts that are not the whole model's own. family, index: of the whole model."""
    if files.network:
        return [family.network_part]
    return files.file.parts(family, index) if files.file else ()


def weight_folders(
    files: ModelFiles, family: Family, folder: Path, index: Mapping[str, Any], parts: Iterable[str]
) -> Mapping[str, Path]:
    """Part → its folder, for those of `parts` that no single file replaces. family, folder, index: of the whole
    model."""
    replaced = replaced_parts(files, family, index)
    folders = {part: folder / part for part in parts if part not in replaced}
    return {**folders, family.network_part: files.network} if files.network else folders


def parts_line(files: ModelFiles, family: Family) -> str:
    """Where the parts come from, such as "unet from the file; vae, text_encoder, the rest from sd1.5"; "" for a whole
    model. files, family: the model's."""
    if files.is_whole:
        return ""
    index = files.index()
    replaced = replaced_parts(files, family, index)
    origin = "the folder"
    if files.file:
        origin = "the file" if files.file.path else "the hub"
    others = [part for part, made_of in index.items() if family.has_weights(part) and made_of != [None, None]]
    rest = ", ".join([*(part for part in others if part not in replaced), "the rest"])
    return f"{', '.join(replaced)} from {origin}; {rest} from {files.base}"


def _part_class(index: dict[str, Any], part: str) -> Any:
    """The class of a part, from diffusers or transformers. index: the checked model_index.json."""
    library, name = index[part]
    return getattr(import_module(library), name)


NAME = "seediff"
"""The LoRA's name within the pipeline."""
UNCHANGED = "No LoRA keys associated to"
"""The beginning of diffusers' message about a part that a LoRA does not change. All its other messages, and those of
transformers, are about tensors that are left out, or missing."""


def load_lora(pipe: Any, family: Family, source: str, scale: float) -> None:
    """Load a LoRA into a pipeline.

    family: the pipeline's. source: a file, a folder, or a hub id. scale: the factor on the LoRA's weights. Raises
    UserError if the file is missing, if a part of it does not fit the model, and if peft is missing."""
    path = fetch_weights("lora", source)
    try:
        with heard() as said:
            pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=NAME)
            pipe.set_adapters([NAME], adapter_weights=[scale])
    except Exception as error:  # sizes that do not fit, no layer of the model, no peft
        said = [first_line(error)]
    faults = " ".join(" ".join(text.split()) for text in said if not text.startswith(UNCHANGED))
    if faults:
        problem = f"{source}: does not fit {family.title}, or is no LoRA ({faults[:200]})"
        raise UserError("lora", problem, "use a plain LoRA of this model; it needs `pip install 'seediff[lora]'`")
    # The LoRA may be in another number format. Other weights stay: some are in float32 on purpose.
    for name, part in pipe.components.items():
        if part is not None and family.has_weights(name):
            for weight_name, weight in part.named_parameters():
                if "lora_" in weight_name:
                    weight.data = weight.data.to(part.dtype)
