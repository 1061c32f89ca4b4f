"""A finished dataset turned back into a run that has batches left to do: those of damaged samples, or those of more samples.

The records of all other batches are written anew from what is there, then metadata.jsonl is removed. The command that made the dataset then
continues as after any interruption. It leaves the bytes that were there before the damage, or those of a dataset that was as large at
first.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..config.generate import DatasetConfig, GenerateConfig, load_dataset_config
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from ..dataset import native
from ..dataset.reviews import read_actions
from ..dataset.store import find_extras
from ..errors import UserError
from ..files.documents import read_toml
from ..files.outputs import remove_inside, write_atomic
from ..prompts.specs import sample_count
from .output import BatchRecord, Place, record_path

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
    place = Place(folder)
    with place.locked():
        if not isinstance(config, GenerateConfig):  # which batch a photograph that failed was of is not known
            lost |= {number for number, record in _rows_by_batch(folder, config).items() if len(record.rows) < config.batch_size}
        _unfinish(place, config, lost)


def grow(place: Place, config: GenerateConfig) -> None:
    """Turn the output in `place`, made by a configuration that `config` extends, into an unfinished one of `config`. Whole batches stay as
    they are. The last batch, if it was smaller than the others, is left to do, because the number of images in a batch changes rounding.

    Raises UserError if somebody has reviewed a sample of that batch.
    """
    folder = place.folder
    saved = load_dataset_config(folder / native.CONFIG)
    assert isinstance(saved, GenerateConfig)
    whole, rest = divmod(sample_count(saved), config.batch_size)
    if rest:
        again = {f"{index:06d}" for index in range(whole * config.batch_size, whole * config.batch_size + rest)}
        if reviewed := sorted(again & {action.sample for action in read_actions(folder)}):
            problem = f"would draw {reviewed[0]} again, which was reviewed: it is in the last batch, which has fewer images than the others"
            raise UserError(
                folder, problem, "make the new samples in another folder with another --seed, and join the two with `seediff merge`"
            )
    if (folder / native.METADATA).is_file():
        _unfinish(place, saved, {whole} if rest else set())
    elif rest:
        remove_inside(folder, record_path(whole))
    weights = read_toml(folder / native.CONFIG).get("weights", "")
    write_atomic(folder / native.CONFIG, config.to_toml(weights).encode("utf-8"))


def _rows_by_batch(folder: Path, config: DatasetConfig) -> dict[int, BatchRecord]:
    """Batch number → a record with its rows, and no files yet."""
    records: dict[int, BatchRecord] = defaultdict(BatchRecord)
    for row in native.read_rows(folder):
        records[sample_number(row["file_name"]) // config.batch_size].rows.append(row)
    if isinstance(config, GenerateConfig) and config.reject:
        for row in native.read_rows(folder, native.REJECTED):
            records[row["index"] // config.batch_size].rejected.append(row)
    return records


def _unfinish(place: Place, config: DatasetConfig, lost: Collection[int]) -> None:
    """Write the records of all batches of a finished dataset but `lost`, then remove metadata.jsonl: without it, it is unfinished."""
    folder, extras = place.folder, find_extras(place.folder)
    place.make_folders([])
    for number, record in _rows_by_batch(folder, config).items():
        if number in lost:
            continue
        paths = [path for row in record.rows for path in _files(folder, row, extras)]
        if not all(path.is_file() for path in paths):
            continue
        for path in paths:
            crc = None if path.suffix == ".safetensors" else zlib.crc32(path.read_bytes())
            record.files[path.relative_to(folder).as_posix()] = path.stat().st_size, crc
        place.commit(number, record)
    remove_inside(folder, native.METADATA)


def _files(folder: Path, row: Mapping[str, Any], extras: Mapping[str, Mapping[Any, Path]]) -> list[Path]:
    return [folder / row["file_name"], folder / row["mask"], *extras.get(native.sample_name(row["file_name"]), {}).values()]


def sample_number(name: str) -> int:
    """Of the sample that a file belongs to: `soft/000012_3.png` → 12."""
    if not (matched := SAMPLE_FILE.fullmatch(name)):
        raise UserError(f"{name}: is no sample's file")
    return int(matched[1])
