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


STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hdfs", "webhdfs", "sftp", "ssh", "smb", "memory")
"""Schemes of fsspec that keep whole files under names. memory is this process's own: for programs that read it before they end."""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(::|://)(.*)", re.DOTALL)


def parse_out(out: Out | str) -> Out:
    """What a user means by `--out`: a folder, also as file:///path, or the address of objects in a store. Raises UserError, also for what
    is no store: to write to http://… would be to send requests to whatever answers there."""
    if not isinstance(out, str):
        return out
    scheme, rest = _parts(out, "--out")
    if not scheme:
        return Path(out)
    if scheme in ("file", "local"):
        return _full_path(out, rest, "--out")
    if scheme not in STORES or "::" in out:
        raise UserError(f"--out {out}: is no store that could be written to; name a folder, or a store such as s3://bucket/name")
    if not rest:
        raise UserError(f"--out {out}: name a place in it, such as {scheme}://bucket/name")
    return Url(f"{scheme}://{rest}")


def parse_folder(text: str, option: str = "--out") -> Path:
    """What a user means by an option that names a folder or file of this machine, also as file:///path. Raises UserError for anything that
    would only look like it."""
    scheme, rest = _parts(text, option)
    if not scheme:
        return Path(text)
    if scheme in ("file", "local"):
        return _full_path(text, rest, option)
    if scheme in STORES:
        others = "generate, mask, segment and augment write to stores; for this, name a folder and copy it there"
        raise UserError(f"{option} {text}: is an address, and this command writes to a folder of this machine; {others}")
    raise UserError(f"{option} {text}: is an address, and this command writes to a folder of this machine; name one")


def _parts(text: str, option: str) -> tuple[str, str]:
    """The scheme of an address, "" for a path, and the rest."""
    if not text.strip():
        raise UserError(f"{option} {text!r}: names no place; the present folder is .")
    match = URL.fullmatch(text)
    return (match[1].lower(), match[3].rstrip("/")) if match else ("", text)


def _full_path(text: str, rest: str, option: str) -> Path:
    if not rest.startswith("/"):
        raise UserError(f"{option} {text}: must be file:///a/full/path")
    return Path(rest)
