"""Damaged samples of a finished dataset made again: it is turned back into a run that has their batches left to do.

The records of all other batches are written anew from what is there, then metadata.jsonl is removed. The command that made the dataset then
continues as after any interruption, and leaves the bytes that were there before the damage.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from .. import __version__
from ..config.generate import GenerateConfig, load_dataset_config
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from ..dataset import native
from ..dataset.store import find_extras
from ..errors import UserError
from ..files.documents import read_toml
from ..files.outputs import remove_inside
from .output import BatchRecord, Place

SAMPLE_FILE = re.compile(rf"(?:{'|'.join((native.IMAGES, native.MASKS, *native.EXTRAS))})/(\d{{6,}})(?:_\d+)?\.\w+")
INPUTS = {"generate": "", "mask": "PHOTOS ", "augment": "DATA ", "segment": "PHOTOS "}
"""What each command is given besides its configuration."""


def remake(folder: Path) -> str | None:
    """The command that made an output, and makes again what is not there; None where no run of this version did."""
    try:
        about = read_toml(folder / native.CONFIG)
    except UserError:
        return None
    inputs = INPUTS.get(about.get("command", ""))
    if inputs is None or about.get("version") != __version__:
        return None
    return f"seediff {about['command']} {inputs}--config {folder / native.CONFIG} --out {folder}"


def check_is_dataset(folder: Path) -> None:
    """Raise UserError for the output of `segment`, which looks like a dataset that lost everything; it says how that is made again."""
    if (folder / SegmentPhotosConfig.last_file).exists() and not (folder / native.METADATA).exists():
        raise UserError(f"{folder}: is what `seediff segment` made, and no dataset; should a file of it be damaged: {what_to_do(folder)}")


def what_to_do(folder: Path) -> str:
    """How to have an output again where single samples cannot be made again."""
    command = remake(folder)
    if command is None:
        return "no run of this version of seediff made it: make it again from where its samples came from"
    last = next(name for name in (native.METADATA, SegmentPhotosConfig.last_file) if (folder / name).exists())
    return f"remove {folder / last} and run: {command} (with what else it was given), which makes everything again"


def can_reopen(folder: Path) -> bool:
    """Whether the dataset is one that `generate` or `mask` of this version made, whole but for its samples."""
    command = remake(folder) or ""
    return command.startswith(("seediff generate ", "seediff mask ")) and (folder / native.METADATA).is_file()


def reopen(folder: Path, damaged: Collection[str]) -> None:
    """Turn the finished dataset in `folder` back into an unfinished one that lacks the batches of these files, named by their paths in it.

    Only where `can_reopen`. Raises UserError for a file that is no sample's, or when another run is at work in the folder.
    """
    config = load_dataset_config(folder / native.CONFIG, MaskPhotosConfig)
    lost = {sample_number(name) // config.batch_size for name in damaged}
    place, extras = Place(folder), find_extras(folder)
    with place.locked():
        records: dict[int, BatchRecord] = defaultdict(BatchRecord)
        for row in native.read_rows(folder):
            records[sample_number(row["file_name"]) // config.batch_size].rows.append(row)
        if isinstance(config, GenerateConfig):
            for row in native.read_rows(folder, native.REJECTED) if config.reject else ():
                records[row["index"] // config.batch_size].rejected.append(row)
        else:  # which batch a photograph that failed was of is not known: one that lacks a row is made again
            lost |= {number for number, record in records.items() if len(record.rows) < config.batch_size}
        place.make_folders([])
        for number in records.keys() - lost:
            record = records[number]
            for row in record.rows:
                kept = extras.get(native.sample_name(row["file_name"]), {}).values()
                for path in (folder / row["file_name"], folder / row["mask"], *kept):
                    crc = None if path.suffix == ".safetensors" else zlib.crc32(path.read_bytes())
                    record.files[path.relative_to(folder).as_posix()] = path.stat().st_size, crc
            place.commit(number, record)
        remove_inside(folder, native.METADATA)  # last: without it the dataset is unfinished


def sample_number(name: str) -> int:
    """Of the sample that a file belongs to: `soft/000012_3.png` → 12."""
    if not (matched := SAMPLE_FILE.fullmatch(name)):
        raise UserError(f"{name}: is no sample's file")
    return int(matched[1])
