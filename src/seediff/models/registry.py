"""`load_model`: loads a model by name: the embedded one, the short name of a well-known one, a local folder or a hub id."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.documents import read_json
from ..files.messages import meant, shown
from ..files.reading import SETTINGS
from ..files.schema import fit
from .adapters import load_embedding, load_lora
from .families import pipeline_family
from .families.base import Family, Reader
from .families.unet import SD
from .known import KNOWN, hub_ids
from .memory import Offload, check_offload, enable_tiling, place
from .refusals import TORCHVISION, blames_torchvision, hub_error, is_gone, not_fetched, not_loaded, unsupported
from .variants import choose_variant, folder_files, hub_files, is_all_there, is_enough
from .whole import check_whole, load_text_encoder

ALIASES = {known.name: known.ids[0] for known in KNOWN}
"""Short names → the first of their hub ids."""

EMBEDDED = {
    "mini": Path(__file__).parent / "mini" / "weights",
    "mini-dit": Path(__file__).parent / "mini" / "transformer",
}
"""Where the models that know the embedded world lie in the package."""
PIPELINES = {"mini": "StableDiffusionPipeline", "mini-dit": "StableDiffusion3Pipeline"}
"""What they are, in diffusers' classes."""

LIBRARIES = (None, "diffusers", "transformers")
"""Where the parts of a pipeline may come from, as model_index.json has it; None: the part is left out."""


@dataclass(frozen=True)
class Model:
    """A loaded text-to-image model.

    pipe: diffusers' pipeline, without safety checker and progress bar. family: what is known of its kind.
    device: "cuda", "mps" or "cpu", with an index where one was given. dtype: "float32", "float16" or "bfloat16".
    latent_side: L, positions a side of what the network works on, at the model's own image size. image_side: that size, in pixels.
    known_classes: the only classes that the model can draw; None: not known to be limited.
    known_words: the only words that it knows at all, these classes among them; None: not known to be limited.
    offload: what waits in the computer's memory while it does not work.
    """

    pipe: Any
    name: str
    device: str
    dtype: str
    latent_side: int
    image_side: int
    known_classes: tuple[str, ...] | None = None
    known_words: tuple[str, ...] | None = None
    family: Family = SD
    offload: Offload = "none"

    @property
    def network(self) -> Any:
        """The part of the pipeline that has the attention."""
        return self.family.net(self.pipe)

    @property
    def pixels(self) -> int:
        """Pixels a position of L."""
        return self.family.pixels(self.pipe.vae_scale_factor, self.network.config)

    @property
    def size_rules(self) -> tuple[int, int | None]:
        """What sides of its images in pixels are multiples of, and the largest; None: no rule."""
        factor, config = self.pipe.vae_scale_factor, self.network.config
        return self.family.multiple(factor, config), self.family.largest(factor, config)

    @property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers, and where their tokens are among the columns of attention to text."""
        return self.family.readers(self.pipe)

    def rest(self) -> None:
        """Have all parts leave the device that take turns on it. Whoever runs parts outside of the pipeline's call says so when done with
        them, as the pipeline's call does itself: else they stay until a part behind them works."""
        if self.offload == "model":
            self.pipe.maybe_free_model_hooks()

    def check_known(self, classes: Sequence[str]) -> None:
        """Raise UserError, listing what the model knows, when a class is not among it."""
        check_known_classes(self.name, self.known_classes, classes)


