"""Loads segmenters and backbones, from safetensors files only. transformers by itself would also read pickles, and
would give missing tensors random values with only a warning."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ..config.class_names import BACKGROUND
from ..config.train import LARGEST_SIDE
from ..dataset.names import check_class_list
from ..errors import UserError, first_line
from ..files.messages import show_json
from ..files.reading import fit, read_json
from ..models.hub import cached_file, fetch_files, hub_files
from ..models.no_code import check_settings, import_transformers
from ..models.weights import load_whole

WEIGHTS, INDEX, FILES = "model.safetensors", "model.safetensors.index.json", "model*.safetensors*"
BACKBONE_TYPES = ("resnet", "swin")
"""transformers' `model_type` of the allowed Mask2Former backbones."""


class About(msgspec.Struct, frozen=True):
    """The relevant part of a segmenter's config.json."""

    model_type: str
    id2label: dict[str, str]
    """Id → class; "0" is the background."""
    test_side: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)] | None = None
    mirror: tuple[str, ...] = ()


def read_about(folder: Path, kinds: Collection[str]) -> tuple[About, tuple[str, ...]]:
    """(about, classes): a segmenter's config.json, and its classes without the background. kinds: the allowed
    `model_type`s. Raises UserError as `read_network_config` does, and for a faulty list of classes."""
    path = folder / "config.json"
    about = fit(read_network_config(path, kinds), About, str(path))
    names = tuple(about.id2label.get(str(i), "") for i in range(len(about.id2label)))
    if len(names) < 2 or "" in names:
        raise UserError(path, f"id2label must name 0, 1, 2, … in turn, not {show_json(about.id2label)}")
    if names[0] != BACKGROUND:
        problem = f"class 0 must be '{BACKGROUND}', not {show_json(names[0])}"
        raise UserError(path, problem, "only segmenters of `seediff train` can be used")
    check_class_list(names[1:], f"{path}: id2label")
    return about, names[1:]


def read_network_config(path: Path, kinds: Collection[str]) -> dict[str, Any]:
    """The contents of a network's config.json. kinds: the allowed `model_type`s. Raises UserError for another one, for
    a backbone outside BACKBONE_TYPES, and for settings that would run foreign code or read other files."""
    settings = read_json(path, dict[str, Any])
    kind = settings.get("model_type")
    if kind not in tuple(kinds):
        raise UserError(path, f"model_type = {show_json(kind)} must be {' or '.join(map(repr, kinds))}")
    check_settings(path, settings)
    backbone = settings.get("backbone_config") or {}
    if not isinstance(backbone, dict) or backbone.get("model_type", "swin") not in BACKBONE_TYPES:
        raise UserError(path, f"model_type of backbone_config = {show_json(backbone)} must be resnet or swin")
    if settings.get("backbone") is not None:
        raise UserError(path, f"backbone = {show_json(settings['backbone'])} names another model", "remove that key")
    return settings


def load_network(kind: Any, source: str, *, initial: bool = False, **options: Any) -> Any:
    """A network or a backbone, with its weights.

    kind: its transformers class. source: a local folder; or a hub id, whose files are fetched. initial: whether these
    are the first weights of a training, which may lack some tensors (`NEW` of weights.py). options: further arguments
    of `from_pretrained`. Raises UserError for weights that are missing, damaged, or of another network.
    """
    where = source
    if initial:
        where = f"weights = {source!r}"
    folder = Path(source)
    if not folder.is_dir():
        cached = cached_file(source, WEIGHTS) or cached_file(source, INDEX)
        if cached is None:
            folder = fetch_files(source, fnmatch.filter(hub_files(source, "weights"), FILES), "weights")
        else:
            folder = cached.parent
    try:
        import_transformers()
        role, files = "backbone" if initial else "segmenter", [*folder.glob(FILES.rstrip("*"))]
        network = load_whole(kind, source, role, where, files, **options)
    except UserError:
        raise
    except Exception as error:  # a modified configuration can raise nearly anything
        raise UserError(where, f"cannot be loaded as {kind.__name__} ({first_line(error)})") from error
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(where, f"{name} has values that are not numbers", "train it again")
    return network
