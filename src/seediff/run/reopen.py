"""Turns a finished dataset back into an unfinished one: to add samples, or to draw again samples that people rejected.

The records of all other batches are written again from the files that exist, then metadata.jsonl is removed. The
command that made the dataset then continues as after any interruption. A dataset that grows gets the bytes of one that
was made in the larger size from the start. A sample that is drawn again is a batch by itself.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import __version__
from ..config.generate import MAX_IMAGES, GenerateConfig
from ..config.resolve import load_config
from ..dataset import native
from ..dataset.reviews import REDRAWN, Action, append_action, in_effect, mend, read_actions
from ..dataset.store import find_extras
from ..errors import UserError
from ..files.documents import read_json, read_toml
from ..files.output_folders import Out
from ..files.outputs import write_atomic
from ..files.reading import ANNOTATIONS, inside
from ..prompts.specs import sample_count
from .output import BatchRecord, Place, open_place, record_path

PICTURE = re.compile(rf"{native.IMAGES}/([0-9]{{6,}})\.[a-z]+")
SPLITS = f"{native.BATCHES}/splits"
"""The split of each picture of a dataset that was divided and then turned back into an unfinished one: file name →
split, as JSON.
"""


def draw_again(config: GenerateConfig, out: Out | str, *, dry_run: bool = False) -> list[str]:
    """Turn the finished dataset that `config` made into an unfinished one without the samples that people rejected, and
    return their names. For each of them, review.jsonl gets a line that clears the verdict. Changes nothing if no sample
    is rejected or still has to be drawn again. dry_run: only return the names.

    Raises UserError if no sample can be drawn again in this place.
    """
    with open_place(out) as place:
        folder, (state, _) = place.folder, place.look_into(config)
        if state == "new":
            raise UserError(
                out, "there is no dataset whose rejected samples could be drawn again", "make it first, without top_up"
            )
        names = rejected_names(folder, config)
        if not names and (state != "complete" or not names_waiting(folder, config)):
            return []
        if not place.can_grow:
            raise UserError(out, "is a store, where samples are not drawn again", "copy it to a folder and go on there")
        if state == "shorter":
            raise UserError(
                out,
                "a run either adds samples (per_class) or draws rejected ones again (top_up)",
                "do one after the other",
            )
        if state == "complete" and read_toml(folder / native.CONFIG).get("version") != __version__:
            raise UserError(
                out,
                f"was made by another version of seediff than {__version__}",
                "make more with another seed; merge the two",
            )
        if dry_run:
            return names
        with place.locked():
            names = rejected_names(folder, config)
            versions = {action.sample: action.version for action in mend(folder)}
            for name in names:
                append_action(folder, Action(sample=name, version=versions[name] + 1, action=REDRAWN))
            if (folder / native.METADATA).is_file() and names_waiting(folder, config):
                _unfinish(place, config)
        return names


def rejected_names(folder: Path, config: GenerateConfig) -> list[str]:
    """The names of the dataset's samples that people rejected, in order."""
    last = in_effect(folder)
    return [name for name in _names(config) if name in last and last[name].verdict == "rejected"]


def redrawn(folder: Path, config: GenerateConfig) -> dict[int, int]:
    """Sample index → attempt, for all samples that were or have to be drawn again. Their attempts come after those of
    `reject`.
    """
    times = Counter(action.sample for action in read_actions(folder) if action.action == REDRAWN)
    earlier = config.attempts if config.reject else 1
    return {
        index: earlier + times[name] - 1 for index, name in enumerate(_names(config) if times else ()) if times[name]
    }


def _names(config: GenerateConfig) -> list[str]:
    """The names of all samples."""
    return [f"{index:06d}" for index in range(sample_count(config))]


def names_waiting(folder: Path, config: GenerateConfig) -> list[str]:
    """The names of a finished dataset's samples that still have to be drawn again."""
    again = {f"{index:06d}": attempt for index, attempt in redrawn(folder, config).items()}
    rows = {native.sample_name(row["file_name"]): row for row in (native.read_rows(folder) if again else ())}
    return [name for name, row in rows.items() if row.get("attempt", 0) < again.get(name, 0)]


def again_number(index: int) -> int:
    """The number of the batch that consists of sample `index`, drawn again."""
    return MAX_IMAGES + index