def load_model(
    name: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    lora: str | None = None,
    lora_scale: float | None = None,
    embedding: str | None = None,
    vae_tiling: bool = False,
    compile: bool = False,
    offload: Offload = "none",
) -> Model:
    """Load a model of one of the families in diffusers' format, safetensors only, without running anyone's code.

    Of weights in several number formats, those that suit `dtype` are read, and fetched (`variants.py`).

    Args:
        name: one of EMBEDDED, one of ALIASES, a local folder, or a hub id such as `owner/name` (fetched when not yet in the cache).
        device: None: cuda, else mps, else cpu.
        dtype: "float32", "float16" or "bfloat16"; None: half precision of the family's kind on cuda, float32 elsewhere.
        lora, lora_scale, embedding, vae_tiling, compile: as `RunConfig` has them.
        offload: what waits in the computer's memory while it does not work. The model computes the same.

    Raises:
        UserError: no such model, unreadable folder, weights that cannot be had, another family of models, an unusable
            device, dtype or offload, an autoencoder without tiles, a network that cannot be compiled, or an installation in which
            diffusers cannot be imported.
    """
    torch, diffusers = _import_diffusers()
    from ..devices import check_device, default_device, default_dtype

    device = check_device(device or default_device())
    check_offload(offload, device)
    if compile:
        from .compiled import check_compile, compile_network

        check_compile(device, offload)
    source = resolve_name(name)
    if dtype not in (None, "float32", "float16", "bfloat16"):
        raise UserError(f"dtype '{dtype}' is not one of float32, float16, bfloat16")
    source, folder = (source, source) if isinstance(source, Path) else _fetch_index(name)
    index = read_index(folder)
    pipeline = index.get("_class_name")
    family = pipeline_family(pipeline) if isinstance(pipeline, str) else None
    if not isinstance(pipeline, str) or family is None:
        raise unsupported(name, pipeline)
    dtype = dtype or default_dtype(device, family.half)
    # Without those that are never loaded: the safety checker of Stable Diffusion 1 is of a library that is none.
    skipped = {part for part, value in family.loading.items() if value is None}
    read = [part for part in index if isinstance(index[part], list) and not part.startswith("_") and part not in skipped]
    _check_libraries(folder, index, read)
    listed = {part for part in read if index[part][0]}
    parts = [part for part in family.weights if part not in family.optional or part in listed]
    encoders = [part for part in parts if part.startswith("text_encoder")]
    files = folder_files(folder, parts)
    if not isinstance(source, Path):
        # What the cache holds is read from there where it is enough, or where the hub does not answer: libraries would ask the hub about
        # every file, and wait for it.
        whole = is_all_there(folder, listed, parts)
        offered = None if whole and is_enough(files, dtype, parts) else hub_files(source)
        if offered is not None:
            files = offered
        elif whole:
            source = folder
    if isinstance(source, Path):
        check_depth(source, parts)
    variant = choose_variant(files, dtype, parts)
    try:
        pipe = getattr(diffusers, pipeline).from_pretrained(
            str(source),
            **{k: v for e in encoders for k, v in load_text_encoder(source, files, index, variant, getattr(torch, dtype), name, e).items()},
            dtype=getattr(torch, dtype),
            variant=variant,
            use_safetensors=True,
            **family.loading,
            **{part: None for part in family.optional if part not in listed},
        )
    except UserError:
        raise
    except Exception as error:  # whatever reading a broken folder or a dead connection leads to
        raise not_loaded(source, error) from error
    if not isinstance(source, Path):
        folder = cached_folder(source) or folder  # the hub may have a newer version than the model_index.json that was in the cache
    _check_parts(pipe, name, pipeline, family)
    check_whole(pipe, folder, variant, name, parts)
    _check_text_parts(pipe, name, family)
    if lora is not None:
        load_lora(pipe, family, lora, 1.0 if lora_scale is None else lora_scale, name)
    if embedding is not None:
        load_embedding(pipe, family, embedding, name)
    if vae_tiling:
        enable_tiling(pipe, name)
    pipe.set_progress_bar_config(disable=True)
    if compile:
        compile_network(family.net(pipe), family, device)
    try:
        place(pipe, device, offload)
    except torch.OutOfMemoryError as error:
        less = "" if offload == "sequential" else "--offload model, " if offload == "none" else "--offload sequential, "
        raise UserError(f"model '{name}' does not fit into the memory of {device}; use {less}--dtype float16 or --device cpu") from error
    config = family.net(pipe).config
    sample = config.get("sample_size", 1)
    if not isinstance(sample, int) and not (isinstance(sample, list | tuple) and sample and isinstance(sample[0], int)):
        raise UserError(f"model '{name}': sample_size of its {family.network} is {shown(sample)}, but must be a whole number")
    side = family.image_side(pipe.vae_scale_factor, config)
    latent_side = side // family.pixels(pipe.vae_scale_factor, config)
    return Model(pipe, name, device, dtype, latent_side, side, read_classes(source), read_words_known(source), family, offload)


