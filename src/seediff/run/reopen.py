"""Turns a finished dataset back into an unfinished one, to add samples, or ends an unfinished one with fewer samples
than it was begun for.

metadata.jsonl becomes EARLIER, and the command continues as after any interruption, with the batches that have records.
A grown dataset has the bytes of one that was as large from the start.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..config.generate_config import GenerateConfig
from ..config.resolve import load_config
from ..dataset import native
from ..dataset.reviews import read_actions
from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import plural, show_json
from ..files.outputs import BATCHES, CONFIG, write_atomic
from ..files.reading import inside
from ..prompts.specs import sample_count
from .output import RUN_FOLDERS, record_path

IMAGE = re.compile(rf"{native.IMAGES}/([0-9]{{6,}})\.[a-z]+")
NUMBER = re.compile("[0-9]{6,}")
EARLIER = f"{BATCHES}/{native.METADATA}"
"""The rows of a dataset that was finished before. Samples that are made again keep the `split` that they have there."""


def numbered_name(index: int) -> str:
    return f"{index:06d}"


def check_growth(folder: Path) -> None:
    """Raise UserError if growing would draw a reviewed sample again, one of a smaller last batch."""
    saved = load_config(folder / CONFIG, GenerateConfig)
    count = sample_count(saved)
    last = set(map(numbered_name, range(count - count % saved.batch_size, count)))
    reviewed = sorted(last & {action.sample for action in read_actions(folder)})
    if reviewed:
        problem = f"would draw {reviewed[0]} again, which was reviewed: its batch has fewer images than the others"
        fix = "make the new samples in another folder with another --seed, and join the two with `seediff merge`"
        raise UserError(folder, problem, fix)


def grow(folder: Path, config: GenerateConfig) -> None:
    """Turn an output whose configuration `config` extends into an unfinished output of `config`. A smaller last batch
    is made again, because the number of images in a batch changes rounding. To be called after `check_growth`.
    """
    saved = load_config(folder / CONFIG, GenerateConfig)
    whole, rest = divmod(sample_count(saved), config.batch_size)
    if (folder / native.METADATA).is_file():
        native.read_rows(folder)  # refuses what cannot be read, before it is set aside
        inside(folder, BATCHES).mkdir(exist_ok=True)
        (folder / native.METADATA).replace(folder / EARLIER)
    if rest:
        inside(folder, record_path(whole)).unlink(missing_ok=True)
    _configure(folder, config)


def check_end(folder: Path, config: GenerateConfig) -> None:
    """Raise UserError if samples were drawn that `config` does not have, because they would be lost."""
    begun = load_config(folder / CONFIG, GenerateConfig)
    batches = begun.batches(sample_count(begun))
    made = [batch.stop for number, batch in enumerate(batches) if (folder / record_path(number)).exists()]
    made += [sample_number(row["file_name"]) + 1 for row in earlier_rows(folder)]
    drawn, count = max(made, default=0), sample_count(config)
    if drawn > count:
        numbers = range(1, begun.per_class + 1)
        least = numbers[bisect_left(numbers, drawn, key=lambda number: sample_count(replace(begun, per_class=number)))]
        problem = f"{config.per_class} would be {plural(count, 'image')}, and {folder} already holds {drawn}"
        fix = f"{least} ends the run with what is made; {begun.per_class} continues it"
        raise UserError("per_class", problem, fix)


def end(folder: Path, config: GenerateConfig) -> None:
    """Make `config` the configuration of an unfinished output whose own configuration extends it. To be called after
    `check_end`."""
    count = sample_count(config)
    for path in chain.from_iterable(inside(folder, name).glob("*") for name in RUN_FOLDERS):
        number = NUMBER.match(path.name)  # of a batch that was being written when the run was killed
        if number and int(number[0]) >= count:
            path.unlink()
    _configure(folder, config)


def _configure(folder: Path, config: GenerateConfig) -> None:
    weights = read_toml(folder / CONFIG).get("weights", "")
    write_atomic(folder / CONFIG, config.to_toml(weights).encode("utf-8"))


def earlier_rows(folder: Path) -> list[dict[str, Any]]:
    return native.read_rows(folder, EARLIER) if (folder / EARLIER).is_file() else []


def rows_in_order(folder: Path, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, sorted by sample number. A sample of a dataset that grew keeps the `split` that it has in EARLIER."""
    splits = {row["file_name"]: {"split": row["split"]} for row in earlier_rows(folder) if "split" in row}
    by_number = sorted(rows, key=lambda row: sample_number(row["file_name"]))
    return [{**row, **splits.get(row["file_name"], {})} for row in by_number]


def sample_number(file_name: str) -> int:
    """`images/000012.png` → 12. Raises UserError for any other path."""
    matched = IMAGE.fullmatch(file_name)
    if matched is None:
        problem = f"{show_json(file_name)} is not a picture that `seediff generate` drew, such as images/000012.png"
        raise UserError(native.METADATA, problem)
    return int(matched[1])
