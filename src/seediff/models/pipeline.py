"""Loads a model's diffusers pipeline, part by part: `load_pipeline`.

A LoRA comes from safetensors only. Attention capture reads queries and keys behind the layers that make them, so it
sees what a LoRA adds.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import Notice, UserError, first_line, foreign_errors
from ..files.tensors import read_header
from .families.family import NOT_LOADED, Family
from .hub import INDEX, fetch_file, fetch_files, fetch_weights, hub_files
from .libraries import heard
from .locate import ModelFiles, read_index
from .no_code import check_index, check_parts
from .schedulers import follow_marks
from .weights import has_all, load_part, needed_files


@dataclass(frozen=True)
class Parts:
    """The parts of a model that have weights: those of the whole model, and which of them other files replace."""

    files: ModelFiles
    family: Family
    index: Mapping[str, Any]
    """The whole model's model_index.json."""

    @property
    def all(self) -> list[str]:
        """The names of all of them."""
        there = (part for part, made_of in self.index.items() if made_of != [None, None])
        return [*filter(self.family.has_weights, there)]

    @cached_property
    def replaced(self) -> Collection[str]:
        """The names of those that are not the whole model's own."""
        if self.files.network:
            return [self.family.network_part]
        return self.files.file.parts(self.family, self.index) if self.files.file else ()

    @property
    def own(self) -> list[str]:
        """The names of those that are the whole model's own."""
        return [part for part in self.all if part not in self.replaced]

    def folders(self, whole: Path) -> dict[str, Path]:
        """Part → its folder, for those that no single file replaces. whole: the whole model's folder."""
        own = {part: whole / part for part in self.own}
        return {**own, self.family.network_part: self.files.network} if self.files.network else own

    @property
    def line(self) -> str:
        """Where they come from, such as "unet from the file; vae, text_encoder, the rest from sd1.5"."""
        origin = "the folder"
        if self.files.file:
            origin = "the file" if self.files.file.path else "the hub"
        return f"{', '.join(self.replaced)} from {origin}; {', '.join([*self.own, 'the rest'])} from {self.files.base}"


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
    with foreign_errors(folder / "tokenizer", "cannot be loaded"):
        tokenizers = family.tokenizers(folder)
    loaded: dict[str, Any] = {}
    for part in sorted(part for part in listed - {*tokenizers} if not family.has_weights(part)):
        with foreign_errors(folder / part, "cannot be loaded"):
            loaded[part] = _part_class(index, part).from_pretrained(str(folder / part))

    # 2. Parts with weights
    networks: dict[str, Any] = {}
    parts = Parts(files, family, index)
    for part, part_folder in parts.folders(folder).items():
        with foreign_errors(part_folder, "cannot be loaded"):
            networks[part] = load_part(_part_class(index, part), part_folder, part, dtype, files.name)
    if files.file:
        warnings.warn(f"{files.name}: {parts.line}", Notice, stacklevel=2)
        networks |= files.file.load(parts.replaced, folder, index, dtype)

    # 3. The pipeline of these parts
    absent = dict.fromkeys({*NOT_LOADED, *family.optional_parts} - listed)
    switches = {"requires_safety_checker": False, "add_watermarker": False}  # of some pipelines
    # A pipeline needs its processor when it is made. A tokenizer is registered afterwards, because its class may differ
    # from the class in model_index.json.
    processors = {part: made if hasattr(made, "tokenizer") else None for part, made in tokenizers.items()}
    options = {**absent, **switches, **loaded, **networks, **processors, "dtype": getattr(torch, dtype)}
    with foreign_errors(folder, "cannot be loaded"):
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
    own = Parts(files, family, index).own
    cached = [path.relative_to(folder).as_posix() for path in folder.glob("*/*")]
    if out is None and has_all(cached, listed, own, dtype):
        return folder
    return fetch_files(hub_id, needed_files(hub_files(hub_id), listed, own, dtype), out=out)


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