def _check_parts(pipe: Any, name: str, pipeline: str, family: Family) -> None:
    """Raise UserError naming a part that the pipeline's class needs and the folder does not list."""
    tokenizers = [part.replace("text_encoder", "tokenizer") for part in family.weights if part.startswith("text_encoder")]
    for part in (*family.weights, *tokenizers):
        if getattr(pipe, part, None) is None and part not in family.optional:
            raise UserError(f"model '{name}': cannot be loaded, it has no {part}, which a {pipeline} needs; get that folder again")


def _check_text_parts(pipe: Any, name: str, family: Family) -> None:
    """Raise UserError when a tokenizer gives tokens, or as many of them, as its text encoder has no rows or places for."""
    for reader in family.readers(pipe):
        _check_text_part(reader, getattr(pipe, reader.name.replace("tokenizer", "text_encoder")), name)


def _check_text_part(reader: Reader, encoder: Any, name: str) -> None:
    rows = encoder.get_input_embeddings().num_embeddings
    ids = reader.tokenizer.get_vocab()
    token = max(ids, key=ids.__getitem__, default="")
    if ids and ids[token] >= rows:
        raise UserError(
            f"model '{name}': {shown(token)} has the number {ids[token]} in its tokenizer, but its text encoder knows the numbers "
            f"0 to {rows - 1} only; they are not of one model"
        )
    if not type(encoder).__name__.startswith("CLIP"):  # others have no table of places
        return
    places, longest = encoder.config.max_position_embeddings, reader.tokenizer.model_max_length
    if not isinstance(longest, int) or not 2 < longest <= places:
        raise UserError(
            f"model '{name}': model_max_length of its tokenizer is {shown(longest)}, but must be a whole number from 3 to {places}, "
            "the places of its text encoder"
        )


def resolve_name(name: str) -> Path | str:
    """What a model's name stands for: a local folder, or a hub id; of several that have the same model, one that is in the cache. Raises
    UserError when it is neither. Asks no network."""
    if name in EMBEDDED:
        if not (EMBEDDED[name] / "model_index.json").is_file():
            raise UserError(f"the embedded model is missing ({EMBEDDED[name]}): reinstall seediff, or train it with `seediff mini train`")
        return EMBEDDED[name]
    if name in ALIASES:
        return next(filter(cached_folder, hub_ids(name)), ALIASES[name])
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"model '{name}' is a file; name a folder in diffusers' format (with a model_index.json)")
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name):
        return next(filter(cached_folder, hub_ids(name)), name)
    names = (*EMBEDDED, *ALIASES)
    raise UserError(
        f"no model '{name}'{meant(name, names)}: there is no such folder; known names: {', '.join(names)}, or a hub id `owner/name`"
    )


def cached_folder(hub_id: str) -> Path | None:
    """Where a hub id's files are in the hub's cache; None: it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "model_index.json")
    return Path(found).parent if isinstance(found, str) else None


def read_index(folder: Path) -> dict[str, Any]:
    """model_index.json of a local folder. Raises UserError where there is none."""
    absent = "there is no such file; a folder written by diffusers' save_pretrained is needed"
    return read_json(folder / "model_index.json", dict[str, Any], limit=SETTINGS, absent=absent)


def _check_libraries(folder: Path, index: Mapping[str, Any], parts: Iterable[str]) -> None:
    """Raise UserError where one of these parts would come from anywhere but LIBRARIES. A library's name is imported: any other would be a
    module that somebody put on Python's path."""
    for part in parts:
        made_of = index[part]
        if len(made_of) != 2 or made_of[0] not in LIBRARIES or not isinstance(made_of[1], (str, type(None))):
            libraries = " or ".join(repr(one) for one in LIBRARIES if one)
            raise UserError(f"{folder / 'model_index.json'}: {part} = {shown(made_of)} must be [library, class], the library {libraries}")


