"""The folder of a run's output: its finished batches, who may write to it, and how it grows.

A batch is finished when its record exists, for example .batches/000007.json. The record has the size of each of the
batch's files and the checksum of each label map, and is written after they are on the disk (docs/decisions/README.md).

To grow, a complete dataset becomes an unfinished one: metadata.jsonl is moved to EARLIER, and the command continues as
after an interruption. A grown dataset has the bytes of a dataset that was as large from the start. A run that somebody
ended early is complete with the batches that it had, and goes on in the same way.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast
from zlib import crc32

from msgspec import UNSET

from .. import __version__
from ..config.generate_config import DatasetConfig, GenerateConfig
from ..config.layers import load_config
from ..config.settings import DEFAULT, GIVEN, MACHINE, Config, RunConfig, differences
from ..dataset import native
from ..dataset.native import EXTRAS, IMAGES, INSTANCES, MASKS
from ..dataset.reviews import REVIEWS, read_actions
from ..dataset.writing import Encoded
from ..errors import Notice, UserError
from ..files.image_files import stored_bytes
from ..files.messages import plural, show_json
from ..files.outputs import BATCHES, CONFIG, LEFTOVER, LOCK, check_outside, open_folder, write_atomic
from ..files.reading import Json, inside, read_bytes, read_json, read_toml
from ..prompts.specs import sample_count
from ..rows.row import Row, as_row, each_row, said
from ..rows.shown import ids_by_name

AnyRow = TypeVar("AnyRow")
State = Literal["new", "unfinished", "ended", "complete", "to grow"]
"""The state of an output folder. "ended": complete with fewer batches than its configuration asks for, because somebody
ended the run early. "to grow": complete with fewer samples than the user wants now, for example 50 per class instead of
100 (`RunConfig.extends`)."""

RUN_FOLDERS = (IMAGES, MASKS, INSTANCES, *EXTRAS)
"""The folders to which only batches of runs write."""
RESTORE = "put them back from a copy, or choose a new folder"
IMAGE = re.compile(rf"{native.IMAGES}/([0-9]{{6,}})\.[a-z]+")
"""Matches the path of a drawn picture, such as images/000012.png."""
EARLIER = f"{BATCHES}/{native.METADATA}"
"""The file with the rows that a dataset had before it grew. Samples keep the `split` that they have there."""
DECIDE_ROUNDING = ("device", "dtype", "threads")
"""Fields that decide how numbers are rounded. A later run that leaves them open continues with the output's values."""


class Loaded(NamedTuple):
    """What a process has loaded to make batches."""

    weights: str = ""
    """The fingerprint of the model's weights; "" without a model."""
    gpu: str = ""
    """The name of the GPU; "" for other devices."""


@dataclass
class Record(Generic[AnyRow]):
    """The record of a finished batch: a `BatchRecord`, or with rows that nobody has checked, as in its file."""

    rows: list[AnyRow] = field(default_factory=list)
    """The batch's rows of metadata.jsonl."""
    left_out: list[AnyRow] = field(default_factory=list)
    """The batch's rows of the file that `Job.left_out` names, such as rejected.jsonl."""
    files: dict[str, int] = field(default_factory=dict)
    """Path in the output → size in bytes, for each file of the batch."""
    checksums: dict[str, int] = field(default_factory=dict)
    """Path in the output → CRC-32, for each label map of the batch, which is small and quickly read."""

    def write(self, out: Path, name: str, data: bytes) -> None:
        """Write a file of the batch, and note its size. name: its path in the output."""
        # `begin` empties only these folders after a killed run
        fix = "add its folder to EXTRAS (dataset/native.py) or RUN_FOLDERS (run/output.py)"
        assert name.partition("/")[0] in RUN_FOLDERS, f"{name}: {fix}"
        write_atomic(inside(out, name), data, durable=True)
        self.files[name] = len(data)
        if name.startswith((f"{MASKS}/", f"{INSTANCES}/")):
            self.checksums[name] = crc32(data)

    def add(self, out: Path, sample: Encoded) -> None:
        """Write the files of a sample, and add its row."""
        for name, source in sample.files.items():
            self.write(out, name, stored_bytes(source))
        self.rows.append(cast(AnyRow, sample.row))

    def damaged(self, out: Path) -> list[str]:
        """The files of the batch that are missing, or are not what was written, as far as sizes and label maps show."""
        return [name for name in self.files if not self._is_as_written(out / name, name)]

    def _is_as_written(self, path: Path, name: str) -> bool:
        with suppress(OSError, UserError):
            same_size = path.stat().st_size == self.files[name]
            return same_size and (name not in self.checksums or crc32(read_bytes(path)) == self.checksums[name])
        return False


