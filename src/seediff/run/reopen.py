"""Damaged samples of a finished dataset made again: it is turned back into a run that has their batches left to do.

The records of all other batches are written anew from what is there, then metadata.jsonl is removed. The command that made the dataset then
continues as after any interruption, and leaves the bytes that were there before the damage.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..config.augment import AugmentConfig
from ..config.base import RunConfig
from ..config.generate import DatasetConfig, GenerateConfig, load_dataset_config
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from ..dataset import native
from ..dataset.batches import BatchRecord, make_room, open_run, write_record
from ..dataset.store import find_extras
from ..errors import UserError
from ..files.documents import read_toml
from ..files.outputs import remove_inside
from ..prompts.specs import sample_count
from .photo_files import read_failures

SAMPLE_FILE = re.compile(rf"(?:{'|'.join((native.IMAGES, native.MASKS, *native.EXTRAS))})/(\d{{6,}})(?:_\d+)?\.\w+")


def check_is_dataset(folder: Path) -> None:
    """Raise UserError for the output of `segment`, which looks like a dataset that lost everything; it says how that is made again."""
    kind = SegmentPhotosConfig
    if not (folder / native.METADATA).exists() and _made_by(folder)[0] == kind.command:
        again = _all_again(folder, kind, "PHOTOS", "--captions and --labels")
        raise UserError(f"{folder}: is what `seediff {kind.command}` made, and no dataset; should a file of it be damaged: {again}")


def can_reopen(folder: Path) -> bool:
    """Whether the dataset is one that `generate` or `mask` of this version made, whole but for its samples."""
    command, version = _made_by(folder)
    made_here = command in (GenerateConfig.command, MaskPhotosConfig.command) and version == __version__
    return made_here and (folder / native.METADATA).is_file()


def what_to_do(folder: Path) -> str:
    """How to have damaged samples again where not `can_reopen`."""
    command, version = _made_by(folder)
    if command == AugmentConfig.command and version == __version__:
        # Which samples are of which batch follows from the dataset that they were made of, and this is not here.
        return _all_again(folder, AugmentConfig, "DATA")
    if command is None or version == __version__:
        return "its samples came from elsewhere: make the dataset again from there"
    return f"version {version} of seediff made it, and {__version__} may make other samples: use that version, or make the dataset anew"


def _made_by(folder: Path) -> tuple[str | None, str | None]:
    """The command and the version of seediff that made an output, as its seediff.toml says; None where nothing does."""
    try:
        table = read_toml(folder / native.CONFIG)
    except UserError:
        return None, None
    return table.get("command"), table.get("version")


def _all_again(folder: Path, kind: type[RunConfig], source: str, options: str = "") -> str:
    """What makes a finished output again with the same bytes. Without its last file it is unfinished, and no batch of it is known.

    options: those that are not in seediff.toml.
    """
    command = f"seediff {kind.command} {source} --config {folder / native.CONFIG} --out {folder}"
    given = f"{source} and, where they were given, {options}" if options else source
    return f"remove {folder / kind.last_file} and run: {command} (with the same {given}), which makes everything again"


def reopen(folder: Path, damaged: Collection[str]) -> str:
    """Turn the finished dataset in `folder` back into an unfinished one that lacks the batches of these files, named by their paths in it.

    Returns the command that completes it. Only where `can_reopen`. Raises UserError for a file that is no sample's, or when another run is
    at work in the folder.
    """
    config = load_dataset_config(folder / native.CONFIG, MaskPhotosConfig)
    lost = {sample_number(name) for name in damaged}
    try:
        with open_run(folder):
            rows = {sample_number(row["file_name"]): row for row in native.read_rows(folder)}
            notes = rejected_by_sample(folder, config, rows)
            extras = find_extras(folder)
            total = sample_count(config) if isinstance(config, GenerateConfig) else len(rows) + len(notes)
            make_room(folder, [])
            for number, batch in enumerate(config.batches(total)):
                if not lost & {*batch}:
                    batch_rows = [rows[i] for i in batch if i in rows]
                    files = _files(folder, batch_rows, extras)
                    write_record(folder, number, BatchRecord(batch_rows, [note for i in batch for note in notes.get(i, ())], files))
            remove_inside(folder, native.METADATA)  # last: without it the dataset is unfinished
    except UserError as error:
        raise UserError(str(error).replace("--out ", "", 1)) from error
    photos = "" if isinstance(config, GenerateConfig) else "PHOTOS "
    return f"seediff {config.command} {photos}--config {folder / native.CONFIG} --out {folder}"


def sample_number(name: str) -> int:
    """Of the sample that a file belongs to: `soft/000012_3.png` → 12."""
    if not (found := SAMPLE_FILE.fullmatch(name)):
        raise UserError(f"{name}: is no sample's file")
    return int(found[1])


def rejected_by_sample(folder: Path, config: DatasetConfig, rows: Mapping[int, Any]) -> dict[int, list[dict[str, Any]]]:
    """What a run noted besides its rows, by the number of the sample: rejected draws, photographs that failed. rows: by number."""
    if isinstance(config, GenerateConfig):
        rejected = native.read_rows(folder, native.REJECTED) if config.reject else []
        numbers = [row["index"] for row in rejected]
    else:
        rejected = read_failures(folder)
        numbers = [i for i in range(len(rows) + len(rejected)) if i not in rows]  # both are in the photographs' order
    if len(numbers) != len(rejected):
        raise UserError(f"{folder / native.METADATA}: rows are missing, so that no sample can be told from those that failed")
    found: dict[int, list[dict[str, Any]]] = {}
    for number, row in zip(numbers, rejected, strict=True):
        found.setdefault(number, []).append(dict(row))
    return found


def _files(folder: Path, rows: Sequence[Mapping[str, Any]], extras: Mapping[str, Mapping[Any, Path]]) -> dict[str, tuple[int, int | None]]:
    """The files of some rows as a record lists them."""
    paths = []
    for row in rows:
        paths += [folder / row["file_name"], folder / row["mask"], *extras.get(native.sample_name(row["file_name"]), {}).values()]
    crc = {path: None if path.suffix == ".safetensors" else zlib.crc32(path.read_bytes()) for path in paths}
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, crc[path]) for path in paths}
