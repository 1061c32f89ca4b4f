"""Where a user wants an output: a folder, or the address of objects in a store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError


@dataclass(frozen=True)
class Url:
    """The address of an output in a store, without a slash at the end."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text}/{name}")

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0]


Out = Path | Url
"""An output as the user names it."""


def parse_out(out: Out | str) -> Out:
    """What a user means by `--out`: a folder, also as file:///path, or the address of objects in a store. Raises UserError."""
    if not isinstance(out, str):
        return out
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", out)
    if match is None:
        return Path(out)
    scheme, rest = match[1].lower(), match[2].rstrip("/")
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise UserError(f"--out {out}: must be file:///a/full/path")
        return Path(rest)
    if not rest:
        raise UserError(f"--out {out}: name a place in it, such as {scheme}://bucket/name")
    return Url(f"{scheme}://{rest}")
