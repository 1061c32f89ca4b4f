"""Published configurations of models (published.toml). Networks are made on torch's meta device, without memory."""

import json
from functools import cache
from importlib import import_module
from pathlib import Path

import torch

from seediff.files.reading import read_toml
from seediff.models.families import pipeline_family
from seediff.models.short_names import SHORT_NAMES

TABLE = read_toml(Path(__file__).with_suffix(".toml"))


def published_part(name):
    """(class, its configuration) of a part of the table."""
    own = dict(TABLE["parts"][name])
    kind, config = published_part(own.pop("like")) if "like" in own else (None, {})
    kind = own.pop("class", kind)
    for key, value in own.items():
        config[key] = published_part(value)[1] if key.endswith("_config") else value
    return kind, config


PARTS = {name: [published_part(part) for part in parts] for name, parts in TABLE["models"].items()}
NETWORKS = {name: parts[0] for name, parts in PARTS.items()}
AUTOENCODERS = {name: parts[1] for name, parts in PARTS.items()}
TEXT_ENCODERS = {name: tuple(parts[2:]) for name, parts in PARTS.items()}
"""Short name → (class, its configuration)."""


def network(name):
    """The network that has the attention, on the meta device."""
    return _made("diffusers", *NETWORKS[name])


def parameters(name):
    """The number of stored values of each part of a model."""
    texts = [_made("transformers", *one) for one in TEXT_ENCODERS[name]]
    return [stored([part]) for part in (network(name), _made("diffusers", *AUTOENCODERS[name]), *texts)]


def stored(parts):
    """The number of stored values of all parts: parameters and persistent buffers, such as Stable Diffusion 3's table
    of positions.
    """
    buffers = [
        buffer
        for part in parts
        for module in part.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    ]
    return sum(weight.numel() for weight in (*buffers, *(weight for part in parts for weight in part.parameters())))


def _made(library, kind, config):
    return _made_once(library, kind, json.dumps(config))


@cache
def _made_once(library, kind, config):
    model = getattr(import_module(library), kind)
    given = json.loads(config)
    with torch.device("meta"):
        return model(model.config_class(**given)) if library == "transformers" else model.from_config(given)


def written(name, folder):
    """Write the small files of a model, as the hub's cache holds them before the weights arrive; returns the folder."""
    pipeline = SHORT_NAMES[name].pipeline
    family = pipeline_family(pipeline)
    assert family is not None
    files = {"model_index.json": {"_class_name": pipeline}, f"{family.network_part}/config.json": saved_config(name)}
    for path, content in (files | {"vae/config.json": AUTOENCODERS[name][1]}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(content))
    return folder


@cache
def saved_config(name):
    """The network's config.json: all values, including defaults."""
    return dict(network(name).config)
