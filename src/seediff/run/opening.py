"""The place that a user means by a path or an address: a folder (place.py), or objects in a store (storage.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config.base import Config
from ..errors import UserError
from ..files.addresses import Out, Url, parse_out
from .place import Place


@contextmanager
def open_place(out: Out | str) -> Iterator[Place]:
    """The place that a user means by a path, or by a URL such as s3://bucket/name. Raises UserError, also for what happens within."""
    from .storage import StoredPlace

    out = parse_out(out)
    if not isinstance(out, Url):
        yield Place(out)
        return
    with StoredPlace.opened(out) as place:
        try:
            yield place
        except UserError as error:
            raise UserError(place.told(str(error))) from error


def describe_at(out: Out, config: Config, describe: Callable[[Config, Path], str]) -> str:
    """What describe(configuration, folder) says of an output, for --dry-run."""
    with open_place(out) as place:
        place.fetch(config.last_file)
        return place.told(describe(config, place.folder))
