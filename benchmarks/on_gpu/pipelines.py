"""Pipelines with random weights: every family at its published shape, and its narrow twin.

Shapes, classes and number formats are the original's; weights are random. The tokenizers are those of the tests' twins,
so a prompt has other tokens than in the original; the number of columns, on which the cost depends, is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from builders.published import AUTOENCODERS, NETWORKS, TEXT_ENCODERS, saved_config  # pyright: ignore[reportMissingImports]
from builders.reference_attention import BOOKS, file_of  # pyright: ignore[reportMissingImports]

from seediff.attention.see_photos import read_prompts
from seediff.models.describe import ModelInfo, ModelSettings
from seediff.models.families import families
from seediff.models.locate import ModelFiles
from seediff.models.registry import Model, load_model
from seediff.models.short_names import SHORT_NAMES

TWINS: Mapping[str, Callable[[Path], Path]] = {
    **{pipeline: BOOKS[file_of(family)].save for family in families() for pipeline in family.pipelines},
    "PixArtSigmaPipeline": BOOKS["pixart"].variants["sigma"],
}
"""Pipeline → the function that saves its twin."""

FEW = {"num_layers": 2, "n_layers": 2, "num_single_layers": 2, "num_refiner_layers": 1, "n_refiner_layers": 1}
"""Setting of a transformer → a small number of its blocks; of those of two streams, 1 where some have one."""

TWIN_SIDE = 16
PROMPT = "a photo of a cat"

MROPE = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
"""How Qwen2.5-VL divides its 64 frequencies among time, rows and columns. transformers has no default for it."""


def twin(name: str, device: str, dtype: str, folder: Path) -> Model:
    """The narrow twin of a model's family, under the model's name, drawing pictures of TWIN_SIDE positions per side.
    Otherwise pipelines whose size is in no configuration would draw as large as the original."""
    model = load_model(str(TWINS[SHORT_NAMES[name].pipeline](folder / name)), device=device, dtype=dtype)
    return replace(
        model,
        info=replace(model.info, files=replace(model.info.files, name=name), settings=ModelSettings()),
        sizes=model.sizes._replace(side=TWIN_SIDE * model.sizes.position),
    )


def few_blocks(name: str) -> Mapping[str, Any]:
    """The options of a network that leave a few of its repeating blocks: capture costs the same share of each. UNets
    keep all."""
    found = {key: few for key, few in FEW.items() if key in saved_config(name)}
    return found | {"num_layers": 1} if "num_single_layers" in found else found


def exact(
    name: str,
    device: str,
    dtype: str,
    folder: Path,
    text_layers: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Model:
    """A model of the published shape, made on the device, which may be "meta", without memory. name: a key of NETWORKS.

    text_layers: the number of layers of each text encoder, on which no later shape depends; None: all. changes: other
    options of the network.
    """
    import diffusers
    import transformers

    narrow = twin(name, "cpu", "float32", folder)
    family, parts = narrow.family, dict(narrow.pipe.components)
    made = partial(_made, device=device, dtype=getattr(torch, dtype))
    kind, config = NETWORKS[name]
    for part, of, options in ((family.network_part, kind, {**config, **(changes or {})}), ("vae", *AUTOENCODERS[name])):
        parts[part] = made(partial(getattr(diffusers, of).from_config, options))
    encoders = sorted(part for part in parts if part.startswith("text_encoder"))
    for part, (kind, config) in zip(encoders, TEXT_ENCODERS[name], strict=True):
        model: Any = getattr(transformers, kind)
        tokenizer = parts.get(part.replace("text_encoder", "tokenizer"))
        told = _told(kind, config, tokenizer, text_layers, thin="Flux2" in SHORT_NAMES[name].pipeline)
        parts[part] = made(partial(model, model.config_class(**told)))
    pipe: Any = type(narrow.pipe)(**parts)
    pipe.set_progress_bar_config(disable=True)
    config = getattr(pipe, family.network_part).config
    info = ModelInfo(ModelFiles(name, name, name), family, type(pipe).__name__, dict(config), pipe.vae.config)
    sizes = info.sizes
    assert sizes is not None  # published configurations say them
    return Model(pipe, info, sizes, device, dtype)


def step_of(model: Model, rows: int) -> Callable[[], object]:
    """A function that calls the network once with so many rows, the last of which has the prompt."""
    pipe, config = model.pipe, model.network.config
    inner = pipe.vae.config.get("latent_channels") or pipe.vae.config.get("z_dim")
    # Four latents are one for these networks; FLUX.2's autoencoder itself packs them.
    packed = config.in_channels == 4 * inner and "Flux2" not in type(pipe.vae).__name__
    side = model.sizes.side // pipe.vae_scale_factor
    latents = torch.randn(rows, inner if packed else config.in_channels, side, side).to(
        model.network.device, model.network.dtype
    )
    condition = read_prompts(model, [""] * (rows - 1) + [PROMPT], latents)
    return partial(model.denoise, latents, 500, condition)


def _told(kind: str, config: Mapping[str, Any], tokenizer: Any, layers: int | None, thin: bool) -> dict[str, Any]:
    """A text encoder's configuration, completed with what depends on the tokenizer, and with settings of positions."""
    if layers is not None:
        config = _shallow(config, layers, thin)
    if kind.startswith("CLIP"):
        return {**config, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if kind.startswith("Qwen2_5_VL"):
        return {**config, "text_config": {**config["text_config"], "rope_parameters": MROPE}}
    return dict(config)


THIN = {"vocab_size": 512, "intermediate_size": 64, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 64}
"""Sizes of a language model whose middle layers are read, as in FLUX.2: it keeps all layers and the width of their
states.
"""


def _shallow(config: Mapping[str, Any], layers: int, thin: bool = False) -> dict[str, Any]:
    """The configuration with so many layers in each network, vision included. thin: the language model keeps its layers
    and gets THIN.
    """
    told = {
        key: _shallow(value, layers, thin) if isinstance(value, Mapping) else value for key, value in config.items()
    }
    if thin and "vocab_size" in config:
        return told | THIN
    return told | {key: layers for key in ("num_layers", "num_hidden_layers", "depth") if key in config}


def _made(make: Callable[[], torch.nn.Module], *, device: str, dtype: torch.dtype) -> torch.nn.Module:
    """Make a network on its device and in its number format. Float32 on the host first would need four times the
    memory.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return make().to(device=device, dtype=dtype).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)
