"""The folder of a run's output: its finished batches, and who may write to it.

A batch is finished when its record, .batches/000007.json, exists: it has the size and checksum of each file, and is
written after them (docs/decisions/0001-batches-are-the-unit-of-work.md).
"""

from __future__ import annotations

import json
import shutil
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..config.base import DEFAULT, MACHINE, Batched, differences
from ..config.generate import DatasetConfig
from ..config.resolve import load_config
from ..dataset.native import EXTRAS, IMAGES, INSTANCES, MASKS
from ..dataset.reviews import REVIEWS
from ..errors import Notice, UserError
from ..files.documents import read_json, read_toml
from ..files.output_folders import LOCK, open_folder, parse_folder
from ..files.outputs import BATCHES, CONFIG, LABELS, LEFTOVER, NAMED, OVERLAYS, write_atomic
from ..files.reading import ANNOTATIONS, inside

State = Literal["new", "unfinished", "complete", "shorter"]
"""The state of an output. shorter: made by a configuration with fewer samples of the same series
(`RunConfig.extends`).
"""

RUN_FOLDERS = (IMAGES, MASKS, INSTANCES, *EXTRAS, LABELS, OVERLAYS, NAMED)
"""Folders that only batches of runs write to."""


@dataclass
class BatchRecord:
    """The record of a finished batch: its rows of metadata.jsonl and rejected.jsonl (or of the command's files in their
    place), and {path: (size, CRC-32)} of its files. No checksum of pictures that may be hard links, and of safetensors
    files: attention is large, and half-written files differ in size.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def write(self, out: Path, name: str, data: bytes) -> None:
        """Write the file out/name and note it."""
        write_atomic(inside(out, name), data)
        self.files[name] = (len(data), zlib.crc32(data))

    def write_by(self, out: Path, name: str, write: Callable[[Path], object]) -> None:
        """Call `write` to write the file out/name, and note its size."""
        write(path := inside(out, name))
        self.files[name] = (path.stat().st_size, None)


def record_path(number: int) -> str:
    """The path of a batch's record in the output."""
    return f"{BATCHES}/{number:06d}.json"


class Place:
    """A run's output in a folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = parse_folder(folder)

    def look_into(self, config: Batched) -> tuple[State, Batched]:
        """The state of the output, and the configuration to continue with: device, number format, threads and size of
        batches, if left open, as it was begun, and no number of a GPU, because that changes nothing. An unfinished
        output without a finished batch is "new". Raises UserError for a file, a folder with other contents, and an
        output of another command or configuration.
        """
        out = self.folder
        if config.device:
            config = replace(config, device=config.device.split(":")[0])
        if out.exists() and not out.is_dir():
            raise UserError(out, "there is a file where the folder should be")
        entries = out.iterdir() if out.is_dir() else ()
        names = {entry.name for entry in entries if entry.name != LOCK and not LEFTOVER.fullmatch(entry.name)}
        if not names:
            return "new", config
        if CONFIG not in names:
            problem = f"not empty, and not an output of SeeDiff (it holds {min(names)}, but no {CONFIG})"
            raise UserError(out, problem, "choose another folder")
        about = read_toml(out / CONFIG)
        if (made_by := about.get("command", config.command)) != config.command:
            raise UserError(out, f"holds what `seediff {made_by}` made", "choose another folder")
        complete, same_version = config.last_file in names, about.get("version") == __version__
        # Reviews are about samples of this configuration.
        if not complete and self._nothing_committed() and REVIEWS not in names:
            return "new", config
        saved = load_config(out / CONFIG, type(config))
        begun = {name: getattr(saved, name) for name in ("device", "dtype", "threads") if getattr(config, name) is None}
        config = replace(config, **{name: value for name, value in begun.items() if value is not None})
        if config.source("batch_size") == DEFAULT and saved.source("batch_size") == MACHINE:
            config = config.with_batches(saved.batch_size)
        changed = differences(saved, config)
        if changed and same_version and config.extends(saved):
            return "shorter", config
        if not complete and not same_version:
            changed.insert(0, f"version of seediff: {about.get('version')} → {__version__}")
        if changed:
            problem = f"holds the output of another configuration ({'; '.join(changed)})"
            fix = f"choose another folder, or give the options as they were, with --config {out}/{CONFIG}"
            joined = isinstance(config, DatasetConfig)
            raise UserError(out, problem, f"{fix}; `seediff merge` joins two datasets" if joined else fix)
        return "complete" if complete else "unfinished", config

    def _nothing_committed(self) -> bool:
        """Without a folder of records, files of samples may not be a run's, so there must be none."""
        if (self.folder / BATCHES).is_dir():
            return not any((self.folder / BATCHES).glob("*.json"))
        folders = [self.folder / name for name in RUN_FOLDERS]
        return not any(any(folder.iterdir()) for folder in folders if folder.is_dir())

    def record(self, number: int) -> BatchRecord | None:
        """The record of a batch; None if it is not finished, or one of its files is missing or damaged."""
        with suppress(OSError, ValueError, UserError):
            record = read_json(self.folder / record_path(number), BatchRecord, limit=ANNOTATIONS)
            if all(
                (path := self.folder / name).stat().st_size == size and crc in (None, zlib.crc32(path.read_bytes()))
                for name, (size, crc) in record.files.items()
            ):
                return record
        return None

    def locked(self) -> AbstractContextManager[None]:
        """Lock out other runs. Raises UserError if one is using the output, or if it cannot be written to."""
        return open_folder(self.folder, (*RUN_FOLDERS, BATCHES))

    def clear(self) -> None:
        """Remove the files of a run that finished no batch, which may be of another configuration."""
        for name in (*RUN_FOLDERS, BATCHES):  # the folder of records last, because it marks the others as a run's
            with suppress(FileNotFoundError):
                shutil.rmtree(inside(self.folder, name))  # removes links, and does not follow them

    def begin(self) -> None:
        """Make the folder of records, which marks files of samples as a run's."""
        inside(self.folder, BATCHES).mkdir(exist_ok=True)

    def commit(self, number: int, record: BatchRecord) -> None:
        """Mark a batch, whose files are there, as finished."""
        data = json.dumps(vars(record), ensure_ascii=False).encode("utf-8")
        write_atomic(inside(self.folder, record_path(number)), data)

    def remove_records(self) -> None:
        """May be interrupted, because an output with the command's last file is complete."""
        shutil.rmtree(self.folder / BATCHES, ignore_errors=True)

    def check_loaded(self, model: str, loaded: Mapping[str, str]) -> None:
        """Raise UserError if the output was begun with weights of another fingerprint, and warn of another GPU. loaded:
        as in `Engine.load`."""
        begun = read_toml(self.folder / CONFIG)
        differ = {what: f"({begun[what]} → {one})" for what, one in loaded.items() if begun.get(what, one) != one}
        if "weights" in differ:
            problem = f"was started with different weights of model '{model}' {differ['weights']}"
            raise UserError(self.folder, problem, "choose another folder, or restore those weights")
        if "gpu" in differ:
            said = f"{self.folder}: continued on another GPU {differ['gpu']}, which rounds differently"
            warnings.warn(said, Notice, stacklevel=2)
