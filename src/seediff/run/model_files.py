"""What the small files of a local model tell before any weights are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..attention.levels import check_levels
from ..config.generate import DatasetConfig
from ..config.methods import check_capture
from ..errors import UserError
from ..files.documents import read_json
from ..files.reading import SETTINGS
from ..models.registry import check_known_classes, read_classes, resolve_name


def check_files(config: DatasetConfig) -> None:
    """Raise UserError for classes that the model does not know, levels of attention that it lacks and a capture that the method cannot
    work with, without loading it.

    Nothing is known of a hub id before it is fetched. What is wrong with the files themselves, loading says better.
    """
    check_capture(config.mask.method, config.capture.normalize)
    source = resolve_name(config.model)
    if isinstance(source, str):
        return
    check_known_classes(config.model, read_classes(source), config.classes)
    unet = read_part(source, "unet")
    if {"down_block_types", "up_block_types"} <= set(unet):
        check_levels(unet, config.mask, config.capture)


def read_part(folder: Path, part: str) -> dict[str, Any]:
    """config.json of a part of a pipeline, such as "unet"; empty when it cannot be read."""
    try:
        return read_json(folder / part / "config.json", dict[str, Any], limit=SETTINGS)
    except UserError:
        return {}