BatchRecord = Record[Row]
"""The record of a finished batch."""


def state_of_output(out: Path, config: Config) -> tuple[State, Config, int]:
    """(state, configuration, ended): the state of the folder `out`; the configuration with which its output is made or
    continued: `config`, with the output's values where it leaves them open; and with how many items somebody ended the
    run early, 0 if nobody did, or if the output grows. Raises UserError for a file, for a folder with other contents,
    for the output of another command or configuration, and for an unfinished output of another version of this
    package."""
    device, numbered, _ = (config.device or "").partition(":")
    if numbered:  # the number of a GPU changes nothing
        config = config.changed(GIVEN, device=device)
    about = read_begun(out, config)
    if about is None:
        return "new", config, 0

    begun = load_config(out / CONFIG, type(config))
    config, complete = as_begun(config, begun), (out / config.last_file).exists()
    ended = ended_with(about)
    changed, same_version = differences(begun, config), about.get("version") == __version__
    if changed and same_version and config.extends(begun):
        return "to grow", config, 0
    if (ended or not complete) and not same_version:
        changed.insert(0, f"version of seediff: {about.get('version')} → {__version__}")
    if changed:
        problem = f"holds the output of another configuration ({'; '.join(changed)})"
        fix = f"choose another folder, or give the options as they were, with --config {out}/{CONFIG}"
        if not complete and same_version:
            fix += ", and --finish to keep what is made"
        if isinstance(config, DatasetConfig):
            fix += "; `seediff merge` joins two datasets"
        raise UserError(out, problem, fix)
    if not complete:
        return "unfinished", config, ended
    return "ended" if ended else "complete", config, ended


def ended_with(about: Mapping[str, Any]) -> int:
    """The number of items of an output that somebody ended early; 0 for others. about: its seediff.toml."""
    noted = about.get("ended", 0)
    return noted if isinstance(noted, int) else 0


def read_begun(out: Path, config: RunConfig) -> dict[str, Any] | None:
    """The contents of the seediff.toml in a folder; None if a run can begin there as if it were empty. Raises UserError
    for a file, for a folder with other contents, and for another command's output."""
    if out.exists() and not out.is_dir():
        raise UserError(out, "there is a file where the folder should be")
    entries = out.iterdir() if out.is_dir() else ()
    names = {entry.name for entry in entries if entry.name != LOCK and not LEFTOVER.fullmatch(entry.name)}
    if not names:
        check_outside(out)
        return None
    if CONFIG not in names:
        problem = f"not empty, and not an output of SeeDiff (it holds {min(names)}, but no {CONFIG})"
        raise UserError(out, problem, "choose another folder")
    about = read_toml(out / CONFIG)
    command = about.get("command", config.command)
    if command != config.command:
        raise UserError(out, f"already holds the output of `seediff {command}`", "choose another folder")
    # Without a finished batch, nothing is lost if another configuration begins; but a review would be about its
    # samples.
    if names.isdisjoint((config.last_file, REVIEWS)) and nothing_committed(out):
        return None
    return about


def nothing_committed(out: Path) -> bool:
    """Whether an output has no finished batch. Without the folder of records, files of samples may not be a run's: then
    any such file counts as finished."""
    if (out / BATCHES).is_dir():
        return not any((out / BATCHES).glob("*.json"))
    folders = [out / name for name in RUN_FOLDERS if (out / name).is_dir()]
    return not any(any(folder.iterdir()) for folder in folders)


