"""Photographs on the command line, for `mask`, `segment` and `predict`: what is refused, and what could not be used."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from ..errors import UserError
from ..files.outputs import CONFIG

PHOTOS_AND_MAPS = (("images", "masks"), ("JPEGImages", "SegmentationClass"), ("leftImg8bit", "gtFine"))
"""Where datasets keep photographs and their label maps: SeeDiff's, VOC's, Cityscapes'."""


def check_photos(paths: Sequence[Path]) -> None:
    """Raise UserError for a folder that is a dataset, or holds one that no run made, because its label maps would be
    read as photographs."""
    for path in filter(Path.is_dir, paths):
        below = [folder for folder in sorted(path.iterdir()) if not (folder / CONFIG).is_file()]
        for folder, (photos, maps) in product([path, *below], PHOTOS_AND_MAPS):
            if (folder / photos).is_dir() and (folder / maps).is_dir():
                problem = "is a dataset, whose label maps are not photographs"
                raise UserError(folder, problem, f"give {folder / photos}")


def report_unusable(failed: Sequence[Mapping[str, str]], photos: int, out: Path) -> None:
    """Raise UserError, for the exit code, if some of the photographs could not be used. By then the others are
    finished. failed: the rows of failed.jsonl in the folder `out`. photos: the number of all photographs."""
    from ..files.photo_files import FAILED  # imports numpy

    if failed:
        first, count = failed[0], len(failed)
        reasons = f"{first['photo']}: {first['reason']}"
        if count > 1:
            reasons += f" and {count - 1} more"
        where = shlex.quote(str(out / FAILED))
        raise UserError(f"{count} of {photos} photographs could not be used ({reasons}); the list is in {where}")
