"""Captions beside photographs, and the words in them that may name segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..config.class_names import any_name
from ..errors import UserError
from ..files.documents import read_csv
from ..files.photo_files import Photo, find_named
from ..files.reading import read_text
from .tokens import content_words


def read_words(
    source: Path, photos: Sequence[Photo], names: Sequence[str] = (), vocabulary: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Name of a photograph → the words of its caption, for every photograph with a caption.

    source: a CSV file with the columns file and caption, or a folder with NAME.txt for each photograph NAME, which may
    be a path such as trip/1. names: if given, the words are the names that the caption contains.
    vocabulary: the model's words, if it knows only some; other words are left out.

    Raises UserError for a faulty file or line, and if no photograph has a caption.
    """
    captions = _from_folder(source, photos) if source.is_dir() else _from_csv(source, photos)
    if not captions:
        raise UserError("captions", f"{source} has no captions for any of the {len(photos)} photographs")
    words_of: dict[str, tuple[str, ...]] = {}
    for photo, text in captions.items():
        words = classes_mentioned(text, names) if names else content_words(text)
        words_of[photo] = tuple(word for word in words if vocabulary is None or word in vocabulary)
    return words_of


def classes_mentioned(caption: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that the caption contains as whole words, ignoring case; also with a final s or es, or with a line
    break inside."""
    return tuple(name for name in names if any_name([name], "(?:s|es)?").search(caption))


def _from_folder(folder: Path, photos: Sequence[Photo]) -> dict[str, str]:
    paths = {photo.name: folder / f"{photo.name}.txt" for photo in photos}
    return {name: read_text(path) for name, path in paths.items() if path.is_file()}


def _from_csv(path: Path, photos: Sequence[Photo]) -> dict[str, str]:
    named = find_named(path, read_csv(path, ("file", "caption")), photos)
    return {photo.name: row["caption"] for photo, row in named}