def as_begun(config: Config, begun: Config) -> Config:
    """The configuration `config`; the fields that it leaves open have their values from `begun`, the configuration in
    the output."""
    config = config.filled(MACHINE, **{name: getattr(begun, name) for name in DECIDE_ROUNDING})
    if config.source("batch_size") == DEFAULT and begun.source("batch_size") == MACHINE:
        return config.changed(MACHINE, batch_size=begun.batch_size)
    return config


def record_path(number: int) -> str:
    """The path of a batch's record in the output."""
    return f"{BATCHES}/{number:06d}.json"


def read_record(out: Path, number: int) -> BatchRecord | None:
    """The record of a batch; None if the batch is not finished, or if one of its files is damaged."""
    with suppress(OSError, ValueError, UserError):
        path = out / record_path(number)
        written = read_json(path, Record[Json])
        if not written.damaged(out):
            rows, left_out = ([as_row(row, str(path)) for row in of] for of in (written.rows, written.left_out))
            return BatchRecord(rows, left_out, written.files, written.checksums)
    return None


def check_files(out: Path, numbers: Iterable[int], left_out: str) -> None:
    """Raise UserError if a complete output lacks a file or a row that its run wrote, if a file is damaged, if rows
    cannot be read, or if they contradict classes.txt or each other. numbers: the numbers of all batches. left_out: the
    file that `Job.left_out` names."""
    written, known, damaged = list[str](), set[str](), list[str]()
    for number in numbers:
        with suppress(UserError):  # the rows name the files of a batch without a record
            record = read_json(out / record_path(number), Record[Json])
            known.update(record.files)
            damaged += record.damaged(out)
            written += filter(None, [said(as_row(row).file_name) for row in record.rows])
    if (out / native.METADATA).is_file():
        try:
            ids, names = ids_by_name(native.read_classes(out)), set[str]()
            rows = [*each_row(out / native.METADATA, native.ABSENT)]  # a recipe's rows may have no mask
            for number, row in enumerate(rows, 1):
                native.listed_name(row, ids, names, f"{out / native.METADATA}, row {number}")
            if (out / left_out).is_file():
                native.read_rows(out, left_out)
        except UserError as error:
            raise UserError(error.subject, error.problem, RESTORE) from error
        listed = {said(row.file_name) for row in rows}
        unlisted = [name for name in written if name not in listed]
        if unlisted:
            problem = f"has no row about {unlisted[0]}, which the run wrote"
            raise UserError(out / native.METADATA, problem, RESTORE)
        named = chain.from_iterable((said(row.file_name), said(row.mask_file_name)) for row in rows)
        damaged += [name for name in named if name and name not in known and not (out / name).is_file()]
    if damaged:
        problem = f"missing or changed since it was complete: {plural(len(damaged), 'file')}, such as {damaged[0]}"
        raise UserError(out, problem, RESTORE)


def commit(out: Path, number: int, record: BatchRecord) -> None:
    """Mark a batch as finished, by writing its record. Its files must be on the disk."""
    lists = [[row.to_json() for row in rows] for rows in (record.rows, record.left_out)]
    written = Record(lists[0], lists[1], record.files, record.checksums)
    data = json.dumps(vars(written), ensure_ascii=False).encode("utf-8")
    write_atomic(inside(out, record_path(number)), data)


def lock(out: Path) -> AbstractContextManager[None]:
    """Lock out other runs. Raises UserError if another run is using the output, or if it cannot be written to."""
    return open_folder(out, (*RUN_FOLDERS, BATCHES))


def begin(out: Path, config: RunConfig, loaded: Loaded) -> None:
    """Start an output. Removes the files of an earlier run that finished no batch, because they may be of another
    configuration."""
    for name in (*RUN_FOLDERS, BATCHES):  # BATCHES last: it marks the other folders as a run's
        with suppress(FileNotFoundError):
            shutil.rmtree(inside(out, name))  # removes links, and does not follow them
    # First the file by which the folder is recognised as an output, in case the run is killed next.
    write_atomic(out / CONFIG, config.to_toml(*loaded).encode("utf-8"))
    inside(out, BATCHES).mkdir()


