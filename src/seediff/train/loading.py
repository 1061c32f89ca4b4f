"""Loads segmenters and backbones, from safetensors files only. transformers by itself would also read pickles, and
would give missing tensors random values with only a warning."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from torch import nn

from ..config.class_names import BACKGROUND
from ..config.train import LARGEST_SIDE
from ..dataset.names import check_class_list
from ..errors import UserError, first_line
from ..files.messages import show_json
from ..files.reading import fit, read_json
from ..files.tensors import Tensor
from ..models.audit import audit
from ..models.hub import cached_file, fetch_files, hub_files
from ..models.trust import check_settings, import_transformers
from ..models.weights import headers_of, load_checked, not_finite, shards

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
BACKBONE_TYPES = ("resnet", "swin")
"""transformers' `model_type` of the allowed Mask2Former backbones."""
NEW_HEADS = ("decode_head.", "hidden_states_norms.")
"""Prefixes of the tensors that pretrained weights of a backbone may lack: the decoder, and the norms of the backbone's
outputs."""


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
    are the first weights of a training, which may lack some tensors (see `_check_loaded`). options: further arguments
    of `from_pretrained`. Raises UserError for weights that are missing, damaged, or of another network.
    """
    where, folder = source, Path(source)
    if initial:
        where = f"weights = {source!r}"
    if not folder.is_dir():
        if not (cached_file(source, WEIGHTS) or cached_file(source, INDEX)):
            fetch_files(source, fnmatch.filter(hub_files(source, "weights"), "model*.safetensors*"), "weights")
        cached = cached_file(source, WEIGHTS) or cached_file(source, INDEX)
        folder = cached.parent if cached else folder
    files = [folder / WEIGHTS]
    if (folder / INDEX).is_file() and not files[0].is_file():
        files = shards(folder / INDEX)
    headers = headers_of(files, "no such file; only safetensors weights are read, never pickles")
    try:
        import_transformers()
        network, info = load_checked(kind, source, **options)
    except UserError:
        raise
    except Exception as error:  # a modified configuration can raise nearly anything
        raise UserError(where, f"cannot be loaded as {kind.__name__} ({first_line(error)})") from error
    _check_loaded(info, network, where, headers, initial)
    return network


def _check_loaded(
    info: Mapping[str, Any], network: nn.Module, where: str, headers: Mapping[str, Tensor], initial: bool
) -> None:
    """Raise UserError for tensors that `audit` refuses, and for values that are not finite.

    info: transformers' `output_loading_info`. where: the weights, for errors. headers: of the weights' files. initial:
    whether these are the first weights of a training. Then tensors may differ in the first side, which is the number of
    classes, all tensors of a prefix in NEW_HEADS may be missing, and other heads may be left over.
    """
    missing, names = set(info["missing_keys"]), list(network.state_dict())
    sizes = info["mismatched_keys"]
    if initial:
        sizes = [each for each in sizes if tuple(each[1])[1:] != tuple(each[2])[1:]]
        for head in NEW_HEADS:
            head_names = {name for name in names if name.startswith(head)}
            missing -= head_names if head_names <= missing else set()
    fits = {**info, "missing_keys": missing, "mismatched_keys": sizes}
    problem = audit(headers, fits, network, "backbone" if initial else "segmenter", where) or not_finite(network)
    if problem:
        raise UserError(where, problem, "use weights of this network")
