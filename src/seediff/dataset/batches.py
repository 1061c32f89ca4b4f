"""The output folder of a run: who may write to it, what is already in it, and which batches are finished.

A batch is finished when its record, .batches/000007.json, is there: its files are written first, the record is renamed into
place last, and holds the size and checksum of each. docs/decisions/0001-batches-are-the-unit-of-work.md says why.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..config.base import Config, differences, load_config
from ..errors import UserError
from ..files.documents import read_json, read_toml
from ..files.locking import LOCK, open_folder
from ..files.outputs import CONFIG, LEFTOVER, make_folders, remove_tree, write_inside
from ..files.reading import ANNOTATIONS
from .native import ATTENTION, IMAGES, MASKS, SOFT, STEPS

BATCHES = ".batches"
LABELS, OVERLAYS, NAMED = "labels", "overlays", "named"
DATA = (IMAGES, MASKS, SOFT, ATTENTION, STEPS, LABELS, OVERLAYS, NAMED)
"""Folders that only batches write to."""


@dataclass
class BatchRecord:
    """What a finished batch left: its rows of metadata.jsonl and rejected.jsonl (or what a command calls its own), and
    {path: (size, CRC-32)} of its files.

    The checksum of safetensors files is None: attention is large, and half-written files differ in size.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, tuple[int, int | None]] = field(default_factory=dict)


def open_run(out: Path) -> AbstractContextManager[None]:
    """As `open_folder`, for an output of batches: what a killed run left half-written among their files is removed too."""
    return open_folder(out, (*DATA, BATCHES))


def look_into(out: Path, config: Config) -> tuple[Literal["new", "unfinished", "complete"], Config]:
    """What is in `out`, which may not exist yet, and the configuration to go on with: device, number format and threads, where left open,
    are those that the dataset was begun with; which of several GPUs it was changes nothing and is left out.

    A run that ended before it finished its first batch leaves nothing to continue: that is "new" too, see `discard_unfinished`.
    UserError when `out` is a file or holds something else, or a dataset of another configuration.
    """
    config = replace(config, device=config.device.split(":")[0] if config.device else None)
    if not out.is_dir():
        if next(p for p in (out, *out.absolute().parents) if p.exists()).is_dir():
            return "new", config
        raise UserError(f"--out {out}: there is a file where the folder should be")
    names = sorted(entry.name for entry in out.iterdir() if entry.name != LOCK and not LEFTOVER.fullmatch(entry.name))
    if not names:
        return "new", config
    if CONFIG not in names:
        raise UserError(f"--out {out}: not empty and no output of SeeDiff (it holds {names[0]}, but no {CONFIG}); choose another folder")
    made_by = read_toml(out / CONFIG).get("command", config.command)
    if made_by != config.command:
        raise UserError(f"--out {out}: holds what `seediff {made_by}` made; choose another folder for `seediff {config.command}`")
    complete = (out / config.last_file).is_file()
    if not complete and _nothing_committed(out):
        return "new", config
    saved = load_config(out / CONFIG, type(config))
    left_open = {name: getattr(saved, name) for name in ("device", "dtype", "threads") if getattr(config, name) is None}
    config = replace(config, **left_open)
    changed = differences(saved, config)
    version = read_toml(out / CONFIG).get("version")
    if not complete and version != __version__:
        changed.insert(0, f"version of seediff: {version} → {__version__}")
    if changed:
        raise UserError(
            f"--out {out}: holds the output of another configuration ({'; '.join(changed)}); "
            "choose another folder, or give the options as they were"
        )
    return "complete" if complete else "unfinished", config


def _nothing_committed(out: Path) -> bool:
    """Whether an unfinished dataset has no finished batch. Without the folder of records, files in it are not known to be a run's."""
    if (out / BATCHES).is_dir():
        return not any((out / BATCHES).glob("*.json"))
    return not any(next((out / name).iterdir(), None) for name in DATA if (out / name).is_dir())


def discard_unfinished(out: Path) -> None:
    """Remove what a run left that finished no batch, so that no file of another configuration stays. Only where `look_into` says "new"."""
    for name in (*DATA, BATCHES):  # the records' folder last: it is what says that the others are a run's
        remove_tree(out, name)


def check_weights(out: Path, model: str, weights: str) -> None:
    """Raise UserError when the dataset in `out` was begun with weights of another fingerprint; nothing is said where one is not known."""
    begun = read_toml(out / CONFIG).get("weights")
    if begun and weights and begun != weights:
        raise UserError(
            f"--out {out}: was begun with other weights of model '{model}' ({begun} → {weights}); "
            "choose another folder, or bring those weights back"
        )


def record_file(out: Path, record: BatchRecord, name: str, data: bytes) -> None:
    """Write out/name and note it in the record."""
    write_inside(out, name, data)
    record.files[name] = (len(data), zlib.crc32(data))


def record_written(out: Path, record: BatchRecord, name: str) -> None:
    """Note in the record a file that is already written."""
    record.files[name] = ((out / name).stat().st_size, None)


def write_record(out: Path, number: int, record: BatchRecord) -> None:
    """Commit batch `number`."""
    write_inside(out, record_path(number), json.dumps(vars(record), ensure_ascii=False).encode("utf-8"))


def read_record(out: Path, number: int, has: Callable[[str, int, int | None], bool] | None = None) -> BatchRecord | None:
    """The record of batch `number`, or None when the batch is not finished or one of its files is gone or damaged.

    has: whether there is a whole file of that name, size and CRC-32; None: in the folder.
    """
    try:
        record = read_json(out / record_path(number), BatchRecord, limit=ANNOTATIONS)
        if not all((has or partial(holds, out))(name, size, crc) for name, (size, crc) in record.files.items()):
            return None
    except (OSError, ValueError, UserError):
        return None
    return record


def holds(out: Path, name: str, size: int, crc: int | None) -> bool:
    """Whether the folder has a whole file of this name: of its size and, where that is known, its CRC-32. Raises OSError without one."""
    return (out / name).stat().st_size == size and (crc is None or zlib.crc32((out / name).read_bytes()) == crc)


def make_room(out: Path, folders: Sequence[str]) -> None:
    """Make the folders that files go to. Raises UserError when one is a link: other people's sets may hold some that lead elsewhere."""
    for name in (BATCHES, *folders):
        make_folders(out, name)


def has_records(out: Path) -> bool:
    """Whether records of batches are left, which a complete dataset has only when its run was killed while it tidied up."""
    return (out / BATCHES).exists()


def remove_records(out: Path) -> None:
    """Remove what only an unfinished run needs. Safe to be interrupted: the command's last file alone says that an output is complete."""
    with suppress(OSError):
        remove_tree(out, BATCHES)


def record_path(number: int) -> str:
    """Of batch `number`, in the folder."""
    return f"{BATCHES}/{number:06d}.json"
