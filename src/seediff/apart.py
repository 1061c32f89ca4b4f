"""Where what is read and what is written must not be one inside the other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .address import Out
from .errors import UserError


def check_apart(out: Out, sources: Iterable[Path]) -> None:
    """Raise UserError when the output would be a source itself, lie in it or around it, also by links: the next run would read what this
    one wrote. An address in a store lies in no folder."""
    if not isinstance(out, Path):
        return
    inner = out.resolve()
    for source in sources:
        outer = source.resolve()
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise UserError(f"--out {out}: must not be the dataset {source} itself, nor lie in it or around it")
