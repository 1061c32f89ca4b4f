"""What is wrong with a dataset's reviews: lines of review.jsonl and corrected masks that do not go together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ...errors import UserError
from ...files.messages import printable
from ...files.pictures import open_picture
from ...files.reading import PICTURE, path_inside, read_bytes
from .. import native
from ..reviews import REVIEWED, REVIEWS, Action, read_actions
from ..shapes.objects import check_joined

Found = tuple[str, Literal["error", "warning"], str, str]
"""Kind, level, where and text of a finding."""


def check_reviews(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator[Found]:
    """Errors: a line that is no action; a corrected mask that is gone or is not the one that a person left; pieces joined outside of the
    picture. Warnings: actions about a sample that is not there; files of reviewed/ that no action names."""
    try:
        actions = read_actions(folder)
    except UserError as error:
        yield "structure", "error", REVIEWS, str(error)
        return
    masks = {native.sample_name(row["file_name"]): row.get("mask") for row in rows if isinstance(row.get("file_name"), str)}
    names = masks.keys()
    last = {action.sample: action for action in actions}
    for name in last.keys() - names:
        yield "review", "warning", REVIEWS, f"is about a sample '{printable(name)}', which metadata.jsonl does not have"
    for name in sorted(last.keys() & names):
        yield from _check_mask(folder, last[name])
        yield from _check_joined(folder, last[name], masks[name])
    known = {action.mask for action in actions if action.mask}
    top = folder / REVIEWED
    for path in sorted(top.rglob("*")) if top.is_dir() and not top.is_symlink() else ():
        where = path.relative_to(folder).as_posix()
        if path.is_file() and where not in known:
            yield "orphan", "warning", where, f"no line of {REVIEWS} names it"


def _check_mask(folder: Path, action: Action) -> Iterator[Found]:
    if action.mask is None:
        return
    about = f"the corrected mask of sample '{printable(action.sample)}'"
    try:
        path = path_inside(folder, {"mask": action.mask}, "mask", REVIEWS)
        if not path.is_file():
            yield "review", "error", action.mask, f"{about} is gone"
        elif hashlib.sha256(read_bytes(path, PICTURE)).hexdigest() != action.hash:
            yield "review", "error", action.mask, f"{about} is not the one that was saved (its SHA-256 differs from {REVIEWS})"
    except UserError as error:
        yield "review", "error", REVIEWS, error.reason


def _check_joined(folder: Path, action: Action, original: Any) -> Iterator[Found]:
    if not action.joined:
        return
    try:
        with open_picture(path_inside(folder, {"mask": action.mask or original}, "mask", REVIEWS)) as mask:
            check_joined(action.joined, (mask.height, mask.width), f"sample '{printable(action.sample)}'")
    except UserError as error:
        yield "review", "error", REVIEWS, error.reason
