"""Where what is read and what is written must not be one inside the other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from .addresses import Out


def check_apart(out: Out, sources: Iterable[Path]) -> None:
    """Raise UserError when the output would be a source itself, lie in it or around it, also by links: the next run would read what this
    one wrote. An address in a store lies in no folder."""
    if not isinstance(out, Path):
        return
    inner = _resolved(out)
    for source in sources:
        outer = _resolved(source)
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise UserError(f"--out {out}: must not be the dataset {source} itself, nor lie in it or around it")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError as error:  # of Python before 3.13; later ones leave it to whoever opens the path
        raise UserError(f"{path}: its links lead in a circle") from error
