"""Pictures without labels, as samples to paint in `seediff look`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files.photo_files import Photo, find_photos, read_photo
from ..masks.flags import UNLABELLED
from .encoding import encode_photo
from .formats.format_table import Seen, recognise
from .native import METADATA, check_finished
from .sample import Sample


def read_unlabelled(source: Path) -> Iterator[Sample]:
    """A sample of each picture that `find_photos` finds, with an empty mask and the flag `unlabelled`.

    Raises UserError for a dataset, whose label maps would be taken for pictures, and for a picture that cannot be read.
    """
    if source.is_dir():
        check_finished(source)
        held = "native" if (source / METADATA).is_file() else None
        with suppress(UserError):
            held = held or recognise(Seen(source))
        if held:
            fix = "leave out --unlabelled, or name the folder of its pictures alone"
            raise UserError(source, f"holds labels ({held})", fix)
    return map(_empty, find_photos(source).photos)


def _empty(photo: Photo) -> Sample:
    pixels = read_photo(photo.path)
    _, data = encode_photo(photo.path, pixels)
    return Sample(data, np.zeros(pixels.shape[:2], np.uint8), None, {"flags": [UNLABELLED]}, name=photo.name)
