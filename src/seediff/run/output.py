"""The folder of a run's output: the records of its finished batches, and whether it is this run's.

A batch is finished when its record exists, for example .batches/000007.json, which is written after the batch's files
are on the disk (docs/decisions/README.md). A run makes the batches that have no record, whatever the reason: nothing is
made yet, a run was killed or ended early, or more images are asked for than before. So a grown dataset has the bytes of
a dataset that was as large from the start.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ..config.runs import DatasetConfig
from ..config.settings import BatchConfig, Config, differences, load_config
from ..dataset import native
from ..dataset.native import EXTRAS, IMAGES, INSTANCES, MASKS
from ..dataset.writing import Encoded
from ..errors import Notice, UserError
from ..files.image_files import stored_bytes
from ..files.names import BATCHES, CONFIG, FAILED, REJECTED
from ..files.outputs import names_begun, open_folder, write_atomic
from ..files.reading import Json, inside, read_json, read_toml
from ..rows.row import IN_PLACE, Row, as_row
from ..version import __version__

RUN_FOLDERS = (IMAGES, MASKS, INSTANCES, *EXTRAS)
"""The folders to which only batches of runs write."""
DECIDE_ROUNDING = ("device", "dtype", "threads")
"""Fields that decide how numbers are rounded. A later run that leaves them open continues with the output's values."""


class Loaded(NamedTuple):
    """What a process has loaded to make batches."""

    weights: str = ""
    """The fingerprint of the model's weights; "" without a model."""
    gpu: str = ""
    """The name of the GPU; "" for other devices."""


@dataclass(frozen=True)
class BatchFile:
    """A batch's record as it is written."""

    count: int
    """The batch's number of items."""
    rows: list[Json]
    left_out: list[Json]
    files: list[str]
    """These three as in `BatchRecord`."""


@dataclass
class BatchRecord:
    """What is kept of a finished batch."""

    rows: list[Row] = field(default_factory=list)
    """The batch's rows of metadata.jsonl."""
    left_out: list[Row] = field(default_factory=list)
    """The batch's rows of `Job.left_out_file`."""
    files: list[str] = field(default_factory=list)
    """The paths of the batch's files in the output."""

    def write_sample(self, out: Path, sample: Encoded) -> None:
        """Write the files of a sample, and add its row."""
        for name, source in sample.files.items():
            # `begin` empties only these folders after a killed run
            assert name.partition("/")[0] in RUN_FOLDERS, name
            write_atomic(inside(out, name), stored_bytes(source), durable=True)
            self.files.append(name)
        self.rows.append(sample.row)


@dataclass(frozen=True)
class RunResult:
    """The finished output, and what this run did."""

    out: Path
    rows: Sequence[Row]
    """The rows of metadata.jsonl."""
    done: int
    """The number of items that this run made."""
    seconds: Mapping[str, float]
    """Part of the run → its seconds: "loading", "drawing" (network, VAE and capture), "masks", "writing" and others."""
    left_out: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """`Job.left_out_file` → its rows, about what did not become a sample; empty if everything did."""
    asked: int = 0
    """The number of items that were asked for, if somebody ended the run early; 0: all are made."""

    @property
    def rejected(self) -> Sequence[Row]:
        """The rows of rejected.jsonl."""
        return self.left_out.get(REJECTED, ())

    @property
    def failed(self) -> Sequence[Row]:
        """`photo` and `reason` for each photograph that could not be used."""
        return self.left_out.get(FAILED, ())

    @property
    def made(self) -> int:
        return len(self.rows)


def record_path(out: Path, number: int) -> Path:
    return inside(out, f"{BATCHES}/{number:06d}.json")


def commit(out: Path, number: int, record: BatchRecord, count: int) -> None:
    """Mark a batch as finished, by writing its record. Its files must be on the disk. count: its number of items."""
    rows, left_out = ([row.to_json() for row in of] for of in (record.rows, record.left_out))
    written = vars(BatchFile(count, rows, left_out, record.files))
    write_atomic(record_path(out, number), json.dumps(written, ensure_ascii=False).encode("utf-8"))


