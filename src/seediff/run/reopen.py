"""Turns a finished dataset back into an unfinished one: to add samples, or to draw again samples that people rejected.

metadata.jsonl becomes EARLIER, and the command continues as after any interruption, with the batches whose records are
there. A dataset that grows gets the bytes of one that was as large from the start. A sample that is drawn again is a
batch by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import __version__
from ..config.generate_config import MAX_IMAGES, GenerateConfig
from ..config.resolve import load_config
from ..dataset import native
from ..dataset.reviews import REDRAWN, Action, append_action, in_effect, mend, read_actions
from ..errors import UserError
from ..files.documents import read_json, read_toml
from ..files.messages import show_json
from ..files.output_folders import parse_folder
from ..files.outputs import BATCHES, write_atomic
from ..files.reading import inside
from ..prompts.specs import sample_count
from .output import BatchRecord, commit, lock, look_into, record_path

IMAGE = re.compile(rf"{native.IMAGES}/([0-9]{{6,}})\.[a-z]+")
EARLIER = f"{BATCHES}/{native.METADATA}"
"""The rows of a dataset that was finished before. Samples that are made again keep the `split` that they have there."""


def draw_again(config: GenerateConfig, out: Path | str, *, dry_run: bool = False) -> list[str]:
    """Have the samples that people rejected drawn again by the next run, and return their names: the dataset becomes
    unfinished, and review.jsonl gets lines that clear the verdicts. dry_run: only return the names. Raises UserError if
    no sample can be drawn again.
    """
    folder = parse_folder(out)
    state, _ = look_into(folder, config)
    if state == "new":
        raise UserError(out, "there is no dataset with rejected samples to redraw")
    if state == "shorter":
        problem = "a run either adds samples (per_class) or draws rejected ones again (top_up)"
        raise UserError(out, problem, "do one after the other")
    if state == "complete" and read_toml(folder / native.CONFIG).get("version") != __version__:
        problem = f"was made by another version of seediff than {__version__}"
        raise UserError(out, problem, "make a second dataset with another --seed, and join both with `seediff merge`")
    actions = in_effect(folder)
    samples = (name for name in map(numbered_name, range(sample_count(config))) if name in actions)
    names = [name for name in samples if actions[name].verdict == "rejected"]
    if dry_run or not names:
        return names
    with lock(folder):
        if state == "complete":
            _set_aside(folder)
        # Last: after a kill before this, the dataset is finished as it was, and the samples are still rejected.
        versions = {action.sample: action.version for action in mend(folder)}
        for name in names:
            inside(folder, record_path(again_number(int(name)))).unlink(missing_ok=True)  # of an earlier drawing
            append_action(folder, Action(sample=name, version=versions[name] + 1, action=REDRAWN))
    return names


def redrawn(folder: Path, config: GenerateConfig) -> dict[int, int]:
    """Sample index → attempt, after those of `reject`, for all samples that were or have to be drawn again."""
    times = Counter(action.sample for action in read_actions(folder) if action.action == REDRAWN)
    earlier = config.attempts if config.reject else 1
    attempts: dict[int, int] = {}
    for index in range(sample_count(config)) if times else ():
        count = times[numbered_name(index)]
        if count:
            attempts[index] = earlier + count - 1
    return attempts


def numbered_name(index: int) -> str:
    return f"{index:06d}"


def again_number(index: int) -> int:
    """The number of the batch that consists of sample `index`, drawn again."""
    return MAX_IMAGES + index


def check_growth(folder: Path) -> None:
    """Raise UserError if a sample of the smaller last batch, which is drawn again to grow, was reviewed."""
    saved = load_config(folder / native.CONFIG, GenerateConfig)
    count = sample_count(saved)
    last = set(map(numbered_name, range(count - count % saved.batch_size, count)))
    reviewed = sorted(last & {action.sample for action in read_actions(folder)})
    if reviewed:
        problem = f"would draw {reviewed[0]} again, which was reviewed: its batch has fewer images than the others"
        fix = "make the new samples in another folder with another --seed, and join the two with `seediff merge`"
        raise UserError(folder, problem, fix)


def grow(folder: Path, config: GenerateConfig) -> None:
    """Turn an output whose configuration `config` extends into an unfinished output of `config`. A last batch that is
    smaller is made again, because the number of images in a batch changes rounding. Raises UserError.
    """
    check_growth(folder)
    saved = load_config(folder / native.CONFIG, GenerateConfig)
    whole, rest = divmod(sample_count(saved), config.batch_size)
    if (folder / native.METADATA).is_file():
        _set_aside(folder)
    if rest:
        inside(folder, record_path(whole)).unlink(missing_ok=True)
    weights = read_toml(folder / native.CONFIG).get("weights", "")
    write_atomic(folder / native.CONFIG, config.to_toml(weights).encode("utf-8"))


def _set_aside(folder: Path) -> None:
    """Make metadata.jsonl EARLIER. Raises UserError if it cannot be read."""
    native.read_rows(folder)
    inside(folder, BATCHES).mkdir(exist_ok=True)
    (folder / native.METADATA).replace(folder / EARLIER)


def leave_out(folder: Path, redrawn: Iterable[int], config: GenerateConfig) -> None:
    """Take samples that are drawn again, by index, out of the records of the batches that they were first drawn in."""
    for index in redrawn:
        number, name = index // config.batch_size, numbered_name(index)
        if not (folder / record_path(number)).is_file():
            continue
        record = read_json(folder / record_path(number), BatchRecord)
        rows = [row for row in record.rows if native.sample_name(row["file_name"]) != name]
        files = {path: size for path, size in record.files.items() if not Path(path).name.startswith(name)}
        if len(rows) < len(record.rows):
            commit(folder, number, BatchRecord(rows, record.rejected, files))


def rows_in_order(folder: Path, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows by the numbers of their samples, each with the split that it had in EARLIER."""
    earlier = native.read_rows(folder, EARLIER) if (folder / EARLIER).is_file() else ()
    splits = {row["file_name"]: {"split": row["split"]} for row in earlier if "split" in row}
    by_number = sorted(rows, key=lambda row: sample_number(row["file_name"]))
    return [{**row, **splits.get(row["file_name"], {})} for row in by_number]


def sample_number(file_name: str) -> int:
    """`images/000012.png` → 12. Raises UserError for any other path."""
    matched = IMAGE.fullmatch(file_name)
    if matched is None:
        problem = f"{show_json(file_name)} is not a picture that `seediff generate` drew, such as images/000012.png"
        raise UserError(native.METADATA, problem)
    return int(matched[1])