def _fetch_index(name: str) -> tuple[str, Path]:
    """The hub id that is used for a name, and the folder in the cache with its model_index.json, from the cache or the hub: the family is
    known before gigabytes are fetched. Where a repository has gone, the next that has the same model is asked for."""
    ids = hub_ids(name)
    for hub_id in ids:
        folder = cached_folder(hub_id)
        if folder is not None:
            return hub_id, folder
    refusals: dict[str, Exception] = {}
    for hub_id in ids:
        refusal = hub_error(hub_id)
        if refusal is None:
            return hub_id, fetch_file(hub_id, "model_index.json").parent
        refusals[hub_id] = refusal
        if not is_gone(refusal):
            break
    first = next(iter(refusals))
    raise not_fetched(first, refusals[first]) from refusals[first]


def fetch_file(hub_id: str, name: str) -> Path:
    """A small file of a hub id, from the cache or the hub. Raises UserError."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name))
    except Exception as error:
        raise not_fetched(hub_id, error) from error


def check_known_classes(name: str, known: Sequence[str] | None, classes: Sequence[str]) -> None:
    """Raise UserError, listing what the model `name` knows, when a class is not among `known` (None: it is not limited)."""
    unknown = [c for c in classes if known is not None and c not in known]
    if unknown:
        told = ", ".join(f"{c!r}{meant(c, known or ())}" for c in unknown)
        raise UserError(
            f"model '{name}' does not know {told}; it knows: {', '.join(known or ())}. "
            "For anything else name a real model: --model sd2-base, a local diffusers folder or a hub id"
        )


def read_classes(source: Path | str) -> tuple[str, ...] | None:
    """The classes of a model that says in `seediff.json` which it knows."""
    classes = read_list(source, "classes")
    if classes is None and isinstance(source, Path) and (source / "seediff.json").is_file():
        raise UserError(f'{source / "seediff.json"}: cannot be read; it should be {{"classes": ["dog", …]}}')
    return classes


def read_words_known(source: Path | str) -> tuple[str, ...] | None:
    """All words that a model knows that says in `seediff.json` which: its classes and others."""
    classes = read_classes(source)
    return None if classes is None else (*classes, *(read_list(source, "words") or ()))


def read_list(source: Path | str, key: str) -> tuple[str, ...] | None:
    """A list of texts in a local model's `seediff.json`; None where there is no such file or no such list."""
    path = Path(source) / "seediff.json"
    if isinstance(source, str) or not path.is_file():
        return None
    values = read_json(path, dict[str, Any], limit=SETTINGS).get(key)
    return None if values is None else fit(values, tuple[str, ...], f"{path}, '{key}'")


def _import_diffusers() -> tuple[Any, Any]:
    """(torch, diffusers), with the libraries' warnings and loading bars switched off; downloads still show theirs."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # some warnings come while modules are imported
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    try:
        import diffusers
        import torch
        import transformers
        from diffusers.utils import logging as diffusers_logging
    except Exception as error:  # lazy imports wrap the cause in one of their own
        if blames_torchvision(error):
            raise UserError(TORCHVISION) from error
        raise
    # What they say of a broken folder is in the error that they raise too.
    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    diffusers_logging.set_verbosity(logging.CRITICAL)
    diffusers_logging.disable_progress_bar()
    return torch, diffusers


def check_depth(folder: Path, parts: Sequence[str]) -> None:
    """Raise UserError for a part with more layers than any model has: one line, for which libraries would build networks for hours."""
    for part in parts:
        path = folder / part / "config.json"
        about = read_json(path, dict[str, Any]) if path.exists() else {}
        for key in ("layers_per_block", "transformer_layers_per_block", "num_hidden_layers", "num_layers", "num_single_layers", "n_layers"):
            value = about.get(key)
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int) and number > MOST_LAYERS:
                    raise UserError(f"{path}: {key} = {shown(value)}: at most {MOST_LAYERS} layers")


MOST_LAYERS = 200
