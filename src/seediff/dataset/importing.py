"""Makes native datasets: from files in other formats, from masks that were corrected elsewhere, and from pictures
without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files.messages import plural
from ..files.photo_files import Photo, find_photos, read_photo
from ..masks.flags import UNLABELLED
from ..workers import Follow
from . import native
from .corrections import Change, correct
from .encoding import encode_photo
from .formats.drivers import read_format
from .formats.format_table import SourceName, import_options, recognise
from .sample import Sample
from .saving import save_native


@dataclass(frozen=True)
class Imported:
    """A dataset that was imported."""

    classes: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    """Lines about what was left out of it."""
    changes: Sequence[Change]
    """With `corrects`: the change of each mask that came back."""


def import_set(
    name: SourceName,
    source: Path,
    out: Path,
    *,
    corrects: Path | None = None,
    accept_unchanged: bool = False,
    link: bool = False,
    workers: int = 1,
    follow: Follow = iter,
    **options: Any,
) -> Imported:
    """Writes a folder or file of another format as the native dataset `out`, which appears only when it is complete.

    name: the format. source: the folder or file. corrects: the native dataset whose masks the source holds, corrected;
    its pictures and rows are kept. accept_unchanged: as for `correct`, which says how masks are matched. link, workers,
    follow: as for `save_native`. options: the parameters of `read` in the format's module. Raises UserError, also for a
    source without samples. Without `corrects`, a sample must show a class.
    """
    # Corrected masks without pictures belong to the pictures of the dataset that they correct.
    if corrects is not None and "images" not in options and "images" in import_options(name):
        folder = source
        if not source.is_dir():
            folder = source.parent
        if not any((folder / part).is_dir() for part in (native.IMAGES, "JPEGImages")):
            options["images"] = corrects / native.IMAGES

    read = read_format(name, source, **options)  # streams the samples of a single large file
    classes, samples = read.classes, _require(read.samples, source, empty=corrects is not None)
    changes = list[Change]()
    if corrects is not None:
        classes, samples = correct(
            corrects, classes, samples, by=name, accept_unchanged=accept_unchanged, tell=changes.append
        )
    about = {"command": "import", "format": name}
    rows = save_native(out, classes, samples, about=about, link=link, workers=workers, follow=follow)
    return Imported(classes, rows, read.notes, changes)


def import_unlabelled(
    source: Path, out: Path, classes: Sequence[str], *, workers: int = 1, follow: Follow = iter
) -> int:
    """Writes pictures without labels as the native dataset `out`, and returns their number. People can then paint masks
    of `classes` in `seediff look`.

    Every picture that `find_photos` finds in `source` becomes a sample with an empty mask and the flag `unlabelled`.
    workers, follow: as for `save_native`. Raises UserError for a picture that cannot be read, and for a dataset, whose
    label maps would be taken for pictures.
    """
    if source.is_dir():
        native.check_finished(source)
        native.check_single(source)
        held = "native" if (source / native.METADATA).is_file() else ""
        with suppress(UserError):
            held = held or recognise(source)
        if held:
            fix = "leave out --unlabelled, or name the folder of its pictures alone"
            raise UserError(source, f"holds labels ({held})", fix)
    samples = map(_unlabelled, find_photos(source).photos)
    return len(save_native(out, classes, samples, about={"command": "import"}, workers=workers, follow=follow))


def _unlabelled(photo: Photo) -> Sample:
    """The sample of a photograph, with an empty mask."""
    pixels = read_photo(photo.path)
    _, data = encode_photo(photo.path, pixels)
    return Sample(data, np.zeros(pixels.shape[:2], np.uint8), None, {"flags": [UNLABELLED]}, name=photo.name)


def _require(samples: Iterable[Sample], source: Path, *, empty: bool) -> Iterator[Sample]:
    """Yields the samples. source: their folder or file, for errors. empty: whether it is right that no sample shows
    a class. Raises UserError after the last one if there was no sample, or if a class was required and no sample
    shows any."""
    count, shows = 0, empty
    for sample in samples:
        count += 1
        shows = shows or bool((sample.label_map % 255).any())  # 0 is background, 255 ignored
        yield sample
    if not count:
        raise UserError(source, "has no samples; nothing was written")
    if not shows:
        problem = f"has {plural(count, 'picture')} but no object, only background (0) or ignored (255)"
        fix = "name the folder that also holds the labels, or their format with --from"
        raise UserError(source, f"{problem}; nothing was written", fix)
