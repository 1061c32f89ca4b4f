"""Seeds on the command line."""

from __future__ import annotations

from cyclopts import Parameter


def _check(_: type, seed: int) -> None:
    from ..dataset.split import check_seed

    check_seed(seed)


SEED = Parameter(validator=_check)
"""Beside an option's own Parameter: its number is one that every generator of random numbers takes. Raises UserError for others."""