def check_growth(folder: Path) -> None:
    """Raise UserError if a dataset cannot grow because a sample of its smaller last batch was reviewed, which would be
    drawn again.
    """
    saved = load_config(folder / native.CONFIG, GenerateConfig)
    count = sample_count(saved)
    again = {f"{index:06d}" for index in range(count - count % saved.batch_size, count)}
    if reviewed := sorted(again & {action.sample for action in read_actions(folder)}):
        problem = (
            f"would draw {reviewed[0]} again, which was reviewed: it is in the last batch, which has fewer images than"
            " the others"
        )
        raise UserError(
            folder,
            problem,
            "make the new samples in another folder with another --seed, and join the two with `seediff merge`",
        )


def grow(place: Place, config: GenerateConfig) -> None:
    """Turn the output in `place`, whose configuration `config` extends, into an unfinished output of `config`. Full
    batches stay as they are. The last batch, if smaller than the others, is made again, because the number of images in
    a batch changes rounding.

    Raises UserError if a sample of that batch was reviewed.
    """
    folder = place.folder
    check_growth(folder)
    saved = load_config(folder / native.CONFIG, GenerateConfig)
    whole, rest = divmod(sample_count(saved), config.batch_size)
    if (folder / native.METADATA).is_file():
        _unfinish(place, saved, lost=whole if rest else None)
    elif rest:
        inside(folder, record_path(whole)).unlink(missing_ok=True)
    weights = read_toml(folder / native.CONFIG).get("weights", "")
    write_atomic(folder / native.CONFIG, config.to_toml(weights).encode("utf-8"))


def _rows_by_batch(folder: Path, config: GenerateConfig) -> dict[int, BatchRecord]:
    """Batch number → a record with the rows of the batch, without files."""
    records: dict[int, BatchRecord] = defaultdict(BatchRecord)
    again = redrawn(folder, config)
    for row in native.read_rows(folder):
        index = sample_number(row["file_name"])
        record = records[index // config.batch_size]
        if row.get("attempt") == again.get(index, row.get("attempt")):
            record = records[again_number(index)] if index in again else record
            record.rows.append(row)
    if config.reject:
        for row in native.read_rows(folder, native.REJECTED):
            records[row["index"] // config.batch_size].rejected.append(row)
    return records


def _unfinish(place: Place, config: GenerateConfig, lost: int | None = None) -> None:
    """Write the records of all batches of a finished dataset except `lost`, then remove metadata.jsonl, which makes it
    unfinished.
    """
    folder, extras = place.folder, find_extras(place.folder)
    rows = native.read_rows(folder)
    for row in rows:  # before anything changes
        for field in ("file_name", "mask"):
            inside(folder, row.get(field), folder / native.METADATA, field)
    place.make_folders([])
    if splits := {row["file_name"]: row["split"] for row in rows if "split" in row}:
        write_atomic(folder / SPLITS, json.dumps(splits).encode("utf-8"))
    for number, record in _rows_by_batch(folder, config).items():
        if number == lost:
            continue
        paths = list[Path]()
        for row in record.rows:
            name = native.sample_name(row["file_name"])
            paths += [folder / row["file_name"], folder / row["mask"], *extras.get(name, {}).values()]
            paths += [folder / native.INSTANCES / f"{name}.png"] if "instances" in row else []
        if not all(path.is_file() for path in paths):
            continue
        for path in paths:
            crc = None if path.suffix == ".safetensors" else zlib.crc32(path.read_bytes())
            record.files[path.relative_to(folder).as_posix()] = path.stat().st_size, crc
        place.commit(number, record)
    (folder / native.METADATA).unlink(missing_ok=True)


def with_splits(folder: Path, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, of samples that are made again with the splits that they had before."""
    splits = read_json(folder / SPLITS, dict[str, str], limit=ANNOTATIONS) if (folder / SPLITS).is_file() else {}
    return [{**row, "split": splits[row["file_name"]]} if row["file_name"] in splits else row for row in rows]


def sample_number(file_name: str) -> int:
    """The number of a sample from its picture's path: `images/000012.png` → 12. Raises UserError for any other path."""
    if not (matched := PICTURE.fullmatch(file_name)):
        raise UserError(f"{file_name}: is no picture that `seediff generate` drew")
    return int(matched[1])
