"""How fast runs were on this machine, by the settings that decide it, for the dry runs of later ones."""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

from ..errors import UserError
from ..files.documents import read_json
from ..files.outputs import write_atomic
from .settings import Settings

IRRELEVANT = frozenset(
    ("classes", "names", "photos", "prompts", "negative_prompt", "subclasses", "per_class", "seed", "batch_size")
)
"""Fields that hardly change how long an item takes."""


def remember_speed(config: Settings, seconds: float, *more: str) -> None:
    """Store how many seconds an item took. If the file cannot be written, nothing is stored. config: with device,
    number format and threads. more: what else decides the speed."""
    file = _file()
    speeds = {**_speeds(), _key(config, *more): seconds}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(speeds).encode())


def time_line(config: Settings, items: int, *more: str) -> str:
    """The line of a dry run about how long items would take. config, more: as in `remember_speed`."""
    seconds = _speeds().get(_key(config, *more))
    if seconds is None:
        return "Time: unknown until a first run with these settings"
    whole = timedelta(seconds=round(items * seconds))
    return f"Time: about {whole} for all; an earlier run on this machine took {seconds:.2g} s for each"


def _file() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "seediff", "speeds.json")


def _speeds() -> dict[str, float]:
    with suppress(UserError):
        return read_json(_file(), dict[str, float])
    return {}


def _key(config: Settings, *more: str) -> str:
    deciding = {name: value for name, value in config.flat().items() if name not in IRRELEVANT}
    text = json.dumps([platform.node(), config.command, deciding, more], default=str)
    return blake2b(text.encode(), digest_size=8).hexdigest()
