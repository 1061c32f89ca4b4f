"""Turns a complete dataset back into an unfinished one, to add samples.

metadata.jsonl becomes EARLIER, and the command continues as after any interruption, with the batches that have records.
A grown dataset has the bytes of one that was as large from the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..config.generate_config import GenerateConfig
from ..config.resolve import load_config
from ..dataset import native
from ..dataset.reviews import read_actions
from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import show_json
from ..files.outputs import BATCHES, CONFIG, write_atomic
from ..files.reading import inside
from ..prompts.specs import sample_count
from .output import record_path

IMAGE = re.compile(rf"{native.IMAGES}/([0-9]{{6,}})\.[a-z]+")
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
    is made again, because the number of images in a batch changes rounding. Raises UserError as `check_growth` does.
    """
    check_growth(folder)
    saved = load_config(folder / CONFIG, GenerateConfig)
    whole, rest = divmod(sample_count(saved), config.batch_size)
    if (folder / native.METADATA).is_file():
        native.read_rows(folder)  # refuses what cannot be read, before it is set aside
        inside(folder, BATCHES).mkdir(exist_ok=True)
        (folder / native.METADATA).replace(folder / EARLIER)
    if rest:
        inside(folder, record_path(whole)).unlink(missing_ok=True)
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