def check_same(out: Path, model: str, loaded: Loaded) -> None:
    """Warn if the output was begun on another kind of GPU. Raise UserError if it was begun with other weights. model:
    the model's name, for the message."""
    about = read_toml(out / CONFIG)
    weights, gpu = (about.get(name, here) for name, here in loaded._asdict().items())
    if loaded.weights and loaded.weights != weights:
        problem = f"was started with different weights of model '{model}' ({weights} → {loaded.weights})"
        raise UserError(out, problem, "choose another folder, or restore those weights")
    if loaded.gpu and loaded.gpu != gpu:
        text = f"{out}: was started on another GPU ({gpu} → {loaded.gpu}), which rounds differently"
        warnings.warn(text, Notice, stacklevel=2)


def numbered_name(index: int) -> str:
    """12 → `000012`."""
    return f"{index:06d}"


def check_growth(folder: Path) -> None:
    """Raise UserError if a dataset cannot grow because somebody reviewed a sample of its last batch. A last batch with
    fewer images than the others is drawn again, which changes the sample."""
    saved = load_config(folder / CONFIG, GenerateConfig)
    count = sample_count(saved)
    last = set(map(numbered_name, range(count - count % saved.batch_size, count)))
    reviewed = sorted(last & {action.sample for action in read_actions(folder)})
    if reviewed:
        problem = f"would draw {reviewed[0]} again, which was reviewed: its batch has fewer images than the others"
        fix = "make the new samples in another folder with another --seed, and join the two with `seediff merge`"
        raise UserError(folder, problem, fix)


def grow(folder: Path, config: GenerateConfig) -> None:
    """Turn a complete output into an unfinished one with more samples. A last batch with fewer images than the others
    is drawn again, because the number of images in a batch changes rounding. config: for all samples. Raises UserError
    as `check_growth` does."""
    check_growth(folder)
    saved = load_config(folder / CONFIG, GenerateConfig)
    whole, rest = divmod(sample_count(saved), config.batch_size)
    set_rows_aside(folder)
    if rest:
        inside(folder, record_path(whole)).unlink(missing_ok=True)
    write_config(folder, config)


def set_rows_aside(folder: Path) -> None:
    """Turn a complete output into an unfinished one."""
    if (folder / native.METADATA).is_file():
        native.read_rows(folder)  # refuses rows that cannot be read, before they are set aside
        inside(folder, BATCHES).mkdir(exist_ok=True)
        (folder / native.METADATA).replace(folder / EARLIER)


def write_config(folder: Path, config: RunConfig, ended: int = 0) -> None:
    """Write the configuration of an output that was begun, with what its run had loaded. ended: as in
    `RunConfig.notes`."""
    about = read_toml(folder / CONFIG)
    loaded = (about.get(name, "") for name in Loaded._fields)
    write_atomic(folder / CONFIG, config.to_toml(*loaded, ended=ended).encode("utf-8"))


def remove_unfinished(folder: Path, records: Iterable[BatchRecord], missing: Collection[str]) -> None:
    """Remove files of batches that are not finished, and no other files. records: of all finished batches. missing: the
    names of samples in the others."""
    known = {name for record in records for name in record.files}
    for kind in RUN_FOLDERS:
        for path in (folder / kind).rglob("*"):
            name = path.relative_to(folder / kind).with_suffix("").as_posix()
            is_missing = name in missing or name.rpartition("_")[0] in missing  # soft/000003_1.png is of class 1
            if is_missing and not path.is_dir() and path.relative_to(folder).as_posix() not in known:
                path.unlink()


def with_splits(folder: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows; after an output has grown, samples keep the `split` that they had before."""
    earlier = list[Row]()
    if (folder / EARLIER).is_file():
        earlier = native.read_rows(folder, EARLIER)
    splits = {row.file_name: row.split for row in earlier if row.split is not UNSET}
    return [row.replace(split=splits.get(row.file_name, row.split)) for row in rows]


def sample_number(file_name: str) -> int:
    """`images/000012.png` → 12. Raises UserError for any other path."""
    matched = IMAGE.fullmatch(file_name)
    if matched is None:
        problem = f"{show_json(file_name)} is not a picture that `seediff generate` drew, such as images/000012.png"
        raise UserError(native.METADATA, problem)
    return int(matched[1])