def read_record(out: Path, number: int, count: int) -> BatchRecord | None:
    """The record of a batch; None if the batch is not finished, has another number of items, or lacks a file. count:
    its number of items."""
    with suppress(UserError):
        path = record_path(out, number)
        read = read_json(path, BatchFile)
        if read.count == count and all((out / name).is_file() for name in read.files):
            rows, left_out = ([as_row(row, str(path)) for row in of] for of in (read.rows, read.left_out))
            return BatchRecord(rows, left_out, read.files)
    return None


def has_records(out: Path) -> bool:
    """Whether a batch is finished."""
    return any((out / BATCHES).glob("*.json"))


def config_to_continue(out: Path, config: Config) -> Config:
    """The configuration to make or continue an output with: `config`, with the output's values where it leaves them
    open. Raises UserError for a file, for a folder with other contents, and for the output of another command or
    configuration."""
    device, numbered, _ = (config.device or "").partition(":")
    if numbered:  # the number of a GPU changes nothing
        config = replace(config, device=device)
    names = names_begun(out, "an output")
    if not names:
        return config
    # Without a finished batch, nothing is lost if another configuration begins
    binds = native.METADATA in names or has_records(out)
    try:
        begun = load_config(out / CONFIG, type(config))
    except UserError:
        if binds:
            raise
        return config
    filled = config.filled(**{name: getattr(begun, name) for name in DECIDE_ROUNDING})
    if "batch_size" not in {*config.given, *begun.given}:
        filled = replace(filled, batch_size=begun.batch_size)
    changed = differences(begun, filled)
    if not changed or filled.extends(begun):
        return filled
    if not binds:
        return config
    problem = f"holds the output of another configuration ({'; '.join(changed)})"
    fix = f"choose another folder, or give the options as they were, with --config {out}/{CONFIG}"
    if isinstance(config, DatasetConfig):
        fix += "; `seediff merge` joins two datasets"
    raise UserError(out, problem, fix)


def lock(out: Path) -> AbstractContextManager[None]:
    """Lock out other runs. Raises UserError if another run is using the output, or if it cannot be written to."""
    return open_folder(out, (*RUN_FOLDERS, BATCHES))


def begin(out: Path, config: BatchConfig, loaded: Loaded) -> None:
    """Start an output. Removes the files of an earlier run that finished no batch, because they may be of another
    configuration."""
    for name in (*RUN_FOLDERS, BATCHES):
        with suppress(FileNotFoundError):
            shutil.rmtree(inside(out, name))  # removes links, and does not follow them
    # First the file by which the folder is recognised as an output, in case the run is killed next.
    write_atomic(out / CONFIG, config.to_toml(**loaded._asdict()).encode("utf-8"))
    inside(out, BATCHES).mkdir()


def go_on(out: Path, config: BatchConfig, loaded: Loaded) -> None:
    """Continue an output, perhaps with more images. Warns if it was begun on another kind of GPU. Raises UserError if
    it was begun with other weights, or by another version of this package."""
    about = read_toml(out / CONFIG)
    begun = Loaded(*(about.get(name, here) for name, here in loaded._asdict().items()))
    differ = {"version of seediff": (about.get("version"), __version__)}
    if loaded.weights:
        differ[f"weights of model '{config.model_label}'"] = begun.weights, loaded.weights
    for what, (before, now) in differ.items():
        if before != now:
            raise UserError(out, f"was started with different {what} ({before} → {now})", "choose another folder")
    if loaded.gpu and loaded.gpu != begun.gpu:
        text = f"{out}: was started on another GPU ({begun.gpu} → {loaded.gpu}), which rounds differently"
        warnings.warn(text, Notice, stacklevel=2)
    write_atomic(out / CONFIG, config.to_toml(**begun._asdict()).encode("utf-8"))


def with_written(rows: Sequence[Row], out: Path) -> Sequence[Row]:
    """The rows of the batches, each with what commands wrote into the output's own row (IN_PLACE), such as its `split`,
    before the dataset grew."""
    if not (out / native.METADATA).is_file():
        return rows
    written = {row.file_name: {key: getattr(row, key) for key in IN_PLACE} for row in native.read_rows(out)}
    return [row.replace(**written.get(row.file_name, {})) for row in rows]
